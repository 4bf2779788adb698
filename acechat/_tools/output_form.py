"""`OutputForm`: the schema of an output type, built once for all calls with that type."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from acechat._tools.descriptions import described
from acechat._tools.find_output import KEY
from acechat._tools.schema import adapted, schema_of
from acechat._tools.signature import PARAMETER_NAME
from acechat._tools.tool_output import NAME

__all__ = ["OutputForm", "form_of"]


class OutputForm(Struct, frozen=True):
    """An output type, as it is requested and read."""

    type: Any
    """The type, with parts that pydantic validates replaced."""

    schema: dict[str, Any]
    """The JSON Schema that the model gets; not to be changed."""

    tools: msgspec.Raw
    """The tool that takes the value, as the field ``tools``."""

    wrapper: Any
    """The struct with the value as its only field; None if the type is one of objects."""

    bare: bool
    """Whether the value itself may be an object."""

    keys: Collection[str] | None
    """Keys of which an object in prose has one; None if it may have any."""


def form_of(kind: Any) -> OutputForm:
    """Return the form of the type *kind*: building its schema takes longer than a call.

    Raises:
        ConfigurationError: JSON cannot represent the type.
    """
    with_pydantic = "pydantic" in sys.modules
    try:
        hash(kind)
    except TypeError:  # such as Annotated with a list
        return _form_of.__wrapped__(kind, with_pydantic)
    return _form_of(kind, with_pydantic)


@lru_cache(maxsize=128)
def _form_of(kind: Any, _with_pydantic: bool) -> OutputForm:
    kind = adapted(described(kind))
    schema = schema_of(kind)
    name = schema.get("type")
    bare = name == "object" or (name is None and "enum" not in schema)  # a union may be of objects
    wrapper: Any = None
    if name != "object" or not _are_parameters(schema):
        wrapper = msgspec.defstruct("Answer", [(KEY, kind)])
        schema = schema_of(wrapper)
    keys = None if wrapper and bare else schema.get("properties") or None
    parameters: dict[str, Any] = {"properties": {}, **schema}
    tool = {"name": NAME, "description": "Takes the answer.", "parameters": parameters}
    tools = msgspec.Raw(msgspec.json.encode([{"type": "function", "function": tool}]))
    return OutputForm(kind, schema, tools, wrapper, bare, keys)


def _are_parameters(schema: dict[str, Any]) -> bool:
    """Return True if the service accepts the names of the properties as those of a tool."""
    return all(map(PARAMETER_NAME.fullmatch, schema.get("properties", ())))
