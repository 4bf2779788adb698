"""Build the messages of a request from content, history and system prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from acechat._wire.decode import is_object, without_arguments
from acechat._wire.encode import encode
from acechat._wire.foreign import convert_part, convert_parts
from acechat.errors import ConfigurationError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ContentPart,
    ImagePart,
    MessageLike,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

__all__ = [
    "Content",
    "as_sendable",
    "function_of",
    "gather_messages",
    "holds_tool_images",
    "tool_images_message",
    "user_message",
]

Content: TypeAlias = str | ContentPart | Mapping[str, Any]
"""Content of the user message: text, an `image`, or a content part as the API's JSON."""


_MESSAGES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)


def gather_messages(
    content: Sequence[Content], *, messages: Iterable[MessageLike], system: str | None
) -> list[MessageLike]:
    """Return the messages to send: system prompt, history, and one user message of *content*.

    Args:
        content: Text and parts of the user message; empty for none.
        messages: The history, as structs or as the API's JSON.
        system: The system prompt; None for none.

    Raises:
        ConfigurationError: There is no message, or one has no role.
        TypeError: A message or content part has another type.
    """
    if messages == () and system is None and content:
        return [user_message(content)]
    gathered: list[MessageLike] = []
    if system is not None:
        gathered.append(SystemMessage(content=system))
    if isinstance(messages, str | Mapping):
        kind = type(cast("object", messages)).__name__
        raise TypeError(
            f"messages= must be a list of messages, not {kind}: "
            "the content of one user message is a positional argument"
        )
    gathered.extend(map(as_sendable, messages))
    if content:
        gathered.append(user_message(content))
    if not gathered or (system is not None and len(gathered) == 1):
        raise ConfigurationError('no message to send: call chat("Hello") or chat(messages=[...])')
    return gathered


def user_message(content: Sequence[Content]) -> UserMessage:
    """Return the user message with *content*."""
    if len(content) == 1 and isinstance(content[0], str):
        return UserMessage(content=content[0])
    return UserMessage(content=[_as_part(item) for item in content])


_TOOL_IMAGES = "The images that the tools returned:"


def tool_images_message(images: Sequence[ImagePart]) -> UserMessage:
    """Return the message with the images of tools, which a tool message cannot hold."""
    return UserMessage(content=[TextPart(_TOOL_IMAGES), *images])


def holds_tool_images(message: MessageLike) -> bool:
    """Return True for a message that `tool_images_message` has made, as a struct or as JSON."""
    content = _member(message, "content")
    if not isinstance(content, list) or not content:
        return False
    return _member(cast("list[object]", content)[0], "text") == _TOOL_IMAGES


def _member(item: object, name: str) -> object:
    """Return a member of a struct or of JSON; None if it has none."""
    if isinstance(item, Mapping):
        return cast("Mapping[str, object]", item).get(name)
    return getattr(item, name, None)


def _as_part(item: object) -> ContentPart:
    if isinstance(item, str):
        return TextPart(item)
    if isinstance(item, TextPart | ImagePart):
        return item
    if isinstance(item, Mapping) and "type" in item and "role" not in item:
        return cast("ContentPart", convert_part(cast("Mapping[str, Any]", item)))
    given = cast("object", item)
    kind: str = type(given).__name__
    raise TypeError(f"content must be str or content parts, not {kind}: {_content_hint(given)}")


def _content_hint(item: object) -> str:
    if isinstance(item, ChatCompletion):
        return "its message goes to messages=[..., reply.message]"
    if isinstance(item, list | tuple):
        return "messages go to messages=[...]; pass parts as arguments, chat(*parts)"
    are_messages = isinstance(item, (*_MESSAGES, Mapping))
    return "messages go to messages=[...]" if are_messages else "use image(...) for images"


def as_sendable(message: Any) -> MessageLike:
    """Return *message* in the form that the service accepts.

    Raises:
        ConfigurationError: It has no role.
        TypeError: It is neither a message struct nor a mapping.
    """
    if isinstance(message, AssistantMessage) and message.tool_calls:
        calls = [_as_sendable_call(call) for call in message.tool_calls]
        return msgspec.structs.replace(message, tool_calls=calls)
    if isinstance(message, _MESSAGES):
        return message
    if not isinstance(message, Mapping):
        kind: str = type(cast("object", message)).__name__
        hint = ""
        if isinstance(message, ChatCompletion):
            hint = ": pass its message, reply.message"
        elif hasattr(cast("object", message), "model_dump"):  # of openai's or anthropic's client
            hint = ": pass message.model_dump()"
        raise TypeError(
            f"a message must be a struct such as UserMessage or a dict, not {kind}{hint}"
        )
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", message)
    role = fields.get("role")
    if type(fields.get("content")) is list:
        fields = {**fields, "content": convert_parts(fields["content"])}
    if not isinstance(role, str) or not role:
        raise ConfigurationError(f"message has no role: {str(fields)[:80]}")
    if role == "developer":  # no Claude model supports it (docs/api.md#messages)
        return {**fields, "role": "system"}
    if fields.get("tool_calls"):
        return {**fields, "tool_calls": [_as_sendable_call(call) for call in fields["tool_calls"]]}
    return dict(fields)


def _as_sendable_call(call: Any) -> Any:
    """Return *call* with arguments that are a JSON object.

    The service skips a call with any other (docs/api.md#messages). The tool's result would then
    belong to no call, and the model would not learn of its error.
    """
    if isinstance(call, ToolCall):
        return call if is_object(call.function.arguments) else without_arguments(call)
    if not isinstance(call, Mapping):
        return cast("object", call)
    entry = cast("Mapping[str, Any]", call)
    function = function_of(entry)
    given: Any = function.get("arguments")
    if not function or (isinstance(given, str) and is_object(given)):
        return entry
    sendable = encode(cast("dict[str, Any]", given)).decode() if isinstance(given, dict) else "{}"
    return {**entry, "function": {**function, "arguments": sendable}}


def function_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ``function`` object of a tool or tool call; empty if there is none."""
    function: Any = entry.get("function")
    return cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else {}
