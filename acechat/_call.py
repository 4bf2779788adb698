"""One call: its attempts, their limits, and what is remembered of those that failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from acechat._codec import decode_completion, decode_json
from acechat._config import Config, RetryPolicy, Timeout, Token
from acechat._protocol import ChatStreamProtocol
from acechat._refusals import find_trace_id, parse_error
from acechat._request import HTTPRequest
from acechat._retry import classify, delay_before_next, may_be_billed
from acechat.errors import (
    AceChatError,
    Attempt,
    ProtocolError,
    TransportError,
)
from acechat.types import ChatCompletion, ResponseInfo
from acechat.types.completion import note_origin

if TYPE_CHECKING:  # it brings aiohttp
    from acechat._transport import Response, Transport

__all__ = ["Call", "bare", "is_event_stream"]

_T = TypeVar("_T")

_SUCCESS = range(200, 300)
_KEPT_OF_AN_ERROR = 64 * 1024


class Call:
    """One exchange with the service, sent again as often as the policy allows.

    Args:
        transport: What sends it.
        request: What to send.
        config: The client's limits and token.
        timeout: The limits of this call.
        retries: When to send it again.
    """

    def __init__(
        self,
        transport: Transport,
        request: HTTPRequest,
        config: Config,
        timeout: Timeout,
        retries: RetryPolicy,
    ) -> None:
        self.config = config
        self.timeout = timeout
        self.content: bool = False
        """Whether any of the answer has arrived: from then on nothing is sent again."""

        self._transport = transport
        self._request = request
        self._retries = retries
        self._attempts: tuple[Attempt, ...] = ()
        self._clock: Callable[[], float] = float  # the loop's, once the call has begun
        self._started = 0.0
        self._began = 0.0  # the attempt under way

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts until one succeeds or none is left.

        Raises:
            AceChatError: How the last one failed, with all *attempts*.
        """
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        while True:
            self._began = self._clock()
            try:
                return await attempt()
            except AceChatError as caught:
                error = bare(caught)
            delay = self.note_failure(error)
            if delay is None:
                raise error
            await self._transport.pause(delay, self.timeout)

    def note_failure(self, error: AceChatError) -> float | None:
        """Remember how the attempt failed; return the seconds until the next, None for none."""
        from random import random  # it takes 2 ms to import, and most calls never fail

        now = self._clock()
        redact(error, self.config.token)
        failure = classify(error, content=self.content)
        number = len(self._attempts) + 1
        tried = Attempt(
            number=number,
            started=self._began - self._started,
            elapsed=now - self._began,
            failure=failure,
            error=f"{type(error).__name__}: {error}",
            may_be_billed=may_be_billed(failure, error),
        )
        self._attempts = error.attempts = (*self._attempts, tried)
        total = self.timeout.total
        return delay_before_next(
            self._retries,
            number,
            error,
            failure,
            jitter=random(),  # noqa: S311 - spreads retries, keeps no secret
            time_left=None if total is None else self._started + total - now,
        )

    async def open(self) -> Response:
        """Send the request; return the response if it says yes.

        Raises:
            APIError: It says no.
            TransportError: There was none.
        """
        total = self.timeout.total
        response = await self._transport.open(
            self._request, self.timeout, None if total is None else self._started + total
        )
        if response.status in _SUCCESS:
            return response
        # before anything is cut out of it: half a token is a secret, too
        body = self.config.token.redact(await self._read_refusal(response))
        raise parse_error(response.status, response.headers, body, now=time.time())

    async def _read_refusal(self, response: Response) -> bytes:
        """Read what is there to read: a refusal counts even if its reason is cut."""
        parts: list[bytes] = []
        size = 0
        phase, at = "first_token", response.first_token_at
        try:
            while size < _KEPT_OF_AN_ERROR and (data := await response.read(phase, at)):
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
            while data := await response.read(phase, at):
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

    async def body(self) -> bytes:
        """Make one attempt to get a body of any kind."""
        return await self.read_whole(await self.open())

    async def answer(self) -> ChatCompletion:
        """Make one attempt to get a whole answer."""
        response = await self.open()
        body = await self.read_whole(response)
        self.content = False  # a refusal in a 2xx is one all the same
        if is_event_stream(response):
            protocol = ChatStreamProtocol(response.headers, self.config.max_event_bytes)
            protocol.receive_data(body)
            self.content = protocol.content
            protocol.receive_eof()
            return self.received(response, protocol.completion(), protocol.to_dict)
        completion, trace_id = decode_completion(body, response.headers, status=response.status)
        return self.received(response, completion, partial(decode_json, body), trace_id=trace_id)

    def received(
        self,
        response: Response,
        completion: ChatCompletion,
        source: Callable[[], dict[str, Any]],
        *,
        trace_id: str | None = None,
    ) -> ChatCompletion:
        """Note on *completion* how it came."""
        info = ResponseInfo(
            status=response.status,
            headers=response.headers,
            trace_id=trace_id or find_trace_id({}, response.headers),
            elapsed=self.elapsed(),
            attempts=self._attempts,
        )
        return note_origin(completion, info, source)

    def idle_at(self) -> float | None:
        """When the next content is due, on the loop's clock; None for never."""
        idle = self.timeout.idle
        return None if idle is None else self._clock() + idle

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._clock() - self._started


def is_event_stream(response: Response) -> bool:
    """Whether *response* says that its body is a stream of events."""
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")


def bare(error: AceChatError) -> AceChatError:
    """Take from *error* the frames that it came through, and the errors before it.

    They hold what the service sent, which may echo the token; some people print every local.
    """
    error.__context__ = None
    return error.with_traceback(None)


def redact(error: AceChatError, token: Token) -> None:
    """Take the token out of what the service echoed into *error*."""
    facts = error.__dict__
    for name in ("reason", "message", "code", "trace_id"):
        if isinstance(told := facts.get(name), str):
            facts[name] = token.redact_text(told)
    if isinstance(body := facts.get("body"), bytes):
        facts["body"] = token.redact(body)
    error.args = tuple(
        token.redact_text(told) if isinstance(told, str) else told for told in error.args
    )
