"""`PartialOutput`: structured output while it is being written."""

from __future__ import annotations

from typing import Any, cast

from acechat._partial_json import PartialJSON
from acechat._protocol import Batch

__all__ = ["KEY", "PartialOutput"]

KEY = "value"
"""Of the object around a list, a number, …: the arguments of a tool are an object."""


class PartialOutput:
    """The JSON of a streamed answer, while it is being told in its text or to a tool.

    Args:
        openers: What it may begin with.
        wrapped: Whether it stands under a key of an object that is not part of the form.
        bare: Whether an object may come without that key all the same.
    """

    def __init__(self, openers: str = "{[", *, wrapped: bool = False, bare: bool = False) -> None:
        self._json = PartialJSON(openers)
        self._wrapped = wrapped
        self._bare = bare

    def receive(self, batch: Batch) -> bool:
        """Take what a read of the network brought; return whether there is more to see."""
        grew = False
        for delta in batch.deltas:
            if delta.index:
                continue
            functions = [call.function for call in delta.tool_calls or ()]
            for text in (delta.content, *(told.arguments for told in functions if told)):
                if text:
                    grew = self._json.feed(text) or grew
        return grew and self.value is not None

    @property
    def value(self) -> Any:
        """What has been told so far: an object that grows; None for nothing yet."""
        value = self._json.value
        if not self._wrapped or not isinstance(value, dict):
            return value
        told = cast("dict[str, Any]", value)
        if self._bare and next(iter(told), KEY) != KEY:
            return told  # as `Asking` does, too
        return told.get(KEY)
