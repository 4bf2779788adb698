"""Notices about retries, while they happen."""

from __future__ import annotations

import sys

from acechat import AttemptFailed, CallEvent, RetryPolicy
from acechat.cli.terminal.text import draws
from acechat.cli.terminal.writer import note

__all__ = ["announce_retry"]

_REASONS = {
    408: "the service timed out",
    409: "conflict",
    429: "too many requests",
    529: "overloaded",
    503: "busy",
}
_FAILURES = {
    "ConnectError": "no connection",
    "ProtocolError": "the response is malformed",
    "RequestTimeoutError": "no response in time",
    "StreamTruncatedError": "the response was truncated",
}


def announce_retry(event: CallEvent) -> None:
    """Print the reason of a failed attempt, and the number and time of the next one."""
    if not isinstance(event, AttemptFailed) or event.retry_in is None:
        return
    if not event.retry_in:
        return  # at once, because a kept connection had been closed
    if draws(sys.stderr):
        sys.stderr.write("\r\x1b[K")  # the counter of seconds
    seconds = f"{event.retry_in:.0f}" if event.retry_in >= 1 else f"{event.retry_in:.1f}"
    attempts = RetryPolicy().max_attempts  # the commands use the default policy
    note(f"{_reason(event)}: attempt {event.attempt + 1} of {attempts}, in {seconds} s")


def _reason(event: AttemptFailed) -> str:
    if event.status is None:
        return _FAILURES.get(event.error, "the connection failed")
    words = _REASONS.get(event.status, "the service failed")
    code = f", {event.code}" if event.code and event.code != "api_error" else ""
    return f"{words} (HTTP {event.status}{code})"
