"""``acechat chat``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from acechat import AsyncConversation, ConfigurationError, ImagePart, ResponseCache, image
from acechat.cli.options import complete_model, complete_option, read_options
from acechat.cli.service import connect, service_options
from acechat.cli.settings import Settings, expanded, in_home, read
from acechat.cli.signals import graceful_exit
from acechat.cli.terminal.text import on_terminal
from acechat.cli.terminal.writer import note
from acechat.cli.turn import DisplayOptions, UserInput, pop_open_prompt, take_turn

if TYPE_CHECKING:
    from acechat import AsyncClient
    from acechat.cli.history import HistoryFile

__all__ = ["chat"]

_STDIN = "-"


class _Task(Struct, frozen=True, kw_only=True):
    """Arguments of the command."""

    content: UserInput
    settings: Settings
    options: DisplayOptions
    emulator: bool
    load: str | None
    resume: bool
    save: str | None
    cached: bool

    def cache(self) -> ResponseCache | None:
        """Return the cache in the user's cache folder; None without ``--cache``.

        Raises:
            FileNotFoundError: The home folder is not known.
        """
        if not self.cached:
            return None
        from platformdirs import user_cache_path

        return ResponseCache(in_home(user_cache_path, "XDG_CACHE_HOME") / "responses")

    def start(self, client: AsyncClient) -> AsyncConversation:
        """Return the conversation: new, loaded or continued.

        Raises:
            ConfigurationError: There is no conversation to load or to continue.
        """
        conversation = client.conversation()
        if self.resume:
            from acechat.cli.history import resume

            resume(conversation)
        elif self.load:
            _load(conversation, expanded(self.load))
        # Precedence of model and system prompt: configuration < saved conversation < command line.
        for name in ("model", "system"):
            value = getattr(self.settings, name)
            flag = self.settings.sources.get(name) == "command line"
            if value and (flag or not conversation.messages):
                setattr(conversation, name, value)
        return conversation

    def history_file(self) -> HistoryFile | None:
        """Return the file to save to; None for the output of a pipe that does not continue one."""
        if not self.settings.history or not (self.resume or on_terminal(sys.stdout)):
            return None
        from acechat.cli.history import HistoryFile

        return HistoryFile()


@click.command(
    epilog="""\b
Examples:
  acechat chat                                    a conversation; /help lists its commands
  acechat chat "Explain asyncio in one paragraph"
  cat report.txt | acechat chat "Summarise this"
  acechat chat - < prompt.txt
  acechat chat -- "-1 + 1?"                       a prompt that begins with a dash
  acechat chat "What is this?" --image cat.jpg
  acechat chat "2 + 2?" -m claude-sonnet-4-20250514-thinking --reasoning
  acechat chat "Name three colors" -o max_tokens=50 -o temperature=0 --usage
  acechat chat --continue "And three more"
"""
)
@click.argument("prompt", nargs=-1)
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    shell_complete=complete_model,
    help="Name of the model; acechat models lists them.",
)
@click.option("-s", "--system", metavar="TEXT", help="System prompt of the conversation.")
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    type=click.Path(allow_dash=True),
    metavar="FILE|URL",
    help="Send an image; - reads standard input. Repeatable.",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_option,
    help="Set a request field: max_tokens=100, stop=END. Repeatable.",
)
@click.option("-r", "--reasoning/--no-reasoning", default=None, help="Show the model's reasoning.")
@click.option(
    "-u", "--usage/--no-usage", default=None, help="Show tokens, cost and time of the response."
)
@click.option("-c", "--continue", "resume", is_flag=True, help="Continue the last conversation.")
@click.option("--load", type=click.Path(), metavar="FILE", help="Continue a saved conversation.")
@click.option(
    "--save",
    type=click.Path(),
    metavar="FILE",
    help="Save the conversation (FILE.json) or the response (FILE.md, ...).",
)
@click.option(
    "--json",
    is_flag=True,
    help="Print the completion as JSON; after a failure, the partial one.",
)
@click.option("--no-stream", is_flag=True, help="Show the response when it is complete.")
@click.option(
    "--cache", is_flag=True, help="Repeat the stored response to a request that was sent before."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit for the complete response.")
@service_options
def chat(prompt: tuple[str, ...], **flags: Any) -> None:
    """Send PROMPT, or standard input (-), or both; without either, start a conversation.

    The response is shown as it arrives: as Markdown on a terminal, unchanged in a pipe.
    """
    settings = read(
        {
            name: flags[name]
            for name in ("model", "system", "reasoning", "usage", "timeout", "base_url")
        },
        emulator=flags["emulator"],
    )
    task = _Task(
        content=_content(prompt, flags["images"]),
        settings=settings,
        options=DisplayOptions(
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
        cached=flags["cache"],
    )
    has_text = any(isinstance(part, str) for part in task.content)
    if has_text or _STDIN in prompt or not _is_interactive():
        if not has_text and (_STDIN in prompt or not task.content):
            raise click.UsageError('the prompt is empty: acechat chat "Hello"')
        with graceful_exit():
            asyncio.run(_run_once(task))
    else:
        _run_conversation(task)


def _is_interactive() -> bool:
    return on_terminal(sys.stdin) and on_terminal(sys.stdout)


def _content(words: tuple[str, ...], images: tuple[str, ...]) -> UserInput:
    """Return the content parts: prompt, standard input and images.

    Standard input is read if it is not a terminal, or if the first or the last word is ``-``; it
    precedes the prompt if the first one is. In the middle, as in ``5 - 3``, a dash is text.
    """
    first, last = words[:1] == (_STDIN,), words[-1:] == (_STDIN,)
    if (first or last) and _STDIN in images:
        raise click.UsageError("standard input can be the prompt (-) or an image (--image -)")
    piped = _read_stdin(explicit=first or last)
    image_parts = [image(piped if source == _STDIN else source) for source in images]
    prompt = " ".join(words[first : len(words) - last])
    texts = [prompt, None if _STDIN in images else _decoded(piped)]
    if first:
        texts.reverse()
    return [*[text for text in texts if text and text.strip()], *image_parts]


def _read_stdin(*, explicit: bool) -> bytes:
    if sys.stdin is None:  # closed by the parent process
        return b""
    if on_terminal(sys.stdin):
        if not explicit:
            return b""
        note("reading standard input; Ctrl-D ends it")
    return sys.stdin.buffer.read()


def _decoded(piped: bytes) -> str:
    for encoding in ("utf-8-sig", sys.stdin.encoding if sys.stdin else "utf-8"):
        with suppress(UnicodeDecodeError, LookupError):
            if "\0" not in (text := piped.decode(encoding)):
                return text.strip()
    raise click.UsageError("standard input is not text. Next: send an image with --image -")


def _load(conversation: AsyncConversation, path: Path) -> None:
    try:
        conversation.load(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from None


async def _run_once(task: _Task) -> None:
    async with connect(task.settings, emulator=task.emulator, cache=task.cache()) as client:
        conversation = task.start(client)
        pop_open_prompt(conversation)  # else the model would respond to that prompt, too
        file = task.history_file()

        def autosave(conversation: AsyncConversation) -> None:
            if file:
                with suppress(OSError):  # the response was shown; the command has succeeded
                    file.save(conversation)

        try:
            await take_turn(conversation, task.content, task.options, autosave)
        finally:
            if conversation.messages:
                autosave(conversation)
                if task.save:
                    from acechat.cli.session import NO_RESPONSE, save

                    if not save(conversation, task.save):
                        note(NO_RESPONSE)


def _run_conversation(task: _Task) -> None:
    from acechat.cli.history import prompts_file
    from acechat.cli.session import COMMANDS, Session
    from acechat.cli.terminal.prompt import Interrupted, make_prompt, quiet_keys

    # The runner closes first: callbacks of the line editor that it still runs restore the terminal.
    with graceful_exit() as signalled, quiet_keys(), asyncio.Runner() as runner:
        stack = AsyncExitStack()
        connecting = connect(task.settings, emulator=task.emulator, cache=task.cache())
        client = runner.run(stack.enter_async_context(connecting))
        try:
            file = task.history_file()
            images = [part for part in task.content if isinstance(part, ImagePart)]
            session = Session(runner, task.start(client), task.options, file, images)
            prompt = make_prompt(COMMANDS, prompts_file() if file else None)
            click.echo("/help lists the commands; Ctrl-D ends the conversation.", err=True)
            while not (session.ended or signalled()):
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
