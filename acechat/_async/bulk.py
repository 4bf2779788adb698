"""`AsyncBulkClient`: the calls of a client that send many requests."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from acechat._async.base_client import AsyncBaseClient, BaseClient
from acechat._policy.values import Budget, RateLimit, RetryPolicy, Timeout, as_retries, check_number
from acechat.errors import ConfigurationError
from acechat.types import ChatOptions

if TYPE_CHECKING:  # imported when they are used
    from acechat._async.batch import AsyncBatch
    from acechat._tools.output import OutputType
    from acechat.batch.job import BatchJob
    from acechat.batch.plan import Unknown
    from acechat.batch.sender import RequestOptions
    from acechat.batch.sources import BatchInput, BatchItem
    from acechat.batch.storage.saver import Fsync

__all__ = ["AsyncBulkClient", "BulkBase"]


class BulkBase(BaseClient):
    """Builds the jobs of both clients."""

    def _job(
        self,
        prompts: BatchInput,
        request: RequestOptions,
        settings: Mapping[str, Any],
        *,
        output: Path | None = None,
        template: str | None = None,
        image_field: str | None = None,
        fsync: Fsync = "group",
        retry_failed: bool = False,
    ) -> BatchJob:
        """Return the job of `batch` or `map`; nothing is read or sent.

        Raises:
            ConfigurationError: An argument cannot be used.
            TypeError: An option is unknown, or *prompts* is not iterable.
        """
        from acechat.batch.job import BatchJob
        from acechat.batch.rows import RowReader
        from acechat.batch.sender import RowSender
        from acechat.batch.settings import RunSettings
        from acechat.batch.sources import source_of

        for name in ("concurrency", "max_concurrency"):
            if (name, settings[name]) != ("concurrency", "auto"):
                check_number(name, settings[name], int, optional=False)
        for name, value, kind in (
            ("budget", settings.get("budget"), Budget),
            ("rate_limit", settings.get("rate_limit"), RateLimit),
            ("template", template, str),
            ("system", request.system, str),
            ("image_field", image_field, str),
        ):
            if value is not None and not isinstance(value, kind):
                raise ConfigurationError(f"{name} must be {kind.__name__} or None, not {value!r}")
        for name, value, known in (
            ("unknown", settings.get("unknown", "fail"), ("fail", "resend", "skip")),
            ("fsync", fsync, ("group", "each", "never")),
        ):
            if value not in known:
                raise ConfigurationError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        retries = as_retries(request.retries, self._config.retries)
        if (most := self._config.max_concurrency) is not None:  # others would wait for a slot
            fixed = settings["concurrency"]
            settings = {
                **settings,
                "concurrency": fixed if fixed == "auto" else min(fixed, most),
                "max_concurrency": min(settings["max_concurrency"], most),
            }
        source = source_of(prompts)
        sender = RowSender(self._template, self._ask, request, source.folder)
        inputs = {"template": template, "system": request.system, "image_field": image_field}
        return BatchJob(
            source=source,
            reader=partial(RowReader, **inputs),
            send=sender.send,
            settings=RunSettings(retries=retries, **settings),
            options=sender.fingerprint | inputs,
            output=output,
            fsync=fsync,
            retry_failed=retry_failed,
        )


class AsyncBulkClient(BulkBase, AsyncBaseClient):
    """The calls of `AsyncClient` that send many requests."""

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
    ) -> AsyncBatch:
        """Send many requests, and save each result in a file as it arrives.

        A run that was stopped or killed is continued by the same call: finished rows are not sent
        again. It sends as many requests at a time as the service bears, and pauses while the
        service is down. Rows that fail are results with an *error*. Iteration over the `AsyncBatch`
        returns the results of this run in order of completion; it is optional.

        Args:
            prompts: A path (JSON Lines, ``.csv``, ``.parquet`` or ``.txt``), ``"-"`` for standard
                input, or an iterable, async or not. Rows are prompts, objects with a *prompt*,
                request bodies, or lines of OpenAI's Batch API; see docs/reference/batch.md.
            output: Path of the output, JSON Lines. The journal stands beside it.
            template: The user message of each row, with ``{name}`` for a field or column of the
                row; default none.
            image_field: The field or column that holds the image of a row, or a list of images, as
                URLs or as paths from the folder of the input; default none.
            system: The system prompt of rows without one; default none.
            model: The model of rows without one; default None, the client's.
            output_type: As in `chat`.
            concurrency: The number of requests at a time, 1 or more; default ``"auto"``, as many as
                the service bears.
            max_concurrency: The maximum with ``"auto"``, 1 or more; default 256.
            rate_limit: The maximum of requests and tokens per minute; default None, no limit.
            budget: The maximum that this start of the run may spend, after which it stops; default
                None, no limit. The requests that are running exceed it.
            unknown: Treatment of rows that were sent when an earlier start was killed, and may have
                been charged: ``"fail"`` refuses to start (default), ``"resend"`` sends them again,
                ``"skip"`` reports them as errors, and never sends a row again after a request that
                may have been charged.
            retry_failed: Whether failed rows are sent again, with ``unknown="skip"`` only those
                that cannot have been charged; default False.
            allow_truncated: Whether completions that were truncated at *max_tokens* count as done;
                default False.
            fsync: ``"group"`` (default) writes to the disk every 50 ms or 64 records, ``"each"``
                before each request leaves and each result is returned, ``"never"`` leaves it to the
                system.
            timeout: As in `chat`, for each request.
            retries: The retry policy of each row; default None, the client's. Refusals because of a
                limit, and failures while the service is down, do not count.
            extra_body: As in `chat`.
            extra_headers: As in `chat`.
            **options: As in `chat`, for rows that do not set them.

        Raises:
            ConfigurationError: An argument cannot be used; nothing was sent.
            TypeError: An option is unknown.

        Example:
            >>> async with client.batch("prompts.jsonl", output="results.jsonl") as batch:
            ...     async for result in batch:
            ...         print(result.custom_id, result.error or result.text)
            >>> batch.summary
        """
        from acechat._async.batch import AsyncBatch
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
        return AsyncBatch(job)

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
    ) -> AsyncBatch:
        """Send a request for each item, and yield each result, or its error, in order of the items.

        Nothing is written to files, and memory is bounded: items are taken from the iterable when
        there is room for them. Concurrency, retries and pauses are those of `batch`; truncated
        completions are results without an *error*.

        Args:
            items: An iterable, async or not, of prompts, objects with a *prompt*, request bodies,
                lists of messages, or tuples of the parts of one user message.
            as_completed: Whether results are returned in order of completion; default False.
            system: As in `batch`.
            model: As in `batch`.
            output_type: As in `chat`.
            concurrency: As in `batch`.
            max_concurrency: As in `batch`.
            timeout: As in `chat`, for each request.
            retries: As in `batch`.
            extra_body: As in `chat`.
            extra_headers: As in `chat`.
            **options: As in `chat`, for items that do not set them.

        Raises:
            ConfigurationError: An argument cannot be used; nothing was sent.
            TypeError: An option is unknown.

        Example:
            >>> async for result in client.map(["Hello", "Good morning"]):
            ...     print(result.error or result.text)
        """
        from acechat._async.batch import AsyncBatch
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
        return AsyncBatch(job)
