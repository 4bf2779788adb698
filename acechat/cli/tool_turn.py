"""One turn in which the model may call tools."""

from __future__ import annotations

from typing import Any

from acechat import (
    AceChatError,
    AsyncConversation,
    Delta,
    ReasoningDelta,
    RunResult,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.history import Autosave
from acechat.cli.terminal.progress import Spinner
from acechat.cli.terminal.text import one_line
from acechat.cli.terminal.writer import SILENT, Writer, make_writer, note
from acechat.cli.usage import Stopwatch

__all__ = ["run_tools"]

_MAX_RESULT = 200
"""Characters of the result of a tool that are shown."""


async def run_tools(
    conversation: AsyncConversation,
    content: UserInput,
    options: DisplayOptions,
    watch: Stopwatch,
    spinner: Spinner,
    autosave: Autosave,
) -> RunResult:
    """Send *content*, call the tools that the model requests, and add all turns to *conversation*.

    Raises:
        AceChatError: A call failed; the turns before it are not kept.
    """
    try:
        return await _run(conversation, content, options, watch, spinner, autosave)
    except AceChatError as error:
        conversation.pending = error.partial
        raise


async def _run(
    conversation: AsyncConversation,
    content: UserInput,
    options: DisplayOptions,
    watch: Stopwatch,
    spinner: Spinner,
    autosave: Autosave,
) -> RunResult:
    tools = options.tools
    assert tools is not None  # noqa: S101 - the caller has checked it
    silent = options.json or options.extract
    writer: Writer | None = None
    fields: dict[str, Any] = {**options.options, "tools": tools.functions}
    stream = tools.client.run_stream(
        *content,
        messages=conversation.messages,
        system=conversation.system,
        model=conversation.model,
        timeout=options.timeout,
        **fields,
    )
    async with stream:
        try:
            async for event in stream:
                watch.record_first()
                match event:
                    case TextDelta(text, index) if index == 0:
                        delta = Delta(content=text)
                        autosave.add([delta])
                    case ReasoningDelta(text, index) if index == 0 and options.reasoning:
                        delta = Delta(reasoning_content=text)
                    case ToolStarted() | TurnFinished():
                        spinner.stop()
                        if writer is not None:
                            writer.close()
                        writer = None
                        continue
                    case ToolFinished(result):
                        text = one_line(result.content)
                        short = text if len(text) <= _MAX_RESULT else f"{text[:_MAX_RESULT]}..."
                        note(f"  {result.call.function.name}: {short}")
                        continue
                    case _:
                        continue
                spinner.stop()
                writer = writer or (SILENT if silent else make_writer(reasoning=options.reasoning))
                writer.show([delta])
        finally:
            spinner.stop()
            if writer is not None:
                writer.close()
    run = stream.result
    conversation.messages[:] = run.messages
    return run
