"""Record the exchanges of the last call in memory, within a size limit.

Received data is kept by reference, with the time of each read. The token is masked when exchanges
are returned, over complete bodies, because a read may end in the middle of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from acechat._config import Config
from acechat._credentials import Token
from acechat._record.exchange import (
    BodyChunk,
    Ending,
    Exchange,
    ExchangeEnd,
    Request,
    ResponseHead,
    ending_of,
)
from acechat._redaction.private import is_private, private_values, public_url
from acechat.errors import AceChatError

__all__ = ["Recorder", "Recording", "ResponseRecorder"]

_URLS = {"location", "content-location", "referer", "origin"}
"""Headers whose values are URLs."""


class ResponseRecorder:
    """Recorder of one response. All times are of one clock, in seconds.

    Args:
        began: Time at which the request was sent.
        limit: Maximum number of bytes kept of the body. Of a longer one, the first bytes up to half
            of *limit* and the last bytes, at least a quarter of it, are kept.
    """

    __slots__ = ("_began", "_dropped", "_end", "_first", "_head", "_kept", "_limit", "_reads",
                 "_times")  # fmt: skip

    def __init__(self, began: float, limit: int) -> None:
        self._began = began
        self._limit = limit
        self._head: tuple[float, int, Mapping[str, str]] | None = None
        self._end: tuple[float, Ending] | None = None
        self._times: list[float] = []
        self._reads: list[bytes] = []
        self._kept = 0
        self._dropped = 0
        self._first = 0  # number of reads in the first half, once bytes were dropped

    def receive_head(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Record the head of the response; names of *headers* are in lower case."""
        self._head = now, status, headers

    def add(self, data: bytes, now: float) -> None:
        """Record the data of one read of the body; empty data is its end."""
        if not data:
            self.end("clean", now)
        self._times.append(now)
        self._reads.append(data)
        self._kept += len(data)
        if self._kept > self._limit:
            self._make_room()

    def _make_room(self) -> None:
        """Drop reads from the middle, many at a time to keep the cost per read low."""
        reads, times = self._reads, self._times
        half, quarter = self._limit // 2, self._limit // 4
        if not self._dropped:
            at = size = 0
            while size + len(reads[at]) <= half:
                size += len(reads[at])
                at += 1
            edge = reads[at]
            reads[at : at + 1] = [edge[: half - size], edge[half - size :]]
            times.insert(at, times[at])
            self._first = at + 1
        at, size = len(reads), 0
        while at > self._first and size < quarter:
            at -= 1
            size += len(reads[at])
        if size > half:
            reads[at] = reads[at][size - half :]
            size = half
        self._dropped += self._kept - half - size
        self._kept = half + size
        del reads[self._first : at], times[self._first : at]

    def end(self, how: Ending, now: float) -> None:
        """Record how the response ended; the first call counts."""
        if self._end is None:
            self._end = now, how

    def exchange(self, request: Request, token: Token, error: str | None = None) -> Exchange:
        """Return *request* and its response so far, with the *token* masked.

        *error* is the message of the error that the client raised; None if none.
        """
        head = end = None
        if self._head is not None:
            now, status, headers = self._head
            head = ResponseHead(at=self._since(now), status=status, headers=_public(headers, token))
        if self._end is not None:
            now, how = self._end
            text = error and token.redact_text(error, truncated=True)
            end = ExchangeEnd(at=self._since(now), how=how, error=text)
        reads, first = self._reads.copy(), self._first
        halves = [reads[:first], reads[first:]] if self._dropped else [reads]
        masked = [data for half in halves for data in _masked(half, token)]
        kept = tuple(
            BodyChunk(self._since(now), data, self._dropped if number == first else 0)
            for number, (now, data) in enumerate(zip(self._times, masked, strict=False))
            if data
        )
        public = msgspec.structs.replace(
            request,
            path=token.redact_text(public_url(request.path)),
            headers=_public(request.headers, token),
            body=token.mask(request.body),
        )
        return Exchange(public, head, kept, end)

    def _since(self, now: float) -> float:
        return round(now - self._began, 6)  # to microseconds


def _masked(reads: list[bytes], token: Token) -> list[bytes]:
    """Mask the *token* in *reads*, also where two of them share it."""
    body = token.mask(b"".join(reads))
    masked: list[bytes] = []
    at = 0
    for data in reads:
        masked.append(body[at : at + len(data)])
        at += len(data)
    return masked


def _public(headers: Mapping[str, str], token: Token) -> dict[str, str]:
    return {
        name: "***" if is_private(name) else token.redact_text(_public_value(name, value))
        for name, value in headers.items()
    }


def _public_value(name: str, value: str) -> str:
    return public_url(value) if name.lower() in _URLS else value


class Recording:
    """Recorder of one call: the exchanges of its attempts.

    Args:
        request: The request of each attempt, with the kept part of its body.
        began: Time at which the call began, in seconds.
        limit: Maximum number of bytes kept, the request's included. To keep the last attempt, the
            first ones are dropped.
        token: Masked in the result.
    """

    __slots__ = ("_attempts", "_began", "_failed", "_limit", "_request", "_response", "_token")

    def __init__(self, request: Request, began: float, limit: int, token: Token) -> None:
        self._request = request
        self._began = began
        self._limit = limit - len(request.body)
        self._token = token  # extended by the secrets of *request* when something is returned
        self._attempts: list[float] = []  # times at which they began
        self._failed: list[Exchange] = []
        # Of the attempt in progress, or of the one that succeeded.
        self._response: ResponseRecorder | None = None

    def attempt(self, now: float) -> None:
        """Begin an attempt at time *now*."""
        self._attempts.append(now)
        limit = self._limit
        if self._failed:
            limit -= sum(map(_size, self._failed))
            while limit < self._limit // 2:
                limit += _size(self._failed.pop(0))
        self._response = ResponseRecorder(now, limit)

    def receive_head(
        self, status: int, headers: Mapping[str, str], now: float
    ) -> ResponseRecorder | None:
        """Record the head of a response; return the recorder of its body; None outside attempts."""
        if self._response is not None:
            if "content-encoding" in headers:
                headers = _decompressed(headers)
            self._response.receive_head(status, headers, now)
        return self._response

    def fail(self, error: AceChatError, text: str, now: float) -> None:
        """Record that the attempt failed; *text* is the message of *error*."""
        if self._response is not None:
            self._response.end(ending_of(error), now)
            self._failed.append(self._exchange(self._response, text))
            self._response = None

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return the exchanges recorded so far, with the token masked."""
        if self._response is None:
            return tuple(self._failed)
        return (*self._failed, self._exchange(self._response))

    def _exchange(self, response: ResponseRecorder, error: str | None = None) -> Exchange:
        at = round(self._attempts[-1] - self._began, 6)
        request = msgspec.structs.replace(self._request, at=at, attempt=len(self._attempts))
        token = self._token.extended(private_values(self._request.headers))
        return response.exchange(request, token, error)


def _size(exchange: Exchange) -> int:
    return sum(len(chunk.data) for chunk in exchange.chunks)


def _decompressed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers that fit the decompressed body, which is the recorded one."""
    left = {"content-encoding", "content-length"}
    plain = {name: value for name, value in headers.items() if name not in left}
    return plain | {"transfer-encoding": "chunked"}


class Recorder:
    """Creates the recordings of one client and keeps the last.

    Args:
        config: Provides the API's root, the size limit and the token.
    """

    def __init__(self, config: Config) -> None:
        self.last: Recording | None = None
        """The recording of the call that began last; None if there is none."""

        self._limit = config.max_record_bytes
        self._token = config.token
        self._root = "/" + config.api_root.split("/", 3)[3]

    def begin(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | bytearray | None,
        now: float,
    ) -> Recording | None:
        """Begin the recording of a call; return None if ``max_record_bytes`` is 0.

        Args:
            method: HTTP method.
            path: Path after the API's root.
            headers: Headers of the caller.
            body: At most half of the limit is kept, its beginning.
            now: Current time, in seconds.
        """
        if not self._limit:
            return None
        body = body or b""
        kept = bytes(body[: self._limit // 2])  # no copy of bytes that fit
        request = Request(
            method=method,
            path=self._root + path,
            headers=headers,
            body=kept,
            dropped=len(body) - len(kept),
        )
        self.last = Recording(request, now, self._limit, self._token)
        return self.last
