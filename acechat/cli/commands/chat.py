"""``acechat chat``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from acechat import AsyncConversation, ConfigurationError, ImagePart, image
from acechat.cli.options import complete_model, complete_option, read_options
from acechat.cli.service import connect, service_options
from acechat.cli.settings import Settings, read
from acechat.cli.signals import ending
from acechat.cli.terminal.text import on_terminal
from acechat.cli.terminal.writer import note
from acechat.cli.turn import DisplayOptions, UserInput, take_turn, take_unanswered

if TYPE_CHECKING:
    from acechat import AsyncClient
    from acechat.cli.history import HistoryFile

__all__ = ["chat"]


class _Task(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    said: UserInput
    settings: Settings
    manner: DisplayOptions
    emulator: bool
    load: str | None
    resume: bool
    save: str | None

    def begin(self, client: AsyncClient) -> AsyncConversation:
        """Make the conversation, with what was said before."""
        talk = client.conversation()
        if self.resume:
            from acechat.cli.history import resume

            resume(talk)
        elif self.load:
            _load(talk, Path(self.load).expanduser())
        # What a conversation was kept with wins over the configuration, not over the command line.
        for name in ("model", "system"):
            told = getattr(self.settings, name)
            if told and (self.settings.sources[name] == "command line" or not talk.messages):
                setattr(talk, name, told)
        return talk

    def memory(self) -> HistoryFile | None:
        """Return where the conversation is kept; what a program asks is not, unless it goes on."""
        if not self.settings.history or not (self.resume or on_terminal(sys.stdout)):
            return None
        from acechat.cli.history import HistoryFile

        return HistoryFile()


@click.command(
    epilog="""\b
Examples:
  acechat chat                                    a conversation; /help lists what it can
  acechat chat "Explain asyncio in one paragraph"
  cat report.txt | acechat chat "Summarise this"
  acechat chat "What is this?" --image cat.jpg
  acechat chat "2 + 2?" -m claude-sonnet-4-20250514-thinking --reasoning
  acechat chat "Name three colours" -o max_tokens=50 -o temperature=0 --usage
  acechat chat --continue "And three more"
"""
)
@click.argument("prompt", nargs=-1)
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    shell_complete=complete_model,
    help="The model that answers: acechat models.",
)
@click.option("-s", "--system", metavar="TEXT", help="Instructions for the whole conversation.")
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    type=click.Path(allow_dash=True),
    metavar="FILE|URL",
    help="Show an image, - for standard input; may be repeated.",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_option,
    help="Any other field of the request: max_tokens=100, stop=END; may be repeated.",
)
@click.option("-r", "--reasoning/--no-reasoning", default=None, help="Show the model's thoughts.")
@click.option(
    "-u", "--usage/--no-usage", default=None, help="Say what the answer cost, at its end."
)
@click.option("-c", "--continue", "resume", is_flag=True, help="Go on with the last conversation.")
@click.option(
    "--load", type=click.Path(), metavar="FILE", help="Go on with a conversation that was saved."
)
@click.option(
    "--save",
    type=click.Path(),
    metavar="FILE",
    help="Keep the conversation (FILE.json), or the answer (FILE.md, ...).",
)
@click.option(
    "--json",
    is_flag=True,
    help="Print the whole answer as the service's JSON; what arrived of it, if it fails.",
)
@click.option("--no-stream", is_flag=True, help="Wait for the whole answer before showing it.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up on an answer after these.")
@service_options
def chat(prompt: tuple[str, ...], **flags: Any) -> None:
    """Ask PROMPT, or standard input, or both; without either, have a conversation.

    The answer is shown while it is written: as Markdown on a terminal, as it is in a pipe.
    """
    settings = read(
        {
            name: flags[name]
            for name in ("model", "system", "reasoning", "usage", "timeout", "base_url")
        },
        emulator=flags["emulator"],
    )
    task = _Task(
        said=_said(" ".join(prompt), flags["images"]),
        settings=settings,
        manner=DisplayOptions(
            stream=not flags["no_stream"],
            json=flags["json"],
            reasoning=settings.reasoning,
            usage=settings.usage,
            timeout=settings.timeout,
            options=read_options(flags["options"]),
        ),
        emulator=flags["emulator"],
        load=flags["load"],
        resume=flags["resume"],
        save=flags["save"],
    )
    if any(isinstance(part, str) for part in task.said) or not _is_conversation():
        if not task.said:
            raise click.UsageError('there is nothing to say: acechat chat "Hello"')
        with ending():
            asyncio.run(_answer(task))
    else:
        _converse(task)


def _is_conversation() -> bool:
    return on_terminal(sys.stdin) and on_terminal(sys.stdout)


def _said(prompt: str, images: tuple[str, ...]) -> UserInput:
    piped = b"" if sys.stdin is None or on_terminal(sys.stdin) else sys.stdin.buffer.read()
    pictures = [image(piped if source == "-" else source) for source in images]
    texts = [prompt, None if "-" in images else _decoded(piped)]
    return [*[text for text in texts if text and text.strip()], *pictures]


def _decoded(piped: bytes) -> str:
    for encoding in ("utf-8-sig", sys.stdin.encoding if sys.stdin else "utf-8"):
        with suppress(UnicodeDecodeError, LookupError):
            if "\0" not in (text := piped.decode(encoding)):
                return text.strip()
    raise click.UsageError("standard input is no text; for an image: --image -")


def _load(talk: AsyncConversation, path: Path) -> None:
    try:
        talk.load(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from None


async def _answer(task: _Task) -> None:
    async with connect(task.settings, emulator=task.emulator) as client:
        talk = task.begin(client)
        take_unanswered(talk)  # or it would be answered before the one of now
        memory = task.memory()

        def keep(talk: AsyncConversation) -> None:
            if memory:
                with suppress(OSError):  # the answer is there; that it is not kept is no failure
                    memory.keep(talk)

        try:
            await take_turn(talk, task.said, task.manner, keep)
        finally:
            if talk.messages:
                keep(talk)
                if task.save:
                    from acechat.cli.session import NO_ANSWER, save

                    if not save(talk, task.save):
                        note(NO_ANSWER)


def _converse(task: _Task) -> None:
    from acechat.cli.history import folder
    from acechat.cli.session import COMMANDS, Session
    from acechat.cli.terminal.prompt import Interrupted, make_prompt, quiet_keys

    # The runner ends first: what the line editor leaves to it puts the terminal's keys back.
    with ending() as ended, quiet_keys(), asyncio.Runner() as runner:
        stack = AsyncExitStack()
        connecting = connect(task.settings, emulator=task.emulator)
        client = runner.run(stack.enter_async_context(connecting))
        try:
            memory = task.memory()
            images = [part for part in task.said if isinstance(part, ImagePart)]
            session = Session(runner, task.begin(client), task.manner, memory, images)
            prompt = make_prompt(COMMANDS, folder() / "prompts" if memory else None)
            click.echo("/help lists what you can do; Ctrl-D ends.", err=True)
            while not (session.ended or ended()):
                try:
                    session.receive(runner.run(prompt.prompt_async()))
                except Interrupted:
                    continue
                except EOFError:
                    break
            if task.save:
                session.save(task.save)
        finally:
            runner.run(stack.aclose())
