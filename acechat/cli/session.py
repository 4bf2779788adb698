"""The conversation on a terminal: it outlives Ctrl-C, a failed answer, and a crash."""

from __future__ import annotations

import re
from asyncio import Runner
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import click
import msgspec

from acechat import (
    DEFAULT_MODEL,
    AceChatError,
    AsyncConversation,
    ConfigurationError,
    ImagePart,
    UserMessage,
    image,
)
from acechat.cli.errors import explain
from acechat.cli.history import HistoryFile
from acechat.cli.terminal.text import clean, one_line
from acechat.cli.terminal.writer import note
from acechat.cli.turn import (
    DisplayOptions,
    UserInput,
    as_message,
    as_said,
    take_turn,
    take_unanswered,
)
from acechat.cli.usage import UsageSummary

__all__ = ["COMMANDS", "NO_ANSWER", "Session", "save"]

NO_ANSWER = "there is no answer yet"

_SHOWN = 60
"""Characters of a question that a note repeats."""

Command: TypeAlias = "Callable[[Session, str], None]"


class Session:
    """A conversation, and what a person does to it.

    Args:
        runner: Runs one turn at a time, and lets Ctrl-C end it alone.
        talk: What was said so far.
        manner: How to ask and to show.
        memory: Where it is kept for a crash; None for nowhere.
        images: What is to be shown with the first question.
    """

    def __init__(
        self,
        runner: Runner,
        talk: AsyncConversation,
        manner: DisplayOptions,
        memory: HistoryFile | None,
        images: Sequence[ImagePart] = (),
    ) -> None:
        self._runner = runner
        self.talk = talk
        self._manner = manner
        self._memory = memory
        self._images = list(images)  # for the next question
        self._bill = UsageSummary()
        self.ended = False
        self._unanswered = take_unanswered(talk)  # of which nothing is in the conversation
        self._tell_where()

    def receive(self, line: str) -> None:
        """Do what the person typed."""
        # The line editor gives a byte that is no UTF-8 as half a letter, which nothing can write.
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
        # A path or a comment that is pasted may begin with a slash, too.
        if _is_command(line):
            self._obey(line)
        elif line or self._images:
            if line.startswith("//") and _is_command(line[1:]):
                line = line[1:]
            said: list[str | ImagePart] = [line] if line else []
            said += self._images
            self._images = []
            self.ask(said)

    def ask(self, said: UserInput, otherwise: AsyncConversation | None = None) -> None:
        """Say *said*; if nothing comes of it, the conversation is as it was, or as *otherwise*."""
        before = len(self.talk.messages)
        self._unanswered = said
        self._keep()
        how = ""
        try:
            turn = take_turn(self.talk, said, self._manner, self._keep)
            self._bill += self._runner.run(turn)
        except KeyboardInterrupt:
            how = "stopped"
        except (AceChatError, TypeError) as error:
            how = "failed"
            click.echo(explain(error), err=True)
        finally:  # also when the terminal was closed, and nothing more can be shown
            arrived = len(self.talk.messages) > before
            if not arrived and otherwise is not None:
                self.talk = otherwise
            if arrived or otherwise is not None:
                self._unanswered = None
            self._keep()
        if how and arrived:
            note(f"({how}; what arrived is kept: /retry asks again, /undo forgets it)")
        elif how:
            note(f"({how} before an answer came: /retry asks again)")

    def _keep(self, talk: AsyncConversation | None = None) -> None:
        """Write down the conversation and a question without an answer; or *talk*."""
        if self._memory is None:
            return
        if talk is None:
            talk = self.talk
            if self._unanswered:
                talk = talk.fork()
                talk.messages.append(as_message(self._unanswered))
        try:
            self._memory.keep(talk)
        except OSError as error:
            self._memory = None
            note(f"(this conversation is not kept for --continue: {error})")

    def _obey(self, line: str) -> None:
        name, *rest = line.split(maxsplit=1)
        if name not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, 1)
            note(f"there is no {name}: " + (f"did you mean {close[0]}?" if close else "see /help"))
            return
        try:
            COMMANDS[name][2](self, rest[0].strip("\"'") if rest else "")
        except (AceChatError, OSError) as error:
            click.echo(explain(error), err=True)

    def help(self, _: str) -> None:
        """Say what one can type."""
        for name, (argument, text, _do) in COMMANDS.items():
            click.echo(f"{f'{name} {argument}':<16} {text}")
        click.echo(
            "Enter sends; Alt-Enter or \\ before Enter begins a new line; //help says /help."
        )
        click.echo("Ctrl-C stops an answer; Ctrl-D ends the conversation.")

    def undo(self, _: str) -> None:
        """Forget the last turn."""
        undone = [said for said in self.talk.undo() if isinstance(said, UserMessage)]
        self._keep()
        note(f"forgot: {_start(as_said(undone[0]))}" if undone else "there is nothing to undo")

    def retry(self, _: str) -> None:
        """Ask the last question again."""
        if self._unanswered:
            self.ask(self._unanswered)
            return
        before = self.talk.fork()
        undone = self.talk.undo()
        if undone and isinstance(undone[0], UserMessage):
            self.ask(as_said(undone[0]), otherwise=before)
        else:
            self.talk = before
            note("there is nothing to ask again")

    def save(self, path: str) -> None:
        """Write the conversation, or its last answer, into a file."""
        if not path:
            note("where to? /save talk.json keeps the conversation, /save answer.md the answer")
            return
        note(f"saved {path}" if save(self.talk, path) else NO_ANSWER)

    def load(self, path: str) -> None:
        """Go on with the conversation of a file."""
        if not path:
            note("which one? /load talk.json")
            return
        self.talk.load(Path(path).expanduser())
        self._unanswered = take_unanswered(self.talk)
        self._keep()
        self._tell_where()

    def model(self, name: str) -> None:
        """Show or change the model."""
        self.talk.model = name or self.talk.model
        note(f"model: {self.talk.model or DEFAULT_MODEL}")

    def system(self, text: str) -> None:
        """Show, change or take away the instructions."""
        if text:
            self.talk.system = None if text == "-" else text
        note(f"system: {self.talk.system or 'none'}")

    def image(self, path: str) -> None:
        """Show an image with the next question."""
        if not path:
            note("which one? /image cat.jpg, or a URL")
            return
        web = path.startswith(("http://", "https://", "data:"))
        self._images.append(image(path if web else Path(path).expanduser()))
        note(f"{len(self._images)} to be shown with your next question")

    def usage(self, _: str) -> None:
        """Show what this session used."""
        note(str(self._bill))

    def exit(self, _: str) -> None:
        """End the session."""
        self.ended = True

    def _tell_where(self) -> None:
        asked = [said for said in self.talk.messages if isinstance(said, UserMessage)]
        if asked:
            note(f"going on after {len(self.talk.messages)} messages: {_start(as_said(asked[-1]))}")
        if self._unanswered:
            note(f"not answered yet (/retry asks again): {_start(self._unanswered)}")


def save(talk: AsyncConversation, path: str) -> bool:
    """Write *talk* to a ``.json`` file, from which it can be loaded; to others, its last answer.

    Returns:
        Whether there was an answer to write; where not, the file is as it was.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    target = Path(path).expanduser()
    answers = [msgspec.to_builtins(message) for message in talk.messages]
    texts = [said.get("content") for said in answers if said.get("role") == "assistant"]
    try:
        if target.suffix.lower() == ".json":
            talk.save(target)
        elif not texts or not texts[-1]:
            return False
        else:
            target.write_text(f"{clean(texts[-1])}\n", "utf-8")
    except OSError as error:  # which may name a file beside it
        reason = error.strerror or error
        raise ConfigurationError(f"cannot write {path!r}: {reason}. Next: name another") from None
    return True


def _is_command(line: str) -> bool:
    word = re.match(r"/[a-z]+(?!\S)", line)
    return word is not None and (word[0] in COMMANDS or "\n" not in line)


def _start(said: UserInput) -> str:
    """Return the beginning of what was said."""
    texts = [
        part if isinstance(part, str) else getattr(part, "text", "(an image)") for part in said
    ]
    text = one_line(" ".join(texts))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


COMMANDS: dict[str, tuple[str, str, Command]] = {
    "/help": ("", "this list", Session.help),
    "/undo": ("", "forget the last question and its answer", Session.undo),
    "/retry": ("", "ask the last question again", Session.retry),
    "/save": ("FILE", "keep the conversation (.json) or the last answer (.md, ...)", Session.save),
    "/load": ("FILE", "go on with a conversation that was saved", Session.load),
    "/model": ("[NAME]", "show or change the model", Session.model),
    "/system": ("[TEXT]", "show or change the instructions; - for none", Session.system),
    "/image": ("FILE|URL", "show an image with the next question", Session.image),
    "/usage": ("", "what this session used", Session.usage),
    "/exit": ("", "end", Session.exit),
}
