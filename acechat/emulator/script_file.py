"""Scripts as JSON: the steps of a service for programs in any language.

A script is a list of steps, or one step per line. A step is the text of a response, or an object::

    ["Hello", {"fail": 429, "retry_after": 1}, {"text": "Bye", "delay": 0.5, "cut": 3},
     {"tool_calls": [{"name": "weather", "arguments": {"city": "Paris"}}]}, {"json": {"days": 2}}]

Content: ``text``, ``reasoning``, ``json``, ``tool_calls``, ``finish_reason``, ``usage``, ``cost``,
``model``, as in `ok`. Instead of content: ``fail`` (a status) with ``code``, ``message``,
``retry_after`` and ``body``, as in `fail`. Faults: ``pace``, ``heartbeats``, ``error``,
``malformed``, ``cut``, ``drop``, ``split``, ``delay``; a number is the first argument of the
function of that name, an object has its arguments. They are applied in this order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from acechat.emulator.faults import (
    cut,
    drop,
    error_event,
    heartbeats,
    malformed,
    pace,
    split,
    stall,
)
from acechat.emulator.steps import Step, fail, ok
from acechat.errors import ConfigurationError

__all__ = ["read_script", "steps_from"]

_CONTENT = {"text", "reasoning", "json", "tool_calls", "finish_reason", "usage", "cost", "model"}
_FAILURE = {"code", "message", "retry_after", "headers", "body"}

_FAULTS: dict[str, tuple[Callable[..., Step], str]] = {
    "pace": (pace, "seconds"),
    "heartbeats": (heartbeats, "every"),
    "error": (error_event, "code"),
    "malformed": (malformed, "after"),
    "cut": (cut, "after"),
    "drop": (drop, "after"),
    "split": (split, "bytes"),
    "delay": (stall, "seconds"),
}
"""Name → the function, and its argument if the value is no object."""


def read_script(text: str) -> list[Step]:
    """Return the steps of a script.

    Args:
        text: A JSON list, or JSON Lines with one step each.

    Raises:
        ConfigurationError: *text* is not JSON, or a step is invalid; with its number.
    """
    value: Any
    try:
        value = json.loads(text)
    except RecursionError:
        raise ConfigurationError("the script is nested too deeply") from None
    except ValueError:
        lines = [_line(number, line) for number, line in enumerate(text.splitlines(), 1)]
        value = [step for step in lines if step is not None]
    return steps_from(cast("list[Any]", value) if isinstance(value, list) else [value])


def _line(number: int, line: str) -> Any:
    if not line.strip():
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"line {number} of the script is not JSON: {error}") from None


def steps_from(values: list[Any]) -> list[Step]:
    """Return the steps of a decoded script.

    Raises:
        ConfigurationError: A step is invalid; with its number.
    """
    steps: list[Step] = []
    for number, value in enumerate(values, 1):
        try:
            steps.append(_step(value))
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"step {number} of the script is invalid: {error}") from None
    return steps


def _step(value: object) -> Step:
    if isinstance(value, str):
        return ok(value)
    if not isinstance(value, dict):
        raise TypeError(f"it is {json.dumps(value)}, not a text or an object")
    fields = cast("dict[str, Any]", value)
    known = {"fail"} | _FAILURE if "fail" in fields else _CONTENT
    if unknown := fields.keys() - known - _FAULTS.keys():
        raise ValueError(
            f"unknown field {min(unknown)!r}; known are {', '.join(sorted(known | _FAULTS.keys()))}"
        )
    step = _content(fields)
    for name, (fault, argument) in _FAULTS.items():
        if name in fields:
            given = fields[name]
            if not isinstance(given, dict):
                given = {argument: given}
            step = fault(**cast("dict[str, Any]", given), of=step)
    return step


def _content(fields: Mapping[str, Any]) -> Step:
    if "fail" in fields:
        status = fields["fail"]
        if not isinstance(status, int) or not 100 <= status <= 599:  # noqa: PLR2004 - HTTP
            raise ValueError(f"fail is {json.dumps(status)}, not an HTTP status")
        return fail(status, **{name: fields[name] for name in _FAILURE & fields.keys()})
    content = {name: fields[name] for name in _CONTENT & fields.keys()}
    if "tool_calls" in content:
        calls = cast("list[dict[str, Any]]", content["tool_calls"])
        if not all(isinstance(call.get("name"), str) for call in calls):
            raise ValueError("each of tool_calls needs a name")
        content["tool_calls"] = [(call["name"], call.get("arguments", {})) for call in calls]
    return ok(content.pop("text", None), **content)
