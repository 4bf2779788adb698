"""`Client` and its like: the asynchronous ones, for callers that wait.

Each method forwards to its twin on the loop's thread. What reads a stream to its end happens in the
caller's thread.
"""

from __future__ import annotations

import ssl as _ssl
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from acechat._client import AsyncClient
from acechat._config import DEFAULT_MODEL, RetryPolicy, Timeout
from acechat._conversation import History
from acechat._portal import LoopThread, Pipe
from acechat._protocol import END, Batch
from acechat._request import Content
from acechat._stream import AsyncChatStream
from acechat._views import events_of, finished, texts_of
from acechat.errors import ClientClosedError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatOptions,
    Delta,
    FinishReason,
    MessageLike,
    Model,
    StreamEvent,
    Usage,
)

__all__ = ["ChatStream", "Client", "Conversation"]


class ChatStream:
    """An answer while it is being written, piece by piece: the blocking `AsyncChatStream`.

    Nothing is sent before the first read or ``with``.

    Example:
        >>> with client.stream("Hello") as stream:
        ...     for delta in stream:
        ...         print(delta, end="")
        >>> stream.completion.usage.total_tokens
    """

    def __init__(self, loop: LoopThread, stream: AsyncChatStream) -> None:
        self._loop = loop
        self._stream = stream
        self._pipe = Pipe()
        self._pump: Future[None] | None = None
        self._ended = False
        self._ready: deque[Delta] = deque()
        self._held: Batch | None = None
        self._tell: Callable[[ChatCompletion, bool], None] | None = None

    def __enter__(self) -> Self:
        if self._pump is None and self._held is None:
            self._held = self.receive_batch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delta:
        ready = self._ready
        if not ready:
            ready.extend(self.receive())
            if not ready:
                raise StopIteration
        return ready.popleft()

    def receive(self) -> list[Delta]:
        """Wait for the next network read that says something; return all that it says.

        An empty list is the end. Raises what `AsyncChatStream.receive` does.
        """
        if self._ready:
            ready = list(self._ready)
            self._ready.clear()
            return ready
        while True:
            batch = self.receive_batch()
            if batch.deltas or batch is END:
                return batch.deltas

    def receive_batch(self) -> Batch:
        """Wait for the next network read; return its events and what they say.

        A batch without events is the end.
        """
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._ended:
            return self._after_the_end()
        if self._pump is None:
            self._pump = self._loop.start(partial(self._pipe.fill, self._stream))
        elif not self._loop.alive:
            raise ClientClosedError  # the stream stayed behind in another process
        try:
            batch = self._pipe.take()
        except Exception:
            self._ended = True
            raise
        except BaseException:  # Ctrl-C
            self.close()
            raise
        self._ended = batch is END
        return batch

    def _after_the_end(self) -> Batch:
        self._stream.completion  # noqa: B018 - raises what ended it, if that was a failure
        return END

    def close(self) -> None:
        """Close the connection; what was not read is lost."""
        self._ended = True
        if self._pump is not None and self._loop.alive:
            self._pump.cancel()
        with suppress(ClientClosedError):  # the client was closed before, and this with it
            self._loop.run(self._stream.aclose)

    def __del__(self) -> None:
        pump: Future[None] | None = getattr(self, "_pump", None)
        if pump is not None and self._loop.alive and not self._ended and not pump.done():
            if self._tell is not None:
                self._tell(self._stream.partial, False)  # noqa: FBT003 - not whole
            pump.cancel()
            warnings.warn(
                "a stream was dropped before its end; use `with client.stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    def collect(self) -> ChatCompletion:
        """Read to the end and return the whole answer."""
        while self.receive_batch() is not END:
            pass
        return self.completion

    def text(self) -> Iterator[str]:
        """Iterate over the text alone; of the first choice, if there are more."""
        while (batch := self.receive_batch()) is not END:
            yield from texts_of(batch)

    def chunks(self) -> Iterator[ChatCompletionChunk]:
        """Iterate over the events as the service sent them, those included that say nothing."""
        while (batch := self.receive_batch()) is not END:
            yield from batch.chunks

    def events(self) -> Iterator[StreamEvent]:
        """Iterate over what happens, as structs made for ``match``; `Finished` is the last."""
        while (batch := self.receive_batch()) is not END:
            yield from events_of(batch)
        yield finished(self.completion)

    def at_end(self, tell: Callable[[ChatCompletion, bool], None]) -> None:
        """Call *tell* at the end, with what arrived and whether it is the whole answer."""
        self._tell = tell
        self._stream.at_end(tell)

    @property
    def completion(self) -> ChatCompletion:
        """The whole answer, usage included; raises what `AsyncChatStream.completion` does."""
        return self._stream.completion

    @property
    def partial(self) -> ChatCompletion:
        """What has arrived so far."""
        return self._stream.partial

    @property
    def usage(self) -> Usage | None:
        """What the answer used; None until the service tells, which it does last."""
        return self._stream.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first choice ended; None before that."""
        return self._stream.finish_reason

    @property
    def trace_id(self) -> str | None:
        """What the service's support asks for; None before the response began."""
        return self._stream.trace_id


class Conversation(History):
    """Several turns with one model: the blocking `AsyncConversation`.

    Example:
        >>> talk = client.conversation(system="Answer in one line.")
        >>> talk.send("My name is Ada.")
        >>> talk.send("What is my name?").text
    """

    def __init__(
        self,
        client: Client,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        options: ChatOptions | None = None,
    ) -> None:
        super().__init__(messages, system, model, options)
        self._client = client

    def send(
        self,
        *content: Content,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """Say *content* and return the answer; without it, send what *messages* hold.

        Takes and raises what `Client.chat` does.

        Raises:
            RuntimeError: The turn before has not ended.
        """
        with self._taking_turn(content) as turn:
            turn.answer = self._client.chat(
                messages=turn.messages,
                system=self.system,
                model=self.model,
                timeout=timeout,
                retries=retries,
                extra_body=extra_body,
                extra_headers=extra_headers,
                **(self._options | options),
            )
        return turn.answer

    def stream(
        self,
        *content: Content,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """Say *content* and return the answer while it is being written.

        The turn counts when the stream was read to its end. Takes what `Client.stream` does.

        Raises:
            RuntimeError: The turn before has not ended.
        """
        with self._beginning_turn(content) as turn:
            stream = self._client.stream(
                messages=turn.messages,
                system=self.system,
                model=self.model,
                timeout=timeout,
                retries=retries,
                extra_body=extra_body,
                extra_headers=extra_headers,
                **(self._options | options),
            )
        stream.at_end(partial(self._end, turn))
        return stream

    def fork(self) -> Conversation:
        """Return a copy that goes on alone."""
        return Conversation(self._client, *self._copy())


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
