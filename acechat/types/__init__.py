"""Structs of the API: requests, messages, completions, chunks, usage, and results of runs."""

from __future__ import annotations

from typing import NoReturn

from acechat._hints import import_or_attribute_error
from acechat.types.catalog import CatalogModel, Estimate, Pricing
from acechat.types.chunk import (
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    ToolCallDelta,
)
from acechat.types.completion import ChatCompletion, Choice, FinishReason, Model, ResponseInfo
from acechat.types.evidence import ModelEvidence
from acechat.types.messages import (
    AssistantMessage,
    CacheControl,
    ContentPart,
    FunctionCall,
    ImagePart,
    ImageURL,
    Message,
    MessageLike,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from acechat.types.request import (
    AudioOptions,
    ChatCompletionRequest,
    ChatOptions,
    FunctionTool,
    KnownModel,
    NamedTool,
    Prediction,
    ResponseFormat,
    StreamOptions,
    WebSearchOptions,
)
from acechat.types.run import (
    RunEvent,
    RunResult,
    ToolFinished,
    ToolResult,
    ToolStarted,
    Turn,
    TurnFinished,
)
from acechat.types.stream_event import Finished, ReasoningDelta, StreamEvent, TextDelta
from acechat.types.usage import (
    CompletionTokensDetails,
    Cost,
    PromptTokensDetails,
    TotalUsage,
    Usage,
)

__all__ = [
    "AssistantMessage",
    "AudioOptions",
    "CacheControl",
    "CatalogModel",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionRequest",
    "ChatOptions",
    "Choice",
    "ChunkChoice",
    "CompletionTokensDetails",
    "ContentPart",
    "Cost",
    "Delta",
    "Estimate",
    "FinishReason",
    "Finished",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionTool",
    "ImagePart",
    "ImageURL",
    "KnownModel",
    "Message",
    "MessageLike",
    "Model",
    "ModelEvidence",
    "NamedTool",
    "Prediction",
    "Pricing",
    "PromptTokensDetails",
    "ReasoningDelta",
    "ResponseFormat",
    "ResponseInfo",
    "RunEvent",
    "RunResult",
    "StreamEvent",
    "StreamOptions",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "ToolCall",
    "ToolCallDelta",
    "ToolFinished",
    "ToolMessage",
    "ToolResult",
    "ToolStarted",
    "TotalUsage",
    "Turn",
    "TurnFinished",
    "Usage",
    "UserMessage",
    "WebSearchOptions",
]


def __getattr__(name: str) -> NoReturn:
    raise import_or_attribute_error("acechat.types", name, __all__)
