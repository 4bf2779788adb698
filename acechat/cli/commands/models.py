"""``acechat models``."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click
import msgspec
from msgspec import Struct

from acechat import (
    DEFAULT_MODEL,
    AceChatError,
    AsyncClient,
    CatalogModel,
    ConfigurationError,
    Model,
)
from acechat.cli.errors import PLATFORM, explain
from acechat.cli.options import limits_of
from acechat.cli.service import connect, service_options
from acechat.cli.settings import Settings, read
from acechat.cli.terminal.text import DIM, UNDIM, draws, on_terminal, one_line
from acechat.types import Pricing

__all__ = ["models"]

_CATALOG_TIMEOUT = 10
"""Seconds for the prices; without them the list is still useful."""

_FILTER = "acechat.models.filter"
"""Key in the meta data of the context."""

_HEAD = ("model", "context", "output", "in", "out", "per")
_LEGENDS = {
    len(_HEAD): "context and output: maximum tokens; in and out: credits",
    3: "context and output: maximum tokens",
    1: "",
}
"""Possible numbers of columns -> legend; prices are never shown without their unit."""


_CREDITS = f"credits are bought at {PLATFORM}; chat --usage shows those of a call"


class _Offer(Struct, frozen=True):
    """A model with its entry in the public catalog; None if it is not listed."""

    model: Model
    listed: CatalogModel | None

    @property
    def fields(self) -> dict[str, Any]:
        """All known fields, for JSON."""
        limits, listed = limits_of(self.model.id), self.listed
        entry: dict[str, Any] = msgspec.to_builtins(listed) if listed else {}
        model: dict[str, Any] = msgspec.to_builtins(self.model)
        return model | {
            "context_tokens": limits.context,
            "max_output_tokens": limits.output,
            **{name: entry.get(name) for name in ("unit", "pricing", "capabilities")},
        }

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of the table."""
        limits, listed = limits_of(self.model.id), self.listed
        pricing = (listed and listed.pricing) or Pricing()
        return (
            one_line(self.model.id),
            _tokens(limits.context),
            _tokens(limits.output),
            _credits(pricing.input_credits),
            _credits(pricing.output_credits),
            one_line((listed and listed.unit) or ""),
        )


class _Group(click.Group):
    """A group whose arguments are words to filter by, unless the first names a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_interspersed_args = not any(word in self.commands for word in args)
        if ctx.allow_interspersed_args:
            _, words, _ = self.make_parser(ctx).parse_args(list(args))
            ctx.meta[_FILTER] = [word.lower() for word in words]
            for word in reversed(words):  # the value of an option precedes an equal word
                del args[len(args) - 1 - args[::-1].index(word)]
        return super().parse_args(ctx, args)


@click.group(
    invoke_without_command=True,
    cls=_Group,
    subcommand_metavar="[WORD]... | alias [NAME] [MODEL]",
    epilog="""\b
Examples:
  acechat models
  acechat models opus              those that contain all words
  acechat models --json
  acechat models alias best claude-opus-4-20250514
  acechat config set model claude-opus-4-20250514
""",
)
@click.option("--json", is_flag=True, help="Print all fields as JSON.")
@service_options
@click.pass_context
def models(context: click.Context, *, json: bool, base_url: str | None, emulator: bool) -> None:
    """List the models that the service offers, with their token limits and prices.

    WORDs filter the list. In a pipe or a file: only the names, one per line.
    """
    if context.invoked_subcommand is not None:
        return
    settings = read({"base_url": base_url}, emulator=emulator)
    table = on_terminal(sys.stdout)
    words: list[str] = context.meta.get(_FILTER, [])
    offers = asyncio.run(_list(settings, emulator=emulator, priced=json or table))
    if not emulator:
        from acechat.cli.library.models import remember

        remember((offer.model.id for offer in offers), settings.base_url)
    default = settings.model or DEFAULT_MODEL
    offers = [offer for offer in offers if all(word in offer.model.id.lower() for word in words)]
    if not offers and words:
        raise ConfigurationError(f"no model contains {' and '.join(map(repr, words))}")
    if json:
        from acechat.cli.terminal.json import show_json

        show_json(
            [offer.fields | {"default": offer.model.id == default} for offer in offers], sys.stdout
        )
    elif table:
        _show([_marked(offer.row, default) for offer in offers], shutil.get_terminal_size().columns)
    else:
        for offer in offers:
            click.echo(one_line(offer.model.id))


@models.command()
@click.argument("name", required=False)
@click.argument("model", required=False)
@click.option("--remove", is_flag=True, help="Remove the alias.")
def alias(name: str | None, model: str | None, *, remove: bool) -> None:
    """List the short names of models; store MODEL under NAME, for --model NAME."""
    from acechat.cli.library.aliases import aliases, store

    if name is None:
        known = aliases()
        width = max(map(len, known))
        for each, full in sorted(known.items()):
            click.echo(one_line(f"{each:<{width}}") + "  " + one_line(full))
        return
    if remove == (model is not None):
        raise click.UsageError("expected NAME and MODEL, or NAME --remove")
    store(name, model)
    click.echo(f"{name} is short for {model}" if model else f"removed {name}")


def _marked(row: tuple[str, ...], default: str) -> tuple[str, ...]:
    return (f"{row[0]} *", *row[1:]) if row[0] == default else row


async def _list(settings: Settings, *, emulator: bool, priced: bool) -> list[_Offer]:
    async with connect(settings, emulator=emulator) as client:
        if priced:
            found, listed = await asyncio.gather(client.models(), _catalog(client))
        else:
            found, listed = await client.models(), {}
    ordered = sorted(found, key=lambda model: model.id)
    return [_Offer(model, listed.get(model.id)) for model in ordered]


async def _catalog(client: AsyncClient) -> dict[str, CatalogModel]:
    """Return the public catalog by model; on an error, print one line and return {}."""
    try:
        catalog = await client.with_options(timeout=_CATALOG_TIMEOUT, retries=1).catalog()
    except AceChatError as error:
        reason = explain(error).removeprefix("acechat: ").partition(" Next: ")[0]
        click.echo(f"acechat: cannot get the prices: {reason}", err=True)
        return {}
    return {model.id: model for model in catalog}


def _show(rows: Sequence[tuple[str, ...]], columns: int) -> None:
    """Print the columns that fit into *columns* characters: names, then limits, then prices."""
    widths = [max(map(len, cells)) for cells in zip(_HEAD, *rows, strict=True)]
    fitting = (shown for shown in _LEGENDS if sum(widths[:shown]) + 2 * (shown - 1) <= columns)
    shown = next(fitting, 1)
    dim, undim = (DIM, UNDIM) if draws(sys.stdout) else ("", "")
    head, *lines = ("  ".join(_aligned(cells, widths)[:shown]).rstrip() for cells in (_HEAD, *rows))
    click.echo(f"{dim}{head}{undim}")
    for line in lines:
        click.echo(line)
    legends = [_LEGENDS[shown], "* default model" if any(row[0][-1] == "*" for row in rows) else ""]
    if legend := "; ".join(filter(None, legends)):
        click.echo(f"{dim}{legend}{undim}")
    if shown == len(_HEAD):
        click.echo(f"{dim}{_CREDITS}{undim}")


def _aligned(cells: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    """Align numbers right and text left."""
    return [
        cell.rjust(width) if 0 < index < len(_HEAD) - 1 else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def _tokens(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _credits(price: Decimal | None) -> str:
    return "?" if price is None else f"{price:.2f}"
