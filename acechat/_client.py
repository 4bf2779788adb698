"""`AsyncClient`: the service, as an object."""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from acechat._call import Call
from acechat._codec import decode_models
from acechat._config import (
    DEFAULT_MODEL,
    Config,
    RetryPolicy,
    Timeout,
    as_retries,
    as_timeout,
    read_api_root,
    read_token,
)
from acechat._conversation import AsyncConversation
from acechat._counting import build_count, decode_count
from acechat._request import Content, HTTPRequest, build_chat, gather_messages
from acechat._stream import AsyncChatStream
from acechat.types import ChatCompletion, ChatOptions, MessageLike, Model

if TYPE_CHECKING:  # it takes 0.15 s to import, and is, when a client is made
    import aiohttp

    from acechat._transport import Transport

__all__ = ["AsyncClient"]


class AsyncClient:
    """The chat completion service, for asyncio.

    A client keeps connections for the event loop that it is used in: make one and keep it. It may
    be used in one loop after another, and after a fork. It pickles without its token.

    Args:
        api_token: The token of an application; None for ``ACEDATACLOUD_API_TOKEN``, else
            ``ACEDATACLOUD_API_KEY``, else ``ACEDATA_API_KEY``.
        base_url: An origin, to which ``/v1`` is added, or an API's root, used as it is; None for
            ``ACEDATACLOUD_API_BASE_URL``, else ``https://api.acedata.cloud``.
        model: The model of calls that name none.
        timeout: Limits of a call; a number is `Timeout.total`, in seconds.
        retries: When to send again; a number is `RetryPolicy.max_attempts`, the first included.
        headers: Additional headers of all requests.
        proxy: ``http://`` or ``https://`` URL of a proxy; ``""`` for none, None for the
            environment's (``HTTPS_PROXY``, ``NO_PROXY``, …).
        ssl: How to check the service's certificate; None for the system's way.
        session: A session of your own, which the client uses but does not close.
        max_concurrency: The most requests at a time; None for no limit. Waiting for a turn counts
            to `Timeout.total` alone.
        max_event_bytes: The most bytes of one event of a stream.
        max_response_bytes: The most bytes of a whole answer, decompressed.

    Raises:
        ConfigurationError: An argument, or a variable of the environment, cannot be used.

    Example:
        >>> async with AsyncClient() as client:
        ...     reply = await client.chat("Hello")
        >>> reply.text
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
        session: aiohttp.ClientSession | None = None,
        max_concurrency: int | None = None,
        max_event_bytes: int = 16 * 2**20,
        max_response_bytes: int = 64 * 2**20,
    ) -> None:
        from acechat._transport import read_proxy

        api_root = read_api_root(base_url)
        config = Config(
            token=read_token(api_token),
            api_root=api_root,
            model=model,
            timeout=as_timeout(timeout, Timeout()),
            retries=as_retries(retries, RetryPolicy()),
            headers=dict(headers or ()),
            proxy=read_proxy(proxy, api_root),
            max_concurrency=max_concurrency,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
        )
        self._set_up(config, ssl=ssl, session=session)

    @classmethod
    def _from_config(cls, config: Config) -> Self:
        client = object.__new__(cls)
        client._set_up(config)
        return client

    def _set_up(
        self,
        config: Config,
        *,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        from acechat._transport import Transport

        self._config = config
        self._transport: Transport = Transport(config, ssl=ssl, session=session)
        self._portable = ssl is None and session is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls under way end with `ClientClosedError`."""
        await self._transport.close()

    async def close(self) -> None:
        """Do what `aclose` does, under the name that other clients have for it."""
        await self.aclose()

    async def chat(
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
        """Ask, wait, and return the whole answer.

        Args:
            *content: What the user says now: strings, and `image`s.
            messages: What was said before, as structs or as the API's own JSON.
            system: Instructions, sent before everything else.
            model: The model that answers; None for the client's.
            timeout: Limits of this call; a number is the total, in seconds.
            retries: When to send again; a number is *max_attempts*.
            extra_body: Fields of the request that acechat does not know; they win.
            extra_headers: Additional headers.
            **options: The other fields of the request; see `ChatOptions`.

        Raises:
            ConfigurationError: Something cannot be sent; nothing was.
            TypeError: An option is unknown.
            APIError: The service refused.
            TransportError: No whole answer came; `RequestTimeoutError` where a limit passed.
            ProtocolError: What came is no answer.

        Example:
            >>> (await client.chat("Hello", max_tokens=100)).text
        """
        call = self._prepare(
            content, messages, system, model, timeout, retries, extra_body, extra_headers, options
        )
        return await call.run(call.answer)

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
    ) -> AsyncChatStream:
        """Ask, and return the answer while it is being written.

        Takes what `chat` does. Nothing is sent before the stream is read or entered; from then on
        it raises what `chat` does.

        Raises:
            ConfigurationError: Something cannot be sent.
            TypeError: An option is unknown.

        Example:
            >>> async for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        return AsyncChatStream(
            self._prepare(
                content,
                messages,
                system,
                model,
                timeout,
                retries,
                extra_body,
                extra_headers,
                options,
                stream=True,
            )
        )

    def conversation(
        self,
        *,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncConversation:
        """Begin a conversation of several turns, or go on with *messages*."""
        return AsyncConversation(self, messages, system, model, options)

    async def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        call = self._call(HTTPRequest(method="GET", path="/models"))
        return decode_models(await call.run(call.body))

    async def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> int:
        """Return how many tokens a request would have; asking is free (contract, 4.1)."""
        gathered = gather_messages(content, messages=messages, system=system)
        call = self._call(build_count(gathered, model=model or self._config.model, tools=tools))
        return decode_count(await call.run(call.body))

    def with_options(
        self,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a copy with other settings; the two share their connections and `aclose`."""
        config = self._config
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = msgspec.structs.replace(
            config,
            model=model or config.model,
            timeout=as_timeout(timeout, config.timeout),
            retries=as_retries(retries, config.retries),
            headers=config.headers | dict(headers or ()),
        )
        return copy

    def _prepare(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        model: str | None,
        timeout: Timeout | float | None,
        retries: RetryPolicy | int | None,
        extra_body: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        options: ChatOptions,
        *,
        stream: bool = False,
    ) -> Call:
        request = build_chat(
            content,
            messages=messages,
            system=system,
            model=model or self._config.model,
            stream=stream,
            options=options,
            extra_body=extra_body,
            extra_headers=extra_headers,
        )
        return self._call(request, timeout, retries)

    def _call(
        self,
        request: HTTPRequest,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
    ) -> Call:
        config = self._config
        if config.headers:
            request = msgspec.structs.replace(request, headers=config.headers | request.headers)
        return Call(
            self._transport,
            request,
            config,
            as_timeout(timeout, config.timeout),
            as_retries(retries, config.retries),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._portable:
            raise TypeError("a client with a session= or ssl= of its own cannot be pickled")
        return type(self)._from_config, (self._config,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncClient) and self._config == other._config

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"
