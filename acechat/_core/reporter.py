"""`CallReporter`: report the events of one call to the observers."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from acechat._core.instrumentation import Instrumentation
from acechat._core.observers import Observers
from acechat._wire.deltas import DeltaBatch
from acechat._wire.request import HTTPRequest
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import AceChatError, APIError, Attempt
from acechat.types import ChatCompletion
from acechat.types.call_event import (
    AttemptFailed,
    CallFailed,
    CallFinished,
    FirstToken,
    RequestSent,
)

__all__ = ["CallReporter"]

_T = TypeVar("_T")

_numbers = itertools.count(1)


class CallReporter:
    """Reports the events of one call.

    Args:
        observers: The client's observers.
        model: The requested model; empty for none.
    """

    def __init__(self, observers: Observers, model: str) -> None:
        self.model = model
        self._observers = observers
        self._call = next(_numbers)
        self._first_token: float | None = None
        self._ended = False
        self.asked: int | None = None
        """Number of requests that were sent; None if not counted."""

        self.success: bool = observers.success
        """Whether `RequestSent` and `CallFinished` are reported."""

        self.instruments: list[Instrumentation] = observers.instruments
        """The observers that see the content of this call."""

    def started(self, request: HTTPRequest, base_url: str) -> HTTPRequest:
        """Report the request of the call; return it with the headers that observers add."""
        for observer in self.instruments:
            headers = self._observers.guard(
                observer, observer.call_started, self._call, request, base_url
            )
            if headers:
                request = request.with_headers(headers)
        return request

    async def sending(self, opening: Awaitable[_T]) -> _T:
        """Await the response of one attempt, and report when it begins and ends."""
        guard = self._observers.guard
        if len(self.instruments) == 1:  # as below, and faster
            (observer,) = self.instruments
            end = guard(observer, observer.attempt_started, self._call)
            try:
                return await opening
            finally:
                if end is not None:
                    guard(observer, end)
        started = [
            (observer, guard(observer, observer.attempt_started, self._call))
            for observer in self.instruments
        ]
        try:
            return await opening
        finally:
            for observer, callback in reversed(started):
                if callback is not None:
                    guard(observer, callback)

    def sent(self, request: HTTPRequest, *, attempt: int, elapsed: float) -> None:
        """Report that *request* is sent."""
        self._observers.report(
            RequestSent(
                call=self._call,
                attempt=attempt,
                elapsed=elapsed,
                model=self.model,
                method=request.method,
                path=request.path,
                request_bytes=len(request.body or b""),
            )
        )

    def first_token(self, *, attempt: int, elapsed: float, trace_id: str | None) -> None:
        """Report, once, that content arrived."""
        if self._ended or self._first_token is not None:
            return
        self._first_token = elapsed
        self._observers.report(
            FirstToken(
                call=self._call,
                attempt=attempt,
                elapsed=elapsed,
                model=self.model,
                trace_id=trace_id,
            )
        )

    def stream_protocol(
        self,
        headers: Mapping[str, str],
        max_event_bytes: int,
        max_response_bytes: int | None,
        *,
        one_choice: bool,
    ) -> ChatStreamProtocol:
        """Return the protocol of a stream; it reports chunks if an observer counts them."""
        ignored = Instrumentation.chunks_received
        make: Callable[..., ChatStreamProtocol] = ChatStreamProtocol
        if any(type(each).chunks_received is not ignored for each in self.instruments):
            make = partial(_ObservedProtocol, self.chunks)
        return make(headers, max_event_bytes, max_response_bytes, one_choice=one_choice)

    def chunks(self, count: int) -> None:
        """Report that a network read contained *count* chunks."""
        for observer in self.instruments:
            self._observers.guard(observer, observer.chunks_received, self._call, count)

    def attempt_failed(
        self, attempt: Attempt, error: AceChatError, *, elapsed: float, retry_in: float | None
    ) -> None:
        """Report a failed attempt; *retry_in* is None if there is no next one."""
        self._observers.report(
            AttemptFailed(
                call=self._call,
                attempt=attempt.number,
                elapsed=elapsed,
                took=attempt.elapsed,
                model=self.model,
                failure=attempt.failure,
                error=type(error).__name__,
                status=error.status if isinstance(error, APIError) else None,
                code=error.code if isinstance(error, APIError) else None,
                trace_id=error.trace_id,
                may_be_billed=attempt.may_be_billed,
                retry_in=retry_in,
            )
        )

    def finished(
        self,
        completion: ChatCompletion | None,
        *,
        attempts: int,
        elapsed: float,
        response_bytes: int,
    ) -> None:
        """Report a complete response; *completion* is None if it is of another kind."""
        self._ended = True
        if self.success:
            self._report_finished(completion, attempts, elapsed, response_bytes)
        for observer in self.instruments:
            self._observers.guard(observer, observer.call_ended, self._call, completion, None)

    def _report_finished(
        self,
        completion: ChatCompletion | None,
        attempts: int,
        elapsed: float,
        response_bytes: int,
    ) -> None:
        status = trace_id = reason = usage = None
        model = self.model
        if completion is not None:
            response = completion.response
            status, trace_id = response.status, response.trace_id
            model = completion.model or model
            reason = completion.finish_reason
            usage = None if response.cached else completion.usage
        self._observers.report(
            CallFinished(
                call=self._call,
                attempts=attempts,
                elapsed=elapsed,
                first_token=self._first_token,
                model=model,
                status=status,
                trace_id=trace_id,
                finish_reason=reason,
                usage=usage,
                response_bytes=response_bytes,
            )
        )

    def failed(
        self,
        error: BaseException | None,
        attempts: tuple[Attempt, ...],
        *,
        made: int,
        elapsed: float,
        partial: ChatCompletion | None = None,
    ) -> None:
        """Report, once, that the call ended without a complete response.

        Args:
            error: The exception that ended the call; None if its caller closed it.
            attempts: The failed attempts.
            made: Number of attempts.
            elapsed: Seconds since the call began.
            partial: The part of the completion that arrived; default none.
        """
        if self._ended:
            return
        self._ended = True
        if isinstance(error, AceChatError):
            failure = attempts[-1].failure if attempts else "unsent"
        else:
            failure = "raised" if isinstance(error, Exception) else "cancelled"
        asked = made if self.asked is None else self.asked
        left = failure in {"raised", "cancelled"} and asked > len(attempts)
        self._observers.report(
            CallFailed(
                call=self._call,
                attempts=made,
                elapsed=elapsed,
                model=self.model,
                failure=failure,
                error=type(error).__name__ if error is not None else None,
                status=error.status if isinstance(error, APIError) else None,
                code=error.code if isinstance(error, APIError) else None,
                trace_id=error.trace_id if isinstance(error, AceChatError) else None,
                may_be_billed=left or any(attempt.may_be_billed for attempt in attempts),
            )
        )
        own = error if isinstance(error, AceChatError) else None
        arrived = partial or (own.partial if own is not None else None)
        for observer in self.instruments:
            self._observers.guard(observer, observer.call_ended, self._call, arrived, own)


class _ObservedProtocol(ChatStreamProtocol):
    """The protocol of a stream that reports the number of chunks of each read.

    It is a class of its own to keep that off the path of other streams.
    """

    __slots__ = ("_report",)

    def __init__(
        self,
        report: Callable[[int], None],
        headers: Mapping[str, str],
        max_event_bytes: int,
        max_response_bytes: int | None,
        *,
        one_choice: bool,
    ) -> None:
        super().__init__(headers, max_event_bytes, max_response_bytes, one_choice=one_choice)
        self._report = report

    def receive_data(self, data: bytes) -> DeltaBatch:
        """Decode *data*, see `ChatStreamProtocol.receive_data`, and report its chunks."""
        before = self.chunks
        batch = super().receive_data(data)
        if count := self.chunks - before:
            self._report(count)
        return batch
