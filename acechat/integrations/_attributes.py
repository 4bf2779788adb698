"""Attributes of spans and metrics for requests, failed attempts and responses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec
from opentelemetry.util.types import AttributeValue

from acechat import AttemptFailed, CallFailed, ChatCompletion, HTTPRequest, Usage
from acechat.integrations._semconv import Name

__all__ = [
    "Attributes",
    "MetricLabels",
    "RequestFields",
    "Target",
    "attempt_attributes",
    "end_attributes",
    "find_target",
    "metric_labels",
    "read_request",
    "start_attributes",
]

Attributes: TypeAlias = dict[str, AttributeValue]

_PARAMETERS = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty",
               "presence_penalty")  # fmt: skip
"""Fields of a request that are attributes of the same name."""


class RequestFields(msgspec.Struct):
    """The fields of a request that become attributes; the decoder skips the others."""

    model: str = ""
    stream: bool | None = False
    n: int | None = None
    stop: str | list[str] | None = None
    response_format: dict[str, Any] | None = None
    max_tokens: float | None = None
    max_completion_tokens: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


_decode_request = msgspec.json.Decoder(RequestFields).decode


def read_request(request: HTTPRequest) -> RequestFields:
    """Return the fields of *request* that become attributes."""
    try:
        return _decode_request(request.body or b"{}")
    except msgspec.MsgspecError:  # extra_body may hold a field of another type
        fields = request.json()
        return RequestFields(
            model=str(fields.get("model", "")), stream=fields.get("stream") is True
        )


class Target(msgspec.Struct, frozen=True):
    """The parts of spans and metrics that depend only on the model and the service."""

    model: str
    base_url: str
    span_name: str
    attributes: Attributes
    """Of spans and metrics; not to be changed."""

    plain: RequestFields
    """A request without options."""


class MetricLabels(msgspec.Struct, frozen=True):
    """Attributes of the metrics of a call; not to be changed."""

    call: Attributes
    input: Attributes
    output: Attributes


@lru_cache(maxsize=64)
def find_target(model: str, base_url: str) -> Target:
    """Return the parts that calls of *model* at *base_url* have in common."""
    url = urlsplit(base_url)
    attributes: Attributes = {
        Name.OPERATION: Name.CHAT,
        Name.PROVIDER: Name.ACEDATACLOUD,
        Name.REQUEST_MODEL: model,
        Name.SERVER_ADDRESS: url.hostname or "",
        Name.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
    }
    name = f"{Name.CHAT} {model}"
    return Target(model, base_url, name, attributes, RequestFields(model=model))


@lru_cache(maxsize=64)
def metric_labels(
    model: str, base_url: str, response_model: str | None, error: str | None
) -> MetricLabels:
    """Return the attributes of the metrics of a call that ended."""
    labels = find_target(model, base_url).attributes.copy()
    if response_model:
        labels[Name.RESPONSE_MODEL] = response_model
    if error is not None:
        labels[Name.ERROR_TYPE] = error
    return MetricLabels(
        labels, labels | {Name.TOKEN_TYPE: "input"}, labels | {Name.TOKEN_TYPE: "output"}
    )


def start_attributes(target: Target, fields: RequestFields) -> Attributes:
    """Return the attributes with which a span starts; not to be changed."""
    if fields == target.plain:
        return target.attributes
    return target.attributes | _request_attributes(fields)


def _request_attributes(fields: RequestFields) -> Attributes:
    found: Attributes = {}
    for name in _PARAMETERS:
        value: float | None = getattr(fields, name)
        if value is not None:
            found[f"gen_ai.request.{name}"] = value
    limit = fields.max_completion_tokens or fields.max_tokens
    if limit is not None:
        found["gen_ai.request.max_tokens"] = int(limit)
    if fields.stream:
        found[Name.STREAM] = True
    if fields.n is not None and fields.n != 1:
        found[Name.CHOICES] = fields.n
    if fields.stop:
        found[Name.STOP] = [fields.stop] if isinstance(fields.stop, str) else fields.stop
    if fields.response_format is not None:
        text = fields.response_format.get("type") == "text"
        found[Name.OUTPUT_TYPE] = "text" if text else "json"
    return found


def attempt_attributes(event: AttemptFailed) -> Attributes:
    """Return the attributes of a failed attempt."""
    facts: dict[str, AttributeValue | None] = {
        Name.ATTEMPT: event.attempt,
        Name.ERROR_TYPE: event.error,
        Name.STATUS: event.status,
        Name.ERROR_CODE: event.code,
        Name.FAILURE: event.failure,
        Name.MAY_BE_BILLED: event.may_be_billed,
        Name.RETRY_IN: event.retry_in,
        Name.TRACE_ID: event.trace_id,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def end_attributes(
    failure: CallFailed | None,
    completion: ChatCompletion | None,
    usage: Usage | None,
    first_chunk: float | None,
) -> Attributes:
    """Return the attributes of a response, or of the failure with the part that arrived."""
    found: Attributes = {}
    trace_id = status = None
    attempts = 1
    if completion is not None:
        response = completion.response
        trace_id, status = response.trace_id, response.status
        attempts += len(response.attempts)
        if completion.id:
            found[Name.RESPONSE_ID] = completion.id
        if completion.model:
            found[Name.RESPONSE_MODEL] = completion.model
        reasons = [reason for each in completion.choices if (reason := each.finish_reason)]
        if reasons:
            found[Name.FINISH_REASONS] = reasons
    if failure is not None:
        trace_id, status = failure.trace_id or trace_id, failure.status
        attempts = failure.attempts
        _add_failure(found, failure)
    if trace_id is not None:
        found[Name.TRACE_ID] = trace_id
    if status is not None:
        found[Name.STATUS] = status
    if first_chunk is not None:
        found[Name.FIRST_CHUNK] = first_chunk
    if attempts > 1:
        found[Name.ATTEMPTS] = attempts
    if usage is not None:
        _add_usage(found, usage)
    return found


def _add_failure(found: Attributes, failure: CallFailed) -> None:
    found[Name.FAILURE] = failure.failure
    found[Name.MAY_BE_BILLED] = failure.may_be_billed
    if failure.code is not None:
        found[Name.ERROR_CODE] = failure.code
    if failure.error is not None:
        found[Name.ERROR_TYPE] = failure.error


def _add_usage(found: Attributes, usage: Usage) -> None:
    if usage.prompt_tokens is not None:
        found[Name.INPUT_TOKENS] = usage.prompt_tokens
    if usage.completion_tokens is not None:
        found[Name.OUTPUT_TOKENS] = usage.completion_tokens
    inside, outside, cost = usage.prompt_tokens_details, usage.completion_tokens_details, usage.cost
    if inside is not None:
        if inside.cached_tokens is not None:
            found[Name.CACHE_READ] = inside.cached_tokens
        written = inside.cache_write_tokens
        written = inside.cached_creation_tokens if written is None else written
        if written is not None:
            found[Name.CACHE_WRITE] = written
    if outside is not None and outside.reasoning_tokens is not None:
        found[Name.REASONING] = outside.reasoning_tokens
    if cost is not None and cost.amount is not None:
        found[Name.COST] = float(cost.amount)
        if cost.currency is not None:
            found[Name.CURRENCY] = cost.currency
