"""What goes over the wire, as facts: one request, what came of it, and when."""

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

* clean: the answer came to its end
* cut: the connection was closed before that
* reset: it was broken
* garbled: something came that is no HTTP
* timeout: the client waited too long
* closed: the client had enough
* unsent: there was no connection
"""


class Request(Struct, frozen=True, kw_only=True):
    """What was sent."""

    method: str
    path: str
    """With the API's root, and the query if there is one."""

    headers: dict[str, str] = {}
    """Those of the caller's own. Secrets are masked; ``Authorization`` is never here."""

    body: bytes = b""

    dropped: int = 0
    """How many bytes at the end of *body* were not kept."""

    at: float = 0.0
    """When, in seconds since the recording began."""

    attempt: int = 1
    """Which one of its call, from 1."""


class ResponseHead(Struct, frozen=True, kw_only=True, tag_field="kind", tag="response"):
    """The head of the response."""

    at: float
    """When, in seconds since the request; so are the times below."""

    status: int
    headers: dict[str, str]
    """Names in lower case. Secrets are masked."""


class BodyChunk(Struct, frozen=True):
    """What one read of the network brought of the body."""

    at: float
    data: bytes
    dropped: int = 0
    """How many bytes before these were not kept."""


class ExchangeEnd(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="end", omit_defaults=True
):
    """The end."""

    at: float
    how: Ending
    error: str | None = None
    """What the client made of it; None where it was content."""


class Exchange(Struct, frozen=True):
    """One request and what came of it."""

    request: Request
    head: ResponseHead | None = None
    """None where none came."""

    pieces: tuple[BodyChunk, ...] = ()
    end: ExchangeEnd | None = None
    """None where it was still under way."""


def ending_of(error: AceChatError) -> Ending:
    """Tell how an exchange ended that *error* ended."""
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
