"""What a failure is to a person: one line that says what happened and what to do next."""

from __future__ import annotations

import errno

import click

from acechat import (
    AccountDisabledError,
    AceChatError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ContentModerationError,
    InsufficientBalanceError,
    NotFoundError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    RequestTooLargeError,
    ServerError,
    StreamTruncatedError,
    TokenMismatchError,
    TransportError,
)
from acechat.cli.terminal.text import one_line

__all__ = ["INTERRUPTED", "PLATFORM", "REFUSED", "WRONG", "advice", "explain", "explain_usage"]

REFUSED, WRONG, INTERRUPTED = 1, 2, 130
"""Exit codes: the service or the network said no; wrong usage; Ctrl-C."""

PLATFORM = "https://platform.acedata.cloud"

_NEXT: list[tuple[type[AceChatError], str]] = [  # the first that fits
    (AuthenticationError, f"copy a token from {PLATFORM}, then: acechat config set token"),
    (TokenMismatchError, f"copy the token of Claude Chat Completion from {PLATFORM}"),
    (InsufficientBalanceError, f"top up at {PLATFORM}"),
    (PaymentRequiredError, f"top up at {PLATFORM}, or check the token: acechat doctor"),
    (AccountDisabledError, f"write to the support at {PLATFORM}, with the trace"),
    (ContentModerationError, "say it in other words"),
    (NotFoundError, "acechat models lists the models; acechat config shows the base URL"),
    (RequestTooLargeError, "send less, or smaller images"),
    (BadRequestError, "correct what it names, or leave it out: acechat chat --help"),
    (RateLimitError, "wait a little, then ask again"),
    (ServerError, "ask again in a minute"),
    (StreamTruncatedError, "ask again; what arrived is not the whole answer"),
    (ConnectError, "acechat doctor"),
    (RequestTimeoutError, "ask again; acechat doctor looks at the network"),
    (ProtocolError, "check the base URL: acechat config"),
    (TransportError, "acechat doctor"),
]


def explain(error: Exception) -> str:
    """Return what to print about *error*: one safe line, with code, trace id and what to do."""
    said = one_line(_said(error)) or type(error).__name__
    trace_id = getattr(error, "trace_id", None)
    if trace_id and not isinstance(error, APIError):  # an APIError shows its own
        said += f" (trace {one_line(trace_id)})"
    step = advice(error)
    return (
        f"acechat: {said}{'' if said[-1] in '.!?' else '.'} Next: {step}"
        if step
        else f"acechat: {said}"
    )


def explain_usage(error: click.ClickException) -> str:
    """Return what to print about words that make no command: one line, too."""
    said = one_line(error.format_message()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    step = f" Next: {context.command_path} --help" if context else ""
    return f"acechat: {said}{'' if said[-1:] in {'?', '!'} else '.'}{step}"


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def advice(error: Exception) -> str | None:
    """Return what to do next; None where the error says it itself."""
    if isinstance(error, RateLimitError) and error.retry_after:
        return f"wait {error.retry_after:g} s, then ask again"
    if isinstance(error, RequestTimeoutError) and error.phase == "total":
        return "give it more time: --timeout SECONDS"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "take another one: --port PORT"
    return next((step for kind, step in _NEXT if isinstance(error, kind)), None)
