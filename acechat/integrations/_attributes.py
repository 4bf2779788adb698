"""Attributes of spans and metrics for requests, failed attempts and responses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec
from opentelemetry.util.types import AttributeValue

from acechat import AttemptFailed, CallFailed, CallFinished, ChatCompletion, HTTPRequest, Usage
from acechat.integrations._semconv import Name

__all__ = [
    "Attributes",
    "RequestFields",
    "attempt_attributes",
    "common_attributes",
    "end_attributes",
    "read_request",
    "request_attributes",
]

Attributes: TypeAlias = dict[str, AttributeValue]

_PARAMETERS = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty",
               "presence_penalty")  # fmt: skip
"""Fields of a request that are attributes of the same name."""


class RequestFields(msgspec.Struct):
    """The fields of a request that become attributes; the decoder skips the others."""

    model: str = ""
    stream: bool | None = None
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


@lru_cache(maxsize=64)
def common_attributes(model: str, base_url: str) -> Attributes:
    """Return the attributes that spans and metrics have in common; not to be changed."""
    url = urlsplit(base_url)
    return {
        Name.OPERATION: Name.CHAT,
        Name.PROVIDER: Name.ACEDATACLOUD,
        Name.REQUEST_MODEL: model,
        Name.SERVER_ADDRESS: url.hostname or "",
        Name.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
    }


def request_attributes(fields: RequestFields) -> Attributes:
    """Return the attributes of a request."""
    if fields == RequestFields(model=fields.model):
        return {}
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
    event: CallFinished | CallFailed,
    completion: ChatCompletion | None,
    usage: Usage | None,
    first_chunk: float | None,
) -> Attributes:
    """Return the attributes of a response, or of the failure."""
    facts: dict[str, AttributeValue | None] = {
        Name.TRACE_ID: event.trace_id or (completion.trace_id if completion else None),
        Name.FIRST_CHUNK: first_chunk,
        Name.STATUS: event.status,
    }
    if event.attempts > 1:
        facts[Name.ATTEMPTS] = event.attempts
    if isinstance(event, CallFailed):
        facts[Name.FAILURE] = event.failure
        facts[Name.ERROR_CODE] = event.code
        facts[Name.MAY_BE_BILLED] = event.may_be_billed
    if completion is not None:
        facts[Name.RESPONSE_ID] = completion.id or None
        facts[Name.RESPONSE_MODEL] = completion.model or None
        reasons = [choice.finish_reason for choice in completion.choices]
        facts[Name.FINISH_REASONS] = [reason for reason in reasons if reason] or None
    if usage is not None:
        inside, outside = usage.prompt_tokens_details, usage.completion_tokens_details
        facts[Name.INPUT_TOKENS] = usage.prompt_tokens
        facts[Name.OUTPUT_TOKENS] = usage.completion_tokens
        if inside is not None:
            facts[Name.CACHE_READ] = inside.cached_tokens
            written = inside.cache_write_tokens
            facts[Name.CACHE_WRITE] = inside.cached_creation_tokens if written is None else written
        if outside is not None:
            facts[Name.REASONING] = outside.reasoning_tokens
        if usage.cost is not None and usage.cost.amount is not None:
            facts[Name.COST] = float(usage.cost.amount)
            facts[Name.CURRENCY] = usage.cost.currency
    return {name: fact for name, fact in facts.items() if fact is not None}
