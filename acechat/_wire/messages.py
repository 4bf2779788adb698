"""Content, history and system prompt -> the messages of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from acechat._wire.decode import is_object, without_arguments
from acechat._wire.encode import encode
from acechat.errors import ConfigurationError
from acechat.types import (
    AssistantMessage,
    ContentPart,
    ImagePart,
    MessageLike,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

__all__ = ["Content", "as_sendable", "function_of", "gather_messages"]

Content: TypeAlias = str | ContentPart | Mapping[str, Any]
"""A piece of what the user says now: text, an `image`, or a part as the API's own JSON."""


_MESSAGES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)


def gather_messages(
    content: Sequence[Content], *, messages: Iterable[MessageLike], system: str | None
) -> list[MessageLike]:
    """Put together what is sent: the system's word, the history, what the user says now.

    Raises:
        ConfigurationError: There is no message, or one of them has no role.
        TypeError: Something is no message, or no part of one.
    """
    if messages == () and system is None and content:
        return [user_message(content)]
    gathered: list[MessageLike] = []
    if system is not None:
        gathered.append(SystemMessage(content=system))
    if isinstance(messages, str | Mapping):
        raise TypeError("messages= takes a list of messages; what is said now goes before it")
    gathered.extend(map(as_sendable, messages))
    if content:
        gathered.append(user_message(content))
    if not gathered or (system is not None and len(gathered) == 1):
        raise ConfigurationError(
            'there is no message to send: chat("Hello") or chat(messages=[...])'
        )
    return gathered


def user_message(content: Sequence[Content]) -> UserMessage:
    """Make one message of what the user says now."""
    if len(content) == 1 and isinstance(content[0], str):
        return UserMessage(content=content[0])
    return UserMessage(content=[_as_part(piece) for piece in content])


def _as_part(piece: object) -> ContentPart:
    if isinstance(piece, str):
        return TextPart(piece)
    if isinstance(piece, TextPart | ImagePart):
        return piece
    if isinstance(piece, Mapping) and "type" in piece:
        return cast("ContentPart", piece)  # the API's own JSON, sent as it is
    a_message = isinstance(piece, (*_MESSAGES, Mapping))
    hint = "a message goes into messages=[...]" if a_message else "use image(...) for pictures"
    kind: str = type(cast("object", piece)).__name__
    raise TypeError(f"what is said must be str or parts, not {kind}: {hint}")


def as_sendable(message: Any) -> MessageLike:
    """Return *message* as the service takes it."""
    if isinstance(message, AssistantMessage) and message.tool_calls:
        calls = [_as_sendable_call(call) for call in message.tool_calls]
        return msgspec.structs.replace(message, tool_calls=calls)
    if isinstance(message, _MESSAGES):
        return message
    if not isinstance(message, Mapping):
        kind: str = type(cast("object", message)).__name__
        raise TypeError(f"a message must be a struct such as UserMessage or a dict, not {kind}")
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", message)
    role = fields.get("role")
    if not isinstance(role, str) or not role:
        raise ConfigurationError(f"a message has no role: {str(fields)[:80]}")
    if role == "developer":  # Claude knows no such role (contract, 1.3)
        return {**fields, "role": "system"}
    if fields.get("tool_calls"):
        return {**fields, "tool_calls": [_as_sendable_call(call) for call in fields["tool_calls"]]}
    return dict(fields)


def _as_sendable_call(call: Any) -> Any:
    """Make arguments an object: the service skips any others, and the call with them (1.3).

    Then the result answers a call that nobody made, and the model never hears what was wrong.
    """
    if isinstance(call, ToolCall):
        return call if is_object(call.function.arguments) else without_arguments(call)
    if not isinstance(call, Mapping):
        return cast("object", call)
    entry = cast("Mapping[str, Any]", call)
    function = function_of(entry)
    told: Any = function.get("arguments")
    if not function or (isinstance(told, str) and is_object(told)):
        return entry
    sendable = encode(cast("dict[str, Any]", told)).decode() if isinstance(told, dict) else "{}"
    return {**entry, "function": {**function, "arguments": sendable}}


def function_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the function of a tool or of a call; nothing where there is none."""
    function: Any = entry.get("function")
    return cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else {}
