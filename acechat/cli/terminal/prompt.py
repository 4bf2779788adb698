"""The line that one types on: history, editing, several lines, completion."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["Interrupted", "make_prompt", "quiet_keys"]

_INPUT, _LOCAL = 0, 3  # in what termios returns
_WITH_PATHS = {"/image", "/load", "/save"}


class Interrupted(Exception):  # noqa: N818 - Ctrl-C is no error
    """Ctrl-C on the line that one types on."""


class _Commands(Completer):
    """Completes commands and their files; prompt_toolkit's own takes no ``/`` for a letter."""

    def __init__(self, commands: Iterable[str]) -> None:
        self._commands = list(commands)
        self._files = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        name, space, rest = document.text_before_cursor.partition(" ")
        if name in _WITH_PATHS and space:
            yield from self._files.get_completions(Document(rest), complete_event)
        elif name and not space:
            for command in self._commands:
                if command.startswith(name):
                    yield Completion(command, start_position=-len(name))


def make_prompt(commands: Iterable[str], history: Path | None) -> PromptSession[str]:
    """Return what asks for the next question.

    Args:
        commands: What can be completed, each with its ``/``.
        history: A file for what was typed; None keeps it in memory.
    """
    return PromptSession(
        message="> ",
        multiline=True,
        prompt_continuation="  ",
        key_bindings=_keys(),
        history=_history(history),
        completer=_Commands(commands),
        complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
        interrupt_exception=Interrupted,
    )


def _history(path: Path | None) -> History:
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:  # whoever keeps the conversation says so
        return InMemoryHistory()
    return FileHistory(path)


@contextmanager
def quiet_keys() -> Generator[None]:
    """Let keys that are pressed during an answer wait for the next question.

    A terminal would show them in the middle of the answer, and make line ends of Enter.
    """
    try:
        import termios
    except ImportError:  # Windows shows no key that nobody reads
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    quiet = termios.tcgetattr(keyboard)
    quiet[_INPUT] &= ~termios.ICRNL
    quiet[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keyboard, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _keys() -> KeyBindings:
    """Enter sends; Alt-Enter, Ctrl-J, or a backslash before Enter begin a new line."""
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
