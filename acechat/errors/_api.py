"""Error responses of the service; see docs/api.md#error-codes."""

from __future__ import annotations

from acechat.errors._base import AceChatError

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AuthenticationError",
    "BadRequestError",
    "ContentModerationError",
    "GatewayTimeoutError",
    "InsufficientBalanceError",
    "NotFoundError",
    "OverloadedError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTooLargeError",
    "ServerError",
    "TokenMismatchError",
]

_FINAL = (401, 403)
"""Statuses of a token that is not accepted: the same request cannot succeed later."""


class APIError(AceChatError):
    """The service returned an error.

    Args:
        status: HTTP status. None for an error inside a stream that began with status 200.
        code: The service's error code, such as ``"invalid_token"``; None if not reported.
        message: The service's error message.
        trace_id: The service's id of the request, for its support; None if not reported.
        retry_after: Seconds to wait, as requested by the service; None if not reported.
        should_retry: Value of the service's ``x-should-retry`` header; it decides `retryable`,
            except that a 401 or 403 is never retryable. None if not sent.
        body: The first 64 KiB of the response body.
    """

    retryable: bool = False

    def __init__(
        self,
        status: int | None,
        code: str | None,
        message: str,
        *,
        trace_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.body = body
        if status in _FINAL:
            self.retryable = False
        elif should_retry is not None:
            self.retryable = should_retry

    def __str__(self) -> str:
        name = " ".join(part for part in (self.status and f"HTTP {self.status}", self.code) if part)
        text = f"{name}: {self.message}" if name else self.message
        return f"{text} (trace {self.trace_id})" if self.trace_id else text


class BadRequestError(APIError):
    """The request is malformed or not supported (400, 422 and other 4xx)."""


class APINotImplementedError(BadRequestError):
    """The service does not implement this function (``api_not_implemented``)."""


class RequestTooLargeError(BadRequestError):
    """The request body is too large (413)."""


class AuthenticationError(APIError):
    """The token is missing, wrong or expired (401)."""


class TokenMismatchError(APIError):
    """The token belongs to another of AceData's services (``token_mismatched``)."""


class PermissionDeniedError(APIError):
    """The token has no permission for this request (403)."""


class InsufficientBalanceError(PermissionDeniedError):
    """The balance or quota is used up (``used_up``); top up at https://platform.acedata.cloud."""


class AccountDisabledError(PermissionDeniedError):
    """The application has been disabled (``disabled``)."""


class ContentModerationError(PermissionDeniedError):
    """The service's moderation rejected the content (``forbidden``)."""


class PaymentRequiredError(APIError):
    """The service requires a payment for this call (402); *body* holds its offer."""


class NotFoundError(APIError):
    """The path or the model does not exist (404)."""


class RateLimitError(APIError):
    """Too many requests (429); *retry_after* is the wait in seconds, if the service sends one."""

    retryable: bool = True


class ServerError(APIError):
    """The service failed (5xx)."""

    retryable: bool = True


class OverloadedError(ServerError):
    """The service or the model behind it is overloaded (503, 529, ``busy``).

    `RateLimit` and *fallback_models* treat a `ServerError` with the code ``api_error`` alike.
    """


class GatewayTimeoutError(ServerError):
    """The service waited too long for the model (504, 524, ``timeout``); it may be billed."""
