"""Decide about a row after a failed request: again, failed, or the end of the run. No clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
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
    BatchStoppedError,
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


_TYPOS = 3
_MOST_MODELS = 1000
"""Models that are remembered: memory is bounded."""


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
    """The models of a run: those that work, and those that the service refuses.

    A model that is gone stops the run if no row has another one. Else its rows are set aside: they
    are not sent, and the run stops after the others.

    Args:
        sets_aside: Whether rows can be set aside; if not, each of them fails.

    Attributes:
        aside: Number of rows that were set aside.
    """

    # A row whose own model never worked is probably misspelt, and fails alone. From _TYPOS rows on,
    # the model is gone: a hundred thousand rows must not fail for it.

    def __init__(self, *, sets_aside: bool) -> None:
        self._sets_aside = sets_aside
        self.aside: int = 0
        self._worked: dict[str | None, bool] = {}  # the models that were sent; None: of the run
        self._refused: dict[str | None, int] = {}
        self._gone: dict[str | None, str] = {}
        self._next_step = ""

    def started(self, model: str | None) -> None:
        """Record that a request with *model* leaves; None is the model of the run."""
        if model not in self._worked and len(self._worked) < _MOST_MODELS:
            self._worked[model] = False

    def worked(self, model: str | None) -> None:
        """Record a success with *model*."""
        if model in self._worked:
            self._worked[model] = True

    def refused(
        self, model: str | None, verdict: Verdict, message: str, ahead: Iterable[str | None] = ()
    ) -> Literal["row", "aside", "run"]:
        """Return whether a failure is that of its row, of the rows with its model, or of the run.

        Args:
            model: The model of the row.
            verdict: The meaning of the failure.
            message: The service's message.
            ahead: Models of rows that are about to be sent.
        """
        if verdict.cause != "model":
            return "run" if verdict.cause == "run" else "row"
        if model not in self._refused and len(self._refused) >= _MOST_MODELS:
            return "row"
        count = self._refused[model] = self._refused.get(model, 0) + 1
        if all(each in self._refused for each in chain(self._worked, ahead)):
            return "run"
        typo = model is not None and not self._worked.get(model) and count < _TYPOS
        if typo or not self._sets_aside:
            return "row"
        self.aside += 1
        self._gone.setdefault(model, message)
        self._next_step = verdict.next_step
        return "aside"

    def gone(self, model: str | None) -> bool:
        """Return True if rows with *model* are set aside."""
        return model in self._gone

    def problem(self) -> BatchStoppedError | None:
        """Return why the run is incomplete at its end; None if no row was set aside."""
        if not self.aside:
            return None
        names = ", ".join("the model of the run" if each is None else each for each in self._gone)
        rows = "1 row was" if self.aside == 1 else f"{self.aside:,} rows were"
        message = next(iter(self._gone.values()))
        return BatchStoppedError(f"{message}: {rows} not sent ({names})", self._next_step)
