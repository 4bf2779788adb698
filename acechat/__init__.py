"""acechat: the asyncio client for AceData Cloud's Claude Chat Completion API, with a blocking twin.

`AsyncClient` and `Client` are where everything begins; `acechat.errors` is what can go wrong,
`acechat.types` what goes over the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acechat import errors, types
from acechat._config import RetryPolicy, Timeout
from acechat._events import (
    AttemptFailed,
    CallEvent,
    CallFailed,
    CallFinished,
    FirstToken,
    RequestSent,
)
from acechat._limits import Budget, RateLimit
from acechat._version import __version__
from acechat.errors import (
    AccountDisabledError,
    AceChatError,
    APIError,
    APINotImplementedError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ContentModerationError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    MaxTurnsError,
    NotFoundError,
    OutputError,
    OverloadedError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    RequestTooLargeError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    TokenMismatchError,
    ToolError,
    TransportError,
)
from acechat.types import (
    AssistantMessage,
    CatalogModel,
    ChatCompletion,
    ChatCompletionChunk,
    ChatOptions,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
    Cost,
    Delta,
    Finished,
    ImagePart,
    Message,
    Model,
    PromptTokensDetails,
    ReasoningDelta,
    ResponseInfo,
    RunResult,
    Spent,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolFinished,
    ToolMessage,
    ToolResult,
    ToolStarted,
    Turn,
    TurnFinished,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from acechat._blocking import Client
    from acechat._blocking._conversation import Conversation
    from acechat._blocking._prepared import PreparedRequest
    from acechat._blocking._relay import Relay
    from acechat._blocking._run_stream import RunStream
    from acechat._blocking._stream import ChatStream
    from acechat._client import AsyncClient
    from acechat._conversation import AsyncConversation
    from acechat._image import image
    from acechat._middleware import CallNext, HTTPResponse, Middleware
    from acechat._money import Meter
    from acechat._observers import Observer
    from acechat._output import Output
    from acechat._prepared import AsyncPreparedRequest
    from acechat._relay import AsyncRelay
    from acechat._request import HTTPRequest
    from acechat._run import AsyncRun
    from acechat._run_stream import AsyncRunStream
    from acechat._stream import AsyncChatStream
    from acechat._tool import Tool, tool

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AceChatError",
    "AssistantMessage",
    "AsyncChatStream",
    "AsyncClient",
    "AsyncConversation",
    "AsyncPreparedRequest",
    "AsyncRelay",
    "AsyncRun",
    "AsyncRunStream",
    "Attempt",
    "AttemptFailed",
    "AuthenticationError",
    "BadRequestError",
    "Budget",
    "BudgetExceededError",
    "CallEvent",
    "CallFailed",
    "CallFinished",
    "CallNext",
    "CatalogModel",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatOptions",
    "ChatStream",
    "Choice",
    "ChunkChoice",
    "Client",
    "ClientClosedError",
    "CompletionTokensDetails",
    "ConfigurationError",
    "ConnectError",
    "ContentModerationError",
    "Conversation",
    "Cost",
    "Delta",
    "Finished",
    "FirstToken",
    "GatewayTimeoutError",
    "HTTPRequest",
    "HTTPResponse",
    "ImagePart",
    "InsufficientBalanceError",
    "MaxTurnsError",
    "Message",
    "Meter",
    "Middleware",
    "Model",
    "NotFoundError",
    "Observer",
    "Output",
    "OutputError",
    "OverloadedError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "PreparedRequest",
    "PromptTokensDetails",
    "ProtocolError",
    "RateLimit",
    "RateLimitError",
    "ReasoningDelta",
    "Relay",
    "RequestSent",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ResponseInfo",
    "RetryPolicy",
    "RunResult",
    "RunStream",
    "ServerError",
    "Spent",
    "StreamInterruptedError",
    "StreamTruncatedError",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "Timeout",
    "TokenMismatchError",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolError",
    "ToolFinished",
    "ToolMessage",
    "ToolResult",
    "ToolStarted",
    "TransportError",
    "Turn",
    "TurnFinished",
    "Usage",
    "UserMessage",
    "__version__",
    "errors",
    "image",
    "tool",
    "types",
]

# What a type checker needs is imported above; the rest when it is asked for: a program that only
# catches errors or reads types should not wait for the clients (PEP 562).
_LATER = {
    "AsyncChatStream": "_stream",
    "AsyncClient": "_client",
    "AsyncConversation": "_conversation",
    "AsyncPreparedRequest": "_prepared",
    "AsyncRelay": "_relay",
    "AsyncRun": "_run",
    "AsyncRunStream": "_run_stream",
    "CallNext": "_middleware",
    "ChatStream": "_blocking._stream",
    "Client": "_blocking",
    "Conversation": "_blocking._conversation",
    "HTTPRequest": "_request",
    "HTTPResponse": "_middleware",
    "Meter": "_money",
    "Middleware": "_middleware",
    "Observer": "_observers",
    "Output": "_output",
    "PreparedRequest": "_blocking._prepared",
    "Relay": "_blocking._relay",
    "RunStream": "_blocking._run_stream",
    "Tool": "_tool",
    "image": "_image",
    "tool": "_tool",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'acechat' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"acechat.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
