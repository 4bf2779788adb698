"""`History`: the messages of a conversation, shared by its async and sync class."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Self

import msgspec
from msgspec import Struct

from acechat._core.meter import Meter
from acechat._files import decode_text, file_error, version_error, write
from acechat._policy.token_estimate import estimate_tokens
from acechat._policy.values import check_number
from acechat._wire.messages import Content, holds_tool_images, user_message
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletion, ChatOptions, Message, MessageLike, SystemMessage

__all__ = ["History"]

_IN_A_TURN = "the previous turn has not ended: read its stream to the end, or fork() before it"


_FORMAT = 1


class _Saved(Struct, frozen=True):
    """The format of a file that `History.save` writes."""

    messages: list[dict[str, Any]]
    system: str | None = None
    model: str | None = None
    acechat: int = _FORMAT
    """The version of this format."""


class _Version(Struct, frozen=True):
    acechat: int = _FORMAT


class _Turn:
    """A turn in progress: all messages to send, and those of them that are new."""

    answer: ChatCompletion

    def __init__(self, messages: list[MessageLike], new: list[MessageLike]) -> None:
        self.messages = messages
        self.new = new


class History:
    """The messages and settings of a conversation.

    Attributes:
        messages: The messages of all turns, without the system prompt. May be changed between
            turns.
        system: The system prompt; None for none.
        model: A model name; None for the client's model.
        pending: The partial completion of the last turn, if that failed or was cancelled; otherwise
            None.
        meter: Usage and cost of the turns. `undo` does not reduce it; a fork begins at zero.
    """

    def __init__(
        self,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        options: ChatOptions | None = None,
    ) -> None:
        self.messages: list[MessageLike] = [_as_struct(message) for message in messages]
        self.system = system
        self.model = model
        self.pending: ChatCompletion | None = None
        self.meter: Meter = Meter()
        self._options: ChatOptions = options or {}
        self._turn: _Turn | None = None

    def undo(self) -> list[MessageLike]:
        """Remove the last turn; return its messages, an empty list if there is no turn.

        A turn begins with a user message and includes all tool calls, their results, and the images
        that the tools returned.
        """
        start = max(len(self.messages) - 1, 0)
        while start and not begins_turn(self.messages, start):
            start -= 1
        undone = self.messages[start:]
        del self.messages[start:]
        self.pending = None
        return undone

    def _trimming(
        self, max_tokens: int, keep: int
    ) -> Generator[list[MessageLike], int, list[MessageLike]]:
        """Remove the oldest turns; yield messages to be counted, return those that were removed.

        A turn is removed only if the remaining tokens are still too many by an estimate of its
        part, so that no more are removed than necessary.
        """
        check_number("max_tokens", max_tokens, int, optional=False)
        if type(keep) is not int or keep < 0:
            raise ConfigurationError(f"keep must be an integer of 0 or more, not {keep!r}")
        if self._turn is not None:
            raise RuntimeError(_IN_A_TURN)
        messages = self.messages
        starts = [at for at in range(len(messages)) if at == 0 or begins_turn(messages, at)]
        removable = max(len(starts) - keep, 0)
        starts.append(len(messages))
        sizes = [estimate_tokens(messages[a:b]) for a, b in pairwise(starts)]
        removed = 0
        while removed < removable:
            tokens = yield messages[starts[removed] :]
            excess = float(tokens - max_tokens)
            if excess <= 0:
                break
            scale = tokens / max(sum(sizes[removed:]), 1)
            excess -= sizes[removed] * scale
            removed += 1
            while removed < removable and excess >= sizes[removed] * scale:
                excess -= sizes[removed] * scale
                removed += 1
        if removed:
            self.pending = None
        old = messages[: starts[removed]]
        del messages[: starts[removed]]
        return old

    def _estimate(self, messages: list[MessageLike]) -> int:
        system = [] if self.system is None else [SystemMessage(content=self.system)]
        return estimate_tokens([*system, *messages])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a file, as JSON, atomically.

        A new file is readable for its owner only; an existing one keeps its mode.

        Raises:
            OSError: The file cannot be written, or is no regular file.
        """
        saved = _Saved(msgspec.to_builtins(self.messages), self.system, self.model)
        write(path, msgspec.json.format(msgspec.json.encode(saved)))

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Replace messages, system prompt and model by those of a file; return the conversation.

        Raises:
            ConfigurationError: The file was not written by `save`, or by a later version of it.
            OSError: The file cannot be read.
        """
        from pathlib import Path  # it takes 4 ms to import

        data = Path(path).read_bytes()
        saved = _decode(decode_text(data, path).encode(), path)
        self.messages = [_as_struct(message) for message in saved.messages]
        self.system, self.model = saved.system, saved.model
        self.pending = None
        return self

    def _begin(self, content: Sequence[Content]) -> _Turn:
        if self._turn is not None:
            raise RuntimeError(_IN_A_TURN)
        new: list[MessageLike] = [user_message(content)] if content else []
        if not new and (not self.messages or _role(self.messages[-1]) == "assistant"):
            raise ConfigurationError('there is no user message: call send("Hello")')
        self.pending = None
        self._turn = _Turn([*self.messages, *new], new)
        return self._turn

    def _end(
        self,
        turn: _Turn,
        completion: ChatCompletion | None,
        complete: bool,
    ) -> None:
        """End *turn*, if it has not ended; add it to the history if it is *complete*."""
        if self._turn is not turn:
            return
        self._turn = None
        if complete and completion is not None:
            self.messages += [*turn.new, completion.message]
        else:
            self.pending = completion

    @contextmanager
    def _beginning_turn(self, content: Sequence[Content]) -> Generator[_Turn]:
        """Begin a turn, and discard it if the block raises."""
        turn = self._begin(content)
        try:
            yield turn
        except BaseException as error:
            self._end(turn, getattr(error, "partial", None), complete=False)
            raise

    @contextmanager
    def _taking_turn(self, content: Sequence[Content]) -> Generator[_Turn]:
        """Begin a turn, and add it to the history if the block does not raise."""
        with self._beginning_turn(content) as turn:
            yield turn
        self._end(turn, turn.answer, complete=True)

    def _copy(self) -> tuple[list[MessageLike], str | None, str | None, ChatOptions]:
        return list(self.messages), self.system, self.model, self._options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self._copy() == other._copy()

    def __hash__(self) -> int:
        return id(self)

    def _repr_html_(self) -> str:
        """Return HTML for notebooks."""
        from acechat._display.html import conversation_html

        messages: list[dict[str, Any]] = msgspec.to_builtins(self.messages)
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        return conversation_html(messages, [("messages", len(self.messages))])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.messages)} messages, system={self.system!r})"


def _decode(data: bytes, path: str | os.PathLike[str]) -> _Saved:
    try:
        version = msgspec.json.decode(data, type=_Version).acechat
        # A later format may have fields of other types: the version is checked first.
        if version == _FORMAT:
            return msgspec.json.decode(data, type=_Saved)
        failure = version_error("a saved conversation", path, version, _FORMAT)
    except (ValueError, RecursionError) as error:
        failure = file_error("a saved conversation", path, data, error)
    raise failure


def begins_turn(messages: Sequence[MessageLike], index: int) -> bool:
    """Return True if the message at *index* is of the user, and not of a tool's images."""
    message = messages[index]
    if _role(message) != "user":
        return False
    return index == 0 or _role(messages[index - 1]) != "tool" or not holds_tool_images(message)


def _role(message: MessageLike) -> object:
    return message.get("role") if isinstance(message, Mapping) else message.role


def _as_struct(message: MessageLike) -> MessageLike:
    """Convert a message of the API's JSON to a struct; return it unchanged if none fits."""
    if not isinstance(message, Mapping):
        return message
    try:
        struct: Message = msgspec.convert({**message}, Message)
    except msgspec.ValidationError:
        return message
    return struct
