"""`Client` and its like: the asynchronous ones, for callers that wait.

Each method forwards to its twin on the loop's thread.
"""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

from acechat._blocking._conversation import Conversation
from acechat._blocking._stream import ChatStream
from acechat._client import AsyncClient
from acechat._config import DEFAULT_MODEL, RetryPolicy, Timeout
from acechat._portal import LoopThread
from acechat._request import Content
from acechat.errors import ClientClosedError
from acechat.types import ChatCompletion, ChatOptions, MessageLike, Model

__all__ = ["ChatStream", "Client", "Conversation"]


class Client:
    """The chat completion service, for scripts: the blocking `AsyncClient`.

    It takes what `AsyncClient` takes and does what it does, on an event loop in a thread of its
    own. So it works in any thread, in several at once, in a notebook, and after a fork. Ctrl-C ends
    the call that waits.

    Example:
        >>> with Client() as client:
        ...     print(client.chat("Hello").text)
    """

    def __init__(
        self,
        api_token: str | None = None,
        *,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        timeout: Timeout | float = Timeout(),
        retries: RetryPolicy | int = RetryPolicy(),
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: _ssl.SSLContext | None = None,
        max_concurrency: int | None = None,
        max_event_bytes: int = 16 * 2**20,
        max_response_bytes: int = 64 * 2**20,
    ) -> None:
        self._client = AsyncClient(
            api_token,
            base_url=base_url,
            model=model,
            timeout=timeout,
            retries=retries,
            headers=headers,
            proxy=proxy,
            ssl=ssl,
            max_concurrency=max_concurrency,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
        )
        self._loop = LoopThread()

    @classmethod
    def _from_client(cls, client: AsyncClient) -> Self:
        made = object.__new__(cls)
        made._client = client
        made._loop = LoopThread()
        return made

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
        """Close the connections and end the thread; calls under way end with an error."""
        if self._loop.alive:
            with suppress(ClientClosedError):  # by another thread
                self._loop.run(self._client.aclose)
        self._loop.stop()

    def chat(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """Ask, wait, and return the whole answer; see `AsyncClient.chat` for the arguments.

        Example:
            >>> client.chat("Hello", max_tokens=100).text
        """
        return self._loop.run(
            self._client.chat,
            *content,
            messages=messages,
            system=system,
            model=model,
            timeout=timeout,
            retries=retries,
            extra_body=extra_body,
            extra_headers=extra_headers,
            **options,
        )

    def stream(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """Ask, and return the answer while it is being written; see `AsyncClient.stream`.

        Example:
            >>> for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        stream = self._client.stream(
            *content,
            messages=messages,
            system=system,
            model=model,
            timeout=timeout,
            retries=retries,
            extra_body=extra_body,
            extra_headers=extra_headers,
            **options,
        )
        return ChatStream(self._loop, stream)

    def conversation(
        self,
        *,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Conversation:
        """Begin a conversation of several turns, or go on with *messages*."""
        return Conversation(self, messages, system, model, options)

    def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        return self._loop.run(self._client.models)

    def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> int:
        """Return how many tokens a request would have; asking is free (contract, 4.1)."""
        return self._loop.run(
            self._client.count_tokens,
            *content,
            messages=messages,
            system=system,
            model=model,
            tools=tools,
        )

    def with_options(
        self,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a copy with other settings; the two share their connections and `close`."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._client = self._client.with_options(
            model=model, timeout=timeout, retries=retries, headers=headers
        )
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._from_client, (self._client,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Client) and self._client == other._client

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return repr(self._client).replace("AsyncClient", type(self).__name__, 1)
