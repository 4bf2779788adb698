"""JSON output."""

from __future__ import annotations

import re
from typing import Any, TextIO

import msgspec

__all__ = ["show_json"]


def show_json(value: Any, file: TextIO) -> None:
    """Write *value* as JSON: indented on a terminal, else on one line.

    Control characters, and characters that the encoding of *file* lacks, are escaped.
    """
    data = msgspec.json.encode(value)
    text = (msgspec.json.format(data) if file.isatty() else data).decode()
    utf8 = (file.encoding or "utf-8").lower().startswith("utf")
    file.write(re.sub("[\x7f-\x9f]" if utf8 else "[^\x00-\x7e]", _escaped, text) + "\n")
    file.flush()


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
