"""``--extract``: the last code block of a response."""

from __future__ import annotations

import re

__all__ = ["last_code_block"]

_FENCE = re.compile(r"^(?P<indent> {0,3}|[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$")


def last_code_block(text: str) -> str | None:
    """Return the content of the last fenced code block in *text*; None if there is none.

    A block that is not closed ends with the text, as in CommonMark.
    """
    found: str | None = None
    fence, indent = "", 0
    lines: list[str] = []
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if not fence:
            if match and not (match["fence"][0] == "`" and "`" in match["info"]):
                fence, indent, lines = match["fence"], len(match["indent"]), []
        elif (
            match
            and match["fence"][0] == fence[0]
            and len(match["fence"]) >= len(fence)
            and not match["info"].strip()
        ):
            found, fence = "\n".join(lines), ""
        else:
            lead = len(line) - len(line.lstrip(" \t"))
            lines.append(line[min(indent, lead) :])
    return "\n".join(lines).rstrip("\n") if fence else found
