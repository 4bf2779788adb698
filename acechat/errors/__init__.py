"""Exceptions raised by acechat.

* `AceChatError`: base of all exceptions below; only a wrong call raises `TypeError` instead

  * `ConfigurationError`: invalid settings or arguments; nothing was sent

    * `JournalError`: a bulk run does not match its journal or its output

  * `BatchRowError`: a row of a bulk run is invalid, was skipped, or is incomplete
  * `BatchStoppedError`: a bulk run stopped before its end, and the same call continues it
  * `BudgetExceededError`: the call would exceed a budget; nothing was sent
  * `TransportError`: no complete response arrived over the network

    * `ConnectError`: no connection; nothing was sent
    * `RequestTimeoutError`: a limit of `Timeout` passed
    * `ClientClosedError`: the client was closed before or during the call
    * `StreamInterruptedError`: the connection broke in the middle of a stream

  * `ProtocolError`: the response is not valid

    * `StreamTruncatedError`: the stream ended before the response was complete

      * `StreamInterruptedError`: as above; it is a subclass of both

  * `OutputError`: the response does not match *output_type*
  * `ModelMismatchError`: another model wrote the response (*on_model_mismatch*)
  * `ToolError`: a tool failed
  * `MaxTurnsError`: a run reached its limit before the final response
  * `APIError`: the service returned an error; its subclasses name the reason

Errors store facts and build their text from them, so that they survive pickling and copying.
"""

from __future__ import annotations

from typing import NoReturn

from acechat._hints import import_or_attribute_error
from acechat.errors._api import (
    AccountDisabledError,
    APIError,
    APINotImplementedError,
    AuthenticationError,
    BadRequestError,
    ContentModerationError,
    ContextWindowExceededError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    NotFoundError,
    OverloadedError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    TokenMismatchError,
)
from acechat.errors._base import (
    AceChatError,
    BatchRowError,
    BatchStoppedError,
    BudgetExceededError,
    ConfigurationError,
    JournalError,
    MaxTurnsError,
    ModelMismatchError,
    OutputError,
    ToolError,
)
from acechat.errors._transport import (
    ClientClosedError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)
from acechat.types.attempt import Attempt

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AceChatError",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BatchRowError",
    "BatchStoppedError",
    "BudgetExceededError",
    "ClientClosedError",
    "ConfigurationError",
    "ConnectError",
    "ContentModerationError",
    "ContextWindowExceededError",
    "GatewayTimeoutError",
    "InsufficientBalanceError",
    "JournalError",
    "MaxTurnsError",
    "ModelMismatchError",
    "NotFoundError",
    "OutputError",
    "OverloadedError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "ProtocolError",
    "RateLimitError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ServerError",
    "StreamInterruptedError",
    "StreamTruncatedError",
    "TokenMismatchError",
    "ToolError",
    "TransportError",
]

# Tracebacks and pickles name this module, so the private ones can change.
for _name in __all__:
    if _name != "Attempt":
        globals()[_name].__module__ = __name__


def __getattr__(name: str) -> NoReturn:
    raise import_or_attribute_error("acechat.errors", name, __all__)
