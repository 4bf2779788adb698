"""One run of ``acechat chat``: a single turn, or a conversation on the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from acechat import AsyncConversation, ConfigurationError
from acechat.cli.display import DisplayOptions, Tools, UserInput
from acechat.cli.errors import TRUNCATED
from acechat.cli.service import connect
from acechat.cli.settings import Settings, expanded, in_home
from acechat.cli.signals import graceful_exit
from acechat.cli.terminal.text import on_terminal
from acechat.cli.terminal.writer import note
from acechat.cli.turn import Outcome, pop_open_prompt, take_turn

if TYPE_CHECKING:
    from acechat import AsyncClient, ResponseCache
    from acechat.cli.calls.approval import Approval
    from acechat.cli.calls.functions import ToolNames
    from acechat.cli.history import Log
    from acechat.cli.library.store import Entry

__all__ = ["Task", "run_conversation", "run_once"]


class Task(Struct, frozen=True, kw_only=True):
    """Arguments of the command."""

    content: UserInput
    settings: Settings
    options: DisplayOptions
    emulator: bool = False
    tools: ToolNames | None = None
    approval: Approval | None = None
    """Set if there are *tools*."""
    load: str | None = None
    resume: str | None = None
    """Name of the conversation to continue; '' for the last one; None for a new one."""
    log: bool = True
    """Keep the conversation in the history."""
    save: str | None = None
    dry_run: bool = False
    cached: bool = False
    """Repeat the stored response to a request that was sent before."""

    def cache(self) -> ResponseCache | None:
        """Return the cache in the user's cache folder; None without ``--cache``.

        Raises:
            FileNotFoundError: The home folder is not known.
        """
        if not self.cached:
            return None
        from platformdirs import user_cache_path

        from acechat import ResponseCache

        return ResponseCache(in_home(user_cache_path, "XDG_CACHE_HOME") / "responses")

    def start(self, client: AsyncClient) -> tuple[AsyncConversation, Log | None]:
        """Return the conversation, new, loaded or continued, and where it is kept.

        Raises:
            ConfigurationError: There is no conversation to load or to continue.
        """
        conversation, entry = client.conversation(), None
        if self.resume is not None:
            from acechat.cli.history import adopt, find

            entry = find(self.resume)
            adopt(conversation, entry)
        elif self.load:
            _load(conversation, expanded(self.load))
        # Precedence of model and system prompt: configuration < saved conversation < command line.
        for name in ("model", "system"):
            value = getattr(self.settings, name)
            flag = self.settings.sources.get(name) == "command line"
            if value and (flag or not conversation.messages):
                setattr(conversation, name, value)
        return conversation, self._log(entry)

    def _log(self, entry: Entry | None) -> Log | None:
        if not self.settings.history or not self.log or self.dry_run:
            return None
        from acechat.cli.history import Log

        return Log(interactive=on_terminal(sys.stdout), entry=entry)

    @asynccontextmanager
    async def opened(self, client: AsyncClient) -> AsyncGenerator[DisplayOptions]:
        """Yield the options with the tools, whose servers run until the block ends."""
        if self.tools is None or self.approval is None:
            yield self.options
            return
        from acechat.cli.calls.functions import open_tools

        async with open_tools(self.tools, self.approval) as functions:
            yield replace(self.options, tools=Tools(client, functions))


def _load(conversation: AsyncConversation, path: Path) -> None:
    try:
        conversation.load(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from None


def run_once(task: Task) -> int:
    """Send one prompt; return the exit code."""
    with graceful_exit():
        outcome = asyncio.run(_run_once(task))
    return TRUNCATED if outcome is not None and outcome.truncated else 0


async def _run_once(task: Task) -> Outcome | None:
    async with (
        connect(
            task.settings, emulator=task.emulator, offline=task.dry_run, cache=task.cache()
        ) as client,
        task.opened(client) as options,
    ):
        conversation, log = task.start(client)
        pop_open_prompt(conversation)  # else the model would respond to that prompt, too
        if task.dry_run:
            from acechat.cli.calls.dry_run import show_request

            show_request(client, conversation, task.content, options)
            return None
        failed = False

        def autosave(conversation: AsyncConversation) -> None:
            nonlocal failed
            if log and not failed:
                try:
                    log.save(conversation)
                except OSError as error:  # the response is shown; the command succeeds
                    failed = True
                    note(f"(not kept in the history: {error})")

        try:
            return await take_turn(conversation, task.content, options, autosave)
        finally:
            if conversation.messages:
                autosave(conversation)
                if task.save:
                    from acechat.cli.library.export import NO_RESPONSE, save

                    if not save(conversation, task.save):
                        note(NO_RESPONSE)


def run_conversation(task: Task) -> None:
    """Read prompts from the terminal until the user ends the conversation."""
    from acechat.cli.conversation.commands import COMMANDS, save_to
    from acechat.cli.conversation.session import Session
    from acechat.cli.history import prompts_file
    from acechat.cli.terminal.prompt import Interrupted, make_prompt, quiet_keys

    # The runner closes first: callbacks of the line editor that it still runs restore the terminal.
    with graceful_exit() as signalled, quiet_keys(), asyncio.Runner() as runner:
        stack = AsyncExitStack()
        connecting = connect(task.settings, emulator=task.emulator, cache=task.cache())
        client = runner.run(stack.enter_async_context(connecting))
        try:
            options = runner.run(stack.enter_async_context(task.opened(client)))
            conversation, log = task.start(client)
            images = [part for part in task.content if not isinstance(part, str)]
            session = Session(
                runner, conversation, options, log, images, COMMANDS, task.settings.base_url
            )
            prompt = make_prompt(
                COMMANDS, prompts_file() if log else None, _completions(task.settings.base_url)
            )
            click.echo("/help lists the commands; Ctrl-D ends the conversation.", err=True)
            while not (session.ended or signalled()):
                try:
                    session.receive(runner.run(prompt.prompt_async()))
                except Interrupted:
                    continue
                except EOFError:
                    break
            if task.save:
                save_to(session, task.save, agreed=True)  # asked before the conversation
        finally:
            runner.run(stack.aclose())


def _completions(base_url: str | None) -> dict[str, Callable[[], Iterable[str]]]:
    """Return the words that follow a command, by its name; read when they are needed."""
    from acechat.cli.history import store
    from acechat.cli.library.aliases import aliases
    from acechat.cli.library.models import known_models
    from acechat.cli.options import complete_model

    def conversations() -> list[str]:
        try:
            return [entry.name for entry in store().latest(20)]
        except OSError:
            return []

    return {
        "/model": lambda: dict.fromkeys(
            [*aliases(), *(known_models(base_url) or complete_model(None, None, ""))]
        ),
        "/load": conversations,
        "/copy": lambda: ["code"],
    }
