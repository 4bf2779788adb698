"""Tool choice, schemas and parsers of LangChain's structured output."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, TypeAlias, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from acechat import OutputError

__all__ = [
    "Schema",
    "parser_of",
    "require_call",
    "response_format_of",
    "tool_choice_of",
    "with_raw",
]

Schema: TypeAlias = dict[str, Any] | type
"""A pydantic model, a `TypedDict`, or a JSON Schema."""


def parser_of(schema: Schema, method: str) -> Runnable[Any, Any]:
    """Return the parser of messages with a value of *schema*."""
    is_model = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method != "function_calling":
        if is_model:
            return PydanticOutputParser(pydantic_object=cast("Any", schema))
        return JsonOutputParser()
    if is_model:
        return PydanticToolsParser(tools=[cast("Any", schema)], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def require_call() -> Runnable[AIMessage, AIMessage]:
    """Return a step that raises `OutputError` for a message without the tool call.

    LangChain's parsers would return None.
    """

    def check(message: AIMessage) -> AIMessage:
        if not message.tool_calls:
            raise OutputError("the model did not call the tool", text=message.text)
        return message

    return RunnableLambda(check)


def with_raw(
    model: Runnable[LanguageModelInput, AIMessage], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable of the message, the parsed value and the error of the parser."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    nothing = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([nothing], exception_key="parsing_error")


def response_format_of(schema: Schema, method: str, *, strict: bool | None) -> dict[str, Any]:
    """Return the *response_format* of a request for a value of *schema*."""
    if method == "json_mode":
        return {"type": "json_object"}
    described = convert_to_json_schema(schema, strict=strict)
    wanted: dict[str, Any] = {"name": described.get("title", "output"), "schema": described}
    if strict is not None:
        wanted["strict"] = strict
    return {"type": "json_schema", "json_schema": wanted}


def tool_choice_of(choice: str | dict[str, Any] | bool) -> str | dict[str, Any]:
    """Return the API's JSON of a LangChain *tool_choice*."""
    if choice in ("auto", "none", "required"):
        return cast("str", choice)
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, dict) and choice.get("type") != "tool":
        return choice
    name = choice["name"] if isinstance(choice, dict) else choice
    return {"type": "function", "function": {"name": name}}
