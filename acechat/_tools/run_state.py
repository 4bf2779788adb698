"""The state of a run: its messages and turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import attrgetter

import msgspec

from acechat._policy.values import RunLimits
from acechat._tools.executor import ToolExecutor, ToolResults
from acechat._wire.messages import Content, as_sendable, gather_messages
from acechat._wire.request import RequestTemplate
from acechat.errors import AceChatError, MaxTurnsError
from acechat.types import (
    ChatCompletion,
    ImagePart,
    MessageLike,
    RunResult,
    TextPart,
    ToolCall,
    Turn,
    UserMessage,
)
from acechat.types.completion import note_origin
from acechat.types.usage import TotalUsage

__all__ = ["RunState"]

_id_of = attrgetter("id")


class RunState:
    """What was said and done in a run, and what is to be asked next: the part without a network.

    Args:
        content: What the user says now.
        messages: What was said before.
        system: The system prompt; None for none.
        template: How all its requests are made, their *tools* and *tool_choice* included.
        toolbox: The tools.
        limits: How far it may go.
    """

    def __init__(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        template: RequestTemplate,
        toolbox: ToolExecutor,
        limits: RunLimits,
    ) -> None:
        self.toolbox = toolbox
        self._draft = template
        self._demands = self._draft.fields.get("tool_choice") not in (None, "none", "auto")
        self._limits = limits
        said = gather_messages(content, messages=messages, system=system)
        self._said = said  # all that is sent, as it is sent
        self.messages: list[MessageLike] = said[system is not None :]
        self.turns: list[Turn] = []
        self.ended: bool = False

        self.answer: ChatCompletion | None = None
        """That of the turn under way: whatever becomes of its calls, it has been paid for."""

        self.results: ToolResults = {}
        """Of its calls, as far as they have ended."""

    def next_request(self) -> tuple[RequestTemplate, list[MessageLike]]:
        """Return how to ask next, and what to say.

        Raises:
            MaxTurnsError: There is to be no more asking.
            BudgetExceededError: There is nothing left to pay it with.
        """
        limits = self._limits
        if len(self.turns) >= limits.max_turns:
            raise MaxTurnsError(limits.max_turns)
        if limits.budget is not None:
            used = [turn.completion.usage for turn in self.turns]
            limits.budget.check(reduce(TotalUsage.plus, used, TotalUsage()))
        return self._draft, self._said

    def take(self, completion: ChatCompletion) -> ChatCompletion:
        """Take the answer to `next_request`; return it, with calls that can be told apart."""
        calls = completion.tool_calls
        if calls and len({"", *map(_id_of, calls)}) <= len(calls):  # one is empty, or there twice
            completion = _with_ids(completion, len(self.messages))
        self.answer = completion
        return completion

    def end_turn(self) -> Turn:
        """Make a turn of the answer and what became of its calls, all of which have ended."""
        answer = self.answer
        assert answer is not None  # noqa: S101 - take() set it
        self.answer = None
        self._say(answer.message)
        if not self.results:
            self.ended = True
            self.turns.append(Turn(answer))
            return self.turns[-1]
        turn = self._turn_of(answer)
        self.turns.append(turn)
        self.results = {}
        images: list[ImagePart] = []
        for result in turn.results:
            self._say(result.message)
            images += result.images
        if images:
            told = TextPart("The pictures that the tools returned:")
            self._say(UserMessage(content=[told, *images]))
        # A call that was demanded has been made: demanded again, there would never be an answer.
        if self._demands:
            self._draft = self._draft.with_field("tool_choice", "auto")
        return turn

    def _say(self, message: MessageLike) -> None:
        self.messages.append(message)
        self._said.append(as_sendable(message))

    def note(self, error: AceChatError) -> None:
        """Put into *error* what had happened: the turns, and what there is of the last one."""
        unfinished = [self._turn_of(self.answer)] if self.answer else []
        error.run = RunResult((*self.turns, *unfinished), tuple(self.messages))

    def result(self) -> RunResult:
        """Return what has happened so far."""
        return RunResult(tuple(self.turns), tuple(self.messages))

    def _turn_of(self, answer: ChatCompletion) -> Turn:
        results = self.results
        return Turn(answer, tuple(map(results.__getitem__, sorted(results))))


def _with_ids(completion: ChatCompletion, place: int) -> ChatCompletion:
    """Give ids to the calls of a *completion* that has none of their own: a result names its call.

    They differ from those of all other turns, because *place* is that of the message.
    """
    seen = {""}
    calls: list[ToolCall] = []
    for number, told in enumerate(completion.tool_calls):
        mine = f"call_{place}_{number}" if told.id in seen else told.id
        calls.append(msgspec.structs.replace(told, id=mine))
        seen.add(mine)
    first, *others = completion.choices
    message = msgspec.structs.replace(first.message, tool_calls=calls)
    choices = [msgspec.structs.replace(first, message=message), *others]
    answer = msgspec.structs.replace(completion, choices=choices)
    return note_origin(answer, completion.response, completion.to_dict)
