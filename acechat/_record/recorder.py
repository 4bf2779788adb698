"""The flight recorder: what goes over the wire in a call, kept while it may be asked for.

What arrives is kept by reference, with the time of each read. The token is taken out when somebody
asks, over whole bodies, because a read may end in the middle of it.
"""

from __future__ import annotations

import re
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
from acechat.errors import AceChatError

__all__ = ["Recorder", "Recording", "ResponseRecorder"]

_PRIVATE = re.compile(
    r"auth|cookie|credential|passw|secret|signature|token(?!s)|api-?key|(^|-)key(-|$)",
    re.IGNORECASE,
)
"""Names of headers whose values are nobody's business; ``ratelimit-tokens`` is none."""


class ResponseRecorder:
    """What comes back in one exchange, while it is recorded; all times are of one clock.

    Args:
        began: When the request was sent.
        room: The most bytes that are kept of the body. Of more, the first half and the last
            quarter at least.
    """

    __slots__ = ("_began", "_dropped", "_end", "_first", "_head", "_kept", "_pieces", "_room",
                 "_times")  # fmt: skip

    def __init__(self, began: float, room: int) -> None:
        self._began = began
        self._room = room
        self._head: tuple[float, int, Mapping[str, str]] | None = None
        self._end: tuple[float, Ending] | None = None
        self._times: list[float] = []
        self._pieces: list[bytes] = []
        self._kept = 0
        self._dropped = 0
        self._first = 0  # how many pieces are the first half, once there was too much

    def answer(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Take the head of the response; names of *headers* are in lower case."""
        self._head = now, status, headers

    def add(self, data: bytes, now: float) -> None:
        """Take what a read of the body brought; nothing is its end."""
        if not data:
            self.end("clean", now)
        self._times.append(now)
        self._pieces.append(data)
        self._kept += len(data)
        if self._kept > self._room:
            self._make_room()

    def _make_room(self) -> None:
        """Drop pieces of the middle, many at a time, so that it costs little for each."""
        pieces, times = self._pieces, self._times
        half, quarter = self._room // 2, self._room // 4
        if not self._dropped:
            at = size = 0
            while size + len(pieces[at]) <= half:
                size += len(pieces[at])
                at += 1
            edge = pieces[at]
            pieces[at : at + 1] = [edge[: half - size], edge[half - size :]]
            times.insert(at, times[at])
            self._first = at + 1
        at, size = len(pieces), 0
        while at > self._first and size < quarter:
            at -= 1
            size += len(pieces[at])
        if size > half:
            pieces[at] = pieces[at][size - half :]
            size = half
        self._dropped += self._kept - half - size
        self._kept = half + size
        del pieces[self._first : at], times[self._first : at]

    def end(self, how: Ending, now: float) -> None:
        """Note how it ended; what is told first counts."""
        if self._end is None:
            self._end = now, how

    def exchange(self, request: Request, token: Token, error: str | None = None) -> Exchange:
        """Return *request* and what came back, without the *token*.

        *error* is what the client made of it.
        """
        head = end = None
        if self._head is not None:
            now, status, headers = self._head
            head = ResponseHead(at=self._since(now), status=status, headers=_public(headers, token))
        if self._end is not None:
            now, how = self._end
            end = ExchangeEnd(at=self._since(now), how=how, error=error)
        pieces, first = self._pieces.copy(), self._first
        bodies = [pieces[:first], pieces[first:]] if self._dropped else [pieces]
        masked = [piece for body in bodies for piece in _masked(body, token)]
        kept = tuple(
            BodyChunk(self._since(now), data, self._dropped if number == first else 0)
            for number, (now, data) in enumerate(zip(self._times, masked, strict=False))
            if data
        )
        public = msgspec.structs.replace(
            request,
            path=token.redact_text(request.path),
            headers=_public(request.headers, token),
            body=token.mask(request.body),
        )
        return Exchange(public, head, kept, end)

    def _since(self, now: float) -> float:
        return round(now - self._began, 6)  # no network tells microseconds apart


def _masked(pieces: list[bytes], token: Token) -> list[bytes]:
    """Mask the *token* wherever it stands, across the ends of pieces too."""
    whole = token.mask(b"".join(pieces))
    masked: list[bytes] = []
    at = 0
    for piece in pieces:
        masked.append(whole[at : at + len(piece)])
        at += len(piece)
    return masked


def _public(headers: Mapping[str, str], token: Token) -> dict[str, str]:
    return {
        name: "***" if _PRIVATE.search(name) else token.redact_text(value)
        for name, value in headers.items()
    }


class Recording:
    """One call: the exchanges of its attempts.

    Args:
        request: What is sent each time, with as much of its body as is kept.
        began: When the call began.
        limit: The most bytes that are kept, the request's included; where earlier attempts brought
            too much, the first are dropped whole.
        token: What is never kept.
    """

    __slots__ = ("_attempts", "_began", "_failed", "_limit", "_request", "_tape", "_token")

    def __init__(self, request: Request, began: float, limit: int, token: Token) -> None:
        self._request = request
        self._began = began
        self._limit = limit - len(request.body)
        self._token = token
        self._attempts: list[float] = []  # when they began
        self._failed: list[Exchange] = []
        self._tape: ResponseRecorder | None = (
            None  # of the attempt under way, or of the one that succeeded
        )

    def attempt(self, now: float) -> None:
        """Begin an attempt."""
        self._attempts.append(now)
        room = self._limit
        if self._failed:
            room -= sum(map(_size, self._failed))
            while room < self._limit // 2:
                room += _size(self._failed.pop(0))
        self._tape = ResponseRecorder(now, room)

    def answer(
        self, status: int, headers: Mapping[str, str], now: float
    ) -> ResponseRecorder | None:
        """Take the head of a response; return the tape for its body."""
        if self._tape is not None:
            if "content-encoding" in headers:
                headers = _decompressed(headers)
            self._tape.answer(status, headers, now)
        return self._tape

    def fail(self, error: AceChatError, text: str, now: float) -> None:
        """Note that the attempt failed; *text* is what the client says about it."""
        if self._tape is not None:
            self._tape.end(ending_of(error), now)
            self._failed.append(self._exchange(self._tape, text))
            self._tape = None

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return what was recorded until now, without the token."""
        if self._tape is None:
            return tuple(self._failed)
        return (*self._failed, self._exchange(self._tape))

    def _exchange(self, tape: ResponseRecorder, error: str | None = None) -> Exchange:
        at = round(self._attempts[-1] - self._began, 6)
        request = msgspec.structs.replace(self._request, at=at, attempt=len(self._attempts))
        return tape.exchange(request, self._token, error)


def _size(exchange: Exchange) -> int:
    return sum(len(piece.data) for piece in exchange.pieces)


def _decompressed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return *headers* as if the body had come without compression: so it is recorded."""
    left = {"content-encoding", "content-length"}
    plain = {name: value for name, value in headers.items() if name not in left}
    return plain | {"transfer-encoding": "chunked"}


class Recorder:
    """Makes the recordings of one client, and remembers the last.

    Args:
        config: Where to, how much, and what is secret.
    """

    def __init__(self, config: Config) -> None:
        self.last: Recording | None = None
        """That of the call that began last."""

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
        """Begin the recording of a call at *now*; return None where none is wanted.

        *path* is that after the API's root, *headers* are the caller's own. Of a *body* that would
        fill more than half of what is kept, the beginning is.
        """
        if not self._limit:
            return None
        body = body or b""
        kept = bytes(body[: self._limit // 2])  # of bytes, mostly they themselves
        request = Request(
            method=method,
            path=self._root + path,
            headers=headers,
            body=kept,
            dropped=len(body) - len(kept),
        )
        self.last = Recording(request, now, self._limit, self._token)
        return self.last
