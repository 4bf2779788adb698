"""What must not stay in an error: the token, and the frames that hold what the service sent."""

from __future__ import annotations

from typing import TypeVar

from acechat._environment import Token
from acechat.errors import AceChatError

__all__ = ["bare", "redact"]

_Error = TypeVar("_Error", bound=AceChatError)


def bare(error: _Error) -> _Error:
    """Take from *error* the frames that it came through, and the errors before it.

    They hold what the service sent, which may echo the token; some people print every local.
    """
    error.__context__ = None
    return error.with_traceback(None)


def redact(error: AceChatError, token: Token) -> None:
    """Take the token out of what the service echoed into *error*."""
    facts = error.__dict__
    for name in ("reason", "message", "code", "trace_id"):
        if isinstance(told := facts.get(name), str):
            facts[name] = token.redact_text(told)
    if isinstance(body := facts.get("body"), bytes):
        facts["body"] = token.redact(body)
    error.args = tuple(
        token.redact_text(told) if isinstance(told, str) else told for told in error.args
    )
