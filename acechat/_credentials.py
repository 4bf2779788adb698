"""The API token, and its removal from data, texts and exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from acechat._redaction.redactor import Redactor
from acechat.errors import AceChatError, ConfigurationError

__all__ = ["Token", "hide_arguments", "read_token", "redact_error", "strip_traceback"]

_TOKEN_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
"""In order of precedence."""

_MIN_SHOWN = 16
"""Characters. The repr of a token of at least this length shows its last four."""


class Token:
    """The API token. Masked in the repr; a pickle reads it from the environment when loaded."""

    __slots__ = ("_redactor", "_secret")

    def __init__(self, secret: str, others: Iterable[str] = ()) -> None:
        self._secret = secret
        self._redactor = Redactor((secret, *others))

    def extended(self, others: Iterable[str]) -> Token:
        """Return this token, redacting *others* as well: credentials in headers and URLs."""
        extended = Token(self._secret)
        extended._redactor = self._redactor.extended(others)
        return extended

    def reveal(self) -> str:
        """Return the token, for the ``Authorization`` header."""
        return self._secret

    def redact(self, data: bytes, *, truncated: bool = False) -> bytes:
        """Return *data* without the token, which some services echo in their errors.

        If it is *truncated*, a part of the token at its end is redacted, too.
        """
        return self._redactor.redact(data, truncated=truncated)

    def mask(self, data: bytes) -> bytes:
        """Return *data* with the token replaced by as many asterisks, so that offsets stay valid.

        Parts of the token at the start and the end of *data*, which may be a block of a longer
        body, are replaced, too.
        """
        return self._redactor.mask(data)

    def redact_text(self, text: str, *, truncated: bool = False) -> str:
        """Return *text* without the token; *truncated* as in `redact`."""
        return self._redactor.redact_text(text, truncated=truncated)

    def redact_headers(self, headers: dict[str, str]) -> dict[str, str]:
        """Return *headers* without the token in their values."""
        return self._redactor.redact_headers(headers)

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
    if isinstance(secret, str):
        secret = secret.strip()
        if secret.lower() == "bearer" or secret[:7].lower() == "bearer ":
            secret = secret[7:].strip()
    problem = _problem_of(secret)
    if problem is None and secret is not None:
        return Token(secret)
    given = secret = None  # some tools show the local variables of a traceback
    raise ConfigurationError(problem or "")


def _problem_of(secret: object) -> str | None:
    """Return why *secret* cannot be a token; None if it can."""
    if secret is None:
        return (
            "no API token: pass api_token= or set ACEDATACLOUD_API_TOKEN "
            "(get one at https://platform.acedata.cloud)"
        )
    if not isinstance(secret, str):
        return f"the API token must be a str, not {type(secret).__name__}"
    if not secret:
        return "the API token is empty: pass api_token= or set ACEDATACLOUD_API_TOKEN"
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        return (
            "the API token contains invalid characters (white space, control characters or "
            "non-ASCII letters): copy it again"
        )
    if secret.startswith("platform-"):
        return (
            "the API token is a platform token, which manages the account at "
            "platform.acedata.cloud: copy an application's token from the API's page there"
        )
    return None


_Error = TypeVar("_Error", bound=BaseException)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def strip_traceback(error: _Error) -> _Error:
    """Remove the traceback and the context of *error*, and return it.

    Their frames refer to data of the service, which may echo the token, and some tools log all
    local variables.
    """
    error.__context__ = None
    return error.with_traceback(None)


def hide_arguments(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function with secret arguments: no frame of its exceptions refers to them.

    ``pytest -l`` and some crash reporters show the local variables of all frames.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - raised below
            failure = strip_traceback(error)
        del args, kwargs
        raise failure

    return call


def redact_error(error: AceChatError, token: Token) -> None:
    """Remove the token from the attributes of *error*, which may echo it.

    Its texts and its body may be truncated in the middle of the token.
    """
    facts = error.__dict__
    for name in ("reason", "message", "code", "trace_id"):
        if isinstance(text := facts.get(name), str):
            facts[name] = token.redact_text(text, truncated=True)
    if isinstance(body := facts.get("body"), bytes):
        facts["body"] = token.redact(body, truncated=True)
    error.args = tuple(
        token.redact_text(arg, truncated=True) if isinstance(arg, str) else arg
        for arg in error.args
    )
