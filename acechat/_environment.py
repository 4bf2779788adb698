"""Who asks, and whom: the token and the service's address, as given or from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable

from acechat.errors import ConfigurationError

__all__ = ["Token", "read_api_root", "read_token"]

_DEFAULT_BASE_URL = "https://api.acedata.cloud"
_TOKEN_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
_BASE_URL_VARIABLE = "ACEDATACLOUD_API_BASE_URL"

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


def read_api_root(given: str | None) -> str:
    """Return where the API's paths begin, for the base URL that was *given* or the environment's.

    An origin gets ``/v1``; anything longer is used as it is.

    Raises:
        ConfigurationError: It is no such URL.
    """
    from urllib.parse import urlsplit

    url = given or os.environ.get(_BASE_URL_VARIABLE) or _DEFAULT_BASE_URL
    if not isinstance(url, str):
        raise ConfigurationError(f"the base URL must be a str, not {type(url).__name__}")
    url = url.strip()
    where = f"the base URL {url!r}"
    if not url.isprintable() or " " in url:
        raise ConfigurationError(f"{where} holds white space or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{where} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"{where} must begin with https:// (or http://) and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "the base URL must hold no user name, '?' or '#': the token goes into api_token="
        )
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        raise ConfigurationError(
            f"{where} must end before /chat/completions, which acechat adds itself"
        )
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"
