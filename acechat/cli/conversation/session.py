"""The conversation on a terminal; it survives Ctrl-C, a failed response and a crash."""

from __future__ import annotations

import re
from asyncio import Runner
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from acechat import (
    AceChatError,
    AsyncConversation,
    ImagePart,
    TextPart,
    UserMessage,
)
from acechat.cli.content.paths import dropped_path
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.errors import explain
from acechat.cli.history import Log
from acechat.cli.terminal.question import confirm
from acechat.cli.terminal.text import one_line
from acechat.cli.terminal.writer import note
from acechat.cli.turn import as_message, content_of, pop_open_prompt, take_turn
from acechat.cli.usage import UsageSummary

if TYPE_CHECKING:
    from acechat.cli.library.store import Entry

__all__ = ["Command", "Session"]

_MAX_QUOTE = 60
"""Characters of a prompt that are quoted in a notice."""

_WORDS = {"exit": "/exit", "quit": "/exit", "help": "/help"}
"""Lines that are commands, because people type them in every program."""


class Command(Struct, frozen=True):
    """A command of a conversation."""

    argument: str
    """For the list of commands: ``FILE``."""
    description: str
    run: Callable[[Session, str], None]


class Session:
    """A conversation and the commands of its user.

    Args:
        runner: Runs one turn at a time; Ctrl-C cancels that turn only.
        conversation: New, or loaded from a file.
        options: Request fields and display.
        log: The conversation is saved there; None: not saved.
        images: Sent with the first prompt.
        commands: Commands by name, each with its ``/``.
        base_url: Base URL of the service, for the check of model names; None for the default.
    """

    def __init__(
        self,
        runner: Runner,
        conversation: AsyncConversation,
        options: DisplayOptions,
        log: Log | None,
        images: Sequence[TextPart | ImagePart] = (),
        commands: Mapping[str, Command] | None = None,
        base_url: str | None = None,
    ) -> None:
        self._runner = runner
        self.conversation: AsyncConversation = conversation
        self._options = options
        self._log = log
        self._images = list(images)  # for the next prompt
        self.commands: Mapping[str, Command] = commands or {}
        self.base_url: str | None = base_url
        self._usage = UsageSummary()
        self.ended: bool = False
        # The last prompt if it has no response; it is not in the conversation.
        self._open_prompt = pop_open_prompt(conversation)
        self._show_position()

    def receive(self, line: str) -> None:
        """Run the command in *line*, or send it as a prompt."""
        # The line editor decodes invalid UTF-8 to lone surrogates, which cannot be encoded.
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
        line = _WORDS.get(line.lower(), line)
        # A pasted path or comment may begin with a slash, too.
        if _is_command(line, self.commands):
            self._run_command(line)
        elif line and (path := dropped_path(line)) is not None:
            self._run_command(f"/image {path}")
        elif line or self._images:
            if line.startswith("//") and _is_command(line[1:], self.commands):
                line = line[1:]
            content: list[str | TextPart | ImagePart] = [line] if line else []
            content += self._images
            self._images = []
            self.send(content)

    def send(self, content: UserInput, fallback: AsyncConversation | None = None) -> None:
        """Send *content* and show the response; an error is shown, not raised.

        Args:
            content: Content parts of the user message.
            fallback: Replaces the conversation if no text is received; None: it stays unchanged.
        """
        before = len(self.conversation.messages)
        self._open_prompt = content
        self._autosave()
        failure = ""
        try:
            turn = take_turn(self.conversation, content, self._options, self._autosave)
            self._usage += self._runner.run(turn).usage
        except KeyboardInterrupt:
            failure = "stopped"
        except (AceChatError, TypeError) as error:
            failure = "failed"
            click.echo(explain(error), err=True)
        finally:  # also after an OSError, because the terminal was closed
            received = len(self.conversation.messages) > before
            if not received and fallback is not None:
                self.conversation = fallback
            if received or fallback is not None:
                self._open_prompt = None
            self._autosave()
        if failure and received:
            note(f"({failure}; the partial response is kept: /retry sends again, /undo removes it)")
        elif failure:
            note(f"({failure} before any text was received: /retry sends again)")

    def _autosave(self, conversation: AsyncConversation | None = None) -> None:
        """Save *conversation*; None: the current one with its open prompt."""
        if self._log is None:
            return
        if conversation is None:
            conversation = self.conversation
            if self._open_prompt:
                conversation = conversation.fork()
                conversation.messages.append(as_message(self._open_prompt))
        try:
            self._log.save(conversation)
        except OSError as error:
            self._log = None
            note(f"(cannot save this conversation for --continue: {error})")

    def _run_command(self, line: str) -> None:
        name, *rest = line.split(maxsplit=1)
        if name not in self.commands:
            from difflib import get_close_matches

            close = get_close_matches(name, self.commands, 1)
            hint = f"did you mean {close[0]}?" if close else "see /help"
            note(f"unknown command {name}: {hint}")
            return
        try:
            self.commands[name].run(self, rest[0] if rest else "")
        except click.ClickException as error:
            note(error.format_message())
        except (AceChatError, OSError) as error:
            click.echo(explain(error), err=True)

    def undo(self) -> None:
        """Remove the last prompt and its response."""
        undone = [each for each in self.conversation.undo() if isinstance(each, UserMessage)]
        self._autosave()
        note(f"removed: {_quote(content_of(undone[0]))}" if undone else "there is nothing to undo")

    def retry(self) -> None:
        """Send the last prompt again."""
        if self._open_prompt:
            self.send(self._open_prompt)
            return
        before = self.conversation.fork()
        undone = self.conversation.undo()
        if undone and isinstance(undone[0], UserMessage):
            self.send(content_of(undone[0]), fallback=before)
        else:
            self.conversation = before
            note("there is no prompt to send again")

    def replace(self, conversation: AsyncConversation, entry: Entry | None = None) -> None:
        """Go on with another conversation.

        Args:
            conversation: The conversation.
            entry: Its entry in the history; None for a new one.
        """
        self.conversation = conversation
        self._open_prompt = pop_open_prompt(conversation)
        if self._log is not None:
            self._log = Log(interactive=True, entry=entry)
            if conversation.messages and entry is None:
                self._autosave()
        self._show_position()

    def attach(self, part: TextPart | ImagePart) -> None:
        """Send *part* with the next prompt."""
        self._images.append(part)
        count = sum(isinstance(part, ImagePart) for part in self._images)
        others = len(self._images) - count
        note(f"images: {count} to be shown with the prompt{f'; files: {others}' if others else ''}")

    def ask(self, question: str) -> bool:
        """Ask on the terminal; return True for yes."""
        return self._runner.run(confirm(question))

    @property
    def usage(self) -> UsageSummary:
        """The usage of this session."""
        return self._usage

    def _show_position(self) -> None:
        messages = self.conversation.messages
        prompts = [message for message in messages if isinstance(message, UserMessage)]
        if prompts:
            note(f"continuing after {len(messages)} messages: {_quote(content_of(prompts[-1]))}")
        if self._open_prompt:
            note(f"no response yet (/retry sends again): {_quote(self._open_prompt)}")


def _is_command(line: str, commands: Container[str]) -> bool:
    word = re.match(r"/[a-z]+(?!\S)", line)
    return word is not None and (word[0] in commands or "\n" not in line)


def _quote(content: UserInput) -> str:
    """Return the beginning of *content*, on one line."""
    texts = [
        part if isinstance(part, str) else getattr(part, "text", "(image)") for part in content
    ]
    text = one_line(" ".join(texts))
    return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE - 3]}..."
