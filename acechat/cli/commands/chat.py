"""``acechat chat``."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from acechat import ConfigurationError, image
from acechat.cli.commands.chat_options import chat_options
from acechat.cli.content.stdin import decoded, read_stdin
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.options import read_options
from acechat.cli.settings import expanded, read
from acechat.cli.task import Task, run_conversation, run_once
from acechat.cli.terminal.text import on_terminal, one_line

if TYPE_CHECKING:
    from acechat.cli.calls.functions import ToolNames

__all__ = ["chat"]

_STDIN = "-"
_SETTINGS = ("model", "system", "reasoning", "usage", "timeout", "base_url")


class _Command(click.Command):
    """The word after ``--continue`` is an id only if it has the form of one, else a prompt."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for at, word in enumerate(args):
            if word == "--":
                break
            if word in {"-c", "--continue"}:
                named = at + 1 < len(args) and re.fullmatch(r"c[0-9]+", args[at + 1]) is not None
                args[at : at + 1 + named] = [f"--continue={args[at + 1] if named else ''}"]
        return super().parse_args(ctx, args)


@click.command(
    cls=_Command,
    epilog="""\b
Examples:
  acechat chat                                    a conversation; /help lists its commands
  acechat chat "Explain asyncio in one paragraph"
  cat report.txt | acechat chat "Summarise this"
  acechat chat - < prompt.txt
  acechat chat -- "-1 + 1?"                       a prompt that begins with a dash
  acechat chat "What is this?" --image cat.jpg
  acechat chat "Find the bug" -f "src/*.py"       text files as context
  acechat chat "2 + 2?" -m claude-sonnet-4-20250514-thinking --reasoning
  acechat chat "Name three colors" -o max_tokens=50 -o temperature=0 --usage
  acechat chat "Invent a dog" --schema "name, age int, bio: one line"
  acechat chat "A shell loop over *.txt" -x       only the code
  acechat chat "Umbrella in Paris?" --tool mytools:weather
  acechat chat --continue "And three more"
  acechat chat --continue c12 "And that one"      an id of acechat history
  acechat chat -s "Translate into $language" --save-template translate
  acechat chat -t translate -p language=French "Good morning"
""",
)
@chat_options
def chat(prompt: tuple[str, ...], **flags: Any) -> int | None:
    """Send PROMPT, or standard input (-), or both; without either, start a conversation.

    The response is shown as it arrives: as Markdown on a terminal, unchanged in a pipe.
    """
    if flags["save_template"]:
        _save_template(prompt, flags)
        return None
    prompt = _apply_template(prompt, flags)
    _resolve_model(flags)
    settings = read({name: flags[name] for name in _SETTINGS}, emulator=flags["emulator"])
    if flags["model"] and not (flags["any_model"] or flags["emulator"]):
        from acechat.cli.library.models import check_model

        check_model(flags["model"], settings.base_url)
    tools = _tool_names(flags)
    interactive = on_terminal(sys.stdin) and on_terminal(sys.stdout)
    task = Task(
        content=_content(prompt, flags),
        settings=settings,
        options=DisplayOptions(
            stream=not flags["no_stream"],
            json=flags["json"],
            reasoning=settings.reasoning,
            usage=settings.usage,
            extract=flags["extract"],
            timeout=settings.timeout,
            output_type=_output_type(flags),
            options=_request_fields(flags),
        ),
        emulator=flags["emulator"],
        tools=tools,
        approval=_approval(flags) if tools and not flags["dry_run"] else None,
        load=flags["load"],
        resume=flags["resume"],
        log=flags["log"],
        save=flags["save"],
        dry_run=flags["dry_run"],
        cached=flags["cache"],
    )
    _confirm_save(flags)
    has_text = any(not hasattr(part, "image_url") for part in task.content)
    if has_text or _STDIN in prompt or not interactive or flags["dry_run"]:
        if not has_text and (_STDIN in prompt or not task.content):
            raise click.UsageError('the prompt is empty: acechat chat "Hello"')
        return run_once(task)
    run_conversation(task)
    return None


def _confirm_save(flags: dict[str, Any]) -> None:
    """Ask before a file is replaced, and before the call is paid for.

    Without a terminal the file is replaced, as by the redirection of a shell.
    """
    name = flags["save"]
    if not name or flags["yes"] or not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
        return
    path = expanded(name)
    if path.exists() and (not flags["load"] or path != expanded(flags["load"])):
        click.confirm(f"replace {one_line(str(path))}?", abort=True, err=True)


def _content(words: tuple[str, ...], flags: dict[str, Any]) -> UserInput:
    """Return the content parts: text files, prompt, standard input and attachments.

    Standard input is read if it is not a terminal, or if the first or the last word is ``-``; it
    precedes the prompt if the first one is. In the middle, as in ``5 - 3``, a dash is text.
    """
    images, attached = flags["images"], flags["attachments"]
    first, last = words[:1] == (_STDIN,), words[-1:] == (_STDIN,)
    as_attachment = _STDIN in images or _STDIN in attached
    if (first or last) and as_attachment:
        raise click.UsageError(
            "standard input can be the prompt (-) or an image (--image -, --attach -)"
        )
    piped = read_stdin(explicit=first or last)
    parts: list[Any] = [image(piped if source == _STDIN else source) for source in images]
    files: list[Any] = []
    if attached or flags["files"]:
        from acechat.cli.content.files import attachments, text_files

        files = text_files(flags["files"])
        parts += attachments(attached, piped)
    prompt = " ".join(words[first : len(words) - last])
    texts = [prompt, None if as_attachment else decoded(piped)]
    if first:
        texts.reverse()
    return [*files, *[text for text in texts if text and text.strip()], *parts]


def _request_fields(flags: dict[str, Any]) -> Any:
    fields: dict[str, Any] = {**flags["template_options"], **read_options(flags["options"])}
    for name, flag in (("n", "choices"), ("max_tokens", "max_tokens")):
        if flags[flag] is not None:
            fields[name] = flags[flag]
    return fields


def _output_type(flags: dict[str, Any]) -> Any:
    if not flags["schema"]:
        return None
    if flags["extract"] or flags["functions"] or flags["tools"] or flags["mcp"]:
        raise click.UsageError("--schema cannot be combined with --extract or tools")
    from acechat import Output
    from acechat.cli.calls.schema import read_schema

    return Output.from_schema(read_schema(flags["schema"]))


def _tool_names(flags: dict[str, Any]) -> ToolNames | None:
    if not (flags["tools"] or flags["functions"] or flags["mcp"]):
        return None
    from acechat.cli.calls.functions import ToolNames

    return ToolNames(functions=flags["tools"], files=flags["functions"], servers=flags["mcp"])


def _approval(flags: dict[str, Any]) -> Any:
    from acechat.cli.calls.approval import Approval

    return Approval(granted=flags["yes"])


def _resolve_model(flags: dict[str, Any]) -> None:
    if flags["model"]:
        from acechat.cli.library.aliases import resolved

        flags["model"] = resolved(flags["model"], own=not flags["emulator"])


_LISTS = {
    "files": "files",
    "attachments": "attachments",
    "tools": "tools",
    "functions": "functions",
    "mcp": "mcp",
}
"""Flags with several values -> fields of a template."""


def _apply_template(words: tuple[str, ...], flags: dict[str, Any]) -> tuple[str, ...]:
    """Set the flags that a template sets and the command line does not; return the prompt."""
    flags["template_options"] = {}
    if not flags["template"]:
        if flags["params"]:
            raise click.UsageError("--param sets a variable of a template: add -t NAME")
        return words
    from acechat.cli.library.templates import filled, read_variables
    from acechat.cli.library.templates import read as read_template

    template = read_template(flags["template"])
    dashes = [word for word in (words[:1], words[-1:]) if word == (_STDIN,)]
    text = " ".join(word for word in words if word != _STDIN or not dashes)
    if "$input" in (template.prompt or "") + (template.system or ""):
        piped = decoded(read_stdin(explicit=bool(dashes)))
        text, dashes = "\n\n".join(filter(None, [text, piped])), []
    prompt, system = filled(template, text, read_variables(flags["params"]))
    flags["system"] = flags["system"] or system
    for name in ("model", "schema", "reasoning", "timeout"):
        if flags[name] is None:
            flags[name] = getattr(template, name)
    flags["extract"] = flags["extract"] or template.extract
    for name, field in _LISTS.items():
        flags[name] = (*getattr(template, field), *flags[name])
    flags["template_options"] = template.options
    return (prompt, *([_STDIN] if dashes else [])) if prompt or dashes else ()


def _save_template(words: tuple[str, ...], flags: dict[str, Any]) -> None:
    from acechat.cli.library.templates import Template, read_variables, save

    if flags["images"]:
        raise click.UsageError("a template keeps images given with --attach, not with --image")
    given: dict[str, Any] = {field: list(flags[name]) for name, field in _LISTS.items()}
    for name in ("system", "model", "schema", "reasoning", "timeout"):
        given[name] = flags[name]
    template = Template(
        prompt=" ".join(words) or None,
        options=_request_fields({**flags, "template_options": {}}),
        defaults=read_variables(flags["params"]),
        extract=flags["extract"],
        **given,
    )
    if template == Template():
        raise ConfigurationError(
            "there is nothing to save: add a prompt or options. "
            "Next: acechat chat --save-template NAME 'Translate into $language: $input'"
        )
    path = save(flags["save_template"], template)
    click.echo(f"saved {path}", err=True)
