"""`SyncBaseClient`: the settings and the event loop of the blocking client."""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from acechat._async.base_client import BaseClient
from acechat._config import DEFAULT_MODEL, Config, OnModelMismatch, Streaming
from acechat._core.middleware import Middleware
from acechat._core.observers import Observer
from acechat._credentials import hide_arguments
from acechat._hints import check_arguments
from acechat._policy.values import Budget, RateLimit, RetryPolicy, Timeout
from acechat._rotating_token import TokenProvider
from acechat._sync.loop_thread import LoopThread
from acechat._wire.request import RequestTemplate
from acechat.types import KnownModel, MessageLike

if TYPE_CHECKING:  # imported when they are used
    from acechat._core.response_cache import ResponseCache
    from acechat._sync.prepared import PreparedRequest
    from acechat._tools.output import OutputType

__all__ = ["SyncBaseClient"]


class SyncBaseClient(BaseClient):
    """Settings, event loop thread and lifetime of `Client`, which adds the calls."""

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
        super().__init__(
            api_token,
            base_url=base_url,
            model=model,
            fallback_models=fallback_models,
            streaming=streaming,
            on_model_mismatch=on_model_mismatch,
            timeout=timeout,
            retries=retries,
            headers=headers,
            proxy=proxy,
            ssl=ssl,
            max_concurrency=max_concurrency,
            budget=budget,
            rate_limit=rate_limit,
            observers=observers,
            middleware=middleware,
            cache=cache,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
            max_record_bytes=max_record_bytes,
        )
        self._loop = LoopThread()

    @classmethod
    def _from_config(cls, config: Config) -> Self:
        client = super()._from_config(config)
        client._loop = LoopThread()
        return client

    def _prepare(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[Any] | None,
    ) -> PreparedRequest:
        from acechat._sync.prepared import PreparedRequest

        config = self._config
        request = self._call_for(template, messages, output_type).request
        root, token = config.api_root, config.token
        return PreparedRequest(request, root, token, self._estimate, self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Calls in progress raise `ClientClosedError`."""
        self._loop.stop(self._transport.close)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SyncBaseClient) and self._config == other._config

    def __hash__(self) -> int:
        return super().__hash__()
