"""The service's words for what went wrong.

Source: the contract, 3.1 and 3.2.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from acechat.emulator.plan import Plan
from acechat.emulator.wire import envelope, json_plan

__all__ = ["RefusalError", "error_plan", "words_for"]

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
"""The code of a status, where a test names none. The contract has none for 503."""

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
    """The emulator refuses a request; None stands for the usual words."""

    def __init__(self, status: int, code: str | None = None, message: str | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def words_for(status: int, code: str | None, message: str | None) -> tuple[str, str]:
    """Return code and message, the usual ones where None is given."""
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
    """Plan to answer with the service's error; 402 without a code is an offer to pay (x402)."""
    if status == HTTPStatus.PAYMENT_REQUIRED and code is None and message is None:
        return json_plan(_OFFER, status, headers)
    return json_plan(envelope(*words_for(status, code, message), trace_id), status, headers)
