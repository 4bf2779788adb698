"""Settings of a run that do not change its requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from acechat._policy.values import Budget, RateLimit, RetryPolicy
from acechat.batch.pacing import Pacer
from acechat.batch.plan import Unknown
from acechat.batch.rows import Row
from acechat.types import ChatCompletion

__all__ = ["RunSettings", "Send"]

Send: TypeAlias = Callable[[Row], Awaitable[ChatCompletion[Any]]]
"""Sends the request of a row once, and returns its completion or raises an AceChatError."""


class RunSettings(Struct, frozen=True, kw_only=True):
    """Settings of a run that do not change its requests."""

    concurrency: int | Literal["auto"] = "auto"
    max_concurrency: int = 256
    retries: RetryPolicy = RetryPolicy()
    rate_limit: RateLimit | None = None
    budget: Budget | None = None
    allow_truncated: bool = False
    unknown: Unknown = "fail"
    in_order: bool = False
    pacer: Pacer | None = None
    """The pacer that this run shares with others; None for one of its own."""

    def start_pacer(self) -> Pacer:
        """Return the pacer of a run."""
        return self.pacer or Pacer(self.concurrency, self.max_concurrency, self.rate_limit)
