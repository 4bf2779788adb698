"""What an answer cost: tokens, money when the service tells, and time."""

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
"""Seconds of writing from which on tokens per second say something."""


class Stopwatch:
    """Takes the times of one answer, in seconds from its making."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.first: float | None = None
        """When the first of the answer, thoughts included, came; None where it came whole."""

    def note_first(self) -> None:
        """Note that something of the answer has come."""
        if self.first is None:
            self.first = self.elapsed

    @property
    def elapsed(self) -> float:
        """Until now."""
        return time.monotonic() - self._began


class UsageSummary(Struct, frozen=True):
    """What one answer used, or several together."""

    answers: int = 0
    prompt: int | None = None
    """Tokens of what was sent; None where the service did not say, as in all of these."""
    completion: int | None = None
    reasoning: int | None = None
    """Of *completion*."""
    cost: Decimal | None = None
    currency: str = "credits"
    first: float | None = None
    """Seconds to the first token; None for several answers."""
    seconds: float = 0.0

    @classmethod
    def of(cls, usage: Usage | None, watch: Stopwatch) -> UsageSummary:
        """Make the bill of one answer, at its end."""
        usage = usage or Usage()
        details, cost = usage.completion_tokens_details, usage.cost
        return cls(
            answers=1,
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
            answers=self.answers + other.answers,
            prompt=_sum(self.prompt, other.prompt),
            completion=_sum(self.completion, other.completion),
            reasoning=_sum(self.reasoning, other.reasoning),
            cost=_sum(self.cost, other.cost),
            currency=other.currency,
            seconds=self.seconds + other.seconds,
        )

    def __str__(self) -> str:
        said = [f"{self.answers} answers"] if self.answers != 1 else []
        if self.prompt is not None or self.completion is not None:
            thought = f" ({self.reasoning:,} of them thoughts)" if self.reasoning else ""
            said.append(
                f"{_number(self.prompt)} tokens in, {_number(self.completion)} out{thought}"
            )
        if self.cost is not None:
            said.append(f"{self.cost:.6g} {self.currency}")
        if self.first is not None:
            said.append(f"first token {self.first:.2f} s")
        said.append(f"{self.seconds:.2f} s in all")
        writing = self.seconds - (self.first or 0.0)
        if self.completion and writing >= _MEASURABLE:
            said.append(f"{self.completion / writing:,.0f} tokens/s")
        return " | ".join(said)


def _sum(one: _N | None, other: _N | None) -> _N | None:
    return other if one is None else one if other is None else one + other


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
