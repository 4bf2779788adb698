"""The conversation on a terminal; it survives Ctrl-C, a failed response and a crash."""

from __future__ import annotations

import re
from asyncio import Runner
from collections.abc import Callable, Sequence
from typing import TypeAlias

import click
import msgspec

from acechat import (
    DEFAULT_MODEL,
    AceChatError,
    AsyncConversation,
    ConfigurationError,
    ImagePart,
    TextPart,
    UserMessage,
    image,
)
from acechat._files import write
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.errors import explain
from acechat.cli.history import Log
from acechat.cli.settings import expanded
from acechat.cli.terminal.text import clean, one_line
from acechat.cli.terminal.writer import note
from acechat.cli.turn import as_message, content_of, pop_open_prompt, take_turn
from acechat.cli.usage import UsageSummary

__all__ = ["COMMANDS", "NO_RESPONSE", "Session", "save"]

NO_RESPONSE = "there is no response to save yet"

_MAX_QUOTE = 60
"""Characters of a prompt that are quoted in a notice."""

Command: TypeAlias = "Callable[[Session, str], None]"


class Session:
    """A conversation and the commands of its user.

    Args:
        runner: Runs one turn at a time; Ctrl-C cancels that turn only.
        conversation: New, or loaded from a file.
        options: Request fields and display.
        log: The conversation is saved there; None: not saved.
        images: Sent with the first prompt.
    """

    def __init__(
        self,
        runner: Runner,
        conversation: AsyncConversation,
        options: DisplayOptions,
        log: Log | None,
        images: Sequence[TextPart | ImagePart] = (),
    ) -> None:
        self._runner = runner
        self.conversation: AsyncConversation = conversation
        self._options = options
        self._log = log
        self._images = list(images)  # for the next prompt
        self._usage = UsageSummary()
        self.ended: bool = False
        # The last prompt if it has no response; it is not in the conversation.
        self._open_prompt = pop_open_prompt(conversation)
        self._show_position()

    def receive(self, line: str) -> None:
        """Run the command in *line*, or send it as a prompt."""
        # The line editor decodes invalid UTF-8 to lone surrogates, which cannot be encoded.
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
        # A pasted path or comment may begin with a slash, too.
        if _is_command(line):
            self._run_command(line)
        elif line or self._images:
            if line.startswith("//") and _is_command(line[1:]):
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
        if name not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean {close[0]}?" if close else "see /help"
            note(f"unknown command {name}: {hint}")
            return
        try:
            COMMANDS[name][2](self, rest[0].strip("\"'") if rest else "")
        except (AceChatError, OSError) as error:
            click.echo(explain(error), err=True)

    def help(self, _: str) -> None:
        """List the commands and keys."""
        for name, (argument, text, _run) in COMMANDS.items():
            click.echo(f"{f'{name} {argument}':<16} {text}")
        click.echo(
            "Enter sends; Alt-Enter or \\ before Enter begins a new line; //help sends /help."
        )
        click.echo("Ctrl-C stops a response; Ctrl-D ends the conversation.")

    def undo(self, _: str) -> None:
        """Remove the last prompt and its response."""
        undone = [each for each in self.conversation.undo() if isinstance(each, UserMessage)]
        self._autosave()
        note(f"removed: {_quote(content_of(undone[0]))}" if undone else "there is nothing to undo")

    def retry(self, _: str) -> None:
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

    def save(self, path: str) -> None:
        """Save the conversation, or the last response, to a file."""
        if not path:
            note("missing FILE: /save talk.json saves the conversation, /save text.md the response")
            return
        note(f"saved {path}" if save(self.conversation, path) else NO_RESPONSE)

    def load(self, path: str) -> None:
        """Continue the conversation of a file."""
        if not path:
            note("missing FILE: /load talk.json")
            return
        self.conversation.load(expanded(path))
        self._open_prompt = pop_open_prompt(self.conversation)
        self._autosave()
        self._show_position()

    def model(self, name: str) -> None:
        """Show or change the model."""
        self.conversation.model = name or self.conversation.model
        note(f"model: {self.conversation.model or DEFAULT_MODEL}")

    def system(self, text: str) -> None:
        """Show, change or remove the system prompt."""
        if text:
            self.conversation.system = None if text == "-" else text
        note(f"system: {self.conversation.system or 'none'}")

    def image(self, path: str) -> None:
        """Send an image with the next prompt."""
        if not path:
            note("missing FILE or URL: /image cat.jpg")
            return
        web = path.startswith(("http://", "https://", "data:"))
        self._images.append(image(path if web else expanded(path)))
        note(f"images of the next prompt: {len(self._images)}")

    def usage(self, _: str) -> None:
        """Show the usage of this session."""
        note(str(self._usage))

    def exit(self, _: str) -> None:
        """End the session."""
        self.ended = True

    def _show_position(self) -> None:
        messages = self.conversation.messages
        prompts = [message for message in messages if isinstance(message, UserMessage)]
        if prompts:
            note(f"continuing after {len(messages)} messages: {_quote(content_of(prompts[-1]))}")
        if self._open_prompt:
            note(f"no response yet (/retry sends again): {_quote(self._open_prompt)}")


def save(conversation: AsyncConversation, path: str) -> bool:
    """Write *conversation* to a ``.json`` file; to any other file, the text of its last response.

    Returns:
        True if the file was written; False, with the file unchanged, if there is no response.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    target = expanded(path)
    messages = [msgspec.to_builtins(message) for message in conversation.messages]
    texts = [each.get("content") for each in messages if each.get("role") == "assistant"]
    try:
        if target.suffix.lower() == ".json":
            conversation.save(target)
        elif not texts or not texts[-1]:
            return False
        else:
            write(target, f"{clean(texts[-1])}\n".encode())
    except OSError as error:  # its filename may be that of a temporary file
        reason = error.strerror or error
        raise ConfigurationError(
            f"cannot write {path!r}: {reason}. Next: choose another file"
        ) from None
    return True


def _is_command(line: str) -> bool:
    word = re.match(r"/[a-z]+(?!\S)", line)
    return word is not None and (word[0] in COMMANDS or "\n" not in line)


def _quote(content: UserInput) -> str:
    """Return the beginning of *content*, on one line."""
    texts = [
        part if isinstance(part, str) else getattr(part, "text", "(image)") for part in content
    ]
    text = one_line(" ".join(texts))
    return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE - 3]}..."


COMMANDS: dict[str, tuple[str, str, Command]] = {
    "/help": ("", "list the commands", Session.help),
    "/undo": ("", "remove the last prompt and its response", Session.undo),
    "/retry": ("", "send the last prompt again", Session.retry),
    "/save": (
        "FILE",
        "save the conversation (.json) or the last response (.md, ...)",
        Session.save,
    ),
    "/load": ("FILE", "continue a saved conversation", Session.load),
    "/model": ("[NAME]", "show or change the model", Session.model),
    "/system": ("[TEXT]", "show or change the system prompt; - removes it", Session.system),
    "/image": ("FILE|URL", "send an image with the next prompt", Session.image),
    "/usage": ("", "show the usage of this session", Session.usage),
    "/exit": ("", "end the session", Session.exit),
}
