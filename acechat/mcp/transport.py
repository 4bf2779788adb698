"""An mcp transport that repairs tool lists, which mcp would reject for one invalid schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from acechat.mcp.tools import repaired

if TYPE_CHECKING:  # the extra
    from mcp.client._transport import ReadStream, TransportStreams
    from mcp.shared.message import SessionMessage

__all__ = ["repairing"]


@asynccontextmanager
async def repairing(
    transport: AbstractAsyncContextManager[TransportStreams],
) -> AsyncGenerator[TransportStreams]:
    """Enter *transport* and repair the tool lists that it receives."""
    async with transport as (read, write):
        yield _Repairing(read), write


class _Repairing:
    """A stream of messages that repairs tool lists."""

    def __init__(self, stream: ReadStream[SessionMessage | Exception]) -> None:
        self._stream = stream

    @property
    def last_context(self) -> Any:
        """Context variables of the sender of the last message; None if the stream has none."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return _repair(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return _repair(await self._stream.__anext__())

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)


def _repair(item: SessionMessage | Exception) -> SessionMessage | Exception:
    result: Any = getattr(getattr(item, "message", None), "result", None)
    if isinstance(result, dict):
        tools: Any = cast("dict[str, Any]", result).get("tools")
        if isinstance(tools, list):
            for tool in cast("list[Any]", tools):
                if isinstance(tool, dict):
                    repaired(cast("dict[str, Any]", tool))
    return item
