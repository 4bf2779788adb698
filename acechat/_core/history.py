"""The part of a conversation that does not depend on async or sync."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import msgspec
from msgspec import Struct

from acechat._core.meter import Meter
from acechat._wire.messages import Content, user_message
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletion, ChatOptions, Message, MessageLike, Usage

__all__ = ["History"]

_IN_A_TURN = "this conversation is in the middle of a turn: finish it, or fork() before it"


class _Saved(Struct, frozen=True):
    """What a file of a conversation holds."""

    messages: list[dict[str, Any]]
    system: str | None = None
    model: str | None = None
    acechat: int = 1
    """The version of this format."""


class _Turn:
    """A turn under way: all that is sent, and what of it is new."""

    answer: ChatCompletion

    def __init__(self, messages: list[MessageLike], said: list[MessageLike]) -> None:
        self.messages = messages
        self.said = said


class History:
    """What was said so far: the part of a conversation that needs no network.

    Attributes:
        messages: All turns, without the system's word. Yours to read and to change between turns.
        system: Instructions for the whole conversation; None for none.
        model: The model that answers; None for the client's.
        pending: What had arrived of the last turn, if it failed or was stopped; else None.
        meter: What the turns used and cost; it does not go down with `undo`, and begins at zero in
            a fork.
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
        """Take back the last turn; return its messages, none if there is no turn."""
        start = len(self.messages)
        while start and _role(self.messages[start - 1]) != "user":
            start -= 1
        start = max(start - 1, 0)
        undone = self.messages[start:]
        del self.messages[start:]
        self.pending = None
        return undone

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a file, as JSON; a crash leaves the old file or the new one."""
        from pathlib import Path  # it takes 4 ms to import

        target = Path(path)
        saved = _Saved(msgspec.to_builtins(self.messages), self.system, self.model)
        template = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            template.write_bytes(msgspec.json.format(msgspec.json.encode(saved)))
            template.replace(target)
        finally:
            template.unlink(missing_ok=True)

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, in place of what was said so far; return the conversation.

        Raises:
            ConfigurationError: The file holds no conversation.
            OSError: It cannot be read.
        """
        from pathlib import Path

        try:
            saved = msgspec.json.decode(Path(path).read_bytes(), type=_Saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{str(path)!r} holds no conversation: {error}") from None
        self.messages = [_as_struct(message) for message in saved.messages]
        self.system, self.model = saved.system, saved.model
        self.pending = None
        return self

    def _begin(self, content: Sequence[Content]) -> _Turn:
        if self._turn is not None:
            raise RuntimeError(_IN_A_TURN)
        said: list[MessageLike] = [user_message(content)] if content else []
        if not said and (not self.messages or _role(self.messages[-1]) == "assistant"):
            raise ConfigurationError('there is nothing to say: send("Hello")')
        self.pending = None
        self._turn = _Turn([*self.messages, *said], said)
        return self._turn

    def _end(
        self,
        turn: _Turn,
        answer: ChatCompletion | None,
        whole: bool,
        used: Sequence[Usage | None] = (),
    ) -> None:
        """End *turn*, if it has not ended: it becomes history if its answer is whole.

        *used* tells what its exchanges used, where there may be more than that of *answer*.
        """
        if self._turn is not turn:
            return
        self._turn = None
        if not used and answer is not None and (whole or answer.usage is not None):
            used = [answer.usage]
        for usage in used:
            self.meter.add(usage)
        if whole and answer is not None:
            self.messages += [*turn.said, answer.message]
        else:
            self.pending = answer

    @contextmanager
    def _beginning_turn(self, content: Sequence[Content]) -> Generator[_Turn]:
        """Begin a turn in the block, and take it back if the block fails."""
        turn = self._begin(content)
        try:
            yield turn
        except BaseException as error:
            self._end(turn, getattr(error, "partial", None), whole=False, used=_used(error))
            raise

    @contextmanager
    def _taking_turn(self, content: Sequence[Content]) -> Generator[_Turn]:
        """Make the block a whole turn, which counts when it ends without an error."""
        with self._beginning_turn(content) as turn:
            yield turn
        self._end(turn, turn.answer, whole=True, used=_used(turn.answer))

    def _copy(self) -> tuple[list[MessageLike], str | None, str | None, ChatOptions]:
        return list(self.messages), self.system, self.model, self._options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self._copy() == other._copy()

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.messages)} messages, system={self.system!r})"


def _used(ended: ChatCompletion | BaseException) -> Sequence[Usage | None]:
    """Return what `acechat._core.structured_call.StructuredCall` noted on how it ended."""
    return getattr(ended, "_used", ())


def _role(message: MessageLike) -> object:
    return message.get("role") if isinstance(message, Mapping) else message.role


def _as_struct(message: MessageLike) -> MessageLike:
    """Make a struct of the API's own JSON; keep as it is what acechat has no struct for."""
    if not isinstance(message, Mapping):
        return message
    try:
        struct: Message = msgspec.convert({**message}, Message)
    except msgspec.ValidationError:
        return message
    return struct
