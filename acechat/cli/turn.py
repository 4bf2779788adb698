"""One turn: a question, its answer while it is written, and what stays of both."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from acechat import (
    AssistantMessage,
    AsyncConversation,
    ChatCompletion,
    ChatOptions,
    Delta,
    ImagePart,
    TextPart,
    UserMessage,
)
from acechat.cli.history import Autosave, Keep
from acechat.cli.terminal.json import show_json
from acechat.cli.terminal.progress import Spinner
from acechat.cli.terminal.writer import SILENT, note, notes_on, writer
from acechat.cli.usage import Stopwatch, UsageSummary

__all__ = ["DisplayOptions", "UserInput", "as_message", "as_said", "take_turn", "take_unanswered"]

UserInput: TypeAlias = Sequence[str | TextPart | ImagePart]
"""What the user says at once."""


class DisplayOptions(Struct, frozen=True, kw_only=True):
    """How to ask, and how to show the answer."""

    stream: bool = True
    json: bool = False
    reasoning: bool = False
    usage: bool = False
    timeout: float | None = None
    """Seconds for the whole answer."""
    options: ChatOptions = {}


async def take_turn(
    talk: AsyncConversation, said: UserInput, manner: DisplayOptions, keep: Keep | None = None
) -> UsageSummary:
    """Say *said*, show the answer, and return what it cost.

    What had arrived of an answer that failed or was stopped becomes part of the conversation, too:
    one can ask to go on. *keep* is called with it now and then before that.
    """
    watch = Stopwatch()
    try:
        with Spinner() as waiting:
            if manner.stream:
                with Autosave(talk, as_message(said), keep) as draft:
                    answer = await _show_stream(talk, said, manner, watch, waiting, draft)
            else:
                answer = await talk.send(*said, timeout=manner.timeout, **manner.options)
            waiting.end()
            if manner.json:
                show_json(answer.to_dict(), sys.stdout)
            elif not manner.stream:
                _show_whole(answer, manner)
    except BaseException:
        if talk.pending is not None and talk.pending.text:
            talk.messages += [as_message(said), AssistantMessage(content=talk.pending.text)]
        if manner.json and talk.pending is not None and talk.pending.choices:
            show_json(talk.pending.to_dict(), sys.stdout)
        raise
    bill = UsageSummary.of(answer.usage, watch)
    for text in notes_on(answer):
        note(text)
    if manner.usage:
        note(str(bill))
    return bill


async def _show_stream(
    talk: AsyncConversation,
    said: UserInput,
    manner: DisplayOptions,
    watch: Stopwatch,
    waiting: Spinner,
    draft: Autosave,
) -> ChatCompletion:
    async with talk.stream(*said, timeout=manner.timeout, **manner.options) as stream:
        show = SILENT if manner.json else writer(reasoning=manner.reasoning)
        try:
            while deltas := await stream.receive():
                watch.note_first()
                draft.add(deltas)
                if shown := [delta for delta in deltas if _shows(delta, manner)]:
                    waiting.end()
                    show.show(shown)
            show.show(_others(stream.completion))
        finally:
            waiting.end()
            show.close()
    return stream.completion


def _shows(delta: Delta, manner: DisplayOptions) -> bool:
    """Whether *delta* is to be seen now; further choices are, after the first one."""
    text = delta.content or delta.refusal
    return delta.index == 0 and bool(text or manner.reasoning)


def _others(answer: ChatCompletion) -> list[Delta]:
    return [Delta(content=f"\n\n---\n\n{choice.message.content}") for choice in answer.choices[1:]]


def _show_whole(answer: ChatCompletion, manner: DisplayOptions) -> None:
    show = writer(reasoning=manner.reasoning)
    try:
        message = answer.message
        show.show([Delta(reasoning_content=message.reasoning_content)])
        show.show([Delta(content=message.content, refusal=message.refusal), *_others(answer)])
    finally:
        show.close()


def as_message(said: UserInput) -> UserMessage:
    """Make the message that *said* is."""
    if len(said) == 1 and isinstance(said[0], str):
        return UserMessage(content=said[0])
    return UserMessage(content=[TextPart(x) if isinstance(x, str) else x for x in said])


def as_said(message: UserMessage) -> UserInput:
    """Return what a message says, so that it can be said again."""
    return [message.content] if isinstance(message.content, str) else message.content


def take_unanswered(talk: AsyncConversation) -> UserInput | None:
    """Take a question off the end of *talk*: a crash came before its answer."""
    if not (talk.messages and isinstance(last := talk.messages[-1], UserMessage)):
        return None
    del talk.messages[-1]
    return as_said(last)
