"""Error responses of the service; see docs/api.md#error-codes."""

from __future__ import annotations

import re

from acechat.errors._base import AceChatError

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AuthenticationError",
    "BadRequestError",
    "ContentModerationError",
    "ContextWindowExceededError",
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

_DIGITS = r"\d[\d,]{0,11}"
_COMPARED = re.compile(
    rf"({_DIGITS}(?: tokens)?(?:\s*\+\s*{_DIGITS})?)(?: tokens)?\s*>\s*({_DIGITS})"
)
"""Anthropic: "210000 tokens > 200000 maximum", "context limit: 190000 + 20000 > 200000"."""

_LIMIT = re.compile(rf"(?:context length is|number of tokens allowed \(?) ?({_DIGITS})")
_USED = re.compile(rf"(?:requested|resulted in|token count \() ?(?:about )?({_DIGITS})")
"""OpenAI and Gemini."""

_CONTEXT_EXCEEDED = re.compile(
    r"prompt is too long|input is too long|exceeds? (?:the )?(?:model's )?(?:maximum )?context"
    r"|maximum context length|context window|exceeds the maximum number of tokens allowed",
    re.IGNORECASE,
)
"""Messages of Anthropic, Bedrock, OpenAI and Gemini, which have no code of their own for it."""


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


class ContextWindowExceededError(BadRequestError):
    """The messages, with *max_tokens*, have more tokens than the model's context window."""

    @property
    def tokens(self) -> int | None:
        """Tokens of the request; None if the message does not contain them."""
        return self._numbers()[0]

    @property
    def limit(self) -> int | None:
        """Tokens of the context window; None if the message does not contain them."""
        return self._numbers()[1]

    def _numbers(self) -> tuple[int | None, int | None]:
        compared = _COMPARED.search(self.message)
        if compared:
            return sum(map(_number, compared[1].split("+"))), _number(compared[2])
        limit, used = _LIMIT.search(self.message), _USED.search(self.message)
        return used and _number(used[1]), limit and _number(limit[1])


def is_context_exceeded(code: str | None, message: str) -> bool:
    """Return True for the code or the message of `ContextWindowExceededError`."""
    return code == "context_length_exceeded" or _CONTEXT_EXCEEDED.search(message) is not None


def _number(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))


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
