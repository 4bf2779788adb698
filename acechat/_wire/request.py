"""Build the HTTP request of a chat from options and configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from acechat._config import Config, Streaming, check_headers
from acechat._policy.values import RetryPolicy, Timeout, as_retries, as_timeout
from acechat._wire.encode import encode
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
    "thinks",
]


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


def build_request(path: str, body: Mapping[str, Any]) -> HTTPRequest:
    """Write a request that posts *body* as JSON."""
    return HTTPRequest(method="POST", path=path, body=encode(body))


_OPTIONS = ChatOptions.__optional_keys__


_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


_LONGEST_AT_ONCE = 4096
"""Tokens that an answer may have and still come at once. Cloudflare gives up on a silent service
after 100 s (524; contract, 6), in which a model that writes 128,000 tokens per hour, as Anthropic's
own client assumes (https://github.com/anthropics/anthropic-sdk-python), writes 3,556."""


_ALWAYS_THINKING = ("claude-fable-5", "claude-opus-5")
"""How the names begin of models that think unless told otherwise (contract, 1.4)."""


_MAKE_IT_THINK = ("reasoning_effort", "reasoning", "thinking")


class RequestTemplate(Struct, frozen=True):
    """How an answer is asked for, whatever is said; requests of one run have it in common."""

    model: str

    fields: dict[str, Any]
    """Of the request's body, all but *model* and *messages*; what stands here wins."""

    stream: bool
    """Whether the answer comes as a stream."""

    headers: dict[str, str]
    timeout: Timeout
    retries: RetryPolicy

    def request(self, messages: Sequence[MessageLike]) -> HTTPRequest:
        """Write the request that says *messages*.

        Raises:
            ConfigurationError: Something in it cannot be sent.
            TypeError: Something in it is no JSON.
        """
        body = {"model": self.model, "messages": messages} | self.fields
        return HTTPRequest(
            method="POST", path="/chat/completions", body=encode(body), headers=self.headers.copy()
        )

    def with_field(self, name: str, value: object) -> RequestTemplate:
        """Return a copy with one field of the body told otherwise."""
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
                "extra_body must not hold 'stream': chat() and stream() set it"
            )
        fields.update(extra_body)
    if stream is None:
        stream = reads_as_stream(config.streaming, str(fields.get("model", model)), fields)
        if stream:  # a plain answer always tells its usage; a stream may wait to be asked
            fields = {"stream_options": {"include_usage": True}} | fields
    if stream:
        fields = {"stream": True} | fields
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
    """Whether the answer of a `chat` is to come as a stream, which no idle gateway cuts.

    With ``"auto"``: if the model thinks before it writes, or may write for long.
    """
    if streaming != "auto":
        return streaming == "always"
    limit = options.get("max_tokens") or options.get("max_completion_tokens") or 0
    long = isinstance(limit, int | float) and limit > _LONGEST_AT_ONCE
    return long or thinks(model, options)


def thinks(model: str, options: Mapping[str, Any]) -> bool:
    """Whether *model* thinks before it writes, as far as a request tells (contract, 1.2, 1.4)."""
    if model.endswith("-thinking") or model.startswith(_ALWAYS_THINKING):
        return True
    return bool(options) and any(options.get(name) is not None for name in _MAKE_IT_THINK)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
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


def as_sendable_tool(tool: Mapping[str, Any] | msgspec.Raw) -> Mapping[str, Any] | msgspec.Raw:
    """Complete the JSON of a tool: the service drops one whose parameters are no object (1.2).

    Functions are JSON already, by `acechat._tools.tool.write_functions`.
    """
    if isinstance(tool, msgspec.Raw):
        return tool
    function = function_of(tool)
    if function and not function.get("parameters"):
        return {**tool, "function": {**function, "parameters": _NO_PARAMETERS}}
    return tool
