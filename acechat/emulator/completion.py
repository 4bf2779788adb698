"""The content of completions, before it is encoded as JSON or as a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acechat.types import ChatCompletionRequest, ToolCall

__all__ = [
    "ChatRequest",
    "ChoiceContent",
    "CompletionContent",
    "split_words",
]

_WORD = re.compile(r"\s*\S+|\s+")


class ChatRequest(Struct, frozen=True):
    """One decoded chat request, as passed to steps."""

    request: ChatCompletionRequest

    fields: dict[str, Any]
    """The request's JSON object, with fields that `ChatCompletionRequest` does not have."""

    fingerprint: str
    """SHA-256 of the request, in hexadecimal; equal for plain and streamed requests."""

    trace_id: str

    report_cost: bool = True
    """Whether a completion has a cost, if the catalogue has a price for its model."""


class ChoiceContent(Struct, frozen=True, kw_only=True):
    """One choice of a completion; text and reasoning are split into the deltas of a stream."""

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"


class CompletionContent(Struct, frozen=True, kw_only=True):
    """A complete response, sent as one JSON object or as a stream."""

    id: str
    created: int
    model: str
    choices: tuple[ChoiceContent, ...]
    usage: Mapping[str, Any]

    ensure_ascii: bool = True
    """Whether the JSON escapes non-ASCII characters, as Python's ``json`` does by default."""


def split_words(text: str) -> tuple[str, ...]:
    """Split *text* into words, each with the white space before it."""
    return tuple(_WORD.findall(text))
