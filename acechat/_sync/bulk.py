"""`BulkClient`: the blocking calls of a client that send many requests."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from acechat._async.bulk import BulkBase
from acechat._policy.values import Budget, RateLimit, RetryPolicy, Timeout
from acechat._sync.base_client import SyncBaseClient
from acechat.types import ChatOptions

if TYPE_CHECKING:  # imported when they are used
    from acechat._sync.batch import Batch
    from acechat._tools.output import OutputType
    from acechat.batch.plan import Unknown
    from acechat.batch.sources import BatchInput, BatchItem
    from acechat.batch.storage.saver import Fsync

__all__ = ["BulkClient"]


class BulkClient(BulkBase, SyncBaseClient):
    """The calls of `Client` that send many requests."""

    def batch(
        self,
        prompts: BatchInput,
        *,
        output: str | PathLike[str],
        template: str | None = None,
        image_field: str | None = None,
        system: str | None = None,
        model: str | None = None,
        output_type: OutputType[Any] | None = None,
        concurrency: int | Literal["auto"] = "auto",
        max_concurrency: int = 256,
        rate_limit: RateLimit | None = None,
        budget: Budget | None = None,
        unknown: Unknown = "fail",
        retry_failed: bool = False,
        allow_truncated: bool = False,
        fsync: Fsync = "group",
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> Batch:
        """Send many requests, and save each result in a file as it arrives; return a `Batch`.

        An iterable is read in the thread of the client's event loop. Parameters and exceptions are
        those of `AsyncClient.batch`.

        Example:
            >>> with client.batch("prompts.jsonl", output="results.jsonl") as batch:
            ...     for result in batch:
            ...         print(result.custom_id, result.error or result.text)
            >>> batch.summary
        """
        from acechat._sync.batch import Batch
        from acechat.batch.sender import RequestOptions

        request = RequestOptions(
            model, system, output_type, timeout, retries, extra_body, extra_headers, options
        )
        settings = {
            "concurrency": concurrency,
            "max_concurrency": max_concurrency,
            "rate_limit": rate_limit,
            "budget": budget,
            "unknown": unknown,
            "allow_truncated": allow_truncated,
        }
        job = self._job(
            prompts,
            request,
            settings,
            output=Path(output),
            template=template,
            image_field=image_field,
            fsync=fsync,
            retry_failed=retry_failed,
        )
        return Batch(self._loop, job)

    def map(
        self,
        items: Iterable[BatchItem] | AsyncIterable[BatchItem],
        *,
        system: str | None = None,
        model: str | None = None,
        output_type: OutputType[Any] | None = None,
        concurrency: int | Literal["auto"] = "auto",
        max_concurrency: int = 256,
        as_completed: bool = False,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> Batch:
        """Send a request for each item, and yield each result, or its error, in order of the items.

        An iterable is read in the thread of the client's event loop. Parameters and exceptions are
        those of `AsyncClient.map`.

        Example:
            >>> for result in client.map(["Hello", "Good morning"]):
            ...     print(result.error or result.text)
        """
        from acechat._sync.batch import Batch
        from acechat.batch.sender import RequestOptions

        request = RequestOptions(
            model, system, output_type, timeout, retries, extra_body, extra_headers, options
        )
        settings = {
            "concurrency": concurrency,
            "max_concurrency": max_concurrency,
            "in_order": not as_completed,
            "allow_truncated": True,
        }
        job = self._job(items, request, settings)
        return Batch(self._loop, job)
