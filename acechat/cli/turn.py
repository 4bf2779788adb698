"""One turn: send a message, show the response while it arrives, update the conversation."""

from __future__ import annotations

import sys
from typing import Any

from msgspec import Struct

from acechat import (
    AssistantMessage,
    AsyncConversation,
    ChatCompletion,
    Delta,
    TextPart,
    Usage,
    UserMessage,
)
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.history import Autosave, SaveCallback
from acechat.cli.terminal.json import show_json
from acechat.cli.terminal.progress import Spinner
from acechat.cli.terminal.text import clean
from acechat.cli.terminal.writer import SILENT, make_writer, note, notes_on
from acechat.cli.usage import Stopwatch, UsageSummary

__all__ = [
    "Outcome",
    "as_message",
    "content_of",
    "pop_open_prompt",
    "take_turn",
]


class Outcome(Struct, frozen=True):
    """A turn that succeeded."""

    usage: UsageSummary
    truncated: bool = False
    """Whether the response ended at its token limit."""


async def take_turn(
    conversation: AsyncConversation,
    content: UserInput,
    options: DisplayOptions,
    save: SaveCallback | None = None,
) -> Outcome:
    """Send *content*, show the response, and return its usage.

    The partial text of a failed or cancelled response is added to the conversation, so that the
    model can be asked to go on.

    Args:
        conversation: The conversation to continue.
        content: Content parts of the user message.
        options: Request fields and display.
        save: Called once a second with the conversation and the partial response; None: not saved.

    Raises:
        AceChatError: The call failed.
    """
    watch = Stopwatch()
    used: Usage | None = None
    try:
        with Spinner() as spinner, Autosave(conversation, as_message(content), save) as autosave:
            if options.tools is not None:
                from acechat.cli.tool_turn import run_tools

                run = await run_tools(conversation, content, options, watch, spinner, autosave)
                completion, used = run.completion, run.usage  # of all requests
            elif options.streams:
                completion = await _show_stream(
                    conversation, content, options, watch, spinner, autosave
                )
            else:
                completion = await conversation.send(
                    *content,
                    timeout=options.timeout,
                    output_type=options.output_type,
                    **options.options,
                )
            spinner.stop()
            _show_result(completion, options)
    except BaseException:
        pending = conversation.pending
        if pending is not None and pending.text:
            conversation.messages += [as_message(content), AssistantMessage(content=pending.text)]
        if options.json and pending is not None and pending.choices:
            show_json(pending.to_dict(), sys.stdout)
        raise
    usage = UsageSummary.of(
        used if options.tools else completion.usage,
        watch,
        cached=completion.cached and not options.tools,
    )
    for text in notes_on(completion):
        note(text)
    if options.usage:
        note(str(usage))
    return Outcome(usage, truncated=completion.finish_reason == "length")


def _show_result(completion: ChatCompletion[Any], options: DisplayOptions) -> None:
    """Show the parts of a response that are not shown while it arrives."""
    if options.json:
        show_json(completion.to_dict(), sys.stdout)
    elif options.output_type is not None:
        show_json(completion.output, sys.stdout)
    elif options.extract:
        from acechat.cli.calls.extract import last_code_block

        block = last_code_block(completion.text)
        if block is None:
            note("the response has no code block; here is all of it")
        sys.stdout.write(clean(completion.text if block is None else block) + "\n")
        sys.stdout.flush()
    elif not options.streams and options.tools is None:
        _show_complete(completion, options)


async def _show_stream(
    conversation: AsyncConversation,
    content: UserInput,
    options: DisplayOptions,
    watch: Stopwatch,
    spinner: Spinner,
    autosave: Autosave,
) -> ChatCompletion:
    async with conversation.stream(*content, timeout=options.timeout, **options.options) as stream:
        writer = (
            SILENT if options.json or options.extract else make_writer(reasoning=options.reasoning)
        )
        try:
            while deltas := await stream.receive():
                watch.record_first()
                autosave.add(deltas)
                if visible := [delta for delta in deltas if _is_visible(delta, options)]:
                    spinner.stop()
                    writer.show(visible)
            writer.show(_other_choices(stream.completion))
        finally:
            spinner.stop()
            writer.close()
    return stream.completion


def _is_visible(delta: Delta, options: DisplayOptions) -> bool:
    """Return True for the first choice; the others are shown after it is complete."""
    text = delta.content or delta.refusal
    return delta.index == 0 and bool(text or options.reasoning)


def _other_choices(completion: ChatCompletion) -> list[Delta]:
    return [
        Delta(content=f"\n\n---\n\n{choice.message.content}") for choice in completion.choices[1:]
    ]


def _show_complete(completion: ChatCompletion, options: DisplayOptions) -> None:
    writer = make_writer(reasoning=options.reasoning)
    try:
        message = completion.message
        writer.show([Delta(reasoning_content=message.reasoning_content)])
        writer.show(
            [Delta(content=message.content, refusal=message.refusal), *_other_choices(completion)]
        )
    finally:
        writer.close()


def as_message(content: UserInput) -> UserMessage:
    """Return a user message with *content*."""
    if len(content) == 1 and isinstance(content[0], str):
        return UserMessage(content=content[0])
    return UserMessage(content=[TextPart(x) if isinstance(x, str) else x for x in content])


def content_of(message: UserMessage) -> UserInput:
    """Return the content parts of *message*, to be sent again."""
    return [message.content] if isinstance(message.content, str) else message.content


def pop_open_prompt(conversation: AsyncConversation) -> UserInput | None:
    """Remove the last message and return its content if it is a user message, else None.

    A process that was killed leaves a prompt without its response.
    """
    messages = conversation.messages
    if not (messages and isinstance(last := messages[-1], UserMessage)):
        return None
    del messages[-1]
    return content_of(last)
