"""The completion of a model that was required to call a tool with the output."""

from __future__ import annotations

import msgspec

from acechat.types import ChatCompletion, Usage
from acechat.types.completion import note_origin

__all__ = ["FINAL", "NAME", "total", "without_tool"]

NAME = "answer"
"""Name of the tool."""

FINAL = {
    "length": "truncated at max_tokens",
    "content_filter": "the model refused",
}
"""Finish reasons that a retry with the same limits would repeat, and their messages."""


def without_tool(completion: ChatCompletion, usage: Usage | None) -> ChatCompletion:
    """Return *completion* with the arguments of the tool as its text, and with *usage*.

    A model may call the tool several times in one response; each call is a line of the text.
    """
    choices = completion.choices
    arguments = [
        call.function.arguments for call in completion.tool_calls if call.function.name == NAME
    ]
    if arguments:
        first = choices[0]
        text = "\n".join(arguments)
        if text == "{}" and first.finish_reason in FINAL:
            text = ""  # decoded from no arguments: truncated before the first character
        message = msgspec.structs.replace(first.message, content=text, tool_calls=None)
        reason = "stop" if first.finish_reason == "tool_calls" else first.finish_reason
        first = msgspec.structs.replace(first, message=message, finish_reason=reason)
        choices = [first, *choices[1:]]
    changed = msgspec.structs.replace(completion, choices=choices, usage=usage)
    return note_origin(changed, completion.response, completion.to_dict)


def total(used: list[Usage | None]) -> Usage | None:
    """Return the sum; None if the usage of one response was not reported."""
    total = used[0]
    for usage in used[1:]:
        total = total + usage if total and usage else None
    return total
