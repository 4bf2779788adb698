"""Templates: options and a prompt under a name, with variables."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template as Text
from typing import Annotated, Any, cast

import click
import msgspec
from msgspec import Meta, Struct

from acechat import ConfigurationError
from acechat.cli.library.files import library_path, write

__all__ = [
    "Template",
    "delete",
    "filled",
    "names",
    "read",
    "read_variables",
    "save",
    "template_path",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_INPUT = "input"
"""The variable that the prompt of the command line replaces."""

_List = list[str]


class Template(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The contents of a template's file; None and empty lists are left out."""

    prompt: str | None = None
    """With variables such as ``$language``; ``$input`` is the prompt of the command line."""
    system: str | None = None
    model: str | None = None
    options: dict[str, Any] = {}
    schema: str | None = None
    extract: bool = False
    reasoning: bool | None = None
    files: _List = []
    attachments: _List = []
    tools: _List = []
    functions: _List = []
    mcp: _List = []
    timeout: Annotated[float, Meta(gt=0)] | None = None
    defaults: dict[str, str] = {}
    """Values of variables that the command line does not set."""


def template_path(name: str) -> Path:
    """Return the path of a template.

    Raises:
        ConfigurationError: *name* cannot be the name of a template.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"invalid name of a template: {name!r}; use letters, digits, '.', '_' and '-'"
        )
    return library_path("templates", f"{name}.toml")


def names() -> list[str]:
    """Return the names of all templates, sorted."""
    return sorted(path.stem for path in library_path("templates").glob("*.toml"))


def read(name: str) -> Template:
    """Return a template.

    Raises:
        ConfigurationError: It does not exist, or its file is invalid.
    """
    path = template_path(name)
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8-sig")), Template)
    except FileNotFoundError:
        reason = _unknown(name)
    except (OSError, ValueError) as error:  # of TOML, of UTF-8, of msgspec
        reason = f"{path} is not a template: {error}"
    raise ConfigurationError(reason)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    known = names()
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
    return f"there is no template {name!r}; {hint} Next: acechat templates"


def save(name: str, template: Template) -> Path:
    """Write a template; return its path.

    Raises:
        ConfigurationError: *name* cannot be the name of a template.
        OSError: The file cannot be written.
    """
    path = template_path(name)
    fields: dict[str, Any] = msgspec.to_builtins(template)
    tables: dict[str, dict[str, Any]] = {
        key: fields[key] for key in ("options", "defaults") if key in fields
    }
    plain = {key: value for key, value in fields.items() if key not in tables}
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items() if value is not None]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{json.dumps(k)} = {_toml(v)}" for k, v in table.items())]
    write(path, "\n".join(lines) + "\n")
    return path


def delete(name: str) -> None:
    """Delete a template.

    Raises:
        ConfigurationError: It does not exist.
    """
    try:
        template_path(name).unlink()
    except FileNotFoundError:
        raise ConfigurationError(_unknown(name)) from None


def _toml(value: Any) -> str:
    """Return *value* in TOML, whose strings, numbers, lists and booleans are those of JSON."""
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        pairs = ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in table.items())
        return f"{{{pairs}}}"
    if isinstance(value, str) and "\n" in value and "'''" not in value and value.isascii():
        lines = value.replace("\n", "")
        if lines.isprintable():
            return f"'''\n{value}'''"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_variables(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``KEY=VALUE`` pairs.

    Raises:
        BadParameter: A pair has no ``=``.
    """
    variables: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(
                f"expected KEY=VALUE such as language=French, not {pair!r}", param_hint="'--param'"
            )
        variables[name.strip()] = value
    return variables


def filled(template: Template, prompt: str, variables: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the prompt and the system prompt of *template* with *variables* replaced.

    The *prompt* of the command line replaces ``$input``, or else follows that of the template.

    Raises:
        UsageError: A variable has no value, or a given one does not occur.
    """
    own, system = Text(template.prompt or ""), Text(template.system or "")
    wanted = {*own.get_identifiers(), *system.get_identifiers()}
    values = {**template.defaults, **variables}
    if missing := sorted(wanted - values.keys() - {_INPUT}):
        flags = " ".join(f"-p {name}=VALUE" for name in missing)
        raise click.UsageError(
            f"the template needs a value for {', '.join(missing)}. Next: {flags}"
        )
    if unknown := sorted(variables.keys() - wanted):
        known = ", ".join(sorted(wanted)) or "none"
        raise click.UsageError(f"the template has no variable {unknown[0]!r}; it has: {known}")
    if _INPUT in wanted and _INPUT not in variables:
        values[_INPUT] = prompt
        prompt = ""
    texts = [own.safe_substitute(values), prompt]
    joined = "\n\n".join(text for text in texts if text.strip())
    return joined, system.safe_substitute(values) if template.system else None
