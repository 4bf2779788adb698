"""The API token, and removal of it from data, texts and exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from acechat.errors import AceChatError, ConfigurationError

__all__ = ["Token", "read_token", "redact_error", "strip_traceback"]

_TOKEN_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")


_SECRET = 8
"""Characters from which on a token is one, and not a word that any text may hold."""


_MASKABLE = 16
"""Characters from which on the last four of a token say nothing about the rest."""


_PART = 4
"""Characters of a token that are taken for a part of it where something was cut."""


class Token:
    """A credential that shows itself to nobody: not in a repr, not in a pickle."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """Return the credential, to be put on the wire."""
        return self._secret

    def redact(self, data: bytes) -> bytes:
        """Return *data* without the credential, which some services echo in their errors."""
        if len(self._secret) < _SECRET:
            return data
        return data.replace(self._secret.encode(), b"***")

    def mask(self, data: bytes) -> bytes:
        """Return *data* with as many asterisks in the place of the credential.

        So everything stays where it is. Half a token is a secret, too: a part of it at the
        beginning or the end of *data*, which may have been cut there, is masked as well.
        """
        secret = self._secret.encode()
        size = len(secret)
        if size < _SECRET:
            return data
        data = data.replace(secret, b"*" * size)
        for part in range(size - 1, _PART - 1, -1):
            if data.endswith(secret[:part]):
                data = data[:-part] + b"*" * part
            if data.startswith(secret[-part:]):
                data = b"*" * part + data[part:]
        return data

    def redact_text(self, text: str) -> str:
        """Return *text* without the credential."""
        return text.replace(self._secret, "***") if len(self._secret) >= _SECRET else text

    def __repr__(self) -> str:
        return f"***{self._secret[-4:]}" if len(self._secret) >= _MASKABLE else "***"

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
    """Clean and check the token that was *given*; for None, the one of the environment.

    Raises:
        ConfigurationError: There is none, or it cannot be one.
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
            "the API token holds characters that no token has (white space, control characters "
            "or letters outside of ASCII): copy it again"
        )
    if secret.startswith("platform-"):
        raise ConfigurationError(
            "this is a platform token, which manages the account at platform.acedata.cloud; "
            "the API wants the token of an application: copy it from the API's page there"
        )
    return Token(secret)


_Error = TypeVar("_Error", bound=AceChatError)


def strip_traceback(error: _Error) -> _Error:
    """Take from *error* the frames that it came through, and the errors before it.

    They hold what the service sent, which may echo the token; some people print every local.
    """
    error.__context__ = None
    return error.with_traceback(None)


def redact_error(error: AceChatError, token: Token) -> None:
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
