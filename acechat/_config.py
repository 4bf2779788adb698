"""What a client is told once: how long, how often, how much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

from acechat._environment import Token
from acechat._limits import Budget, RateLimit
from acechat.errors import ConfigurationError

__all__ = [
    "DEFAULT_MODEL",
    "Config",
    "RetryPolicy",
    "Riding",
    "Timeout",
    "as_models",
    "as_retries",
    "as_timeout",
    "check_headers",
]

Riding: TypeAlias = Literal["auto", "stream", "plain"]
"""How the answer of a `chat` travels: as a stream, at once, or as fits the request."""

DEFAULT_MODEL = "claude-sonnet-4-20250514"
_OWN_HEADERS = {"authorization", "content-length", "host", "transfer-encoding", "connection"}
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_LEAST_RECORD = 1024
"""Bytes in which a request and an answer can be told apart."""


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


class Config(Struct, frozen=True, kw_only=True):
    """The settings of one client, checked. A value: it compares, and pickles without its token."""

    token: Token
    api_root: str
    """Where the paths begin, ``https://api.acedata.cloud/v1`` for example."""

    model: str = DEFAULT_MODEL
    fallback_models: tuple[str, ...] = ()
    transport: Riding = "auto"
    timeout: Timeout = Timeout()
    retries: RetryPolicy = RetryPolicy()
    headers: dict[str, str] = {}
    proxy: str | None = None
    max_concurrency: int | None = None
    budget: Budget | None = None
    rate_limit: RateLimit | None = None
    max_event_bytes: int = 16 * 2**20
    max_response_bytes: int = 64 * 2**20
    record_bytes: int = 256 * 2**10

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if not self.model or not all(self.fallback_models):
            raise ConfigurationError("model is empty")
        if self.transport not in get_args(Riding):
            raise ConfigurationError(
                f"transport must be 'auto', 'stream' or 'plain', not {self.transport!r}"
            )
        for name in ("max_concurrency", "max_event_bytes", "max_response_bytes"):
            limit = getattr(self, name)
            unlimited = limit is None and name == "max_concurrency"
            if not unlimited and (type(limit) is not int or limit < 1):
                raise ConfigurationError(
                    f"{name} must be a whole number of 1 or more, not {limit!r}"
                )

        if (
            type(self.record_bytes) is not int
            or 0 < self.record_bytes < _LEAST_RECORD
            or (self.record_bytes < 0)
        ):
            raise ConfigurationError(
                f"record_bytes must be 0, for no recording, or a whole number of {_LEAST_RECORD} "
                f"or more, not {self.record_bytes!r}"
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


def as_models(models: Iterable[str]) -> tuple[str, ...]:
    """Read a list of *models*.

    Raises:
        ConfigurationError: It is one name, or holds something else.
    """
    names = () if isinstance(models, str) else tuple(models)
    if isinstance(models, str) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"fallback_models must be a list of names, not {models!r}")
    return names


def as_retries(retries: RetryPolicy | int | None, default: RetryPolicy) -> RetryPolicy:
    """Read a *retries* argument: a number is *max_attempts*, None the *default*."""
    if retries is None:
        return default
    if isinstance(retries, RetryPolicy):
        return retries
    return msgspec.structs.replace(default, max_attempts=retries)


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
        if not isinstance(value, str) or _UNSENDABLE.search(value):
            raise ConfigurationError(
                f"the value of the header {name!r} must be a str without line breaks, other "
                "control characters and halves of characters"
            )
