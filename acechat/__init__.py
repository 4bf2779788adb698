"""acechat: the asyncio client for AceData Cloud's Claude Chat Completion API, with a blocking twin.

`AsyncClient` and `Client` are where everything begins; `acechat.errors` is what can go wrong,
`acechat.types` what goes over the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acechat import errors, types
from acechat._config import RetryPolicy, Timeout
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
    TransportError,
)
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatOptions,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
    Delta,
    Finished,
    ImagePart,
    Message,
    Model,
    PromptTokensDetails,
    ReasoningDelta,
    ResponseInfo,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from acechat._blocking import ChatStream, Client, Conversation
    from acechat._client import AsyncClient
    from acechat._conversation import AsyncConversation
    from acechat._image import image
    from acechat._stream import AsyncChatStream

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AceChatError",
    "AssistantMessage",
    "AsyncChatStream",
    "AsyncClient",
    "AsyncConversation",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
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
    "Delta",
    "Finished",
    "GatewayTimeoutError",
    "ImagePart",
    "InsufficientBalanceError",
    "Message",
    "Model",
    "NotFoundError",
    "OutputError",
    "OverloadedError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "PromptTokensDetails",
    "ProtocolError",
    "RateLimitError",
    "ReasoningDelta",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ResponseInfo",
    "RetryPolicy",
    "ServerError",
    "StreamInterruptedError",
    "StreamTruncatedError",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "Timeout",
    "TokenMismatchError",
    "ToolCall",
    "ToolCallDelta",
    "ToolMessage",
    "TransportError",
    "Usage",
    "UserMessage",
    "__version__",
    "errors",
    "image",
    "types",
]

# What a type checker needs is imported above; the rest when it is asked for: a program that only
# catches errors or reads types should not wait for the clients (PEP 562).
_LATER = {
    "AsyncChatStream": "_stream",
    "AsyncClient": "_client",
    "AsyncConversation": "_conversation",
    "ChatStream": "_blocking",
    "Client": "_blocking",
    "Conversation": "_blocking",
    "image": "_image",
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
