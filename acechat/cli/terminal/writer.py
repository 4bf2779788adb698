"""Output of a response: Markdown on a terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from acechat import ChatCompletion, Delta
from acechat.cli.terminal.text import DIM, UNDIM, clean, draws, on_terminal, one_line
from acechat.cli.terminal.visible import VisibleText

__all__ = ["SILENT", "PlainWriter", "Writer", "make_writer", "note", "notes_on"]


class Writer(Protocol):
    """Writes one response."""

    def show(self, deltas: Sequence[Delta]) -> None:
        """Write the next deltas."""

    def close(self) -> None:
        """End the last line."""


class _SilentWriter:
    """Writes nothing; used with ``--json``."""

    def show(self, deltas: Sequence[Delta]) -> None:
        """Ignore the deltas."""

    def close(self) -> None:
        """Do nothing."""


SILENT: Writer = _SilentWriter()


def make_writer(*, reasoning: bool) -> Writer:
    """Return a writer to stdout for one response, with or without *reasoning*."""
    if draws(sys.stdout):
        from acechat.cli.terminal.markdown import MarkdownWriter

        return MarkdownWriter(sys.stdout, reasoning=reasoning)
    return PlainWriter(reasoning=reasoning)


def note(text: str) -> None:
    """Print a notice to stderr, dimmed on a terminal."""
    dim = draws(sys.stderr)
    sys.stderr.write(f"{DIM if dim else ''}{one_line(text)}{UNDIM if dim else ''}\n")
    sys.stderr.flush()


def notes_on(completion: ChatCompletion) -> list[str]:
    """Return notices about truncation, filtered content and tool calls."""
    notes: list[str] = []
    if completion.finish_reason == "length":
        notes.append("the response was truncated at its token limit. Next: --max-tokens N")
    if completion.finish_reason == "content_filter":
        notes.append("the service's content filter removed a part of the response")
    notes += [
        f"the model calls {call.function.name}({call.function.arguments}); see --json"
        for call in completion.tool_calls
    ]
    return notes


class PlainWriter:
    """Writes text to stdout as it arrives, and reasoning to stderr."""

    def __init__(self, *, reasoning: bool) -> None:
        self._reasoning = reasoning
        self._unfinished: list[TextIO] = []  # streams whose last line is incomplete
        self._visible = {True: VisibleText(), False: VisibleText()}  # reasoning, and the text

    def show(self, deltas: Sequence[Delta]) -> None:
        """Write the next deltas."""
        for delta in deltas:
            if self._reasoning and (text := delta.reasoning_content):
                dim = on_terminal(sys.stderr) and draws(sys.stderr)
                text = self._shown(sys.stderr, text)
                self._write(sys.stderr, f"{DIM}{text}{UNDIM}" if dim else text)
            if text := delta.content or delta.refusal:
                self._write(sys.stdout, self._shown(sys.stdout, text))

    def _shown(self, stream: TextIO, text: str) -> str:
        """Return *text* for *stream*; a pipe gets all characters but controls."""
        text = clean(text)
        return self._visible[stream is sys.stderr].feed(text) if on_terminal(stream) else text

    def _write(self, stream: TextIO, text: str) -> None:
        if not text:
            return
        for other in self._unfinished:
            # Reasoning must not break the lines of a pipe on stdout.
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
        for stream in (sys.stderr, sys.stdout):
            self._write(stream, self._visible[stream is sys.stderr].close())
        for stream in self._unfinished:
            stream.write("\n")
            stream.flush()
        self._unfinished.clear()
