"""The commands of a conversation on the terminal."""

from __future__ import annotations

import sys
import time

import click

from acechat import DEFAULT_MODEL
from acechat.cli.content.paths import typed_path
from acechat.cli.conversation.session import Command, Session
from acechat.cli.history import adopt, find, number_of, store
from acechat.cli.library.export import NO_RESPONSE, last_response, save
from acechat.cli.terminal.text import DIM, UNDIM, draws, one_line
from acechat.cli.terminal.writer import note

__all__ = ["COMMANDS", "save_to"]

_LISTED = 10
"""Conversations that /history lists."""


def _help(session: Session, _: str) -> None:
    for name, command in session.commands.items():
        click.echo(f"{f'{name} {command.argument}':<17} {command.description}")
    click.echo("Enter sends; Alt-Enter or \\ before Enter begins a new line; //help sends /help.")
    click.echo("A dropped file is sent with the next prompt; exit, quit and help work as well.")
    click.echo("Ctrl-C stops a response; Ctrl-D ends the conversation.")


def _new(session: Session, _: str) -> None:
    begun = session.conversation.fork()
    begun.messages.clear()
    session.replace(begun)
    note("new conversation")


def _clear(session: Session, _: str) -> None:
    if draws(sys.stdout):
        sys.stdout.write("\x1b[H\x1b[2J")
        sys.stdout.flush()
    _new(session, "")


def _copy(session: Session, part: str) -> None:
    from acechat.cli.calls.extract import last_code_block
    from acechat.cli.terminal.clipboard import copy

    text: str | None = last_response(session.conversation)
    if text and part == "code":
        text = last_code_block(text)
    if not text:
        note("there is no code block" if part == "code" else "there is no response to copy yet")
        return
    note(f"copied {len(text)} characters{copy(text)}")


def _edit(session: Session, text: str) -> None:
    try:
        edited = click.edit(text, extension=".md")
    except click.ClickException as error:  # no editor, or it failed
        note(f"{error.format_message()} Next: set EDITOR")
        return
    if edited is None or not edited.strip():
        note("nothing sent: the text was not saved")
    else:
        session.send([edited.strip()])


def _history(_: Session, words: str) -> None:
    entries = store().search([words], _LISTED) if words else store().latest(_LISTED)
    dim, undim = (DIM, UNDIM) if draws(sys.stdout) else ("", "")
    for entry in entries:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))
        click.echo(f"{entry.name:<5} {dim}{when}{undim}  {one_line(entry.title)}")
    note("/load ID goes on with one" if entries else "there is no such conversation")


def _load(session: Session, name: str) -> None:
    if not name:
        note("missing FILE or ID: /load talk.json, /load c12")
        return
    loaded = session.conversation.fork()
    path = typed_path(name)
    if number_of(name) is not None and not path.exists():
        entry = find(name)
        adopt(loaded, entry)
        session.replace(loaded, entry)
        return
    loaded.load(path)
    session.replace(loaded)


def _save(session: Session, name: str) -> None:
    if not name:
        note("missing FILE: /save talk.json saves the conversation, /save text.md the response")
        return
    save_to(session, name)


def save_to(session: Session, name: str, *, agreed: bool = False) -> None:
    """Save to a file, after a question if it exists and its user has not *agreed* yet."""
    path = typed_path(name)
    if not last_response(session.conversation) and path.suffix.lower() != ".json":
        note(NO_RESPONSE)
        return
    if path.exists() and not agreed and not session.ask(f"replace {one_line(str(path))}?"):
        note("not saved")
        return
    note(f"saved {path}" if save(session.conversation, str(path)) else NO_RESPONSE)


def _model(session: Session, name: str) -> None:
    if name:
        from acechat.cli.library.aliases import resolved
        from acechat.cli.library.models import check_model

        words = name.split()
        model = resolved(words[0])
        if "--any-model" not in words:
            check_model(model, session.base_url)
        session.conversation.model = model
    note(f"model: {session.conversation.model or DEFAULT_MODEL}")


def _system(session: Session, text: str) -> None:
    if text:
        session.conversation.system = None if text == "-" else text
    note(f"system: {session.conversation.system or 'none'}")


def _image(session: Session, source: str) -> None:
    if not source:
        note("missing FILE or URL: /image cat.jpg")
        return
    from acechat.cli.content.files import attachment

    session.attach(attachment(source))


def _exit(session: Session, _: str) -> None:
    session.ended = True


COMMANDS = {
    "/help": Command("", "list the commands", _help),
    "/new": Command("", "start a new conversation", _new),
    "/clear": Command("", "clear the screen and start a new conversation", _clear),
    "/undo": Command("", "remove the last prompt and its response", lambda s, _: s.undo()),
    "/retry": Command("", "send the last prompt again", lambda s, _: s.retry()),
    "/edit": Command("[TEXT]", "write the next prompt in your editor", _edit),
    "/copy": Command("[code]", "copy the last response, or its last code block", _copy),
    "/save": Command("FILE", "save the conversation (.json) or the last response", _save),
    "/load": Command("FILE|ID", "continue a saved conversation", _load),
    "/history": Command("[WORDS]", "list the latest conversations, or search them", _history),
    "/model": Command("[NAME]", "show or change the model", _model),
    "/system": Command("[TEXT]", "show or change the system prompt; - removes it", _system),
    "/image": Command("FILE|URL", "send an image or a file with the next prompt", _image),
    "/usage": Command("", "show the usage of this session", lambda s, _: note(str(s.usage))),
    "/exit": Command("", "end the session", _exit),
}
"""Commands by name."""
