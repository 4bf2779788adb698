"""Answers from a cassette: each recorded request gets what it got then."""

from __future__ import annotations

import math
import zlib
from typing import Any, cast

import msgspec

from acechat._credentials import Token
from acechat._record.cassette import Cassette
from acechat._record.exchange import Exchange, ExchangeEnd, Request, ResponseHead
from acechat.emulator.connection import Framing
from acechat.emulator.plan import HangUp, Plan, Reset, Until, Wait, Write
from acechat.emulator.state import ReceivedRequest
from acechat.emulator.wire import envelope, json_plan
from acechat.errors import ConfigurationError

__all__ = ["Replay"]

_SETTLED = 0.02
"""Seconds between the last bytes and what breaks the connection: a fault that arrives with them
takes them away from the client."""

_SHOWN = 80
"""Characters of a value that differs."""

_MISMATCH = 400
"""No client tries it again."""

_GZIP = 31
"""The ``wbits`` of zlib that stand for gzip."""

_HELD = ExchangeEnd(at=0.0, how="closed")
_FOR_EVER: Plan = [Wait(math.inf)]


class Replay:
    """Plays a cassette.

    Args:
        cassette: What is played. What was never sent in it is left out.
        speed: 2.0 takes half of the time; infinity waits for nothing.

    Raises:
        ConfigurationError: It cannot be played.
    """

    def __init__(self, cassette: Cassette, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ConfigurationError(f"the speed must be a number above 0, not {speed!r}")
        self._exchanges = [
            one for one in cassette.exchanges if one.end is None or one.end.how != "unsent"
        ]
        self._speed = speed
        self._left = self._exchanges.copy()
        if not self._exchanges:
            raise ConfigurationError("the cassette cannot be played: nothing was sent in it")
        if cassette.exchanges[0].request.attempt > 1:
            raise ConfigurationError("the cassette cannot be played: its first attempts were "
                                     "dropped; record with a greater max_record_bytes")  # fmt: skip
        for one in self._exchanges:
            if dropped := sum(piece.dropped for piece in one.chunks):
                raise ConfigurationError(
                    f"the cassette cannot be played: {dropped} bytes of an answer were dropped; "
                    "record with a greater max_record_bytes"
                )

    def rewind(self) -> None:
        """Begin anew."""
        self._left = self._exchanges.copy()

    def respond(self, received: ReceivedRequest, authorization: str | None) -> Plan:
        """Plan the answer to *received*: that of the first equal request that had none yet."""
        token = Token((authorization or "").rpartition(" ")[2])
        body = token.mask(received.body)
        if not self._left:
            count = len(self._exchanges)
            return _mismatch(f"all {count} of the cassette's answers were given", received)
        differences = [_difference(one.request, received, body) for one in self._left]
        if None in differences:
            return plan_of(self._left.pop(differences.index(None)), self._speed)
        number = len(self._exchanges) - len(self._left) + 1
        return _mismatch(f"request {number} is not the recorded one: {differences[0]}", received)


def _mismatch(message: str, received: ReceivedRequest) -> Plan:
    return json_plan(envelope("cassette_mismatch", message, received.trace_id), _MISMATCH)


def _difference(recorded: Request, received: ReceivedRequest, body: bytes) -> str | None:
    """Say in what *received* differs; None for nothing."""
    for name in ("method", "path"):
        here, there = getattr(received, name), getattr(recorded, name)
        if here != there:
            return f"the {name} is {here}, recorded was {there}"
    if recorded.dropped:
        size = len(recorded.body) + recorded.dropped
        if len(body) != size or not body.startswith(recorded.body):
            return f"the body differs in its first {len(recorded.body)} bytes, or in its size"
        return None
    if body == recorded.body:
        return None
    try:
        here, there = msgspec.json.decode(body), msgspec.json.decode(recorded.body)
    except (ValueError, RecursionError):
        return "the body differs"
    return _first_difference(here, there, "")


def _first_difference(here: Any, there: Any, place: str) -> str | None:
    """Say where two values of JSON differ first."""
    if isinstance(here, dict) and isinstance(there, dict):
        ours, theirs = cast("dict[str, Any]", here), cast("dict[str, Any]", there)
        keys = [*theirs, *(name for name in ours if name not in theirs)]
        inner = [(f"{place}.{key}", ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(here, list) and isinstance(there, list):
        mine, other = cast("list[Any]", here), cast("list[Any]", there)
        if len(mine) != len(other):
            return f"{place[1:]} has {len(mine)} entries, recorded were {len(other)}"
        pairs = zip(mine, other, strict=True)
        inner = [(f"{place}[{at}]", *pair) for at, pair in enumerate(pairs)]
    elif here == there:
        return None
    else:
        where = place[1:] or "the body"
        return f"{where} is {_shown(here)}, recorded was {_shown(there)}"
    found = (_first_difference(one, other, where) for where, one, other in inner)
    return next(filter(None, found), None)


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:_SHOWN]


def plan_of(exchange: Exchange, speed: float) -> Plan:
    """Plan to do what the service did in *exchange*."""
    if exchange.end is None:
        return plan_of(Exchange(exchange.request, exchange.head, exchange.chunks, _HELD), speed)
    if exchange.end.how == "malformed" and exchange.head is not None:
        return _garbled(exchange, exchange.head, exchange.end, speed)
    plan: Plan = []
    how, late = exchange.end.how, Until(exchange.end.at / speed)
    framing = Framing(_framed(exchange))
    if exchange.head is not None:
        plan += [Until(exchange.head.at / speed), Write(framing.head(exchange.head.status))]
    for piece in exchange.chunks:
        plan += [Until(piece.at / speed), Write(framing.piece(piece.data))]
    match how:
        case "clean":
            return [*plan, late, Write(framing.end()), HangUp()]
        case "cut":
            return [*plan, late, Wait(_SETTLED), HangUp()]
        case "reset":
            return [*plan, late, Wait(_SETTLED), Reset()]
        case "malformed":
            return [*plan, late, Write(b"no HTTP\r\n\r\n"), *_FOR_EVER]
        case _:  # the client went away; until then nothing more had come
            return [*plan, *_FOR_EVER]


def _framed(exchange: Exchange) -> dict[str, str]:
    """Return the headers, with the length that the body has."""
    if exchange.head is None:
        return {}
    headers = exchange.head.headers
    if "content-length" in headers and exchange.end and exchange.end.how == "clean":
        size = sum(len(piece.data) for piece in exchange.chunks)
        return headers | {"content-length": str(size)}
    return headers


def _garbled(exchange: Exchange, head: ResponseHead, end: ExchangeEnd, speed: float) -> Plan:
    """Plan to send a body whose compression is broken: aiohttp notices nothing else."""
    zipped = zlib.compressobj(wbits=_GZIP)
    headers = {name: told for name, told in head.headers.items() if name != "content-length"}
    framing = Framing(headers | {"transfer-encoding": "chunked", "content-encoding": "gzip"})
    plan: Plan = [Until(head.at / speed), Write(framing.head(head.status))]
    for piece in exchange.chunks:
        data = zipped.compress(piece.data) + zipped.flush(zlib.Z_SYNC_FLUSH)
        plan += [Until(piece.at / speed), Write(framing.piece(data))]
    broken = Write(framing.piece(b"\xff no gzip"))
    return [*plan, Until(end.at / speed), Wait(_SETTLED), broken, *_FOR_EVER]
