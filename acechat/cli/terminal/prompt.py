"""The input line: history, editing, multiple lines, completion."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from acechat._files import append, make_folder
from acechat.cli.terminal.suspend import restored_when_suspended

__all__ = ["Interrupted", "make_prompt", "quiet_keys"]

_INPUT, _LOCAL = 0, 3  # indexes in the result of tcgetattr()
_WITH_PATHS = {"/image", "/load", "/save"}


class Interrupted(Exception):  # noqa: N818 - Ctrl-C is not an error
    """Ctrl-C on the input line."""


class _Commands(Completer):
    """Completes commands and file names; WordCompleter does not treat ``/`` as a part of a word."""

    def __init__(
        self, commands: Iterable[str], words: Mapping[str, Callable[[], Iterable[str]]]
    ) -> None:
        self._commands = list(commands)
        self._words = words
        self._files = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        name, space, rest = document.text_before_cursor.partition(" ")
        if name in self._words and space:
            for word in self._words[name]():
                if word.startswith(rest) and word != rest:
                    yield Completion(word, start_position=-len(rest))
        if name in _WITH_PATHS and space:
            yield from self._files.get_completions(Document(rest), complete_event)
        elif name and not space:
            for command in self._commands:
                if command.startswith(name):
                    yield Completion(command, start_position=-len(name))


def make_prompt(
    commands: Iterable[str],
    history: Path | None,
    words: Mapping[str, Callable[[], Iterable[str]]] | None = None,
) -> PromptSession[str]:
    """Return the input line for prompts and commands.

    Args:
        commands: Names to complete, each with its ``/``.
        history: File for the input history; None keeps it in memory.
        words: Words to complete after a command, by its name.
    """
    return PromptSession(
        message="> ",
        multiline=True,
        prompt_continuation="  ",
        key_bindings=_keys(),
        history=_history(history),
        completer=_Commands(commands, words or {}),
        complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
        interrupt_exception=Interrupted,
        enable_suspend=True,
    )


def _history(path: Path | None) -> History:
    if path is None:
        return InMemoryHistory()
    try:
        make_folder(path.parent)
        append(path, b"")  # a FIFO would block the reader
    except OSError:  # saving the conversation reports the error
        return InMemoryHistory()
    return _PromptFile(path)


class _PromptFile(FileHistory):
    def store_string(self, string: str) -> None:
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        entry = f"\n# {datetime.now()}\n{lines}"  # noqa: DTZ005 - as prompt_toolkit writes it
        with suppress(OSError):  # a full disk must not end the conversation
            append(os.fsdecode(self.filename), entry.encode(errors="replace"))


@contextmanager
def quiet_keys() -> Generator[None]:
    """Turn off echo during a response; keys pressed then are read by the next input line.

    The terminal would print them into the response, and convert Enter to a line feed.
    """
    try:
        import termios
    except ImportError:  # Windows does not echo keys before they are read
        yield
        return
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    quiet = termios.tcgetattr(stdin)
    quiet[_INPUT] &= ~termios.ICRNL
    quiet[_LOCAL] &= ~(termios.ECHO | termios.ICANON)

    def change(attributes: list[Any]) -> None:
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(stdin, termios.TCSANOW, attributes)

    change(quiet)
    try:
        with restored_when_suspended(lambda: change(before), lambda: change(quiet)):
            yield
    finally:
        change(before)


def _keys() -> KeyBindings:
    """Return key bindings: Enter sends; Alt-Enter, Ctrl-J or backslash-Enter begin a new line."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys
