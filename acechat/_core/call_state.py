"""`CallState`: attempts, clock, events and usage of one call. It sends nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from acechat._config import Config
from acechat._core.meter import Meter
from acechat._core.middleware import Middleware
from acechat._core.observers import Observers
from acechat._core.reporter import CallReporter
from acechat._core.response import Response
from acechat._credentials import Token, redact_error
from acechat._policy.retry import RetryState
from acechat._policy.values import RetryPolicy, Timeout
from acechat._record.recorder import Recording
from acechat._redaction.private import private_values
from acechat._rotating_token import RotatingToken
from acechat._wire.request import HTTPRequest
from acechat.errors import AceChatError, APIError, BudgetExceededError, ModelMismatchError
from acechat.types import ChatCompletion, ResponseInfo, Usage
from acechat.types.completion import note_origin

if TYPE_CHECKING:
    from acechat._core.rate_gate import RateGate
    from acechat._core.response_cache import ResponseCache

__all__ = ["CallState", "SharedState"]


_UNAUTHORIZED = 401


class SharedState(Struct, frozen=True, kw_only=True):
    """State shared by the calls of a client and of its with_options() copies."""

    observers: Observers
    middleware: tuple[Middleware, ...]
    meter: Meter
    """The meter of the client, which budgets are compared with."""

    gate: RateGate | None
    """None if the client has no rate limit."""

    cache: ResponseCache | None = None
    """Responses on disk; None for a client without ``cache=``."""

    conversation_meter: Meter | None = None
    """A second meter, of the conversation that makes the calls; None for other calls."""

    def count(self, usage: Usage | None) -> None:
        """Add the usage of one response to both meters."""
        self.meter.add(usage)
        if self.conversation_meter is not None:
            self.conversation_meter.add(usage)


class CallState:
    """The state of one call.

    Args:
        request: The request.
        config: The client's limits and token.
        timeout: The limits of this call.
        retries: The retry policy of this call.
        state: The client's observers, middleware, meter and rate gate.
        model: The requested model; empty if the call is free of charge, which exempts it from the
            budget, the rate limit and the meter.
    """

    _renewed: bool = False
    """Whether another token was requested after a 401."""

    _cached: bool = False
    """Whether the response of the current attempt is that of the cache."""

    _cache_key: str | None = None
    """The name under which the response of the current attempt will be stored; None: it is not."""

    def __init__(
        self,
        request: HTTPRequest,
        config: Config,
        timeout: Timeout,
        retries: RetryPolicy,
        state: SharedState,
        model: str,
    ) -> None:
        self.request: HTTPRequest = request
        self.config = config
        self.timeout = timeout
        self.content: bool = False
        """Whether content of the response has arrived: after that, no attempt is made again."""

        self._retry_state = RetryState(retries, model, config.fallback_models)
        self._state = state
        self._paid = bool(model)
        self._gate = state.gate if model else None
        self._budget = config.budget if model else None
        self._entered: float | None = None  # when the attempt passed the gate; None outside of it
        self._counted = False  # whether the meters have the usage of the current attempt
        self._reporter: CallReporter | None = None
        self._recording: Recording | None = None
        self._clock: Callable[[], float] = float  # the event loop's, once the call has begun
        self._started = 0.0
        self._began = 0.0  # start of the current attempt

    def check_budget(self) -> None:
        """Raise `BudgetExceededError` if the client's budget is used up."""
        if self._budget is None:
            return
        try:
            self._budget.check(self._state.meter.snapshot())
        except BudgetExceededError as error:
            error.attempts = self._retry_state.failed
            raise

    def record_failure(self, error: AceChatError) -> float | None:
        """Record a failed attempt; return the seconds until the next, None if there is none.

        If the model is overloaded and there is a fallback model, *request* is changed to that.
        """
        from random import random  # it takes 2 ms to import, and most calls never fail

        now = self._clock()
        total = self.timeout.total
        time_left = None if total is None else self._started + total - now
        redact_error(error, self.redacting_token())
        attempt, delay = self._retry_state.add(
            error,
            content=self.content,
            started=self._began - self._started,
            elapsed=now - self._began,
            jitter=random(),  # noqa: S311 - spreads retries, keeps no secret
            time_left=time_left,
        )
        self._leave_gate(error=error)
        if self._recording is not None:
            self._recording.fail(error, attempt.error, now)
            from acechat._record.cassette import Cassette  # not needed by calls that succeed

            error.cassette = Cassette(self._recording.exchanges())
        reporter = self._failure_reporter()
        fallback = None
        if delay is None and (time_left is None or time_left > 0):
            if self._renews_token(error):
                delay = 0.0
            fallback = self._retry_state.next_model(error, content=self.content)
        if fallback is not None:
            delay = 0.0
        reporter.attempt_failed(attempt, error, elapsed=now - self._started, retry_in=delay)
        if fallback is not None:
            reporter.model = fallback
            self.request = self.request.with_json(self.request.json() | {"model": fallback})
        return delay

    def redacting_token(self) -> Token:
        """Return the token, redacting the private headers of the request as well."""
        return self.config.token.extended(private_values(self.request.headers))

    def _renews_token(self, error: AceChatError) -> bool:
        """Return True, once per call, if a token from the caller's function was refused."""
        refused = isinstance(error, APIError) and error.status == _UNAUTHORIZED
        if self._renewed or not refused or not isinstance(self.config.token, RotatingToken):
            return False
        self._renewed = True
        return True

    def _failure_reporter(self) -> CallReporter:
        """Return the reporter of this call; failures are logged even without observers."""
        if self._reporter is None:
            self._reporter = CallReporter(self._state.observers, self._retry_state.model)
        return self._reporter

    def first_token(self, trace_id: str | None) -> None:
        """Report that the first content of a stream arrived."""
        if self._reporter is not None:
            number = len(self._retry_state.failed) + 1
            if trace_id is not None:
                trace_id = self.config.token.redact_text(trace_id)
            self._reporter.first_token(attempt=number, elapsed=self.elapsed(), trace_id=trace_id)

    def succeeded(self, completion: ChatCompletion | None, size: int) -> None:
        """Record a complete response.

        Args:
            completion: The completion; None for a response of another kind.
            size: Bytes of the body.

        Raises:
            ModelMismatchError: Another model wrote it, and the client does not accept that.
        """
        usage = completion.usage if completion else None
        self._leave_gate(usage)
        if completion is not None and not self._counted and not self._cached:
            self._state.count(usage)
        if self._cache_key is not None:
            self._store()
        if self._reporter is not None:
            self._reporter.finished(
                completion,
                attempts=len(self._retry_state.failed) + 1,
                elapsed=self.elapsed(),
                response_bytes=size,
            )
        if completion is not None and self.config.on_model_mismatch != "ignore":
            self._check_model(completion)

    def _store(self) -> None:
        """Store the response of this attempt in the cache."""
        key, self._cache_key = self._cache_key, None
        if self._state.cache is not None and key is not None and self._recording is not None:
            self._state.cache.store(key, self._recording.exchanges())

    def _check_model(self, completion: ChatCompletion) -> None:
        evidence = completion.evidence
        if evidence.matches is not False:
            return
        named = self.redacting_token().redact_text(evidence.named or "")
        error = ModelMismatchError(evidence.requested or "", named, completion=completion)
        if self.config.on_model_mismatch == "raise":
            self.content = False  # the response was complete: the failure is not a partial one
            raise error
        warnings.warn(str(error), RuntimeWarning, stacklevel=2)

    def failed(
        self,
        error: BaseException | None,
        usage: Usage | None = None,
        partial: ChatCompletion | None = None,
    ) -> None:
        """Record that the call ended without a complete response.

        Args:
            error: The reason; None if the caller closed the stream.
            usage: Usage that was reported before the response broke off; None if not reported.
            partial: The part of the completion that arrived; default none.
        """
        if not self._began:
            return  # no attempt was made
        self._leave_gate(usage)
        if usage is not None and not self._counted:
            self._state.count(usage)
        failed = self._retry_state.failed
        made = len(failed) + (not isinstance(error, AceChatError))
        self._failure_reporter().failed(
            error, failed, made=made, elapsed=self.elapsed(), partial=partial
        )

    def _leave_gate(self, usage: Usage | None = None, error: AceChatError | None = None) -> None:
        if self._gate is not None and self._entered is not None:
            entered, self._entered = self._entered, None
            self._gate.leave(entered, tokens=usage.total_tokens if usage else None, error=error)

    def with_origin(
        self,
        response: Response,
        completion: ChatCompletion,
        source: Callable[[], dict[str, Any]],
        trace_id: str | None,
    ) -> ChatCompletion:
        """Attach the status, headers, time and attempts of *response* to *completion*."""
        token, model, shown_id = self.config.token, completion.model, trace_id
        if trace_id is not None and trace_id not in response.headers.values():  # they are redacted
            trace_id = token.redact_text(trace_id)
        if model != self._retry_state.model:  # another name of it, or an echo of the token
            model = token.redact_text(model)
        if trace_id != shown_id or model != completion.model:
            completion = msgspec.structs.replace(completion, model=model)
            source = partial(_redacted, source, token)
        info = ResponseInfo(
            status=response.status,
            headers=response.headers,
            trace_id=trace_id,
            elapsed=self.elapsed(),
            requested_model=self._retry_state.model or None,
            cached=self._cached,
            attempts=self._retry_state.failed,
        )
        return note_origin(completion, info, source)

    def idle_at(self) -> float | None:
        """Return when the next content is due, on the loop's clock; None for no limit."""
        idle = self.timeout.idle
        return None if idle is None else self._clock() + idle

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return self._clock() - self._started


def _redacted(source: Callable[[], dict[str, Any]], token: Token) -> dict[str, Any]:
    return {
        name: token.redact_text(value) if isinstance(value, str) else value
        for name, value in source().items()
    }
