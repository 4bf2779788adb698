"""Responses from a cassette: each recorded request gets its recorded response."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec

from acechat._credentials import Token
from acechat._record.cassette import Cassette
from acechat._record.exchange import Exchange, ExchangeEnd, Request, ResponseHead
from acechat._redaction.private import private_values, public_url
from acechat.emulator.connection import Framing
from acechat.emulator.plan import Close, Plan, Reset, Until, Wait, Write
from acechat.emulator.routes import is_public
from acechat.emulator.state import DEFAULT_TOKEN, ReceivedRequest
from acechat.emulator.wire import RefusalError, envelope, json_plan
from acechat.errors import ConfigurationError

__all__ = ["Replay", "check_credentials", "secrets_of"]

_PAUSE_BEFORE_BREAK = 0.02
"""Seconds between the last bytes and the fault: one that arrives with them would discard them."""

_MAX_SHOWN = 80
"""Characters of a value that differs."""

_NOT_STREAMED = b',"stream":false'

_MISMATCH = 400
"""A status that no client retries."""

_GZIP = 31
"""The ``wbits`` of zlib for gzip."""

_CLOSED_BY_CLIENT = ExchangeEnd(at=0.0, how="closed")
_UNTIL_CLIENT_LEAVES: Plan = [Wait(math.inf)]


class Replay:
    """Replays a cassette.

    Args:
        cassette: The cassette. Requests that were never sent are left out.
        speed: Greater than 0. 2.0 takes half of the recorded time; infinity removes all pauses.
        loop: Whether to start again when all responses were used.

    Raises:
        ConfigurationError: The cassette cannot be replayed, or *speed* is out of range.
    """

    def __init__(self, cassette: Cassette, speed: float = 1.0, *, loop: bool = False) -> None:
        if not speed > 0:
            raise ConfigurationError(f"speed must be greater than 0, not {speed!r}")
        self._exchanges = [
            one for one in cassette.exchanges if one.end is None or one.end.how != "unsent"
        ]
        self._speed = speed
        self._loop = loop
        self._left = self._exchanges.copy()
        if not self._exchanges:
            raise ConfigurationError("cannot replay the cassette: no request in it was sent")
        if cassette.exchanges[0].request.attempt > 1:
            raise ConfigurationError("cannot replay the cassette: its first attempts were "
                                     "dropped; record with a greater max_record_bytes")  # fmt: skip
        for one in self._exchanges:
            if dropped := sum(piece.dropped for piece in one.chunks):
                raise ConfigurationError(
                    f"cannot replay the cassette: {dropped} bytes of a response were dropped; "
                    "record with a greater max_record_bytes"
                )

    def rewind(self) -> None:
        """Start again: no response counts as used."""
        self._left = self._exchanges.copy()

    def respond(self, received: ReceivedRequest, authorization: str | None) -> Plan:
        """Return the plan of the first unused response whose request equals *received*."""
        token = secrets_of(received.headers | {"authorization": authorization or ""}, received.path)
        body = token.mask(received.body)
        path = token.redact_text(public_url(received.path))
        received = msgspec.structs.replace(received, path=path)
        if not self._left and self._loop:
            self.rewind()
        if not self._left:
            count = len(self._exchanges)
            return _mismatch(f"all {count} responses of the cassette were used", received)
        first: str | None = None
        for at, exchange in enumerate(self._left):
            difference = _difference(exchange.request, received, body)
            if difference is None:
                del self._left[at]
                return plan_of(exchange, self._speed)
            first = first or difference
        number = len(self._exchanges) - len(self._left) + 1
        return _mismatch(f"request {number} differs from the recorded one: {first}", received)


def secrets_of(headers: Mapping[str, str], path: str) -> Token:
    """Return the token of a request, redacting all other credentials in it as well.

    Args:
        headers: Names in lower case.
        path: With the query.
    """
    query = dict(parse_qsl(path.partition("?")[2]))
    token = headers.get("authorization", "").rpartition(" ")[2]
    return Token(token, [*private_values(headers), *private_values(query)])


def check_credentials(received: ReceivedRequest, authorization: str | None, token: str) -> None:
    """Check that a request to a replay has credentials, as the recorded service requires.

    A web page cannot send them without asking first (CORS), which the emulator does not permit.

    Args:
        received: The request.
        authorization: The ``Authorization`` header, unmasked. None: no such header.
        token: The token that is required; `DEFAULT_TOKEN` permits any credentials.

    Raises:
        RefusalError: They are missing or wrong.
    """
    if is_public(received):
        return
    query = dict(parse_qsl(received.path.partition("?")[2]))
    # Not the cookies, which browsers send by themselves.
    left_out = {"authorization", "cookie"}
    headers = {name: value for name, value in received.headers.items() if name not in left_out}
    headers["authorization"] = (authorization or "").strip().partition(" ")[2]
    given = {text for text in (*private_values(headers), *private_values(query)) if text}
    if not given:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "no_token")
    if token not in {DEFAULT_TOKEN, *given}:
        raise RefusalError(HTTPStatus.UNAUTHORIZED)


def _mismatch(message: str, received: ReceivedRequest) -> Plan:
    return json_plan(envelope("cassette_mismatch", message, received.trace_id), _MISMATCH)


def _difference(recorded: Request, received: ReceivedRequest, body: bytes) -> str | None:
    """Describe the first difference of *received* from *recorded*; None if they are equal."""
    for name in ("method", "path"):
        here, there = getattr(received, name), getattr(recorded, name)
        if here != there:
            return f"the {name} is {here}, recorded was {there}"
    if recorded.dropped:
        size = len(recorded.body) + recorded.dropped
        for sent in (body, body.replace(_NOT_STREAMED, b"", 1)):
            if len(sent) == size and sent.startswith(recorded.body):
                return None
        return f"the body differs in its first {len(recorded.body)} bytes, or in its size"
    if body == recorded.body:
        return None
    try:
        here, there = msgspec.json.decode(body), msgspec.json.decode(recorded.body)
    except (ValueError, RecursionError):
        return "the body differs"
    return _first_difference(_normalized(here), _normalized(there), "")


def _normalized(body: Any) -> Any:
    """Return the JSON of a request without a ``"stream": false``, the default of the service.

    Cassettes of earlier versions have none.
    """
    if isinstance(body, dict):
        fields = cast("dict[str, Any]", body)
        return {name: value for name, value in fields.items() if name != "stream" or value}
    return body


def _first_difference(here: Any, there: Any, path: str) -> str | None:
    """Describe the first difference of two JSON values; None if they are equal."""
    if isinstance(here, dict) and isinstance(there, dict):
        ours, theirs = cast("dict[str, Any]", here), cast("dict[str, Any]", there)
        keys = [*theirs, *(name for name in ours if name not in theirs)]
        inner = [(f"{path}.{key}", ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(here, list) and isinstance(there, list):
        mine, other = cast("list[Any]", here), cast("list[Any]", there)
        if len(mine) != len(other):
            return f"{path[1:]} has {len(mine)} entries, recorded were {len(other)}"
        pairs = zip(mine, other, strict=True)
        inner = [(f"{path}[{at}]", *pair) for at, pair in enumerate(pairs)]
    elif here == there:
        return None
    else:
        where = path[1:] or "the body"
        return f"{where} is {_show(here)}, recorded was {_show(there)}"
    found = (_first_difference(one, other, where) for where, one, other in inner)
    return next(filter(None, found), None)


def _show(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:_MAX_SHOWN]


def plan_of(exchange: Exchange, speed: float) -> Plan:
    """Return the plan that repeats the response of *exchange*, its pauses and its end."""
    if exchange.end is None:
        return plan_of(
            Exchange(exchange.request, exchange.head, exchange.chunks, _CLOSED_BY_CLIENT), speed
        )
    if exchange.end.how == "malformed" and exchange.head is not None:
        return _malformed_plan(exchange, exchange.head, exchange.end, speed)
    plan: Plan = []
    how, late = exchange.end.how, Until(exchange.end.at / speed)
    framing = Framing(_framing_headers(exchange))
    if exchange.head is not None:
        plan += [Until(exchange.head.at / speed), Write(framing.head(exchange.head.status))]
    for piece in exchange.chunks:
        plan += [Until(piece.at / speed), Write(framing.chunk(piece.data))]
    match how:
        case "clean":
            return [*plan, late, Write(framing.end()), Close()]
        case "cut":
            return [*plan, late, Wait(_PAUSE_BEFORE_BREAK), Close()]
        case "reset":
            return [*plan, late, Wait(_PAUSE_BEFORE_BREAK), Reset()]
        case "malformed":
            return [*plan, late, Write(b"no HTTP\r\n\r\n"), *_UNTIL_CLIENT_LEAVES]
        case _:  # the client disconnected first: the service had sent nothing more
            return [*plan, *_UNTIL_CLIENT_LEAVES]


def _framing_headers(exchange: Exchange) -> dict[str, str]:
    """Return the recorded headers, with the length of the recorded body."""
    if exchange.head is None:
        return {}
    headers = exchange.head.headers
    if "content-length" in headers and exchange.end and exchange.end.how == "clean":
        size = sum(len(piece.data) for piece in exchange.chunks)
        return headers | {"content-length": str(size)}
    return headers


def _malformed_plan(exchange: Exchange, head: ResponseHead, end: ExchangeEnd, speed: float) -> Plan:
    """Return the plan of a body with invalid compression, the only error that aiohttp detects."""
    zipped = zlib.compressobj(wbits=_GZIP)
    headers = {name: value for name, value in head.headers.items() if name != "content-length"}
    framing = Framing(headers | {"transfer-encoding": "chunked", "content-encoding": "gzip"})
    plan: Plan = [Until(head.at / speed), Write(framing.head(head.status))]
    for piece in exchange.chunks:
        data = zipped.compress(piece.data) + zipped.flush(zlib.Z_SYNC_FLUSH)
        plan += [Until(piece.at / speed), Write(framing.chunk(data))]
    broken = Write(framing.chunk(b"\xff no gzip"))
    return [*plan, Until(end.at / speed), Wait(_PAUSE_BEFORE_BREAK), broken, *_UNTIL_CLIENT_LEAVES]
