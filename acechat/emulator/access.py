"""Checks of requests before their content: the name in ``Host``, and credentials.

A web page can let its name point to this computer (DNS rebinding) and read each response of a
server that does not look at ``Host``. Such an attack needs a name, so all addresses are accepted.
It cannot send credentials without asking first (CORS), which no server of acechat permits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acechat._redaction.private import private_values
from acechat.emulator.errors import RefusalError
from acechat.emulator.routes import is_public
from acechat.emulator.state import DEFAULT_TOKEN, ReceivedRequest

__all__ = ["check_credentials", "host_check"]


def host_check(hosts: Iterable[str]) -> Middleware:
    """Return a middleware that refuses requests for other names than ``localhost`` and *hosts*.

    Args:
        hosts: Names, without a port; ``"*"`` accepts all.
    """
    accepted = {"localhost", *(name.lower().strip("[]").removesuffix(".") for name in hosts)}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Without the header, the request does not come from a browser.
        for value in request.headers.getall("Host", ()):
            if "*" not in accepted and not _is_accepted(value, accepted):
                message = (
                    "This server does not respond to the name in the Host header. "
                    "Start it with --allow-host NAME (hosts= of Service) to permit it."
                )
                return web.json_response(
                    {"error": {"code": "host_not_allowed", "message": message}},
                    status=HTTPStatus.MISDIRECTED_REQUEST,
                )
        return await handler(request)

    return check


def _is_accepted(value: str, names: set[str]) -> bool:
    try:
        host = (urlsplit(f"//{value}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_credentials(received: ReceivedRequest, authorization: str | None, token: str) -> None:
    """Check that a request to a replay has credentials, as the recorded service requires.

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
