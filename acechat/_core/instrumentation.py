"""`Instrumentation`: an observer that sees the content of calls and tools, and adds headers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from acechat._tools.executor import ToolEnded
from acechat._wire.request import HTTPRequest
from acechat.errors import AceChatError
from acechat.types import ChatCompletion, ToolCall
from acechat.types.call_event import CallEvent

__all__ = ["Instrumentation"]


class Instrumentation(ABC):
    """Base class of observers that trace calls; `acechat.integrations.opentelemetry` has one.

    An instance is passed as ``observers=[...]``, or to `add_global_observer`, and is called with
    each event, like any observer. It also receives requests, completions and tool calls, which
    events do not contain.

    All methods run in the event loop and must return quickly. `call_started`,
    `attempt_started` and `tool_started` run in the context (`contextvars`) of the caller, also for
    a blocking client. As with any observer, the first exception is logged and none ends the call.
    """

    success_events: ClassVar[bool] = True
    """Whether the observer receives `RequestSent` and `CallFinished`. A subclass that reads the
    completion instead sets it to False: it may receive them still, but alone it does not, which
    saves their time."""

    @abstractmethod
    def __call__(self, event: CallEvent) -> None:
        """Receive an event of a call."""

    def call_started(
        self,
        call: int,  # noqa: ARG002 - for subclasses, as all arguments here
        request: HTTPRequest,  # noqa: ARG002
        base_url: str,  # noqa: ARG002
    ) -> Mapping[str, str] | None:
        """Receive the request of a call before its first attempt; return headers to add to it.

        Args:
            call: Number of the call, as in its events.
            request: The request, without the token.
            base_url: Prefix of the request's path, for example ``https://api.acedata.cloud/v1``.
        """
        return None

    def attempt_started(self, call: int) -> Callable[[], None] | None:  # noqa: ARG002
        """Receive the start of an attempt of *call*; return a callback for its end.

        An attempt ends when the head of its response has arrived. The callback runs in the same
        context as this method.
        """
        return None

    def chunks_received(self, call: int, count: int) -> None:  # noqa: B027 - may be left out
        """Receive the number of chunks that one network read of a stream contained, if any.

        Only subclasses that override this method are called, because it costs time per read.

        Args:
            call: Number of the call, as in its events.
            count: Number of chunks, at least 1.
        """

    def call_ended(  # noqa: B027 - may be left out
        self, call: int, completion: ChatCompletion | None, error: AceChatError | None
    ) -> None:
        """Receive the completion of a call, after its last event.

        Args:
            call: Number of the call, as in its events.
            completion: The completion; the part that arrived if the call failed; None if nothing
                did, or the response is of another kind.
            error: The exception that ended the call; None if it succeeded, was cancelled, or ended
                with an exception that is not of acechat.
        """

    def tool_started(self, call: ToolCall) -> ToolEnded | None:  # noqa: ARG002
        """Receive a tool call of a run before the tool runs; return a callback for its end.

        The callback receives the result, None if the run ends with this call, and the exception
        that the tool raised, None for none. It runs in the same context as this method.
        """
        return None
