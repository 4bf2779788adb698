"""How an answer is shown: as Markdown on a terminal, plain where it is piped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from acechat import ChatCompletion, Delta
from acechat.cli.terminal.text import DIM, UNDIM, clean, draws, on_terminal, one_line

__all__ = ["SILENT", "PlainWriter", "Writer", "note", "notes_on", "writer"]


class Writer(Protocol):
    """Shows one answer."""

    def show(self, deltas: Sequence[Delta]) -> None:
        """Show the next pieces."""

    def close(self) -> None:
        """End the last line; after that others may write."""


class _SilentWriter:
    """Shows nothing: the answer is to be printed in another way."""

    def show(self, deltas: Sequence[Delta]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


SILENT: Writer = _SilentWriter()


def writer(*, reasoning: bool) -> Writer:
    """Return what shows an answer on standard output; make it when the question is sent."""
    if draws(sys.stdout):
        from acechat.cli.terminal.markdown import MarkdownWriter

        return MarkdownWriter(sys.stdout, reasoning=reasoning)
    return PlainWriter(reasoning=reasoning)


def note(text: str) -> None:
    """Tell the person something that is no part of the answer."""
    dim = draws(sys.stderr)
    sys.stderr.write(f"{DIM if dim else ''}{one_line(text)}{UNDIM if dim else ''}\n")
    sys.stderr.flush()


def notes_on(answer: ChatCompletion) -> list[str]:
    """Return what one must know about an answer and cannot see in it."""
    notes: list[str] = []
    if answer.finish_reason == "length":
        notes.append("the answer was cut at its limit of tokens: --option max_tokens=N")
    if answer.finish_reason == "content_filter":
        notes.append("the service left out a part of the answer")
    notes += [
        f"the model wants to call {call.function.name}({call.function.arguments}); see --json"
        for call in answer.tool_calls
    ]
    return notes


class PlainWriter:
    """Writes text as it comes; thoughts go to standard error."""

    def __init__(self, *, reasoning: bool) -> None:
        self._reasoning = reasoning
        self._unfinished: list[TextIO] = []  # whose last line has no end yet

    def show(self, deltas: Sequence[Delta]) -> None:
        """Show the next pieces."""
        for delta in deltas:
            if self._reasoning and (thought := delta.reasoning_content):
                dim = on_terminal(sys.stderr) and draws(sys.stderr)
                self._write(sys.stderr, f"{DIM}{clean(thought)}{UNDIM}" if dim else clean(thought))
            if text := delta.content or delta.refusal:
                self._write(sys.stdout, clean(text))

    def _write(self, stream: TextIO, text: str) -> None:
        if not text:
            return
        for other in self._unfinished:
            # What is piped is one text, whatever is thought in its middle.
            if other is not stream and (other is sys.stderr or on_terminal(other)):
                other.write("\n")
                other.flush()
                self._unfinished.remove(other)
                break
        stream.write(text)
        stream.flush()
        ended = text.removesuffix(UNDIM).endswith("\n")
        if stream in self._unfinished:
            self._unfinished.remove(stream)
        if not ended:
            self._unfinished.append(stream)

    def close(self) -> None:
        """End the last lines."""
        for stream in self._unfinished:
            stream.write("\n")
            stream.flush()
        self._unfinished.clear()
