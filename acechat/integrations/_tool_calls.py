"""Facts about tool calls that all frameworks need."""

from __future__ import annotations

from acechat import ToolCallDelta

__all__ = ["ToolCallNumbers", "reasons_by_default"]


class ToolCallNumbers:
    """Numbers the tool calls of a stream from 0.

    The service may use one index for two calls, and need not begin at 0. A new id with a name
    begins a call, and so does a new index.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._indexes: dict[int | None, int] = {}
        self._count = 0

    def add(self, fragment: ToolCallDelta) -> tuple[int, bool]:
        """Return the number of the call of *fragment*, and whether it begins the call."""
        named = fragment.function is not None and bool(fragment.function.name)
        number = self._ids.get(fragment.id) if fragment.id else None
        begins = False
        if number is None:
            begins = bool(fragment.id and named) or fragment.index not in self._indexes
            number = self._count if begins else self._indexes[fragment.index]
            self._count += begins
        if fragment.id:
            self._ids.setdefault(fragment.id, number)
        self._indexes[fragment.index] = number
        return number, begins


def reasons_by_default(model: str) -> bool:
    """Return whether *model* reasons without being asked, as docs/api.md has it."""
    return model.endswith("-thinking") or model.startswith(("claude-fable-5", "claude-opus-5"))
