"""`Terms` and `Limits`: how to ask, whatever is said, and how far a run may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acechat._config import RetryPolicy, Timeout
from acechat._limits import Budget, check_number
from acechat.types import ChatOptions

__all__ = ["Limits", "Terms"]


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


_USUAL = 8
"""What most runs have, and nobody needs to check: this very number, which 8.0 is not."""


class Limits(Struct, frozen=True):
    """How far a run may go; see `acechat.AsyncClient.run`.

    Raises:
        ConfigurationError: A number is not positive.
    """

    max_turns: int = _USUAL
    max_parallel: int = _USUAL
    tool_timeout: float | None = None
    raise_tool_errors: bool = False
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if self.max_turns is self.max_parallel is _USUAL and self.tool_timeout is None:
            return
        check_number("max_turns", self.max_turns, int, optional=False)
        check_number("max_parallel", self.max_parallel, int, optional=False)
        check_number("tool_timeout", self.tool_timeout, int, float)
