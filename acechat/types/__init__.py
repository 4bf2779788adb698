"""The nouns of the wire: requests, completions, chunks, messages, usage."""

from __future__ import annotations

from acechat.types.chunk import (
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    ToolCallDelta,
)
from acechat.types.completion import ChatCompletion, Choice, FinishReason, Model, ResponseInfo
from acechat.types.event import Finished, ReasoningDelta, StreamEvent, TextDelta
from acechat.types.messages import (
    AssistantMessage,
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
    NamedTool,
    Prediction,
    ResponseFormat,
    StreamOptions,
    WebSearchOptions,
)
from acechat.types.usage import CompletionTokensDetails, Cost, PromptTokensDetails, Usage

__all__ = [
    "AssistantMessage",
    "AudioOptions",
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
    "FinishReason",
    "Finished",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionTool",
    "ImagePart",
    "ImageURL",
    "Message",
    "MessageLike",
    "Model",
    "NamedTool",
    "Prediction",
    "PromptTokensDetails",
    "ReasoningDelta",
    "ResponseFormat",
    "ResponseInfo",
    "StreamEvent",
    "StreamOptions",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "ToolCall",
    "ToolCallDelta",
    "ToolMessage",
    "Usage",
    "UserMessage",
    "WebSearchOptions",
]
