"""The 29 fields of a chat request (docs/api.md#request-fields).

`ChatOptions` documents them once, except *model*, *messages* and *stream*, for all methods that
accept them. Fields without effect on Claude are marked; acechat sends them all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from msgspec import Struct

__all__ = [
    "AudioOptions",
    "ChatCompletionRequest",
    "ChatOptions",
    "FunctionTool",
    "KnownModel",
    "NamedTool",
    "Prediction",
    "ResponseFormat",
    "StreamOptions",
    "WebSearchOptions",
]


class _Function(TypedDict, total=False):
    name: Required[str]
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None


class FunctionTool(TypedDict):
    """A tool that the model may call; its *parameters* are the JSON Schema of an object."""

    type: Literal["function"]
    function: _Function


class _FunctionName(TypedDict):
    name: str


class NamedTool(TypedDict):
    """The one tool that the model must call."""

    type: Literal["function"]
    function: _FunctionName


class _JSONSchema(TypedDict, total=False):
    name: Required[str]
    description: str
    schema: Mapping[str, Any]
    strict: bool | None


class ResponseFormat(TypedDict, total=False):
    """Format of the completion. *json_schema* belongs to the type ``"json_schema"``."""

    type: Required[Literal["text", "json_object", "json_schema"]]
    json_schema: _JSONSchema


class StreamOptions(TypedDict, total=False):
    """Options of a stream."""

    include_usage: bool
    """Whether to send the usage in the last chunk."""


class AudioOptions(TypedDict):
    """Voice and format of audio output."""

    voice: str
    format: str


class Prediction(TypedDict):
    """Text that the completion is expected to repeat."""

    type: Literal["content"]
    content: str | Sequence[Mapping[str, str]]


class _Location(TypedDict, total=False):
    country: str
    region: str
    city: str
    timezone: str


class _UserLocation(TypedDict):
    type: Literal["approximate"]
    approximate: _Location


class WebSearchOptions(TypedDict, total=False):
    """Options of web search, supported for Claude (docs/api.md#request-fields)."""

    search_context_size: Literal["low", "medium", "high"]
    """Amount of search results to read. Default: ``"medium"``."""

    user_location: _UserLocation
    """Approximate location of the user, for local results."""


KnownModel: TypeAlias = Literal[
    "claude-fable-5-1",
    "claude-fable-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-opus-4-5-20251101",
    "claude-opus-4-1-20250805",
    "claude-opus-4-20250514",
    "claude-sonnet-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-20250219",
    "claude-haiku-4-5-20251001",
    "claude-3-5-sonnet-20241022",
    "claude-3-5-sonnet-20240620",
    "claude-3-5-haiku-20241022",
    "claude-3-haiku-20240307",
    "claude-3-sonnet-20240229",
    "claude-opus-4-20250514-thinking",
    "claude-sonnet-4-20250514-thinking",
]
"""Names of models at the time of the release, for the completion of editors; any other str is
accepted (docs/api.md#models)."""

ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedTool


class ChatOptions(TypedDict, total=False):
    """Optional fields of a request, the ``**options`` of `Client.chat` and its siblings.

    None leaves a field out. The ranges are the service's and change with the models, so acechat
    does not check them. Other fields are sent with *extra_body*.
    """

    max_tokens: int | None
    """Maximum number of tokens of the completion, 1 or more; the model's limit is the upper bound.
    Default: the service's, 8192 for Claude."""

    max_completion_tokens: int | None
    """Another name of *max_tokens*, in tokens. Default: none. Set one of the two only."""

    temperature: float | None
    """Randomness, 0 to 2; Claude accepts 0 to 1. Default: 1."""

    top_p: float | None
    """Share of the probability to sample from, 0 to 1. Default: 1."""

    n: int | None
    """Number of choices, 1 to 128. Default: 1. Claude returns one choice for any value."""

    stop: str | Sequence[str] | None
    """One to four strings before which the completion ends. Default: none."""

    response_format: ResponseFormat | Mapping[str, Any] | None
    """Form of the completion. Default: text. The service ignores it for Claude; use *output_type*,
    which validates."""

    tools: Sequence[FunctionTool | Mapping[str, Any] | Callable[..., Any]] | None
    """Tools that the model may call: functions, which `run` calls and `chat` only describes, or the
    API's JSON. Default: none. A tool without *parameters* takes no argument."""

    tool_choice: ToolChoice | Mapping[str, Any] | None
    """``"auto"``, ``"none"``, ``"required"``, or the one tool to call. Default: the service's."""

    parallel_tool_calls: bool | None
    """Whether one completion may call several tools. Default: true."""

    stream_options: StreamOptions | Mapping[str, Any] | None
    """Options of a stream. Default: none. Claude's usage is streamed without them."""

    reasoning_effort: str | None
    """``"minimal"``, ``"low"``, ``"medium"`` or ``"high"``; newer models also accept ``"xhigh"``
    and ``"max"``. Default: ``"medium"``."""

    frequency_penalty: float | None
    """-2 to 2. Default: 0. No effect on Claude."""

    presence_penalty: float | None
    """-2 to 2. Default: 0. No effect on Claude."""

    seed: int | None
    """Any integer. Default: none. No effect on Claude."""

    logprobs: bool | None
    """Whether to return log probabilities. Default: false. Claude returns none."""

    top_logprobs: int | None
    """Number of alternatives per token, 0 to 20. Default: none. Claude returns none."""

    logit_bias: Mapping[str, int] | None
    """Token ids to prefer or avoid, each -100 to 100. Default: none. No effect on Claude."""

    user: str | None
    """Opaque name of your end user. Default: none."""

    metadata: Mapping[str, str] | None
    """At most 16 entries; keys of up to 64, values of up to 512 characters. Default: none."""

    store: bool | None
    """Whether to store the completion. Default: false. Not supported for Claude."""

    service_tier: str | None
    """``"auto"``, ``"default"``, ``"flex"``, ``"scale"`` or ``"priority"``. Default: ``"auto"``."""

    modalities: Sequence[str] | None
    """``"text"`` and ``"audio"``. Default: the service's. Claude writes text."""

    audio: AudioOptions | Mapping[str, Any] | None
    """Voice and format of audio. Default: none. No effect on Claude."""

    prediction: Prediction | Mapping[str, Any] | None
    """Text that the completion is expected to repeat. Default: none. No effect on Claude."""

    web_search_options: WebSearchOptions | Mapping[str, Any] | None
    """Lets the model search the web. Default: no search."""


class ChatCompletionRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A complete request as read by a server; lenient, because clients may send unknown values."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool | None = None
    max_tokens: float | None = None
    max_completion_tokens: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: float | None = None
    stop: str | list[str] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream_options: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, int] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
