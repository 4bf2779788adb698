"""Convert error responses to exceptions. Never raises, for any body.

Shapes: docs/api.md#error-bodies; codes: docs/api.md#error-codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

from acechat._wire.error_body import (
    decode_error_body,
    describe,
    detail_of,
    find_errors,
    repeats_status,
    text_of,
)
from acechat._wire.odd_json import is_empty_error, unwrap
from acechat.errors import (
    AccountDisabledError,
    APIError,
    APINotImplementedError,
    AuthenticationError,
    BadRequestError,
    ContentModerationError,
    ContextWindowExceededError,
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
from acechat.errors._api import is_context_exceeded

__all__ = ["error_from_value", "find_trace_id", "is_error", "parse_error"]

_MAX_BODY = 64 * 1024
"""Maximum number of bytes of the body that an error keeps."""

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
"""Statuses that are never retried, for any code and headers."""

_RETRYABLE_4XX = {408, 409, 425}
_TRACE_HEADERS = ("x-trace-id", "trace-id", "x-request-id", "x-oneapi-request-id")
_OTHER_REASONS = (AuthenticationError, PermissionDeniedError, RateLimitError, NotFoundError)


def parse_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> APIError:
    """Convert a response whose status is not 2xx.

    Args:
        status: HTTP status, 300 to 999.
        headers: Of the response, names in lower case.
        body: The body, or its beginning.
        now: Current time in seconds since 1970, for a date in ``Retry-After``.

    Returns:
        An error whose class follows from a known code, else from the status. The status decides if
        the code only means failure (``api_error`` with 429 or 529), and if it is 401 or 403 and the
        code would be retried. A body that is not JSON gives a short description as the message.
    """
    value = decode_error_body(body)
    error = error_from_value(value, headers, status=status, body=body, now=now)
    if 300 <= status < 400:  # noqa: PLR2004 - a range of statuses
        target = headers.get("location", "an unknown location")
        error.code = error.code or "redirect"
        error.message = f"redirect to {target}, which acechat does not follow: check base_url"
        error.reason, error.args = error.message, (error.message,)
    return error


def is_error(value: object) -> bool:
    """Return True if JSON with status 2xx, or of a stream event, is an error."""
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, Any]", value)
    error = fields.get("error")
    return (
        (bool(error) and not (fields.get("choices") and is_empty_error(error)))
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
    """Convert decoded JSON to an error.

    Args:
        value: The decoded body; None if it is not JSON.
        headers: Of the response, names in lower case.
        status: HTTP status; None within a stream.
        body: The bytes of the body.
        now: Current time in seconds since 1970; None if unknown: a date in ``Retry-After`` is then
            ignored.
    """
    nodes = find_errors(value)
    fields = nodes[0]
    inner = unwrap(fields.get("error"))
    codes = [text_of(node.get("code")) for node in (*nodes[1:], fields)]
    code = next((code for code in codes if code and not repeats_status(code, status)), None)
    if code is None and isinstance(inner, str) and inner in _BY_CODE:
        code = inner  # {"error": "invalid_token"}
    kinds = [text_of(node.get("type")) for node in nodes[1:] or nodes]
    kind = next((kind for kind in kinds if kind and not repeats_status(kind, status)), None)
    message = (
        next(filter(None, (text_of(node.get("message")) for node in reversed(nodes))), None)
        or text_of(inner if not isinstance(inner, dict) else None)
        or detail_of(nodes[-1].get("detail"))
        or detail_of(fields.get("detail"))
        or describe(status, headers, body[:_MAX_BODY])
    )
    shown = _as_status(status, code, fields)
    cls = _BY_CODE.get(code or "") or _by_status(shown)
    if cls is APIError:
        cls = _BY_CODE.get(kind or "", APIError if status else ServerError)
    elif cls is ServerError and kind in _BY_CODE and _BY_CODE[kind].retryable:
        cls = _BY_CODE[kind]  # {"type": "overloaded_error"} with 500
    if cls is ServerError or (cls.retryable and shown in _FINAL):
        # The code is less specific than the status, or contradicts a final one.
        cls = _BY_STATUS.get(shown or 0, cls)
    if not issubclass(cls, _OTHER_REASONS) and is_context_exceeded(code, message):
        cls = ContextWindowExceededError
    return cls(
        status,
        code or (kind if kind != "error" else None),
        message,
        trace_id=next((trace for node in nodes if (trace := find_trace_id(node, {}))), None)
        or find_trace_id({}, headers),
        retry_after=_retry_after(headers, now),
        should_retry=False if shown in _FINAL else _should_retry(headers, status, cls),
        body=body[:_MAX_BODY],
    )


def find_trace_id(fields: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the trace id of the body, else of the headers; None if not reported."""
    inner = fields.get("error")
    sources = (fields, cast("dict[str, Any]", inner) if isinstance(inner, dict) else {})
    for source in sources:
        found = source.get("trace_id") or source.get("request_id")
        if isinstance(found, str):
            return found
    return next((headers[name] for name in _TRACE_HEADERS if headers.get(name)), None)


def _as_status(status: int | None, code: str | None, fields: Mapping[str, Any]) -> int | None:
    """Return *status*, or that in an error with status 2xx: litellm's code is ``"429"``."""
    if status is not None and not 200 <= status < 300:  # noqa: PLR2004 - a range of statuses
        return status
    for text in (code, text_of(fields.get("status"))):
        if text and text.isdecimal() and len(text) == 3:  # noqa: PLR2004 - as 429 has
            return int(text)
    return None


def _by_status(status: int | None) -> type[APIError]:
    if status is None or status < 400:  # noqa: PLR2004 - a range of statuses
        return APIError
    return _BY_STATUS.get(status) or (ServerError if status >= 500 else BadRequestError)  # noqa: PLR2004


def _should_retry(
    headers: Mapping[str, str], status: int | None, cls: type[APIError]
) -> bool | None:
    advice = headers.get("x-should-retry")
    if advice in {"true", "false"}:
        return advice == "true"
    # 408, and Cloudflare's 409 and 425, are temporary: the request itself is valid.
    return True if status in _RETRYABLE_4XX and not cls.retryable else None


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return the seconds to wait: from milliseconds, else seconds, else a date; None if invalid."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            seconds = 0.0 if now is None else _seconds_until(value, now)
        if isfinite(seconds) and seconds > 0:
            return seconds
    return None


def _seconds_until(date: str, now: float) -> float:
    from calendar import timegm
    from email.utils import parsedate_to_datetime

    try:
        # the obsolete asctime format of HTTP has no time zone: it is UTC
        return timegm(parsedate_to_datetime(date).utctimetuple()) - now
    except (ValueError, OverflowError):
        return 0.0
