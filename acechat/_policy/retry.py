"""Classify failures, and compute whether and when a call is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from acechat._policy.values import RetryPolicy
from acechat.errors import (
    AceChatError,
    APIError,
    Attempt,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    GatewayTimeoutError,
    OverloadedError,
    RequestTimeoutError,
    ServerError,
    StreamTruncatedError,
    TransportError,
)

__all__ = ["Failure", "RetryState", "classify", "delay_before_next", "is_overload", "may_be_billed"]

_LONGEST_RETRY_AFTER = 120.0
"""Seconds. A service that asks for more is better told to the caller at once."""


_LARGEST_EXPONENT = 60


Failure: TypeAlias = Literal["unsent", "refused", "lost", "timed_out", "partial", "answered"]
"""What a failure means for the bill.

* unsent: no connection, so nothing was asked
* refused: the service said no, before any content
* lost: the connection broke before any content
* timed out: sent, and the service may still be working on it
* partial: a part of the answer arrived
* answered: something arrived that is no answer, or the client was closed
"""


def classify(error: AceChatError, *, content: bool) -> Failure:
    """Name the failure; *content* tells whether any of the answer had arrived."""
    if content:
        return "partial"
    match error:
        case ConnectError() | ConfigurationError() | BudgetExceededError():
            return "unsent"
        case RequestTimeoutError():
            return "timed_out" if error.sent else "unsent"
        case APIError():
            return "refused"
        case ClientClosedError() | TransportError(ending="malformed"):
            return "answered"
        case StreamTruncatedError() | TransportError():
            return "lost"
        case _:
            return "answered"


def may_be_billed(failure: Failure, error: AceChatError) -> bool:
    """Whether the service may have worked, and charged, for an attempt that failed so."""
    if failure == "refused":
        return isinstance(error, GatewayTimeoutError)
    return failure != "unsent"


def is_overload(error: AceChatError) -> bool:
    """Return True if *error* means that the service, or the model, has too much to do.

    The rate limits of some of the service's upstream channels arrive as ``500 api_error``
    (contract, 10.1).
    """
    if isinstance(error, ServerError) and error.code == "api_error":
        return not isinstance(error, GatewayTimeoutError)
    return isinstance(error, OverloadedError)


def delay_before_next(
    policy: RetryPolicy,
    attempt: int,
    error: AceChatError,
    failure: Failure,
    *,
    jitter: float,
    time_left: float | None,
) -> float | None:
    """Return the seconds to wait before the next attempt, None to give up.

    Args:
        policy: The rules.
        attempt: The number of the attempt that failed, 1 for the first.
        error: How it failed.
        failure: The class of that.
        jitter: A random number from 0 to 1.
        time_left: Seconds until the call's total limit, None for no limit.
    """
    if attempt >= policy.max_attempts or failure in {"partial", "answered"}:
        return None
    if isinstance(error, RequestTimeoutError) and error.phase == "total":
        return None  # whatever the clock says: that of uvloop counts in milliseconds
    if failure == "timed_out" and not policy.retry_timeouts:
        return None
    if not error.retryable:
        return None
    asked = error.retry_after if isinstance(error, APIError) else None
    if asked is not None and asked > _LONGEST_RETRY_AFTER:
        return None
    exponent = min(attempt - 1, _LARGEST_EXPONENT)
    own = jitter * min(policy.max_delay, policy.base_delay * 2.0**exponent)
    delay = own if asked is None else asked
    return delay if time_left is None or delay < time_left else None


class RetryState:
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
