"""The API token, and its removal from data, texts and exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from acechat.errors import AceChatError, ConfigurationError

__all__ = ["Token", "read_token", "redact_error", "strip_traceback"]

_TOKEN_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
"""In order of precedence."""

_MIN_REDACTED = 8
"""Characters. A shorter token, such as ``test``, may occur in any text, so it is not redacted."""

_MIN_SHOWN = 16
"""Characters. The repr of a token of at least this length shows its last four."""

_MIN_PART = 4
"""Characters. A shorter prefix or suffix of the token is not masked at the edges of data."""


class Token:
    """The API token. Masked in the repr; a pickle reads it from the environment when loaded."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """Return the token, for the ``Authorization`` header."""
        return self._secret

    def redact(self, data: bytes) -> bytes:
        """Return *data* without the token, which some services echo in their errors."""
        if len(self._secret) < _MIN_REDACTED:
            return data
        return data.replace(self._secret.encode(), b"***")

    def mask(self, data: bytes) -> bytes:
        """Return *data* with the token replaced by as many asterisks, so that offsets stay valid.

        Parts of the token at the start and the end of *data*, which may be a block of a longer
        body, are replaced, too.
        """
        secret = self._secret.encode()
        size = len(secret)
        if size < _MIN_REDACTED:
            return data
        data = data.replace(secret, b"*" * size)
        for part in range(size - 1, _MIN_PART - 1, -1):
            if data.endswith(secret[:part]):
                data = data[:-part] + b"*" * part
            if data.startswith(secret[-part:]):
                data = b"*" * part + data[part:]
        return data

    def redact_text(self, text: str) -> str:
        """Return *text* without the token."""
        return text.replace(self._secret, "***") if len(self._secret) >= _MIN_REDACTED else text

    def __repr__(self) -> str:
        return f"***{self._secret[-4:]}" if len(self._secret) >= _MIN_SHOWN else "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __deepcopy__(self, memo: object) -> Token:
        return self

    def __copy__(self) -> Token:
        return self

    def __reduce__(self) -> tuple[Callable[[None], Token], tuple[None]]:
        return read_token, (None,)


def read_token(given: str | None) -> Token:
    """Return the validated token.

    Args:
        given: The token; white space around it and a ``Bearer`` prefix are removed. None: the first
            environment variable that is set of ``ACEDATACLOUD_API_TOKEN``,
            ``ACEDATACLOUD_API_KEY`` and ``ACEDATA_API_KEY``.

    Raises:
        ConfigurationError: There is no token, or it is invalid. The message does not contain it.
    """
    secret = given
    if secret is None:
        secret = next((os.environ[name] for name in _TOKEN_VARIABLES if os.environ.get(name)), None)
    if secret is None:
        raise ConfigurationError(
            "no API token: pass api_token= or set ACEDATACLOUD_API_TOKEN "
            "(get one at https://platform.acedata.cloud)"
        )
    if not isinstance(secret, str):
        raise ConfigurationError(f"the API token must be a str, not {type(secret).__name__}")
    secret = secret.strip()
    if secret.lower() == "bearer" or secret[:7].lower() == "bearer ":
        secret = secret[7:].strip()
    if not secret:
        raise ConfigurationError(
            "the API token is empty: pass api_token= or set ACEDATACLOUD_API_TOKEN"
        )
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigurationError(
            "the API token contains invalid characters (white space, control characters or "
            "non-ASCII letters): copy it again"
        )
    if secret.startswith("platform-"):
        raise ConfigurationError(
            "the API token is a platform token, which manages the account at "
            "platform.acedata.cloud: copy an application's token from the API's page there"
        )
    return Token(secret)


_Error = TypeVar("_Error", bound=AceChatError)


def strip_traceback(error: _Error) -> _Error:
    """Remove the traceback and the context of *error*, and return it.

    Their frames refer to data of the service, which may echo the token, and some tools log all
    local variables.
    """
    error.__context__ = None
    return error.with_traceback(None)


def redact_error(error: AceChatError, token: Token) -> None:
    """Remove the token from the attributes of *error*, which may echo it."""
    facts = error.__dict__
    for name in ("reason", "message", "code", "trace_id"):
        if isinstance(text := facts.get(name), str):
            facts[name] = token.redact_text(text)
    if isinstance(body := facts.get("body"), bytes):
        facts["body"] = token.redact(body)
    error.args = tuple(
        token.redact_text(arg) if isinstance(arg, str) else arg for arg in error.args
    )
