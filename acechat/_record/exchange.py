"""Structs of a recorded exchange: one request, its response, and the times."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from acechat.errors import (
    AceChatError,
    ClientClosedError,
    ConnectError,
    RequestTimeoutError,
    TransportError,
)

__all__ = ["BodyChunk", "Ending", "Exchange", "ExchangeEnd", "Request", "ResponseHead", "ending_of"]

Ending: TypeAlias = Literal["clean", "cut", "reset", "malformed", "timeout", "closed", "unsent"]
"""How an exchange ended.

* clean: the response was complete
* cut: the connection was closed before that
* reset: the connection was reset
* malformed: the data received was not HTTP
* timeout: a time limit of the client expired
* closed: the client closed the response
* unsent: no connection was established
"""


class Request(Struct, frozen=True, kw_only=True):
    """The request."""

    method: str
    path: str
    """Path of the URL, with the API's root and the query."""

    headers: dict[str, str] = {}
    """Headers of the caller. Secrets are masked; ``Authorization`` is never included."""

    body: bytes = b""

    dropped: int = 0
    """Number of bytes at the end of *body* that were not kept."""

    at: float = 0.0
    """Time in seconds since the recording began."""

    attempt: int = 1
    """Number of the attempt in its call, from 1."""


class ResponseHead(Struct, frozen=True, kw_only=True, tag_field="kind", tag="response"):
    """The head of the response."""

    at: float
    """Time in seconds since the request, as in the structs below."""

    status: int
    headers: dict[str, str]
    """Names in lower case. Secrets are masked."""


class BodyChunk(Struct, frozen=True):
    """The data of one network read of the body."""

    at: float
    data: bytes
    dropped: int = 0
    """Number of bytes before *data* that were not kept."""


class ExchangeEnd(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="end", omit_defaults=True
):
    """The end of an exchange."""

    at: float
    how: Ending
    error: str | None = None
    """Message of the error that the client raised; None if it raised none."""


class Exchange(Struct, frozen=True):
    """One request and its response."""

    request: Request
    head: ResponseHead | None = None
    """None if no response arrived."""

    chunks: tuple[BodyChunk, ...] = ()
    """The body, one item per network read."""

    end: ExchangeEnd | None = None
    """None if the exchange was still in progress."""


def ending_of(error: AceChatError) -> Ending:
    """Return the ending of an exchange that *error* ended."""
    match error:
        case ClientClosedError():
            return "closed"
        case ConnectError():
            return "unsent"
        case RequestTimeoutError():
            return "timeout" if error.sent else "unsent"
        case TransportError(ending="reset"):
            return "reset"
        case TransportError(ending="malformed"):
            return "malformed"
        case TransportError():
            return "cut"
        case _:
            return "closed"
