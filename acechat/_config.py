"""What a client is told once: where, as whom, how long, how often."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import isfinite

import msgspec
from msgspec import Struct

from acechat.errors import ConfigurationError

__all__ = [
    "DEFAULT_MODEL",
    "Config",
    "RetryPolicy",
    "Timeout",
    "Token",
    "as_retries",
    "as_timeout",
    "check_headers",
    "read_api_root",
    "read_token",
]

DEFAULT_MODEL = "claude-sonnet-4-20250514"
_DEFAULT_BASE_URL = "https://api.acedata.cloud"
_TOKEN_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
_BASE_URL_VARIABLE = "ACEDATACLOUD_API_BASE_URL"
_OWN_HEADERS = {"authorization", "content-length", "host", "transfer-encoding", "connection"}
_SECRET = 8
"""Characters from which on a token is one, and not a word that any text may hold."""

_MASKABLE = 16
"""Characters from which on the last four of a token say nothing about the rest."""


def _is_positive(number: object) -> bool:
    return (
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and isfinite(number)
        and number > 0
    )


class Timeout(Struct, frozen=True):
    """Limits of one call, in seconds; None means no limit.

    Raises:
        ConfigurationError: A limit is not a positive number.
    """

    total: float | None = None
    """All attempts, the waiting between them, and the reading of the answer. None, because
    128,000 tokens take half an hour."""

    connect: float | None = 10.0
    """Looking up the host, connecting, TLS. Waiting for *max_concurrency* does not count."""

    first_token: float | None = 600.0
    """From sending to the first content of a stream, or the first byte of a whole answer."""

    idle: float | None = 120.0
    """Between two pieces of content of a stream (heartbeats are none), or two reads of a whole
    answer."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and not _is_positive(limit):
                raise ConfigurationError(
                    f"Timeout.{name} must be a positive number of seconds or None, not {limit!r}"
                )

    def with_total(self, seconds: float) -> Timeout:
        """Return a copy with another *total*."""
        return msgspec.structs.replace(self, total=seconds)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a failed call is sent again.

    Retried: what was never sent, what the service refused for now (408, 409, 429, 5xx, or an error
    of that kind before any content of a stream), and connections that broke before any content.
    Not retried: what was answered, delivered in part or timed out, because the service may have
    charged for it. There is no idempotency key (contract, 3.3), so a connection that broke may
    have been charged too; *max_attempts* = 1 sends once, whatever happens. (A kept connection that
    turns out to be dead, within a second and before any byte of an answer, is replaced by a fresh
    one without counting as an attempt.)

    The wait before attempt *k* + 1 is random between 0 and min(*max_delay*, *base_delay* × 2^(*k*
    − 1)) seconds. A ``Retry-After`` of up to 120 s is obeyed instead.

    Raises:
        ConfigurationError: A number is out of range.
    """

    max_attempts: int = 3
    """The first attempt counts, so 1 means no retries."""

    base_delay: float = 0.5
    """Seconds."""

    max_delay: float = 8.0
    """Seconds."""

    retry_timeouts: bool = False
    """Whether to send again what timed out, though the first may still be worked on and billed."""

    def __post_init__(self) -> None:
        attempts: object = self.max_attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ConfigurationError(
                f"max_attempts must be a whole number of 1 or more, not {attempts!r}; "
                "it counts the first attempt"
            )
        for name in ("base_delay", "max_delay"):
            delay = getattr(self, name)
            if delay != 0 and not _is_positive(delay):
                raise ConfigurationError(f"{name} must be 0 or more seconds, not {delay!r}")


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


class Config(Struct, frozen=True, kw_only=True):
    """The settings of one client, checked. A value: it compares, and pickles without its token."""

    token: Token
    api_root: str
    """Where the paths begin, ``https://api.acedata.cloud/v1`` for example."""

    model: str = DEFAULT_MODEL
    timeout: Timeout = Timeout()
    retries: RetryPolicy = RetryPolicy()
    headers: dict[str, str] = {}
    proxy: str | None = None
    max_concurrency: int | None = None
    max_event_bytes: int = 16 * 2**20
    max_response_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if not self.model:
            raise ConfigurationError("model is empty")
        for name in ("max_concurrency", "max_event_bytes", "max_response_bytes"):
            limit = getattr(self, name)
            unlimited = limit is None and name == "max_concurrency"
            if not unlimited and (type(limit) is not int or limit < 1):
                raise ConfigurationError(
                    f"{name} must be a whole number of 1 or more, not {limit!r}"
                )

    def __repr__(self) -> str:
        return f"Config({self.api_root}, model={self.model!r}, token={self.token!r})"


def as_timeout(timeout: Timeout | float | None, default: Timeout) -> Timeout:
    """Read a *timeout* argument: a number is the total, None the *default*."""
    if timeout is None:
        return default
    if isinstance(timeout, Timeout):
        return timeout
    return default.with_total(timeout)


def as_retries(retries: RetryPolicy | int | None, default: RetryPolicy) -> RetryPolicy:
    """Read a *retries* argument: a number is *max_attempts*, None the *default*."""
    if retries is None:
        return default
    if isinstance(retries, RetryPolicy):
        return retries
    return msgspec.structs.replace(default, max_attempts=retries)


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


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that could change the request's frame or show the token.

    Raises:
        ConfigurationError: A name or value is not allowed.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a dict, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"{name!r} is no name for a header")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"acechat sets the header {name!r} itself (see api_token=)")
        if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"{name!r} is no name for a header")
        if not isinstance(value, str) or any(mark in value for mark in "\r\n\0"):
            raise ConfigurationError(
                f"the value of the header {name!r} must be a str without line breaks"
            )
