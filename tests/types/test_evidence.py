"""Which model was requested, which is named, and the form of the id."""

from __future__ import annotations

import pytest

from acechat.types import ChatCompletion, ModelEvidence
from acechat.types.evidence import evidence_of


@pytest.mark.parametrize(
    ("identifier", "form"),
    [
        ("msg_bdrk_01Q6WN27v95ypCa1kbanAQ6K", "Amazon Bedrock"),
        ("msg_vrtx_01abc", "Google Vertex AI"),
        ("msg_018J4YaRoGHtbsTVb4Vvz7oH", "Anthropic"),
        ("chatcmpl-123", "an OpenAI-compatible server"),
        ("as-8g3qzbsw2b", None),
        ("", None),
    ],
)
def test_the_form_of_an_id(identifier, form):
    evidence = evidence_of("claude-opus-5", "claude-opus-5", identifier)

    assert evidence.id_form == form
    assert evidence.id == (identifier or None)


SONNET = "claude-sonnet-4-20250514"


@pytest.mark.parametrize(
    ("requested", "named", "matches"),
    [
        (SONNET, SONNET, True),
        (SONNET, "claude-sonnet-4", True),
        ("claude-sonnet-4", SONNET, True),
        (f"{SONNET}-thinking", SONNET, True),
        (SONNET, f"{SONNET}-thinking", True),
        (SONNET, "us.anthropic.claude-sonnet-4-20250514-v1:0", True),
        (SONNET, "anthropic/claude-sonnet-4", True),
        (SONNET, "claude-sonnet-4@20250514", True),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", True),
        ("claude-3.5-haiku", "claude-3-5-haiku-20241022", True),
        (SONNET, "Claude-Sonnet-4", True),
        (SONNET, "claude-sonnet-4-5-20250929", False),
        (SONNET, "claude-sonnet-4-5", False),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20240620", False),
        ("claude-opus-5", "claude-sonnet-5", False),
        ("claude-opus-5", "gpt-4o", False),
        ("claude-opus-5", "", None),
        ("", "claude-opus-5", None),
        (None, "claude-opus-5", None),
    ],
)
def test_names_of_one_model_match(requested, named, matches):
    assert evidence_of(requested, named, "").matches is matches


def test_a_completion_that_no_client_made_has_no_request():
    reply = ChatCompletion(choices=[], id="msg_1", model="claude-opus-5")

    assert reply.evidence == ModelEvidence(named="claude-opus-5", id="msg_1", id_form="Anthropic")
    assert reply.evidence.matches is None
