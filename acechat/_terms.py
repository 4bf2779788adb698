"""`Terms`: how to ask, whatever is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acechat._config import RetryPolicy, Timeout
from acechat.types import ChatOptions

__all__ = ["Terms"]


class Terms(Struct, frozen=True):
    """What a call is told but what is said and what the answer is to be.

    See `acechat.AsyncClient.chat` for the fields.
    """

    system: str | None = None
    model: str | None = None
    timeout: Timeout | float | None = None
    retries: RetryPolicy | int | None = None
    extra_body: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = None

    options: ChatOptions = {}
    """The other fields of the request."""
