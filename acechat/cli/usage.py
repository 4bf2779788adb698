"""Usage of a response: tokens, cost if reported, and time."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct

from acechat import Usage
from acechat.cli.terminal.text import one_line

__all__ = ["Stopwatch", "UsageSummary"]

_N = TypeVar("_N", int, Decimal)
_MEASURABLE = 0.1
"""Seconds of output below which tokens per second are not meaningful."""


class Stopwatch:
    """Measure one response, in seconds since this object was created."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.first: float | None = None
        """Time of the first delta, reasoning included; None without a stream."""

    def record_first(self) -> None:
        """Record the time of the first delta; later calls change nothing."""
        if self.first is None:
            self.first = self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds until now."""
        return time.monotonic() - self._started


class UsageSummary(Struct, frozen=True):
    """Usage of one response, or the sum of several."""

    responses: int = 0
    prompt: int | None = None
    """Prompt tokens; this and the following are None if not reported."""
    completion: int | None = None
    """Completion tokens, reasoning included."""
    reasoning: int | None = None
    """Reasoning tokens, a part of *completion*."""
    cost: Decimal | None = None
    currency: str = "credits"
    first: float | None = None
    """Seconds to the first token; None without a stream, or for several responses."""
    seconds: float = 0.0
    """Seconds in total."""
    cached: int = 0
    """Responses of the cache among them, which cost nothing."""

    @classmethod
    def of(cls, usage: Usage | None, watch: Stopwatch, *, cached: bool = False) -> UsageSummary:
        """Return the usage of one response that has just ended; *usage* is None if not reported."""
        if cached:
            return cls(responses=1, cached=1, seconds=watch.elapsed)
        usage = usage or Usage()
        details, cost = usage.completion_tokens_details, usage.cost
        return cls(
            responses=1,
            prompt=usage.prompt_tokens,
            completion=usage.completion_tokens,
            reasoning=details.reasoning_tokens if details else None,
            cost=cost.amount if cost else None,
            currency=one_line((cost and cost.currency) or "credits"),
            first=watch.first,
            seconds=watch.elapsed,
        )

    def __add__(self, other: UsageSummary) -> UsageSummary:
        return UsageSummary(
            responses=self.responses + other.responses,
            prompt=_sum(self.prompt, other.prompt),
            completion=_sum(self.completion, other.completion),
            reasoning=_sum(self.reasoning, other.reasoning),
            cost=_sum(self.cost, other.cost),
            currency=other.currency,
            seconds=self.seconds + other.seconds,
            cached=self.cached + other.cached,
        )

    def __str__(self) -> str:
        parts = [f"{self.responses} responses"] if self.responses != 1 else []
        if self.cached:
            parts.append("cached" if self.responses == 1 else f"{self.cached} cached")
        if self.prompt is not None or self.completion is not None:
            reasoning = f" ({self.reasoning:,} of them reasoning)" if self.reasoning else ""
            parts.append(
                f"{_number(self.prompt)} tokens in, {_number(self.completion)} out{reasoning}"
            )
        if self.cost is not None:
            parts.append(f"{self.cost:.6g} {self.currency}")
        if self.first is not None:
            parts.append(f"first token {self.first:.2f} s")
        parts.append(f"{self.seconds:.2f} s total")
        output = self.seconds - (self.first or 0.0)
        if self.completion and output >= _MEASURABLE:
            parts.append(f"{self.completion / output:,.0f} tokens/s")
        return " | ".join(parts)


def _sum(one: _N | None, other: _N | None) -> _N | None:
    return other if one is None else one if other is None else one + other


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
