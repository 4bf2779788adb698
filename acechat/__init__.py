"""Async and sync client for AceData Cloud's Claude Chat Completion API.

`AsyncClient` and `Client` make the calls; `acechat.errors` has the exceptions and `acechat.types`
the structs of requests and responses.
"""

import sys

if (
    sys.argv[:1] == ["-m"]  # set until Python has found the module
    and sys.orig_argv[-len(sys.argv)] in {"acechat", "-macechat"}
    and not sys.flags.safe_path
):
    # python -m puts the working directory first. A file there, such as json.py in a folder of
    # downloads, must not replace a module that the command imports; not even __future__.
    del sys.path[0]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acechat import errors, types
    from acechat._async.batch import AsyncBatch
    from acechat._async.client import AsyncClient
    from acechat._async.conversation import AsyncConversation
    from acechat._async.prepared import AsyncPreparedRequest
    from acechat._async.run import AsyncRun
    from acechat._async.run_stream import AsyncRunStream
    from acechat._async.sse_relay import AsyncSSERelay
    from acechat._async.stream import AsyncChatStream
    from acechat._config import DEFAULT_MODEL
    from acechat._core.instrumentation import Instrumentation
    from acechat._core.meter import Meter
    from acechat._core.middleware import CallNext, HTTPResponse, Middleware
    from acechat._core.observers import Observer, add_global_observer
    from acechat._core.response_cache import ResponseCache
    from acechat._media.cache import text
    from acechat._media.document import document
    from acechat._media.image import image
    from acechat._policy.values import Budget, RateLimit, RetryPolicy, Timeout
    from acechat._sync.batch import Batch
    from acechat._sync.client import Client
    from acechat._sync.conversation import Conversation
    from acechat._sync.prepared import PreparedRequest
    from acechat._sync.run_stream import RunStream
    from acechat._sync.sse_relay import SSERelay
    from acechat._sync.stream import ChatStream
    from acechat._tools.decorator import tool
    from acechat._tools.output import Output
    from acechat._tools.tool import Tool
    from acechat._version import __version__
    from acechat._wire.request import HTTPRequest
    from acechat.batch.results import BatchProgress, BatchResult, BatchSummary
    from acechat.errors import (
        AccountDisabledError,
        AceChatError,
        APIError,
        APINotImplementedError,
        Attempt,
        AuthenticationError,
        BadRequestError,
        BatchRowError,
        BatchStoppedError,
        BudgetExceededError,
        ClientClosedError,
        ConfigurationError,
        ConnectError,
        ContentModerationError,
        ContextWindowExceededError,
        GatewayTimeoutError,
        InsufficientBalanceError,
        JournalError,
        MaxTurnsError,
        ModelMismatchError,
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
        Estimate,
        Finished,
        ImagePart,
        KnownModel,
        Message,
        Model,
        ModelEvidence,
        PromptTokensDetails,
        ReasoningDelta,
        ResponseInfo,
        RunResult,
        SystemMessage,
        TextDelta,
        TextPart,
        ToolCall,
        ToolCallDelta,
        ToolFinished,
        ToolMessage,
        ToolResult,
        ToolStarted,
        TotalUsage,
        Turn,
        TurnFinished,
        Usage,
        UserMessage,
    )
    from acechat.types.call_event import (
        AttemptFailed,
        CallEvent,
        CallFailed,
        CallFinished,
        FirstToken,
        RequestSent,
    )

__all__ = [
    "DEFAULT_MODEL",
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AceChatError",
    "AssistantMessage",
    "AsyncBatch",
    "AsyncChatStream",
    "AsyncClient",
    "AsyncConversation",
    "AsyncPreparedRequest",
    "AsyncRun",
    "AsyncRunStream",
    "AsyncSSERelay",
    "Attempt",
    "AttemptFailed",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchProgress",
    "BatchResult",
    "BatchRowError",
    "BatchStoppedError",
    "BatchSummary",
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
    "ContextWindowExceededError",
    "Conversation",
    "Cost",
    "Delta",
    "Estimate",
    "Finished",
    "FirstToken",
    "GatewayTimeoutError",
    "HTTPRequest",
    "HTTPResponse",
    "ImagePart",
    "Instrumentation",
    "InsufficientBalanceError",
    "JournalError",
    "KnownModel",
    "MaxTurnsError",
    "Message",
    "Meter",
    "Middleware",
    "Model",
    "ModelEvidence",
    "ModelMismatchError",
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
    "RequestSent",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ResponseCache",
    "ResponseInfo",
    "RetryPolicy",
    "RunResult",
    "RunStream",
    "SSERelay",
    "ServerError",
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
    "TotalUsage",
    "TransportError",
    "Turn",
    "TurnFinished",
    "Usage",
    "UserMessage",
    "__version__",
    "add_global_observer",
    "document",
    "errors",
    "image",
    "text",
    "tool",
    "types",
]

# Imported on first use (PEP 562; type checkers read the imports above): a program does not wait
# for the import of clients, nor pytest, which imports the plugin in every project, for that of
# anything. The rest of __all__ is in `acechat.errors`, or else in `acechat.types`.
_LAZY = {
    "DEFAULT_MODEL": "_config",
    "Attempt": "errors",
    **dict.fromkeys(["Budget", "RateLimit", "RetryPolicy", "Timeout"], "_policy.values"),
    **dict.fromkeys(["AttemptFailed", "CallEvent", "CallFailed"], "types.call_event"),
    **dict.fromkeys(["CallFinished", "FirstToken", "RequestSent"], "types.call_event"),
    "__version__": "_version",
    "AsyncBatch": "_async.batch",
    "Batch": "_sync.batch",
    "BatchProgress": "batch.results",
    "BatchResult": "batch.results",
    "BatchSummary": "batch.results",
    "AsyncChatStream": "_async.stream",
    "AsyncClient": "_async.client",
    "AsyncConversation": "_async.conversation",
    "AsyncSSERelay": "_async.sse_relay",
    "AsyncPreparedRequest": "_async.prepared",
    "AsyncRun": "_async.run",
    "AsyncRunStream": "_async.run_stream",
    "CallNext": "_core.middleware",
    "ChatStream": "_sync.stream",
    "Client": "_sync.client",
    "Conversation": "_sync.conversation",
    "HTTPRequest": "_wire.request",
    "HTTPResponse": "_core.middleware",
    "Instrumentation": "_core.instrumentation",
    "Meter": "_core.meter",
    "Middleware": "_core.middleware",
    "Observer": "_core.observers",
    "Output": "_tools.output",
    "PreparedRequest": "_sync.prepared",
    "SSERelay": "_sync.sse_relay",
    "ResponseCache": "_core.response_cache",
    "RunStream": "_sync.run_stream",
    "Tool": "_tools.tool",
    "add_global_observer": "_core.observers",
    "document": "_media.document",
    "image": "_media.image",
    "text": "_media.cache",
    "tool": "_tools.decorator",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        from acechat._hints import import_or_attribute_error

        raise import_or_attribute_error("acechat", name, __all__)
    from importlib import import_module

    if name in {"errors", "types"}:
        return import_module(f"acechat.{name}")
    home = _LAZY.get(name) or ("errors" if name.endswith("Error") else "types")
    value: object = getattr(import_module(f"acechat.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
