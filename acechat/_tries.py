"""`Tries`: what a call has tried so far, and whether it tries again."""

from __future__ import annotations

from collections.abc import Sequence

from acechat._config import RetryPolicy
from acechat._retry import classify, delay_before_next, is_overload, may_be_billed
from acechat.errors import AceChatError, Attempt

__all__ = ["Tries"]


class Tries:
    """The failed attempts of one call, and what the policy makes of them.

    Args:
        policy: How often each model is asked.
        model: The model that is asked; empty for none.
        fallbacks: Who is asked after it, if a model stays overloaded.
    """

    __slots__ = ("_earlier", "_fallbacks", "_first", "_policy", "failed", "model")

    def __init__(self, policy: RetryPolicy, model: str, fallbacks: Sequence[str]) -> None:
        self.failed: tuple[Attempt, ...] = ()
        self.model = model
        self._policy = policy
        self._first = model
        self._fallbacks = fallbacks
        self._earlier = 0  # of them, for a request before this one, or for another model

    def begin(self) -> None:
        """Begin with a request that has all attempts of the policy before it."""
        self._earlier = len(self.failed)

    def add(
        self,
        error: AceChatError,
        *,
        content: bool,
        started: float,
        elapsed: float,
        jitter: float,
        time_left: float | None,
    ) -> tuple[Attempt, float | None]:
        """Remember an attempt that failed with *error*, there too.

        Args:
            error: How it failed.
            content: Whether any of the answer had arrived.
            started: Seconds after the call began.
            elapsed: Seconds that the attempt took.
            jitter: 0 to 1, from the dice.
            time_left: Seconds of `Timeout.total`; None for no limit.

        Returns:
            The attempt, and the seconds until the model is asked again; None for never.
        """
        failure = classify(error, content=content)
        tried = Attempt(
            number=len(self.failed) + 1,
            model=self.model,
            started=started,
            elapsed=elapsed,
            failure=failure,
            error=f"{type(error).__name__}: {error}",
            may_be_billed=may_be_billed(failure, error),
        )
        self.failed = error.attempts = (*self.failed, tried)
        number = tried.number - self._earlier
        return tried, delay_before_next(
            self._policy, number, error, failure, jitter=jitter, time_left=time_left
        )

    def next_model(self, error: AceChatError, *, content: bool) -> str | None:
        """Return who is asked now, with all attempts of the policy; None for nobody."""
        if content or not self._first or not is_overload(error):
            return None
        left = [name for name in self._fallbacks if name != self._first]
        if not left:
            return None
        self.model, *self._fallbacks = left
        self.begin()
        return self.model
