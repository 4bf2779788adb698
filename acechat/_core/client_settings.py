"""`ClientSettings`: the settings, connections and shared state of a client."""

from __future__ import annotations

import os
import ssl as _ssl
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

import msgspec

from acechat._config import (
    DEFAULT_MODEL,
    Config,
    OnModelMismatch,
    Streaming,
    as_models,
    read_api_root,
)
from acechat._core.call_state import SharedState
from acechat._core.meter import Meter
from acechat._core.middleware import Middleware, check_middleware
from acechat._core.observers import Observer, Observers, log_by_environment
from acechat._credentials import hide_arguments, read_token
from acechat._hints import CLIENT_ATTRIBUTES, attribute_error, check_arguments
from acechat._policy.values import (
    Budget,
    RateLimit,
    RetryPolicy,
    Timeout,
    as_retries,
    as_timeout,
)
from acechat._rotating_token import RotatingToken, TokenProvider
from acechat.types import KnownModel

if TYPE_CHECKING:  # aiohttp takes 0.15 s to import; a client imports it when it is created
    import aiohttp

    from acechat._core.rate_gate import RateGate
    from acechat._core.response_cache import ResponseCache
    from acechat._http.transport import Transport

__all__ = ["ClientSettings"]


_MAX_CACHED = 16 * 2**20
"""Bytes of the largest exchange that a `ResponseCache` stores."""


class ClientSettings:
    """The settings, connections and shared state of a client; see `AsyncClient` for the arguments.

    Raises:
        ConfigurationError: An argument, or an environment variable, is invalid.
        TypeError: An observer or a middleware cannot be called.
    """

    @hide_arguments
    @check_arguments
    def __init__(
        self,
        api_token: str | TokenProvider | None = None,
        *,
        base_url: str | None = None,
        model: KnownModel | str = DEFAULT_MODEL,
        fallback_models: Iterable[KnownModel | str] = (),
        streaming: Streaming = "auto",
        on_model_mismatch: OnModelMismatch = "ignore",
        timeout: Timeout | float = Timeout(),
        retries: RetryPolicy | int = RetryPolicy(),
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        rate_limit: RateLimit | None = None,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        cache: ResponseCache | None = None,
        max_event_bytes: int = 16 * 2**20,
        max_response_bytes: int = 64 * 2**20,
        max_record_bytes: int = 256 * 2**10,
    ) -> None:
        from acechat._http.proxy import read_proxy

        api_root = read_api_root(base_url)
        config = Config(
            token=RotatingToken(api_token) if callable(api_token) else read_token(api_token),
            api_root=api_root,
            model=model,
            fallback_models=as_models(fallback_models),
            streaming=streaming,
            on_model_mismatch=on_model_mismatch,
            timeout=as_timeout(timeout, Timeout()),
            retries=as_retries(retries, RetryPolicy()),
            headers=dict(headers or ()),
            proxy=read_proxy(proxy, api_root),
            max_concurrency=max_concurrency,
            budget=budget,
            rate_limit=rate_limit,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
            max_record_bytes=max_record_bytes,
        )
        if cache is not None:  # it stores what is recorded
            most = max(config.max_record_bytes, _MAX_CACHED)
            config = msgspec.structs.replace(config, max_record_bytes=most)
        self._set_up(config, observers, middleware, cache, ssl=ssl, session=session)

    @classmethod
    def _from_config(cls, config: Config) -> Self:
        client = object.__new__(cls)
        client._set_up(config)
        return client

    def _set_up(
        self,
        config: Config,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        cache: ResponseCache | None = None,
        *,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        from acechat._http.transport import Transport

        log_by_environment()
        self._config = config
        self._state = state = SharedState(
            observers=Observers(observers),
            middleware=check_middleware(middleware),
            meter=Meter(),
            gate=_gate(config.rate_limit) if config.rate_limit else None,
            cache=cache,
        )
        self._transport: Transport = Transport(config, ssl=ssl, session=session)
        rotating = isinstance(config.token, RotatingToken)
        live = ssl is not None or session is not None or state.observers or state.middleware
        self._portable = not (live or rotating or cache)

    @property
    def meter(self) -> Meter:
        """Total usage and cost of the calls of this client and of its with_options() copies."""
        return self._state.meter

    @hide_arguments
    @check_arguments
    def with_options(
        self,
        *,
        model: KnownModel | str | None = None,
        fallback_models: Iterable[KnownModel | str] | None = None,
        streaming: Streaming | None = None,
        on_model_mismatch: OnModelMismatch | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a copy with other settings.

        The copy and this client share connections, meter, budget, rate limit, observers and
        middleware; closing one closes both. A copy cannot have a budget of its own, because the
        meter counts the calls of all copies; a run can: see *budget* of `AsyncClient.run`.

        Args:
            model: As in `AsyncClient`; default None, unchanged, as for all arguments.
            fallback_models: As in `AsyncClient`.
            streaming: As in `AsyncClient`.
            on_model_mismatch: As in `AsyncClient`.
            timeout: As in `AsyncClient`.
            retries: As in `AsyncClient`.
            headers: Additional headers; they replace headers of the same name.

        Raises:
            ConfigurationError: An argument is invalid.
        """
        config = self._config
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = msgspec.structs.replace(
            config,
            model=model or config.model,
            fallback_models=(
                config.fallback_models if fallback_models is None else as_models(fallback_models)
            ),
            streaming=streaming or config.streaming,
            on_model_mismatch=on_model_mismatch or config.on_model_mismatch,
            timeout=as_timeout(timeout, config.timeout),
            retries=as_retries(retries, config.retries),
            headers=config.headers | dict(headers or ()),
        )
        return copy

    def _with_meter(self, meter: Meter) -> Self:
        """Return a copy whose calls count on *meter*, too."""
        copy = self.with_options()
        copy._state = msgspec.structs.replace(self._state, conversation_meter=meter)
        return copy

    def save_cassette(self, path: str | os.PathLike[str]) -> None:
        """Write the HTTP exchanges of the call that began last to a file.

        ``acechat emulate --replay`` plays it. The file contains the prompt, with its images, and
        the response, but not the token.

        Raises:
            RuntimeError: No call was recorded.
            OSError: The file cannot be written.
        """
        from acechat._record.cassette import Cassette

        last = self._transport.recorder.last
        if last is None:
            raise RuntimeError(
                "nothing was recorded: no request was sent, or max_record_bytes is 0"
            )
        Cassette(last.exchanges()).save(path)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._portable:
            raise TypeError(
                "a client with session=, ssl=, observers=, middleware=, cache= or a function as "
                "api_token= cannot be pickled"
            )
        return type(self)._from_config, (self._config,)

    if not TYPE_CHECKING:  # type checkers report the attribute themselves

        def __getattr__(self, name: str) -> NoReturn:
            raise attribute_error(self, name, CLIENT_ATTRIBUTES, dir(type(self)))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"


def _gate(limit: RateLimit) -> RateGate:
    from acechat._core.rate_gate import RateGate

    return RateGate(limit)
