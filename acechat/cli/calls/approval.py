"""Approval of the user before each call of a tool."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import click

from acechat.cli.terminal.question import can_ask, press_key
from acechat.cli.terminal.text import one_line
from acechat.cli.terminal.writer import note

__all__ = ["Approval"]


class Approval:
    """Asks on the terminal whether a tool may be called.

    Args:
        granted: All calls are approved already (``--yes``).

    Raises:
        UsageError: There is no terminal to ask on, and calls are not *granted*.
    """

    def __init__(self, *, granted: bool) -> None:
        if not granted and not can_ask():
            raise click.UsageError(
                "tools are called after approval on a terminal only. Next: approve all calls "
                "with --yes"
            )
        self._granted = granted
        self._always: set[str] = set()
        self._lock: asyncio.Lock | None = None

    async def request(self, name: str, arguments: dict[str, Any]) -> None:
        """Return when the call is approved.

        Raises:
            PermissionError: The user did not approve it; the model receives the message.
        """
        call = one_line(f"{name}({_shown(arguments)})")
        if self._granted or name in self._always:
            note(f"calling {call}")
            return
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:  # one question at a time
            if name in self._always:
                note(f"calling {call}")
                return
            sys.stderr.write(f"call {call}? [y]es, [n]o, [a]lways this function: ")
            sys.stderr.flush()
            key = await press_key("yna")
            sys.stderr.write(f"{'yes' if key in {'y', 'a'} else 'no'}\n")
            sys.stderr.flush()
        if key == "a":
            self._always.add(name)
        if key not in {"y", "a"}:
            raise PermissionError("the user did not approve this call")


def _shown(arguments: dict[str, Any]) -> str:
    """Return the arguments as keywords; line ends and controls in texts are visible escapes."""
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False, default=repr)}"
        for name, value in arguments.items()
    )
