"""Bodies that are no answer → errors. Reading one never raises, whatever it holds.

The shapes and codes: the contract, 3.1 and 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

import msgspec

from acechat.errors import (
    AccountDisabledError,
    APIError,
    APINotImplementedError,
    AuthenticationError,
    BadRequestError,
    ContentModerationError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    NotFoundError,
    OverloadedError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    TokenMismatchError,
)

__all__ = ["error_from_value", "find_trace_id", "is_refusal", "parse_error"]

_KEPT = 64 * 1024
"""Bytes of a body that an error keeps."""

_SHOWN = 200
"""Characters of an unreadable body that become the message."""

_BY_CODE: dict[str, type[APIError]] = {
    "bad_request": BadRequestError,
    "invalid_request": BadRequestError,
    "invalid_request_error": BadRequestError,
    "convert_request_failed": BadRequestError,
    "api_not_implemented": APINotImplementedError,
    "request_too_large": RequestTooLargeError,
    "request_entity_too_large": RequestTooLargeError,
    "no_token": AuthenticationError,
    "invalid_token": AuthenticationError,
    "token_expired": AuthenticationError,
    "authorization_missing": AuthenticationError,
    "authentication_failed": AuthenticationError,
    "authentication_error": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "token_mismatched": TokenMismatchError,
    "permission_denied": PermissionDeniedError,
    "permission_error": PermissionDeniedError,
    "used_up": InsufficientBalanceError,
    "insufficient_user_quota": InsufficientBalanceError,
    "insufficient_quota": InsufficientBalanceError,
    "disabled": AccountDisabledError,
    "forbidden": ContentModerationError,
    "sensitive_words_detected": ContentModerationError,
    "prompt_blocked": ContentModerationError,
    "no_api": NotFoundError,
    "model_not_found": NotFoundError,
    "not_found_error": NotFoundError,
    "too_many_requests": RateLimitError,
    "rate_limit_error": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "api_error": ServerError,
    "bad_response": ServerError,
    "bad_response_body": ServerError,
    "bad_response_status_code": ServerError,
    "do_request_failed": ServerError,
    "empty_response": ServerError,
    "aws_invoke_error": ServerError,
    "get_channel_failed": OverloadedError,
    "busy": OverloadedError,
    "overloaded": OverloadedError,
    "overloaded_error": OverloadedError,
    "timeout": GatewayTimeoutError,
    "timeout_error": GatewayTimeoutError,
}

_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: RequestTooLargeError,
    429: RateLimitError,
    503: OverloadedError,
    504: GatewayTimeoutError,
    524: GatewayTimeoutError,
    529: OverloadedError,
}

_FINAL = {401, 403}
"""Statuses that are never retried, whatever else the response holds."""

_RETRYABLE_4XX = {408, 409, 425}
_TRACE_HEADERS = ("x-trace-id", "trace-id", "x-request-id", "x-oneapi-request-id")
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,1000})", re.IGNORECASE)


def parse_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> APIError:
    """Read an answer whose status is not 2xx.

    Args:
        status: HTTP status, 300 to 999.
        headers: Names in lower case.
        body: Whatever came with it.
        now: Seconds since 1970, to read a date in ``Retry-After``.

    Returns:
        The class of the code where that is known, else of the status. The status decides where the
        code only means that something failed (``api_error`` with 429 or 529), and where it is 401
        or 403 and the code is one to retry. A body that is no JSON gives a short message about what
        it is.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = None
    error = error_from_value(value, headers, status=status, body=body, now=now)
    if 300 <= status < 400:  # noqa: PLR2004 - a range of statuses
        target = headers.get("location", "nowhere")
        error.code = error.code or "redirect"
        error.message = f"a redirection to {target}, which acechat does not follow"
        error.reason, error.args = error.message, (error.message,)
    return error


def is_refusal(value: object) -> bool:
    """Whether JSON that came with a status of 2xx, or inside a stream, says that it failed."""
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, Any]", value)
    return (
        bool(fields.get("error"))
        or fields.get("success") is False
        or (fields.get("type") == "error")
    )


def error_from_value(
    value: object,
    headers: Mapping[str, str],
    *,
    status: int | None,
    body: bytes = b"",
    now: float | None = None,
) -> APIError:
    """Read an error from decoded JSON; *status* is None inside a stream that had begun well."""
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    inner = fields.get("error")
    error = cast("dict[str, Any]", inner) if isinstance(inner, dict) else fields
    code, kind = _text(error.get("code")), _text(error.get("type"))
    if code is None and error is fields and isinstance(inner, str) and inner in _BY_CODE:
        code = inner  # {"error": "invalid_token"}
    message = (
        _text(error.get("message"))
        or _text(inner if not isinstance(inner, dict) else None)
        or _text(fields.get("message"))
        or _detail(fields.get("detail"))
        or _describe(status, headers, body)
    )
    shown = _as_status(status, code, fields)
    cls = _BY_CODE.get(code or "") or _by_status(shown)
    if cls is APIError:
        cls = _BY_CODE.get(kind or "", APIError if status else ServerError)
    elif cls is ServerError and kind in _BY_CODE and _BY_CODE[kind].retryable:
        cls = _BY_CODE[kind]  # {"type": "overloaded_error"} with 500
    if cls is ServerError or (cls.retryable and shown in _FINAL):
        # The code says less than the status, or contradicts one that is final.
        cls = _BY_STATUS.get(shown or 0, cls)
    return cls(
        status,
        code or (kind if kind != "error" else None),
        message,
        trace_id=find_trace_id(fields, headers),
        retry_after=_retry_after(headers, now),
        should_retry=False if shown in _FINAL else _should_retry(headers, status, cls),
        body=body[:_KEPT],
    )


def find_trace_id(fields: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return what the service's support asks for: from the body, else from the headers."""
    inner = fields.get("error")
    places = (fields, cast("dict[str, Any]", inner) if isinstance(inner, dict) else {})
    for place in places:
        found = place.get("trace_id") or place.get("request_id")
        if isinstance(found, str):
            return found
    return next((headers[name] for name in _TRACE_HEADERS if headers.get(name)), None)


def _as_status(status: int | None, code: str | None, fields: Mapping[str, Any]) -> int | None:
    """Find the status that an error inside a 2xx tells in words: litellm's code is ``"429"``."""
    if status is not None and not 200 <= status < 300:  # noqa: PLR2004 - a range of statuses
        return status
    for told in (code, _text(fields.get("status"))):
        if told and told.isdecimal() and len(told) == 3:  # noqa: PLR2004 - as 429 has
            return int(told)
    return None


def _by_status(status: int | None) -> type[APIError]:
    if status is None or status < 400:  # noqa: PLR2004 - a range of statuses
        return APIError
    return _BY_STATUS.get(status) or (ServerError if status >= 500 else BadRequestError)  # noqa: PLR2004


def _should_retry(
    headers: Mapping[str, str], status: int | None, cls: type[APIError]
) -> bool | None:
    told = headers.get("x-should-retry")
    if told in {"true", "false"}:
        return told == "true"
    # Cloudflare's 409 and 425, and 408, are about this moment, not about this request.
    return True if status in _RETRYABLE_4XX and not cls.retryable else None


def _text(value: object) -> str | None:
    if value is None or value == "" or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode() if value else None
    except RecursionError:
        return None


def _detail(detail: object) -> str | None:
    """Read FastAPI's ``detail``: a text, or a list of what is wrong and where."""
    if not isinstance(detail, list):
        return _text(detail)
    problems: list[str] = []
    for problem in cast("list[Any]", detail):
        fields = cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
        place = fields.get("loc")
        where = ".".join(map(str, cast("list[Any]", place))) if isinstance(place, list) else ""
        problems.append(": ".join(filter(None, (where, _text(fields.get("msg") or fields)))))
    return "; ".join(problems) or None


def _describe(status: int | None, headers: Mapping[str, str], body: bytes) -> str:
    """Say in a line what an unreadable *body* is; gateways send pages of HTML."""
    text = body[:_KEPT].decode(errors="replace").strip()
    if "<html" in text[:_KEPT].lower() or "html" in headers.get("content-type", ""):
        title = _TITLE.search(text)
        server, ray = headers.get("server"), headers.get("cf-ray")
        source = f" from {server}" if server else ""
        source += f", ray {ray}" if ray else ""
        name = " ".join(title[1].split())[:_SHOWN] if title else ""
        return f"{name or _phrase(status)} (a page of HTML{source})"
    return " ".join(text[:_SHOWN].split()) or _phrase(status)


def _phrase(status: int | None) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return "the service gave no reason"


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    """Read the seconds to wait: milliseconds win, then seconds, then a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        told = headers.get(name)
        if told is None:
            continue
        try:
            seconds = float(told) / unit
        except ValueError:
            seconds = 0.0 if now is None else _seconds_until(told, now)
        if isfinite(seconds) and seconds > 0:
            return seconds
    return None


def _seconds_until(date: str, now: float) -> float:
    from calendar import timegm
    from email.utils import parsedate_to_datetime

    try:
        # asctime, the oldest form of a date of HTTP, names no zone and means UTC
        return timegm(parsedate_to_datetime(date).utctimetuple()) - now
    except (ValueError, OverflowError):
        return 0.0
