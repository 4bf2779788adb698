"""Validated settings of a client: base URL, model, headers and limits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from acechat._credentials import Token
from acechat._policy.values import Budget, RateLimit, RetryPolicy, Timeout
from acechat._redaction.private import public_url
from acechat.errors import ConfigurationError

__all__ = [
    "DEFAULT_MODEL",
    "Config",
    "OnModelMismatch",
    "Streaming",
    "as_models",
    "check_headers",
    "read_api_root",
]

Streaming: TypeAlias = Literal["auto", "always", "never"]
"""Whether `chat` requests its response as a stream: as fits the request, always, or never."""

OnModelMismatch: TypeAlias = Literal["ignore", "warn", "raise"]
"""The reaction to a response that names another model than the request."""

DEFAULT_MODEL = "claude-sonnet-4-20250514"
"""The model of clients created without *model*."""

_OWN_HEADERS = {"authorization", "content-length", "host", "transfer-encoding", "connection"}

_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters except the tab, and surrogates."""

_MIN_RECORD_BYTES = 1024
"""Enough for the start of a request and of its response."""


class Config(Struct, frozen=True, kw_only=True):
    """Validated settings of one client. Comparable; pickled without the token.

    Raises:
        ConfigurationError: A setting is invalid.
    """

    token: Token
    api_root: str
    """Prefix of all paths, for example ``https://api.acedata.cloud/v1``."""

    model: str = DEFAULT_MODEL
    fallback_models: tuple[str, ...] = ()
    streaming: Streaming = "auto"
    on_model_mismatch: OnModelMismatch = "ignore"
    timeout: Timeout = Timeout()
    retries: RetryPolicy = RetryPolicy()
    headers: dict[str, str] = {}
    proxy: str | None = None
    max_concurrency: int | None = None
    budget: Budget | None = None
    rate_limit: RateLimit | None = None
    max_event_bytes: int = 16 * 2**20
    max_response_bytes: int = 64 * 2**20
    max_record_bytes: int = 256 * 2**10

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if not self.model:
            raise ConfigurationError("model is empty: pass the name of a model")
        if not all(self.fallback_models):
            raise ConfigurationError("a fallback model is empty: pass names of models")
        if self.streaming not in get_args(Streaming):
            raise ConfigurationError(
                f"streaming must be 'auto', 'always' or 'never', not {self.streaming!r}"
            )
        if self.on_model_mismatch not in get_args(OnModelMismatch):
            raise ConfigurationError(
                "on_model_mismatch must be 'ignore', 'warn' or 'raise', "
                f"not {self.on_model_mismatch!r}"
            )
        for name in ("max_concurrency", "max_event_bytes", "max_response_bytes"):
            limit = getattr(self, name)
            unlimited = limit is None and name == "max_concurrency"
            if not unlimited and (type(limit) is not int or limit < 1):
                raise ConfigurationError(f"{name} must be an integer of at least 1, not {limit!r}")

        if (
            type(self.max_record_bytes) is not int
            or 0 < self.max_record_bytes < _MIN_RECORD_BYTES
            or (self.max_record_bytes < 0)
        ):
            raise ConfigurationError(
                "max_record_bytes must be 0, for no recording, or an integer of at least "
                f"{_MIN_RECORD_BYTES}, not {self.max_record_bytes!r}"
            )

    def __repr__(self) -> str:
        return f"Config({self.api_root}, model={self.model!r}, token={self.token!r})"


def as_models(models: Iterable[str]) -> tuple[str, ...]:
    """Convert an iterable of model names to a tuple.

    Raises:
        ConfigurationError: *models* is a single str, or an item is not a str.
    """
    names = () if isinstance(models, str) else tuple(models)
    if isinstance(models, str) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"fallback_models must be a list of model names, not {models!r}")
    return names


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that *headers* cannot change the framing of the request or replace the token.

    Raises:
        ConfigurationError: A name or a value is not allowed. Values are not shown, they may be
            secrets.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a dict, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"invalid header name: {name!r}")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(
                f"acechat sets the header {name!r} itself: remove it; api_token= sets the token"
            )
        if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"invalid header name: {name!r}")
        if not isinstance(value, str) or _UNSENDABLE.search(value):
            raise ConfigurationError(
                f"the value of the header {name!r} must be a str without line breaks, other "
                "control characters and surrogates"
            )


_DEFAULT_BASE_URL = "https://api.acedata.cloud"
_BASE_URL_VARIABLE = "ACEDATACLOUD_API_BASE_URL"


def read_api_root(given: str | None) -> str:
    """Return the prefix of the API's paths.

    Args:
        given: Base URL. ``/v1`` is appended if it has no path. None or empty: the environment
            variable ``ACEDATACLOUD_API_BASE_URL``, or else ``https://api.acedata.cloud``.

    Raises:
        ConfigurationError: The URL is invalid.
    """
    url = given or os.environ.get(_BASE_URL_VARIABLE) or _DEFAULT_BASE_URL
    if not isinstance(url, str):
        raise ConfigurationError(f"the base URL must be a str, not {type(url).__name__}")
    url = url.strip()
    # Credentials may precede an "@" and follow a "?", also in a URL that is invalid.
    given, shown = None, public_url(url)
    problem, root = _check_url(url, f"the base URL {shown!r}")
    if problem is None:
        return root
    del url  # some tools show the local variables of a traceback
    raise ConfigurationError(problem)


def _check_url(url: str, subject: str) -> tuple[str | None, str]:
    """Return the problem of a base URL, which does not quote credentials, and the API root."""
    from urllib.parse import urlsplit

    if not url.isprintable() or " " in url:
        return f"{subject} contains white space or control characters", ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        # The error may quote a part of a password.
        return f"{subject} is invalid" + ("" if "@" in url else f": {error}"), ""
    if parts.scheme not in {"http", "https"} or not host:
        return f"{subject} must begin with https:// (or http://) and name a host", ""
    if parts.username is not None or parts.query or parts.fragment:
        return (
            "the base URL must not contain a user name, '?' or '#': the token goes into api_token="
        ), ""
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return f"{subject} must end before /chat/completions, which acechat adds itself", ""
    return None, f"{parts.scheme}://{parts.netloc}{path or '/v1'}"
