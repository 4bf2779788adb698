"""Decide about a row after a failed request: again, failed, or the end of the run. No clock."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from msgspec import Struct

from acechat._policy.retry import classify, is_overload
from acechat.errors import (
    AccountDisabledError,
    AceChatError,
    APIError,
    AuthenticationError,
    BadRequestError,
    BatchRowError,
    BudgetExceededError,
    ClientClosedError,
    ConnectError,
    ContentModerationError,
    InsufficientBalanceError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TokenMismatchError,
)
from acechat.types import ChatCompletion

__all__ = ["Cause", "Models", "Verdict", "incomplete", "judge"]

Cause: TypeAlias = Literal["limit", "overload", "service", "temporary", "row", "run", "model"]
"""Cause of a failure:

* ``"limit"``: too many requests; the row is tried again as often as needed
* ``"overload"``: the service, or the model, has too much to do
* ``"service"``: the service is down, or the network
* ``"temporary"``: another failure that may pass
* ``"row"``: the row itself: the same request would fail again
* ``"run"``: no request can succeed: money, token, or the client is closed
* ``"model"``: the model does not exist, or not any more
"""

_RUN = (
    (InsufficientBalanceError, "top up at https://platform.acedata.cloud"),
    (PaymentRequiredError, "top up at https://platform.acedata.cloud"),
    (AuthenticationError, "set a valid token"),
    (TokenMismatchError, "set the token of Claude Chat Completion"),
    (AccountDisabledError, "contact support at https://platform.acedata.cloud"),
    (BudgetExceededError, "raise the budget"),
    (ClientClosedError, ""),
)
"""Errors that every other row would meet, too, with the step after which the run can go on."""

_MODEL = re.compile(
    r"\bmodel\b.*\b(invalid|not (found|exist|available|supported)|does not exist|unknown)",
    re.IGNORECASE | re.DOTALL,
)


class Verdict(Struct, frozen=True):
    """The meaning of a failed request."""

    cause: Cause
    billed: bool
    """Whether the service may have charged for it."""

    next_step: str = ""
    """Of a failure of the run: the step after which it can go on."""


def judge(error: AceChatError) -> Verdict:
    """Return the meaning of *error*, the failure of one request."""
    attempt = error.attempts[-1] if error.attempts else None
    failure = attempt.failure if attempt else classify(error, content=False)
    billed = any(each.may_be_billed for each in error.attempts)
    for kind, step in _RUN:
        if isinstance(error, kind):
            return Verdict("run", billed, step)
    if isinstance(error, ConnectError) and error.final:
        return Verdict("run", billed, "acechat doctor checks the connection")
    if isinstance(error, NotFoundError | BadRequestError) and _MODEL.search(error.message):
        return Verdict("model", billed, "choose another model: acechat models lists them")
    if type(error) is PermissionDeniedError:
        return Verdict("model", billed, "check the permissions of the token")
    if isinstance(error, ContentModerationError) or failure in {"partial", "answered"}:
        return Verdict("row", billed)
    if type(error) is RateLimitError:
        return Verdict("limit", billed)
    if is_overload(error):
        return Verdict("overload", billed)
    if failure == "timed_out" or not error.retryable:
        return Verdict("row", billed)
    if isinstance(error, APIError) and not isinstance(error, ServerError):
        return Verdict("temporary", billed)
    return Verdict("service", billed)


def incomplete(completion: ChatCompletion, *, allow_truncated: bool) -> BatchRowError | None:
    """Return the error of a completion that is truncated or refused; None if it is complete."""
    reasons = {choice.finish_reason for choice in completion.choices}
    if "length" in reasons and not allow_truncated:
        return BatchRowError("truncated", "the completion was truncated at max_tokens")
    if reasons & {"content_filter", "refusal"}:
        return BatchRowError("refused", "the model refused to respond")
    return None


class Models:
    """The models with which rows have succeeded, to tell a model that is gone from a misspelt one.

    A model that never worked, while others do, is a fault of its row.
    """

    def __init__(self) -> None:
        self._worked: set[str | None] = set()

    def worked(self, model: str | None) -> None:
        """Record a success with *model*; None is the model of the run."""
        self._worked.add(model)

    def ends_run(self, model: str | None, verdict: Verdict) -> bool:
        """Return True if after *verdict* about a row with *model* no other row can succeed."""
        if verdict.cause == "model":
            return not self._worked or model in self._worked
        return verdict.cause == "run"
