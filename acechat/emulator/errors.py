"""Error responses with the service's codes and messages.

Source: docs/api.md#error-bodies and docs/api.md#error-codes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from acechat.emulator.plan import Plan
from acechat.emulator.wire import envelope, json_plan

__all__ = ["RefusalError", "code_and_message", "error_plan"]

_CODES = {
    400: "bad_request",
    401: "invalid_token",
    403: "used_up",
    404: "no_api",
    413: "request_too_large",
    429: "too_many_requests",
    500: "api_error",
    503: "busy",
    504: "timeout",
}
"""The default code of each status. The one of 503 is not documented by the service."""

_MESSAGES = {
    "bad_request": "The json payload is not valid.",
    "no_token": "No token specified for the request.",
    "api_not_implemented": "The API is not implemented.",
    "token_mismatched": "The specified token is not matched with API.",
    "disabled": "Your application has been disabled because of abnormal usage.",
    "invalid_token": "The specified token is invalid or wrong.",
    "token_expired": "token expired.",
    "used_up": (
        "Your balance is not sufficient for current request, "
        "please buy more in Ace Data Cloud https://platform.acedata.cloud"
    ),
    "forbidden": "The content is refused by moderation.",
    "no_api": "API does not exist, please make sure url is correct.",
    "request_too_large": "The request body is too large.",
    "too_many_requests": "You have exceeded the rate limit.",
    "api_error": "Internal server error.",
    "busy": "api was throttled from upstream and is currently busy",
    "timeout": "The upstream inference timed out.",
}

_SERVER_ERRORS = 500

_OFFER: dict[str, Any] = {
    "x402Version": 2,
    "error": "Payment Required",
    "accepts": [
        {
            "scheme": "exact",
            "network": "base",
            "maxAmountRequired": "4760750",
            "extra": {"name": "USD Coin", "version": "2"},
        }
    ],
}


class RefusalError(Exception):
    """The emulator rejects a request. None: the usual code or message."""

    def __init__(self, status: int, code: str | None = None, message: str | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def code_and_message(status: int, code: str | None, message: str | None) -> tuple[str, str]:
    """Return code and message; None is replaced by the usual one."""
    code = (
        code or _CODES.get(status) or ("api_error" if status >= HTTPStatus(500) else "bad_request")
    )
    return code, message or _MESSAGES.get(code) or "The request failed."


def error_plan(
    status: int,
    code: str | None,
    message: str | None,
    trace_id: str,
    headers: dict[str, str] | None = None,
) -> Plan:
    """Return the plan of an error response; 402 without a code is an x402 payment offer."""
    if status == HTTPStatus.PAYMENT_REQUIRED and code is None and message is None:
        return json_plan(_OFFER, status, headers)
    return json_plan(envelope(*code_and_message(status, code, message), trace_id), status, headers)
