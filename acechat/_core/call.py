"""One call: attempts, retries, budget and fallback models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from msgspec import Struct

from acechat._config import Config
from acechat._core.meter import Meter
from acechat._core.middleware import Kept, Middleware, through
from acechat._core.observers import CallReporter, Observers
from acechat._core.response import Response
from acechat._credentials import redact_error, strip_traceback
from acechat._policy.retry import RetryState
from acechat._policy.values import RetryPolicy, Timeout
from acechat._record.recorder import Recording
from acechat._wire.decode import decode_completion, decode_fields
from acechat._wire.error_response import parse_error
from acechat._wire.request import HTTPRequest
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import (
    AceChatError,
    BudgetExceededError,
    ConfigurationError,
    ProtocolError,
    TransportError,
)
from acechat.types import ChatCompletion, ResponseInfo, Usage
from acechat.types.completion import note_origin

if TYPE_CHECKING:
    from acechat._core.rate_gate import RateGate
    from acechat._http.transport import Transport
    from acechat._tools.partial_json import PartialOutput

__all__ = ["Call", "Collect", "SharedState", "running_loop"]


class SharedState(Struct, frozen=True, kw_only=True):
    """What the calls of a client share."""

    observers: Observers
    middleware: tuple[Middleware, ...]
    meter: Meter

    gate: RateGate | None
    """None where nothing limits the rate."""


_T = TypeVar("_T")


Collect: TypeAlias = Callable[["Call"], Awaitable[ChatCompletion[Any]]]
"""Makes a call as a stream and returns the complete response, with the output of *output_type*."""


_SUCCESS = range(200, 300)


_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


_KEPT_OF_AN_ERROR = 64 * 1024


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running event loop.

    Raises:
        ConfigurationError: There is none: under trio, for one.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass  # raised below, without this one as its context
    raise ConfigurationError(
        "AsyncClient needs a running asyncio event loop; under trio, call a Client in a thread: "
        "await trio.to_thread.run_sync(client.chat, ...)"
    )


class Call:
    """One exchange with the service, sent again as often as the policy allows.

    Args:
        transport: What sends it.
        request: What to send.
        config: The client's limits and token.
        timeout: The limits of this call.
        retries: When to send it again.
        state: Who watches, and who stands between.
        model: The requested model; empty if the call is free of charge.
        collect: Makes the call as a stream; None for a response in one body.
    """

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
        self._collect = collect
        self.config = config
        self.timeout = timeout
        self.content: bool = False
        """Whether any of the answer has arrived: from then on nothing is sent again."""

        self._transport = transport
        self.request: HTTPRequest = request
        self._retry_state = RetryState(retries, model, config.fallback_models)
        self._state = state
        self._gate = state.gate if model else None  # what is free is not limited
        self._budget = config.budget if model else None
        self._entered: float | None = None
        self._paid = bool(model)
        self._counted = False  # whether the meter has what the attempt under way received
        watching = state.observers.watching
        self._reporter: CallReporter | None = (
            CallReporter(state.observers, model) if watching else None
        )
        self._recording: Recording | None = None
        self._clock: Callable[[], float] = float  # the loop's, once the call has begun
        self._started = 0.0
        self._began = 0.0  # the attempt under way

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts until one succeeds or none is left.

        Raises:
            AceChatError: How the last one failed, with all *attempts*.
        """
        self._clock = running_loop().time
        self._started = self._started or self._clock()
        if self._retry_state.failed:
            self._retry_state.begin()
        if self._reporter is not None:
            self._reporter = CallReporter(
                self._state.observers, self._retry_state.model
            )  # each exchange is told
            self._reporter.asked = 0
        try:
            if self._budget is not None:
                self._check_budget()
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
                self._check_budget()
        except BaseException as ended:
            self.failed(ended)
            raise

    def _delay_after(self, error: AceChatError) -> float:
        """Note how an attempt failed, and return the seconds until the next; raise without one."""
        delay = None
        if not isinstance(error, BudgetExceededError):  # when its turn came: nothing was sent
            delay = self.note_failure(error)
        if delay is None:
            raise error
        return delay

    def _check_budget(self) -> None:
        if self._budget is None:
            return
        try:
            self._budget.check(self._state.meter.snapshot())
        except BudgetExceededError as error:
            error.attempts = self._retry_state.failed
            raise

    def note_failure(self, error: AceChatError) -> float | None:
        """Remember how the attempt failed; return the seconds until the next, None for none."""
        from random import random  # it takes 2 ms to import, and most calls never fail

        now = self._clock()
        total = self.timeout.total
        time_left = None if total is None else self._started + total - now
        redact_error(error, self.config.token)
        tried, delay = self._retry_state.add(
            error,
            content=self.content,
            started=self._began - self._started,
            elapsed=now - self._began,
            jitter=random(),  # noqa: S311 - spreads retries, keeps no secret
            time_left=time_left,
        )
        self._leave_gate(error=error)
        if self._recording is not None:
            self._recording.fail(error, tried.error, now)
            from acechat._record.cassette import Cassette  # calls that succeed do without

            error.cassette = Cassette(self._recording.exchanges())
        reporter = self._reporting()
        another = None
        if delay is None and (time_left is None or time_left > 0):
            another = self._retry_state.next_model(error, content=self.content)
        if another is not None:
            delay = 0.0
        reporter.attempt_failed(tried, error, elapsed=now - self._started, retry_in=delay)
        if another is not None:
            reporter.model = another
            self.request = self.request.with_json(self.request.json() | {"model": another})
        return delay

    def _reporting(self) -> CallReporter:
        """Return what tells of this call: of failures somebody always wants to hear."""
        if self._reporter is None:
            self._reporter = CallReporter(self._state.observers, self._retry_state.model)
        return self._reporter

    def first_token(self, trace_id: str | None) -> None:
        """Note that the first content of a stream arrived."""
        if self._reporter is not None:
            made = len(self._retry_state.failed) + 1
            self._reporter.first_token(attempt=made, elapsed=self.elapsed(), trace_id=trace_id)

    def succeeded(self, completion: ChatCompletion | None, size: int) -> None:
        """Note that the whole answer came, in *size* bytes; None for one that is no completion."""
        usage = completion.usage if completion else None
        self._leave_gate(usage)
        if completion is not None and not self._counted:
            self._state.meter.add(usage)
        if self._reporter is not None:
            self._reporter.finished(
                completion,
                attempts=len(self._retry_state.failed) + 1,
                elapsed=self.elapsed(),
                response_bytes=size,
            )

    def failed(self, error: BaseException | None, usage: Usage | None = None) -> None:
        """Note that no whole answer will come.

        Args:
            error: Why not; None if the caller left.
            usage: What it used all the same, if the service told before it broke.
        """
        if not self._began:
            return  # nothing was asked
        self._leave_gate(usage)
        if usage is not None and not self._counted:
            self._state.meter.add(usage)
        made = len(self._retry_state.failed) + (not isinstance(error, AceChatError))
        self._reporting().failed(error, self._retry_state.failed, made=made, elapsed=self.elapsed())

    async def complete(self) -> ChatCompletion[Any]:
        """Return the complete response."""
        return await (self.run(self.answer) if self._collect is None else self._collect(self))

    def accept(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Make of a whole answer what the caller gets."""
        return completion

    def partial_output(self) -> PartialOutput:
        """Return what reads JSON in the answer while it is being written."""
        from acechat._tools.partial_json import PartialOutput

        return PartialOutput()

    async def open(self) -> Response:
        """Send the request; return the response if it says yes.

        Raises:
            APIError: It says no.
            TransportError: There was none.
        """
        if self._state.middleware:
            self._counted = False
            response = await through(
                self._state.middleware, self.request, self._send, self._read_redacted
            )
            if not isinstance(response, Kept):  # a completion that no middleware has read
                self._counted = False
        else:
            response = await self._send(self.request)
        if response.status in _SUCCESS:
            return response
        # before anything is cut out of it: half a token is a secret, too
        body = self.config.token.redact(await self._read_refusal(response))
        raise parse_error(response.status, response.headers, body, now=time.time())

    def _send(self, request: HTTPRequest) -> Awaitable[Response]:
        total = self.timeout.total
        silent = self._reporter is None and self._gate is None and self._budget is None
        return self._transport.open(
            request,
            self.timeout,
            None if total is None else self._started + total,
            None if silent else partial(self._ready, request),
            self._recording,
        )

    async def _ready(self, request: HTTPRequest) -> None:
        """Do what is due just before *request* is written.

        Raises:
            BudgetExceededError: Other calls used it up while this one waited for its turn.
        """
        self._check_budget()
        if self._gate is not None:
            self._leave_gate()  # a middleware sends twice
            self._entered = await self._gate.enter()
            self._check_budget()
        if self._reporter is not None:
            made = len(self._retry_state.failed) + 1
            self._reporter.sent(request, attempt=made, elapsed=self.elapsed())

    def _leave_gate(self, usage: Usage | None = None, error: AceChatError | None = None) -> None:
        if self._gate is not None and self._entered is not None:
            entered, self._entered = self._entered, None
            self._gate.leave(entered, tokens=usage.total_tokens if usage else None, error=error)

    async def _read_redacted(self, response: Response) -> bytes:
        """Read the whole body for a middleware, which must not see an echo of the token."""
        body = await self.read_whole(response)
        self.content = False  # what it makes of it decides
        if self._paid and response.status in _SUCCESS:
            self._count(response, body)
        return self.config.token.redact(body)

    def _count(self, response: Response, body: bytes) -> None:
        """Add a completion to the meter before the next event of the loop.

        Its slot is free now, while the middleware may wait, discard it or send again: the call that
        gets the slot must find the budget spent.
        """
        usage, complete = None, False
        with suppress(AceChatError):  # raised later, unless the middleware returns something else
            if body.lstrip(_BEFORE_JSON)[:1] == b"{":  # whatever the content type
                completion, _ = decode_completion(body, response.headers, status=response.status)
                usage = completion.usage
            else:
                protocol = ChatStreamProtocol(response.headers, self.config.max_event_bytes)
                protocol.receive_data(body)
                usage = protocol.usage
                protocol.receive_eof()
            complete = True
        if complete or usage is not None:
            self._counted = True
            self._state.meter.add(usage)
            self._leave_gate(usage)

    async def _read_refusal(self, response: Response) -> bytes:
        """Read what is there to read: a refusal counts even if its reason is cut."""
        parts: list[bytes] = []
        size = 0
        phase, at = "first_token", response.first_token_at
        try:
            while size < _KEPT_OF_AN_ERROR and (data := await _read(response, phase, at)):
                parts.append(data)
                size += len(data)
                phase, at = "idle", self.idle_at()
            response.finish()
        except TransportError:
            pass
        finally:
            if response.open:
                response.abort()
        return b"".join(parts)

    async def read_whole(self, response: Response) -> bytes:
        """Read the whole body of *response*.

        Raises:
            ProtocolError: It is longer than the client allows.
            TransportError: It was cut.
        """
        limit = self.config.max_response_bytes
        parts: list[bytes] = []
        size = 0
        phase, at = "first_token", response.first_token_at
        try:
            while data := await _read(response, phase, at):
                self.content = True
                size += len(data)
                if size > limit:
                    raise ProtocolError(
                        f"the answer is longer than {limit} bytes (max_response_bytes)",
                        status=response.status,
                    )
                parts.append(data)
                phase, at = "idle", self.idle_at()
            response.finish()
        finally:
            if response.open:
                response.abort()
        return b"".join(parts)

    async def body(self, decode: Callable[[bytes], _T]) -> _T:
        """Make one attempt to get a body of any kind; *decode* reads it."""
        body = await self.read_whole(await self.open())
        self.content = False  # it is whole, whatever it holds
        decoded = decode(body)
        self.succeeded(None, len(body))
        return decoded

    async def answer(self) -> ChatCompletion:
        """Make one attempt to get a whole answer."""
        response = await self.open()
        body = await self.read_whole(response)
        self.content = False  # a refusal in a 2xx is one all the same
        if _is_event_stream(response):
            protocol = ChatStreamProtocol(response.headers, self.config.max_event_bytes)
            protocol.receive_data(body)
            self.content = protocol.content
            protocol.receive_eof()
            completion, source = protocol.completion(), protocol.to_dict
            reply = self.received(response, completion, source, protocol.trace_id)
        else:
            completion, trace_id = decode_completion(body, response.headers, status=response.status)
            reply = self.received(response, completion, partial(decode_fields, body), trace_id)
        self.succeeded(reply, len(body))
        return reply

    def received(
        self,
        response: Response,
        completion: ChatCompletion,
        source: Callable[[], dict[str, Any]],
        trace_id: str | None,
    ) -> ChatCompletion:
        """Note on *completion* how it came."""
        info = ResponseInfo(
            status=response.status,
            headers=response.headers,
            trace_id=trace_id,
            elapsed=self.elapsed(),
            attempts=self._retry_state.failed,
        )
        return note_origin(completion, info, source)

    def idle_at(self) -> float | None:
        """When the next content is due, on the loop's clock; None for never."""
        idle = self.timeout.idle
        return None if idle is None else self._clock() + idle

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._clock() - self._started


def _is_event_stream(response: Response) -> bool:
    """Whether *response* says that its body is a stream of events."""
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")


async def _read(response: Response, phase: str, at: float | None) -> bytes:
    """Wait for the next bytes of the body, no longer than *phase* allows; none are its end."""
    while (data := response.read_nowait()) is None:
        await response.readable(phase, at)
    return data
