"""Find the error in the body of an error response, whatever its form. Never raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec

from acechat._wire.odd_json import decode_repaired, unwrap
from acechat._wire.sse import SSEDecoder
from acechat.errors import ProtocolError

__all__ = [
    "decode_error_body",
    "describe",
    "detail_of",
    "find_errors",
    "repeats_status",
    "text_of",
]

_MAX_MESSAGE = 200
"""Maximum number of characters of a body without a message that are used as one."""

_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,1000})", re.IGNORECASE)

_MAX_DEPTH = 5
"""Levels of errors inside of each other: gateways wrap the errors of their upstreams."""

_STATUS = re.compile(
    r"(?:https?|status|code|error|[ _:-])*(\d{3})(?:\.0)?(?:[ _:-][a-z _-]*)?", re.IGNORECASE
)
"""A code that only repeats the HTTP status: ``400``, ``HTTP 400``, ``400 Bad Request``."""


def decode_error_body(body: bytes) -> object:
    """Decode the JSON in *body*: alone, in events, or one object in each line. None without any."""
    with suppress(ValueError):
        return decode_repaired(body)
    candidates = body.removeprefix(b"\xef\xbb\xbf").splitlines()
    with suppress(ProtocolError):
        candidates = [*SSEDecoder(len(body) + 9).feed(body + b"\n\n"), *candidates]
    for data in candidates:
        if data.lstrip()[:1] in {b"{", b"[", b'"'}:
            with suppress(ValueError):
                return decode_repaired(data)
    return None


def find_errors(value: object) -> list[dict[str, Any]]:
    """Return the objects from the outermost to the one with the error; an empty one if none is."""
    nodes = [_object_in(value) or {}]
    while len(nodes) < _MAX_DEPTH and (inner := _inner(nodes[-1])) is not None:
        nodes.append(inner)
    return nodes


def _inner(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error inside of *fields*; None if they are it."""
    error = _object_in(fields.get("error"))
    if error is not None:
        return error
    for name in ("errors", "message", "detail", "data"):
        found = _object_in(fields.get(name))
        if found is not None and not found.keys().isdisjoint({"error", "code", "message"}):
            return found
    return None


def _object_in(value: object) -> dict[str, Any] | None:
    """Return the object that *value* is, or is JSON text of, or is the first of a list."""
    value = unwrap(value)
    if isinstance(value, list) and value:
        value = unwrap(cast("list[object]", value)[0])
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def repeats_status(code: str, status: int | None) -> bool:
    """Return True if *code* contains nothing but *status*."""
    found = _STATUS.fullmatch(code) if len(code) < _MAX_MESSAGE else None
    return found is not None and found[1] == str(status)


def text_of(value: object) -> str | None:
    if value is None or value == "" or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode() if value else None
    except RecursionError:
        return None


def detail_of(detail: object) -> str | None:
    """Read FastAPI's ``detail``: a text, or a list of problems with their locations."""
    if not isinstance(detail, list):
        return text_of(detail)
    problems: list[str] = []
    for problem in cast("list[Any]", detail):
        fields = cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
        loc = fields.get("loc")
        where = ".".join(map(str, cast("list[Any]", loc))) if isinstance(loc, list) else ""
        problems.append(": ".join(filter(None, (where, text_of(fields.get("msg") or fields)))))
    return "; ".join(problems) or None


def describe(status: int | None, headers: Mapping[str, str], body: bytes) -> str:
    """Describe a *body* without a message in one line; gateways send HTML pages."""
    text = body.decode(errors="replace").strip()
    if "<html" in text.lower() or "html" in headers.get("content-type", ""):
        title = _TITLE.search(text)
        server, ray = headers.get("server"), headers.get("cf-ray")
        source = f" from {server}" if server else ""
        source += f", ray {ray}" if ray else ""
        name = " ".join(title[1].split())[:_MAX_MESSAGE] if title else ""
        return f"{name or _phrase(status)} (HTML page{source})"
    return " ".join(text[:_MAX_MESSAGE].split()) or _phrase(status)


def _phrase(status: int | None) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return "no reason given by the service"
