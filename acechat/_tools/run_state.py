"""The state of a run: its messages and turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import reduce
from operator import attrgetter
from typing import TypeAlias

import msgspec

from acechat._policy.values import RunLimits
from acechat._tools.executor import ToolExecutor, ToolResults
from acechat._wire.messages import Content, as_sendable, gather_messages, tool_images_message
from acechat._wire.request import RequestTemplate
from acechat.errors import AceChatError, MaxTurnsError
from acechat.types import (
    ChatCompletion,
    ImagePart,
    MessageLike,
    RunResult,
    ToolCall,
    Turn,
)
from acechat.types.completion import note_origin
from acechat.types.usage import TotalUsage

__all__ = ["BeforeTurn", "RunState"]

_id_of = attrgetter("id")


BeforeTurn: TypeAlias = Callable[
    [list[MessageLike]],
    Iterable[MessageLike] | Awaitable[Iterable[MessageLike] | None] | None,
]
"""Receives the messages of the next request; returns those to send instead, or None."""


class RunState:
    """The messages and turns of a run, and its next request; no I/O.

    Args:
        content: Content of the new user message.
        messages: The preceding conversation.
        system: The system prompt; None for none.
        template: The fields of all requests, *tools* and *tool_choice* included.
        executor: The tools.
        limits: Maximum turns, budget and tool limits.
        before_turn: Called before each request by the owner of the state; None for none.
    """

    def __init__(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        template: RequestTemplate,
        executor: ToolExecutor,
        limits: RunLimits,
        before_turn: BeforeTurn | None = None,
    ) -> None:
        self.executor = executor
        self.before_turn = before_turn
        self._system = system
        self._template = template
        self._call_required = template.fields.get("tool_choice") not in (None, "none", "auto")
        self._limits = limits
        sent = gather_messages(content, messages=messages, system=system)
        self._sent = sent  # the messages of the next request, system prompt included
        self.messages: list[MessageLike] = sent[system is not None :]
        self.turns: list[Turn] = []
        self.ended: bool = False

        self.completion: ChatCompletion | None = None
        """The completion of the current turn, kept if its tool calls fail: it is billed."""

        self.results: ToolResults = {}
        """Results of the current turn's tool calls that have ended, by the index of the call."""

    def next_request(self) -> tuple[RequestTemplate, list[MessageLike]]:
        """Return the template and the messages of the next request.

        Raises:
            MaxTurnsError: The run has reached *max_turns*.
            BudgetExceededError: The run has reached its budget.
        """
        limits = self._limits
        if len(self.turns) >= limits.max_turns:
            raise MaxTurnsError(limits.max_turns)
        if limits.budget is not None:
            used = [turn.completion.usage for turn in self.turns]
            limits.budget.check(reduce(TotalUsage.plus, used, TotalUsage()))
        return self._template, self._sent

    def replace_messages(self, messages: Iterable[MessageLike] | None) -> list[MessageLike]:
        """Replace the messages so far; return those to send. None leaves them unchanged."""
        if messages is not None:
            sent = gather_messages((), messages=messages, system=self._system)
            self._sent = sent
            self.messages = sent[self._system is not None :]
        return self._sent

    def take(self, completion: ChatCompletion) -> ChatCompletion:
        """Store the completion of `next_request`; return it with unique tool call ids."""
        calls = completion.tool_calls
        if calls and len({"", *map(_id_of, calls)}) <= len(calls):  # an id is empty or duplicate
            completion = _with_unique_ids(completion, len(self.messages))
        self.completion = completion
        return completion

    def end_turn(self) -> Turn:
        """Append the completion and its tool results to the turns; all calls must have ended."""
        completion = self.completion
        assert completion is not None  # noqa: S101 - take() set it
        self.completion = None
        self._append(completion.message)
        if not self.results:
            self.ended = True
            self.turns.append(Turn(completion))
            return self.turns[-1]
        turn = self._make_turn(completion)
        self.turns.append(turn)
        self.results = {}
        images: list[ImagePart] = []
        for result in turn.results:
            self._append(result.message)
            images += result.images
        if images:
            self._append(tool_images_message(images))
        # The required call has been made. Required again, the run would never end.
        if self._call_required:
            self._template = self._template.with_field("tool_choice", "auto")
        return turn

    def _append(self, message: MessageLike) -> None:
        self.messages.append(message)
        self._sent.append(as_sendable(message))

    def attach_to(self, error: AceChatError) -> None:
        """Set ``error.run`` to the turns so far, the unfinished one included."""
        unfinished = [self._make_turn(self.completion)] if self.completion else []
        error.run = RunResult((*self.turns, *unfinished), tuple(self.messages))

    def result(self) -> RunResult:
        """Return the turns and messages so far."""
        return RunResult(tuple(self.turns), tuple(self.messages))

    def _make_turn(self, completion: ChatCompletion) -> Turn:
        results = self.results
        return Turn(completion, tuple(map(results.__getitem__, sorted(results))))


def _with_unique_ids(completion: ChatCompletion, position: int) -> ChatCompletion:
    """Replace empty and duplicate ids of tool calls: a tool message refers to its call by id.

    The new ids are unique in the run, because *position* is the index of the message.
    """
    seen = {""}
    calls: list[ToolCall] = []
    for number, call in enumerate(completion.tool_calls):
        new_id = f"call_{position}_{number}" if call.id in seen else call.id
        calls.append(msgspec.structs.replace(call, id=new_id))
        seen.add(new_id)
    first, *others = completion.choices
    message = msgspec.structs.replace(first.message, tool_calls=calls)
    choices = [msgspec.structs.replace(first, message=message), *others]
    changed = msgspec.structs.replace(completion, choices=choices)
    return note_origin(changed, completion.response, completion.to_dict)
