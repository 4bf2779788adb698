"""`Call`: send a request, with retries, middleware and fallback models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from acechat._config import Config
from acechat._core.body import read_body, read_error_body, receive_events
from acechat._core.call_state import CallState, SharedState
from acechat._core.middleware import BufferedResponse, send_through
from acechat._core.reporter import CallReporter
from acechat._core.response import Response
from acechat._credentials import strip_traceback
from acechat._policy.values import RetryPolicy, Timeout
from acechat._wire.decode import decode_completion, decode_fields
from acechat._wire.errors.response import parse_error
from acechat._wire.odd_json import is_event_stream
from acechat._wire.request import HTTPRequest
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import AceChatError, BudgetExceededError, ConfigurationError, ModelMismatchError
from acechat.types import ChatCompletion

if TYPE_CHECKING:
    from acechat._core.rate_gate import RateGate
    from acechat._http.transport import Transport
    from acechat._tools.find_output import PartialOutput

__all__ = ["Call", "Collect", "running_loop"]

_T = TypeVar("_T")

Collect: TypeAlias = Callable[["Call"], Awaitable[ChatCompletion[Any]]]
"""Makes a call as a stream and returns the complete response, with the output of *output_type*."""

_SUCCESS = range(200, 300)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running event loop.

    Raises:
        ConfigurationError: No asyncio loop is running, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass  # raised below, without this one as its context
    raise ConfigurationError(
        "AsyncClient needs a running asyncio event loop; under trio, call a Client in a thread: "
        "await trio.to_thread.run_sync(client.chat, ...)"
    )


class Call(CallState):
    """One request and its response, attempted again as often as the retry policy allows.

    Args:
        transport: The transport that sends the request.
        request: The request.
        config: The client's limits and token.
        timeout: The limits of this call.
        retries: The retry policy of this call.
        state: The client's observers, middleware, meter and rate gate.
        model: The requested model; empty if the call is free of charge.
        collect: Makes the call as a stream; None for a response in one body.
    """

    content: bool  # of `CallState`; declared here too for type checkers that infer

    def __init__(
        self,
        transport: Transport,
        request: HTTPRequest,
        config: Config,
        timeout: Timeout,
        retries: RetryPolicy,
        state: SharedState,
        model: str = "",
        collect: Collect | None = None,
    ) -> None:
        super().__init__(request, config, timeout, retries, state, model)
        self._transport = transport
        self._collect = collect
        self._sent = request  # the last one, which a middleware may have changed

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts until one succeeds or none is left.

        Raises:
            AceChatError: The failure of the last attempt, with all *attempts*.
        """
        self._clock = running_loop().time
        self._started = self._started or self._clock()
        if self._retry_state.failed:  # a request before this one, of the same call
            self._retry_state.begin()
        observers = self._state.observers
        if self._reporter is not None or observers.watching:
            # observers see each request of a StructuredCall as a call
            self._reporter = CallReporter(observers, self._retry_state.model)
            self._reporter.asked = 0
        try:
            if self._budget is not None:
                self.check_budget()
            if self._reporter is not None:
                self._began = self._clock()  # so that the end of the call is reported, too
                started = self._reporter.started(self.request, self.config.api_root)
                self.request: HTTPRequest = started
            request = self.request
            self._recording = self._transport.recorder.begin(
                request.method, request.path, request.headers, request.body, self._clock()
            )
            while True:
                self._began = self._clock()
                if self._recording is not None:
                    self._recording.attempt(self._began)
                try:
                    return await attempt()
                except AceChatError as caught:
                    error = strip_traceback(caught)
                await self._transport.pause(self._delay_after(error), self.timeout)
                self.check_budget()
        except BaseException as ended:
            self.failed(ended)
            raise

    def _delay_after(self, error: AceChatError) -> float:
        """Record a failed attempt and return the seconds until the next; raise if there is none."""
        delay = None
        if not isinstance(error, BudgetExceededError):  # raised by _ready(): nothing was sent
            delay = self.record_failure(error)
        if delay is None:
            raise error
        return delay

    async def complete(self) -> ChatCompletion[Any]:
        """Return the complete response."""
        return await (
            self.run(self.attempt_completion) if self._collect is None else self._collect(self)
        )

    def finish_stream(self, completion: ChatCompletion, size: int) -> ChatCompletion[Any]:
        """Record the complete response of a stream and return `accept` of it.

        Raises:
            ModelMismatchError: As `succeeded`.
            OutputError: As `accept`.
        """
        try:
            self.succeeded(completion, size)
        except ModelMismatchError as mismatch:  # of other calls, run() records it
            self.record_failure(mismatch)
            raise
        return self.accept(completion)

    def accept(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return the completion that the caller gets for a complete response."""
        return completion

    def partial_output(self) -> PartialOutput:
        """Return a parser for the JSON of a response that is still arriving."""
        from acechat._tools.find_output import PartialOutput

        return PartialOutput()

    async def open(self) -> Response:
        """Send the request; return the response if its status is 2xx.

        Raises:
            APIError: The status is not 2xx.
            TransportError: No response arrived.
        """
        send = self._send if self._state.cache is None else self._send_cached
        if self._state.middleware:
            self._counted = False
            response = await send_through(
                self._state.middleware, self.request, send, self._read_for_middleware
            )
            if not isinstance(response, BufferedResponse):  # no middleware has read the completion
                self._counted = False
        else:
            response = await send(self.request)
        if response.status in _SUCCESS:
            return response
        # redacted before the body is truncated further: half a token is a secret, too
        body = await read_error_body(response, self)
        body = self.redacting_token().redact(body, truncated=True)
        raise parse_error(response.status, response.headers, body, now=time.time())

    async def _send_cached(self, request: HTTPRequest) -> Response:
        """Return the stored response to *request*; send it if there is none."""
        cache, stored = self._state.cache, None
        if cache is not None and self._paid:
            key = cache.key(self.config.api_root, request)
            stored = await cache.find(key)
            self._cached, self._cache_key = stored is not None, None if stored else key
        return stored or await self._send(request)

    def _send(self, request: HTTPRequest) -> Awaitable[Response]:
        self._sent = request
        total = self.timeout.total
        silent = self._reporter is None and self._gate is None and self._budget is None
        opening = self._transport.open(
            request,
            self.timeout,
            None if total is None else self._started + total,
            None if silent else partial(self._ready, request),
            self._recording,
        )
        reporter = self._reporter
        return reporter.sending(opening) if reporter and reporter.instruments else opening

    def _ready(self, request: HTTPRequest) -> Awaitable[None] | None:
        """Check the budget and report *request*, just before it is written.

        Returns an awaitable that does the same if it must wait at the rate gate.

        Raises:
            BudgetExceededError: Other calls used it up while this one waited for its slot.
        """
        self.check_budget()
        if self._gate is not None:
            self._leave_gate()  # a middleware may send more than once
            if (entered := self._gate.enter_at_once()) is None:
                return self._pass_gate(self._gate, request)
            self._entered = entered
        self._report_sent(request)
        return None

    async def _pass_gate(self, gate: RateGate, request: HTTPRequest) -> None:
        self._entered = await gate.enter()
        self.check_budget()
        self._report_sent(request)

    def _report_sent(self, request: HTTPRequest) -> None:
        if self._reporter is not None:
            self._reporter.asked = number = len(self._retry_state.failed) + 1
            if self._reporter.success:
                self._reporter.sent(request, attempt=number, elapsed=self.elapsed())

    def stream_protocol(
        self, response: Response, max_bytes: int | None = None, *, observed: bool = False
    ) -> ChatStreamProtocol:
        """Return the protocol that reads *response* as a stream of at most *max_bytes* bytes."""
        reporter = self._reporter if observed else None
        make = ChatStreamProtocol if reporter is None else reporter.stream_protocol
        return make(
            response.headers,
            self.config.max_event_bytes,
            max_bytes,
            one_choice=self._sent.one_choice,
        )

    def read_body(self, response: Response) -> Awaitable[bytes]:
        """Read the complete body of *response*; see `acechat._core.body.read_body`."""
        return read_body(response, self, self.config.max_response_bytes)

    async def _read_for_middleware(self, response: Response) -> bytes:
        """Read the complete body, without an echo of the token."""
        body = await self.read_body(response)
        self.content = False  # the response that the middleware returns decides
        if self._paid and response.status in _SUCCESS:
            self._count(response, body)
        return self.config.token.redact(body)

    def _count(self, response: Response, body: bytes) -> None:
        """Add the usage of a completion to the meters before the next event of the loop.

        The slot of the request is free now, while the middleware may wait, discard the response or
        send again: the call that gets the slot must find the budget spent.
        """
        if self._cached:
            return
        usage, complete = None, False
        with suppress(AceChatError):  # raised later, unless the middleware returns something else
            if not is_event_stream(body, response.headers.get("content-type", "")):
                completion, _ = decode_completion(body, response.headers, status=response.status)
                usage = completion.usage
            else:
                protocol = self.stream_protocol(response)
                protocol.receive_data(body)
                usage = protocol.usage
                protocol.receive_eof()
            complete = True
        if complete or usage is not None:
            self._counted = True
            self._state.count(usage)
            self._leave_gate(usage)

    async def attempt_body(self, decode: Callable[[bytes], _T]) -> _T:
        """Make one attempt to get a response that is no completion, and decode its body."""
        body = await self.read_body(await self.open())
        self.content = False  # it is complete: a body that cannot be decoded may be retried
        decoded = decode(body)
        self.succeeded(None, len(body))
        return decoded

    async def attempt_completion(self) -> ChatCompletion:
        """Make one attempt to get a completion in one body, as JSON or as a stream of events."""
        response = await self.open()
        body = await read_body(response, self, self.config.max_response_bytes)
        self.content = False  # an error in a 2xx body is retried like one with an error status
        if is_event_stream(body, response.headers.get("content-type", "")):
            protocol = self.stream_protocol(response)
            await receive_events(protocol, body)
            if protocol.content:
                self.content = True
            protocol.receive_eof()
            completion, source = protocol.completion(), protocol.to_dict
            reply = self.with_origin(response, completion, source, protocol.trace_id)
        else:
            completion, trace_id = decode_completion(body, response.headers, status=response.status)
            source = partial(decode_fields, body)
            reply = self.with_origin(response, completion, source, trace_id)
        self.succeeded(reply, len(body))
        return reply
