"""Error messages: one line with the failure and the next step."""

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

__all__ = [
    "INTERRUPTED",
    "PLATFORM",
    "REFUSED",
    "TRUNCATED",
    "WRONG",
    "advice",
    "explain",
    "explain_usage",
]

REFUSED, WRONG, TRUNCATED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: a failed call; wrong usage or configuration; a response that ended at its token
limit; Ctrl-C."""

PLATFORM = "https://platform.acedata.cloud"

_NEXT_STEPS: list[tuple[type[AceChatError], str]] = [  # the first match counts
    (AuthenticationError, f"copy a token from {PLATFORM}, then: acechat config set token"),
    (TokenMismatchError, f"copy the token of Claude Chat Completion from {PLATFORM}"),
    (InsufficientBalanceError, f"top up at {PLATFORM}"),
    (PaymentRequiredError, f"top up at {PLATFORM}, or check the token: acechat doctor"),
    (AccountDisabledError, f"contact support at {PLATFORM} with the trace id"),
    (ContentModerationError, "rephrase the prompt"),
    (NotFoundError, "acechat models lists the models; acechat config shows the base URL"),
    (RequestTooLargeError, "send less text or smaller images"),
    (BadRequestError, "correct or remove the named option: acechat chat --help"),
    (RateLimitError, "wait a few seconds, then try again"),
    (ServerError, "try again in a minute"),
    (StreamTruncatedError, "try again; the response is incomplete"),
    (ConnectError, "acechat doctor"),
    (RequestTimeoutError, "try again; acechat doctor checks the network"),
    (ProtocolError, "check the base URL: acechat config"),
    (TransportError, "acechat doctor"),
]


def explain(error: Exception) -> str:
    """Return one printable line: message, code, trace id and next step."""
    message = one_line(_message(error)) or type(error).__name__
    trace_id = getattr(error, "trace_id", None)
    if trace_id and not isinstance(error, APIError):  # str() of an APIError includes it
        message += f" (trace {one_line(trace_id)})"
    attempts = len(getattr(error, "attempts", ()))
    if attempts > 1:
        message = f"{message.rstrip('.')} ({attempts} attempts)"
    step = advice(error)
    return (
        f"acechat: {message}{'' if message[-1] in '.!?' else '.'} Next: {step}"
        if step
        else f"acechat: {message}"
    )


def explain_usage(error: click.ClickException) -> str:
    """Return one line to print for wrong usage: message and the command whose help to read."""
    message = one_line(error.format_message()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if " Next: " in message:
        return f"acechat: {message}"
    step = f" Next: {context.command_path} --help" if context else ""
    if isinstance(error, click.NoSuchOption) and context and context.info_name == "chat":
        step += "; a prompt that begins with a dash goes after --"
    return f"acechat: {message}{'' if message[-1:] in {'?', '!'} else '.'}{step}"


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def advice(error: Exception) -> str | None:
    """Return the next step; None if there is none, or the message contains it."""
    if isinstance(error, RateLimitError) and error.retry_after:
        return f"wait {error.retry_after:g} s, then try again"
    if isinstance(error, RequestTimeoutError) and error.phase == "total":
        return "set a longer limit: --timeout SECONDS"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "choose another port: --port PORT"
    return next((step for kind, step in _NEXT_STEPS if isinstance(error, kind)), None)
