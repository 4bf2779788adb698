"""Whether, and when, a failed call is sent again: arithmetic, without a clock or dice."""

from __future__ import annotations

from typing import Literal, TypeAlias

from acechat._config import RetryPolicy
from acechat.errors import (
    AceChatError,
    APIError,
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

__all__ = ["Failure", "classify", "delay_before_next", "is_overload", "may_be_billed"]

_LONGEST_RETRY_AFTER = 120.0
"""Seconds. A service that asks for more is better told to the caller at once."""

_LARGEST_EXPONENT = 60

Failure: TypeAlias = Literal["unsent", "refused", "lost", "timed out", "partial", "answered"]
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
            return "timed out" if error.sent else "unsent"
        case APIError():
            return "refused"
        case ClientClosedError() | TransportError(ending="garbled"):
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
    if failure == "timed out" and not policy.retry_timeouts:
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
