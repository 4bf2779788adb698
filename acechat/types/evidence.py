"""Evidence of the model that wrote a completion."""

from __future__ import annotations

import re

from msgspec import Struct

__all__ = ["ModelEvidence", "evidence_of"]

_FORMS = (
    ("msg_bdrk_", "Amazon Bedrock"),
    ("msg_vrtx_", "Google Vertex AI"),
    ("msg_", "Anthropic"),
    ("chatcmpl-", "an OpenAI-compatible server"),
)
"""Prefixes of ids, and the API that writes them (docs/api.md#completion-variants)."""

_PROVIDER = re.compile(r"^.*?(?=claude)")  # "us.anthropic." of Bedrock, "anthropic/" of routers
_ENDING = re.compile(r"(-v\d+(:\d+)?|-thinking|-latest|-fast)+$")
_DATE = re.compile(r"-\d{8}$")


class ModelEvidence(Struct, frozen=True, kw_only=True):
    """Names of the model of one completion; all are claims of the service, none is a proof."""

    requested: str | None = None
    """The model that was requested, a fallback model included; None if not known."""

    named: str | None = None
    """The model that the response names; None if it names none."""

    id: str | None = None
    """The id of the completion; None if it has none."""

    id_form: str | None = None
    """The API whose ids look like *id*, such as ``"Amazon Bedrock"``; None for an unknown form. The
    service promises no form."""

    @property
    def matches(self) -> bool | None:
        """Whether *named* is a name of the *requested* model; None if one of them is not known.

        Prefixes of providers, versions such as ``-v1:0``, ``-latest`` and ``-thinking`` are
        ignored, and a date is compared only if both names have one.
        """
        if not self.requested or not self.named:
            return None
        one, other = _plain(self.requested), _plain(self.named)
        if not (_DATE.search(one) and _DATE.search(other)):
            one, other = _DATE.sub("", one), _DATE.sub("", other)
        return one == other


def _plain(name: str) -> str:
    name = name.strip().lower().replace(".", "-").replace("@", "-").replace("_", "-")
    return _ENDING.sub("", _PROVIDER.sub("", name))


def evidence_of(requested: str | None, named: str, identifier: str) -> ModelEvidence:
    """Return the evidence of a completion; empty names are None."""
    form = next((form for prefix, form in _FORMS if identifier.startswith(prefix)), None)
    return ModelEvidence(
        requested=requested or None, named=named or None, id=identifier or None, id_form=form
    )
