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

from acechat import AceChatError, AsyncClient, CatalogModel, Model
from acechat.cli.errors import explain
from acechat.cli.options import limits_of
from acechat.cli.service import connect, service_options
from acechat.cli.settings import Settings, read
from acechat.cli.terminal.text import DIM, UNDIM, draws, on_terminal, one_line
from acechat.types import Pricing

__all__ = ["models"]

_PATIENCE = 10
"""Seconds that the prices may take: they are only half of the answer."""

_HEAD = ("model", "context", "answer", "in", "out", "per")
_LEGENDS = {
    len(_HEAD): "context and answer: tokens at most; in and out: credits",
    3: "context and answer: tokens at most",
    1: "",
}
"""How many columns may be shown, and what explains them: a price says nothing without its unit."""


class _Offer(Struct, frozen=True):
    """A model, and what the public catalogue says about it."""

    model: Model
    listed: CatalogModel | None

    @property
    def fields(self) -> dict[str, Any]:
        """All that is known, for programs."""
        limits, listed = limits_of(self.model.id), self.listed
        told: dict[str, Any] = msgspec.to_builtins(listed) if listed else {}
        model: dict[str, Any] = msgspec.to_builtins(self.model)
        return model | {
            "context_tokens": limits.context,
            "max_output_tokens": limits.answer,
            **{name: told.get(name) for name in ("unit", "pricing", "capabilities")},
        }

    @property
    def row(self) -> tuple[str, ...]:
        """All that is known, for people."""
        limits, listed = limits_of(self.model.id), self.listed
        pricing = (listed and listed.pricing) or Pricing()
        return (
            one_line(self.model.id),
            _tokens(limits.context),
            _tokens(limits.answer),
            _credits(pricing.input_credits),
            _credits(pricing.output_credits),
            one_line((listed and listed.unit) or ""),
        )


@click.command(
    epilog="""\b
Examples:
  acechat models
  acechat models | grep opus
  acechat models --json
  acechat config set model claude-opus-4-20250514
"""
)
@click.option("--json", is_flag=True, help="Print all that is known, as JSON.")
@service_options
def models(*, json: bool, base_url: str | None, emulator: bool) -> None:
    """List the models that the service offers, what fits into them, and what they cost.

    A pipe or a file gets their names alone, one per line.
    """
    settings = read({"base_url": base_url}, emulator=emulator)
    people = on_terminal(sys.stdout)
    found = asyncio.run(_list(settings, emulator=emulator, priced=json or people))
    if json:
        from acechat.cli.terminal.json import show_json

        show_json([offer.fields for offer in found], sys.stdout)
    elif people:
        _show([offer.row for offer in found], shutil.get_terminal_size().columns)
    else:
        for offer in found:
            click.echo(one_line(offer.model.id))


async def _list(settings: Settings, *, emulator: bool, priced: bool) -> list[_Offer]:
    async with connect(settings, emulator=emulator) as client:
        if priced:
            found, listed = await asyncio.gather(client.models(), _listed(client))
        else:
            found, listed = await client.models(), {}
    ordered = sorted(found, key=lambda model: model.id)
    return [_Offer(model, listed.get(model.id)) for model in ordered]


async def _listed(client: AsyncClient) -> dict[str, CatalogModel]:
    """Return the public catalogue by name; say so, where it cannot be had."""
    try:
        catalog = await client.with_options(timeout=_PATIENCE, retries=1).catalog()
    except AceChatError as error:
        why = explain(error).removeprefix("acechat: ").partition(" Next: ")[0]
        click.echo(f"acechat: there are no prices: {why}", err=True)
        return {}
    return {model.id: model for model in catalog}


def _show(rows: Sequence[tuple[str, ...]], columns: int) -> None:
    """Print a table; one that is too wide loses the prices, then the limits, the names never."""
    widths = [max(map(len, cells)) for cells in zip(_HEAD, *rows, strict=True)]
    fitting = (shown for shown in _LEGENDS if sum(widths[:shown]) + 2 * (shown - 1) <= columns)
    shown = next(fitting, 1)
    dim, undim = (DIM, UNDIM) if draws(sys.stdout) else ("", "")
    head, *lines = ("  ".join(_aligned(cells, widths)[:shown]).rstrip() for cells in (_HEAD, *rows))
    click.echo(f"{dim}{head}{undim}")
    for line in lines:
        click.echo(line)
    if legend := _LEGENDS[shown]:
        click.echo(f"{dim}{legend}{undim}")


def _aligned(cells: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    """Numbers end, words begin, at the same place."""
    return [
        cell.rjust(width) if 0 < place < len(_HEAD) - 1 else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def _tokens(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _credits(price: Decimal | None) -> str:
    return "?" if price is None else f"{price:.2f}"
