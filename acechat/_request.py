"""What the caller says → one HTTP request, as data. Whatever cannot be sent is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import Struct

from acechat._codec import encode, is_object, without_arguments
from acechat._config import Riding, check_headers
from acechat.errors import ConfigurationError
from acechat.types import (
    AssistantMessage,
    ChatOptions,
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
    "HTTPRequest",
    "as_sendable_tool",
    "build_chat",
    "build_request",
    "gather_messages",
    "rides_on_a_stream",
    "thinks",
]

Content: TypeAlias = str | ContentPart | Mapping[str, Any]
"""A piece of what the user says now: text, an `image`, or a part as the API's own JSON."""

_OPTIONS = ChatOptions.__optional_keys__
_MESSAGES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
_LONGEST_AT_ONCE = 4096
"""Tokens that an answer may have and still come at once. Cloudflare gives up on a silent service
after 100 s (524; contract, 6), in which a model that writes 128,000 tokens per hour, as Anthropic's
own client assumes (https://github.com/anthropics/anthropic-sdk-python), writes 3,556."""

_ALWAYS_THINKING = ("claude-fable-5", "claude-opus-5")
"""How the names begin of models that think unless told otherwise (contract, 1.4)."""

_MAKE_IT_THINK = ("reasoning_effort", "reasoning", "thinking")

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class HTTPRequest(Struct, frozen=True, kw_only=True):
    """One request, without the token and whatever else is the same for all."""

    method: str
    path: str
    """After the API's root, with its slash."""

    body: bytes | bytearray | None = None
    """JSON; of a large request, a bytearray."""

    headers: dict[str, str] = {}
    """Additional ones."""

    def json(self) -> Any:
        """Return the body, decoded; None for a request without one."""
        return None if self.body is None else msgspec.json.decode(self.body)

    def with_json(self, fields: Mapping[str, Any]) -> HTTPRequest:
        """Return a copy whose body is *fields*."""
        return msgspec.structs.replace(self, body=encode(fields))

    def with_headers(self, headers: Mapping[str, str]) -> HTTPRequest:
        """Return a copy with more headers; they win."""
        return msgspec.structs.replace(self, headers=self.headers | dict(headers))


def build_chat(
    content: Sequence[Content],
    *,
    messages: Iterable[MessageLike],
    system: str | None,
    model: str,
    stream: bool,
    options: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    extra_headers: Mapping[str, str] | None,
) -> HTTPRequest:
    """Write a request for a chat completion.

    Raises:
        ConfigurationError: Something in it cannot be sent.
        TypeError: An option is unknown, or something has the wrong type.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": gather_messages(content, messages=messages, system=system),
    }
    if stream:
        body["stream"] = True
    if options:
        body.update(_checked_options(options))
    if extra_body:
        if "stream" in extra_body:
            raise ConfigurationError(
                "extra_body must not hold 'stream': chat() and stream() set it"
            )
        body.update(extra_body)
    return build_request("/chat/completions", body, extra_headers)


def rides_on_a_stream(transport: Riding, model: str, options: Mapping[str, Any]) -> bool:
    """Whether the answer of a `chat` is to come as a stream, which no idle gateway cuts.

    With ``"auto"``: if the model thinks before it writes, or may write for long.
    """
    if transport != "auto":
        return transport == "stream"
    limit = options.get("max_tokens") or options.get("max_completion_tokens") or 0
    long = isinstance(limit, int | float) and limit > _LONGEST_AT_ONCE
    return long or thinks(model, options)


def thinks(model: str, options: Mapping[str, Any]) -> bool:
    """Whether *model* thinks before it writes, as far as a request tells (contract, 1.2, 1.4)."""
    if model.endswith("-thinking") or model.startswith(_ALWAYS_THINKING):
        return True
    return bool(options) and any(options.get(name) is not None for name in _MAKE_IT_THINK)


def build_request(
    path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> HTTPRequest:
    """Write a request that posts *body* as JSON."""
    if headers:
        check_headers(headers)
    return HTTPRequest(method="POST", path=path, body=encode(body), headers=dict(headers or ()))


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
    gathered.extend(map(_as_message, messages))
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


def _as_message(message: Any) -> MessageLike:
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
    function = _function_of(entry)
    told: Any = function.get("arguments")
    if not function or (isinstance(told, str) and is_object(told)):
        return entry
    sendable = encode(cast("dict[str, Any]", told)).decode() if isinstance(told, dict) else "{}"
    return {**entry, "function": {**function, "arguments": sendable}}


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _OPTIONS:
            raise TypeError(_unknown_option(name))
        if value is not None:
            checked[name] = value
    if "max_tokens" in checked and "max_completion_tokens" in checked:
        raise ConfigurationError(
            "max_tokens and max_completion_tokens are two names for one limit: give max_tokens"
        )
    if "tools" in checked and not isinstance(checked["tools"], msgspec.Raw):
        checked["tools"] = [as_sendable_tool(tool) for tool in checked["tools"]]
    return checked


def _unknown_option(name: str) -> str:
    from difflib import get_close_matches

    if name == "stream":
        return "chat() does not take stream=: call client.stream(...) instead"
    close = get_close_matches(name, _OPTIONS, 1)
    hint = f"did you mean {close[0]!r}?" if close else "acechat knows no such option."
    return f"unknown option {name!r}: {hint} Fields that acechat lacks go through extra_body="


def as_sendable_tool(tool: Any) -> Mapping[str, Any] | msgspec.Raw:
    """Describe a function; the service drops a tool whose parameters are no object (1.2)."""
    if not isinstance(tool, Mapping):
        from acechat._tool import form_of  # most calls have none

        return msgspec.Raw(form_of(tool).written)
    entry = cast("Mapping[str, Any]", tool)
    function = _function_of(entry)
    if function and not function.get("parameters"):
        return {**entry, "function": {**function, "parameters": _NO_PARAMETERS}}
    return entry


def _function_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the function of a tool or of a call; nothing where there is none."""
    function: Any = entry.get("function")
    return cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else {}
