"""Build the HTTP request of a chat from its options and the client's configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from acechat._config import Config, Streaming, check_headers
from acechat._hints import unknown_option
from acechat._policy.values import RetryPolicy, Timeout, as_retries, as_timeout
from acechat._wire.encode import encode
from acechat._wire.foreign import convert_tool, convert_tool_choice
from acechat._wire.messages import function_of
from acechat.errors import ConfigurationError
from acechat.types import ChatOptions, MessageLike

__all__ = [
    "HTTPRequest",
    "RequestTemplate",
    "as_sendable_tool",
    "build_request",
    "build_template",
    "reads_as_stream",
    "uses_reasoning",
]


_SEVERAL = re.compile(rb'"n"\s*:(?!\s*(?:1(?:\.0*)?|null)\s*[,}])')
"""The field *n*, unless it requests one choice."""


class HTTPRequest(Struct, frozen=True, kw_only=True):
    """One request, without the headers common to all requests (the token among them)."""

    method: str
    path: str
    """Appended to the API's root URL; begins with a slash."""

    body: bytes | bytearray | None = None
    """JSON, as a bytearray if it contains large images; None for a request without a body."""

    headers: dict[str, str] = {}
    """Additional headers of this request."""

    @property
    def one_choice(self) -> bool:
        """Whether one choice is requested: *n* is missing, null or 1.

        Only the bytes are searched. A field of this name elsewhere counts, too.
        """
        body = self.body or b""
        return b'"n"' not in body or _SEVERAL.search(body) is None

    def json(self) -> Any:
        """Return the decoded body; None for a request without one."""
        return None if self.body is None else msgspec.json.decode(self.body)

    def with_json(self, fields: Mapping[str, Any]) -> HTTPRequest:
        """Return a copy whose body is *fields*."""
        return msgspec.structs.replace(self, body=encode(fields))

    def with_headers(self, headers: Mapping[str, str]) -> HTTPRequest:
        """Return a copy with additional *headers*, which replace those of the same name."""
        return msgspec.structs.replace(self, headers=self.headers | dict(headers))


def build_request(path: str, body: Mapping[str, Any]) -> HTTPRequest:
    """Build a POST request with the JSON of *body*."""
    return HTTPRequest(method="POST", path=path, body=encode(body))


_OPTIONS = ChatOptions.__optional_keys__


_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


_MAX_UNSTREAMED_TOKENS = 4096
"""Maximum *max_tokens* of a completion that is not streamed internally. Proxies cut connections
that are silent for 100 s (docs/api.md#long-calls). In that time a model writes 3,556 tokens at the
rate of 128,000 per hour that https://github.com/anthropics/anthropic-sdk-python assumes."""


_REASONING_MODELS = ("claude-fable-5", "claude-opus-5")
"""Prefixes of models that reason by default (docs/api.md#models)."""


_REASONING_FIELDS = ("reasoning_effort", "reasoning", "thinking")


class RequestTemplate(Struct, frozen=True):
    """A chat request without its messages; shared by the requests of one run."""

    model: str

    fields: dict[str, Any]
    """The other fields of the body. A *model* or *messages* in it replaces the one above."""

    stream: bool
    """True to request a stream."""

    headers: dict[str, str]
    timeout: Timeout
    retries: RetryPolicy

    def request(
        self,
        messages: Sequence[MessageLike],
        add_fields: Callable[[dict[str, Any]], None] | None = None,
    ) -> HTTPRequest:
        """Build the request with *messages*.

        Args:
            messages: The messages of the conversation.
            add_fields: Called with the fields of the body before they are encoded, to change them;
                None to encode them as they are.

        Raises:
            ConfigurationError: JSON cannot represent a number or text in it.
            TypeError: JSON cannot represent an object in it.
        """
        body = {"model": self.model, "messages": messages} | self.fields
        if add_fields is not None:
            add_fields(body)
        return HTTPRequest(
            method="POST", path="/chat/completions", body=encode(body), headers=self.headers.copy()
        )

    def with_field(self, name: str, value: object) -> RequestTemplate:
        """Return a copy with the field *name* of the body set to *value*."""
        return msgspec.structs.replace(self, fields=self.fields | {name: value})


def build_template(
    config: Config,
    options: Mapping[str, Any],
    *,
    model: str | None = None,
    timeout: Timeout | float | None = None,
    retries: RetryPolicy | int | None = None,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    stream: bool | None = None,
) -> RequestTemplate:
    """Build the template of a call from its arguments and the client's settings.

    Args:
        config: The client's settings, which hold where an argument is None.
        options: Fields of the request, without *model* and *messages*; functions as JSON.
        model: As in `acechat.AsyncClient.chat`.
        timeout: As in `acechat.AsyncClient.chat`.
        retries: As in `acechat.AsyncClient.chat`.
        extra_body: As in `acechat.AsyncClient.chat`.
        extra_headers: As in `acechat.AsyncClient.chat`.
        stream: Whether to request a stream; None decides by the client's *streaming*.

    Raises:
        ConfigurationError: An argument cannot be sent.
        TypeError: An option is unknown.
    """
    model = model or config.model
    fields = _checked(options)
    if extra_body:
        if "stream" in extra_body:
            raise ConfigurationError(
                "extra_body must not contain 'stream': call chat() or stream() instead"
            )
        fields.update(extra_body)
        if isinstance(replaced := fields.get("model"), str):
            model = replaced
    if stream is None:
        stream = reads_as_stream(config.streaming, str(fields.get("model", model)), fields)
        if stream:  # a response that is not streamed always reports it
            fields = {"stream_options": {"include_usage": True}} | fields
    # Some routers stream if the field is missing.
    fields = {"stream": stream} | fields
    headers = config.headers
    if extra_headers:
        check_headers(extra_headers)
        headers = headers | dict(extra_headers)
    return RequestTemplate(
        model,
        fields,
        stream,
        headers,
        as_timeout(timeout, config.timeout),
        as_retries(retries, config.retries),
    )


def reads_as_stream(streaming: Streaming, model: str, options: Mapping[str, Any]) -> bool:
    """Return True if `chat` is to request a stream, whose connection no idle proxy cuts.

    With ``"auto"``: if the model reasons first, or *max_tokens* permits a long completion.
    """
    if streaming != "auto":
        return streaming == "always"
    limit = options.get("max_tokens") or options.get("max_completion_tokens") or 0
    long = isinstance(limit, int | float) and limit > _MAX_UNSTREAMED_TOKENS
    return long or uses_reasoning(model, options)


def uses_reasoning(model: str, options: Mapping[str, Any]) -> bool:
    """Return True if *model* reasons before it writes, judged by its name and *options*."""
    if model.endswith("-thinking") or model.startswith(_REASONING_MODELS):
        return True
    return bool(options) and any(options.get(name) is not None for name in _REASONING_FIELDS)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _OPTIONS:
            raise TypeError(unknown_option(name, _OPTIONS))
        if value is not None:
            checked[name] = value
    if "max_tokens" in checked and "max_completion_tokens" in checked:
        raise ConfigurationError(
            "max_tokens and max_completion_tokens set the same limit: pass max_tokens only"
        )
    if "response_format" in checked and not isinstance(checked["response_format"], Mapping):
        given = checked["response_format"]
        shown = given.__name__ if isinstance(given, type) else repr(given)
        raise TypeError(
            f"response_format={shown}: did you mean output_type={shown}? response_format is the "
            "API's JSON, which the service ignores for Claude"
        )
    if "tool_choice" in checked:
        checked["tool_choice"] = convert_tool_choice(checked["tool_choice"])
    if "tools" in checked and not isinstance(checked["tools"], msgspec.Raw):
        checked["tools"] = [as_sendable_tool(tool) for tool in checked["tools"]]
    return checked


def as_sendable_tool(tool: Mapping[str, Any] | msgspec.Raw) -> Mapping[str, Any] | msgspec.Raw:
    """Return the JSON of a tool in the format of this API, with ``parameters``.

    The service would drop a tool without them (docs/api.md#request-fields). Functions
    are JSON already (`acechat._tools.tool`).
    """
    if isinstance(tool, msgspec.Raw):
        return tool
    tool = convert_tool(tool)
    function = function_of(tool)
    if function and not function.get("parameters"):
        return {**tool, "function": {**function, "parameters": _NO_PARAMETERS}}
    return tool
