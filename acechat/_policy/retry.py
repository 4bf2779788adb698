"""Classify failures, and compute whether and when a call is retried."""

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
"""Seconds. A longer ``Retry-After`` ends the call, so that the caller can decide."""

_LARGEST_EXPONENT = 60
"""Keeps 2**exponent in the range of floats."""

Failure: TypeAlias = Literal["unsent", "refused", "lost", "timed_out", "partial", "answered"]
"""Class of a failure, which decides about retries and billing; see `Attempt.failure`."""


def classify(error: AceChatError, *, content: bool) -> Failure:
    """Return the class of *error*; *content* is True if a part of the response had arrived."""
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
    """Return True if the service may have charged for the failed attempt."""
    if failure == "refused":
        return isinstance(error, GatewayTimeoutError)
    return failure != "unsent"


def is_overload(error: AceChatError) -> bool:
    """Return True if *error* means that the service, or the model, is overloaded.

    The rate limits of some of the service's upstream channels arrive as ``500 api_error``
    (docs/api.md#error-codes).
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
    """Return the seconds to wait before the next attempt, or None for no retry.

    Args:
        policy: The retry policy.
        attempt: Number of the failed attempt, from 1.
        error: Its exception.
        failure: The class of *error*.
        jitter: A random number from 0 to 1.
        time_left: Seconds until `Timeout.total` passes; None for no limit.
    """
    if attempt >= policy.max_attempts or failure in {"partial", "answered"}:
        return None
    if isinstance(error, RequestTimeoutError) and error.phase == "total":
        return None  # time_left may still be positive: the clock of uvloop has millisecond steps
    if failure == "timed_out" and not policy.retry_timeouts:
        return None
    if not error.retryable:
        return None
    requested = error.retry_after if isinstance(error, APIError) else None
    if requested is not None and requested > _LONGEST_RETRY_AFTER:
        return None
    exponent = min(attempt - 1, _LARGEST_EXPONENT)
    own = jitter * min(policy.max_delay, policy.base_delay * 2.0**exponent)
    delay = own if requested is None else requested
    return delay if time_left is None or delay < time_left else None


class RetryState:
    """Failed attempts of one call, and the retry decision after each.

    Args:
        policy: The retry policy, for each model.
        model: The requested model; empty for endpoints without one.
        fallbacks: Models to use next, in order, if a model stays overloaded.
    """

    __slots__ = ("_earlier", "_fallbacks", "_first", "_policy", "failed", "model")

    def __init__(self, policy: RetryPolicy, model: str, fallbacks: Sequence[str]) -> None:
        self.failed: tuple[Attempt, ...] = ()
        self.model = model
        self._policy = policy
        self._first = model
        self._fallbacks = fallbacks
        self._earlier = 0  # failed attempts of an earlier request or model

    def begin(self) -> None:
        """Start a new request, with all attempts of the policy left."""
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
        """Record a failed attempt, and set ``error.attempts``.

        Args:
            error: Its exception.
            content: Whether a part of the response had arrived.
            started: Seconds from the start of the call to that of the attempt.
            elapsed: Duration of the attempt, in seconds.
            jitter: A random number from 0 to 1.
            time_left: Seconds until `Timeout.total` passes; None for no limit.

        Returns:
            The attempt, and the seconds to wait before the next one; None for no retry.
        """
        failure = classify(error, content=content)
        attempt = Attempt(
            number=len(self.failed) + 1,
            model=self.model,
            started=started,
            elapsed=elapsed,
            failure=failure,
            error=f"{type(error).__name__}: {error}",
            may_be_billed=may_be_billed(failure, error),
        )
        self.failed = error.attempts = (*self.failed, attempt)
        number = attempt.number - self._earlier
        return attempt, delay_before_next(
            self._policy, number, error, failure, jitter=jitter, time_left=time_left
        )

    def next_model(self, error: AceChatError, *, content: bool) -> str | None:
        """Switch to the next fallback model and return it; None if there is none to use.

        Starts a new request, as `begin` does.
        """
        if content or not self._first or not is_overload(error):
            return None
        left = [name for name in self._fallbacks if name != self._first]
        if not left:
            return None
        self.model, *self._fallbacks = left
        self.begin()
        return self.model
