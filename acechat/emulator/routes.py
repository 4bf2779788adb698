"""Requests → plans, without a network: paths, tokens, and the validation of request bodies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias, cast, get_args

import msgspec

from acechat.emulator.catalog import CATALOG
from acechat.emulator.completion import ChatRequest
from acechat.emulator.content.usage import count_prompt
from acechat.emulator.plan import Plan, Wait
from acechat.emulator.state import ReceivedRequest, ServiceState
from acechat.emulator.wire import RefusalError, error_plan, json_plan
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletionRequest, KnownModel

__all__ = ["CONTROL", "MODELS", "is_public", "respond"]

MODELS: tuple[str, ...] = tuple(
    name for name in get_args(KnownModel) if not name.endswith("-thinking")
)
"""The models of this endpoint (docs/api.md#models). *any_model* accepts any other name, too."""

CONTROL = "/_acechat/"
"""Prefix of the control endpoint, with which tests in other languages script the service."""

_MODELS_CREATED = 1714500000
_MAX_N = 128
_MAX_TEMPERATURE = 2
_ROLES = {"system", "developer", "user", "assistant", "tool"}


_Route: TypeAlias = Callable[[ServiceState, ReceivedRequest], Plan]


def respond(
    state: ServiceState, received: ReceivedRequest, *, authorization: str | None, too_large: bool
) -> Plan:
    """Return the plan of the response to *received*.

    Args:
        state: Holds the token and the script.
        received: The request.
        authorization: The ``Authorization`` header, unmasked. None: no such header.
        too_large: Whether the body exceeded *max_request_bytes*.
    """
    try:
        route = _find_route(received)
        if route not in _PUBLIC:
            _authorize(authorization, state.token, too_large=too_large)
        return route(state, received)
    except RefusalError as refusal:
        return error_plan(refusal.status, refusal.code, refusal.message, received.trace_id)


def _find_route(received: ReceivedRequest) -> _Route:
    route = _ROUTES.get((received.method, received.path.partition("?")[0]))
    if route is None:
        raise RefusalError(HTTPStatus.NOT_FOUND)
    return route


def is_public(received: ReceivedRequest) -> bool:
    """Return True for a request that needs no token."""
    return _ROUTES.get((received.method, received.path.partition("?")[0])) in _PUBLIC


def _authorize(authorization: str | None, token: str, *, too_large: bool) -> None:
    if not authorization:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "no_token")
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or given != token:
        raise RefusalError(HTTPStatus.UNAUTHORIZED)
    if too_large:
        raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _chat(state: ServiceState, received: ReceivedRequest) -> Plan:
    fields = _read_object(received.body)
    try:
        request = msgspec.convert(fields, ChatCompletionRequest)
    except msgspec.ValidationError as error:
        raise _bad_request(str(error)) from None
    _check(request)
    if not state.any_model and request.model.removesuffix("-thinking") not in MODELS:
        raise RefusalError(HTTPStatus.BAD_REQUEST, None, "model is invalid.")
    counted = {name: fields[name] for name in fields if name not in {"stream", "stream_options"}}
    fingerprint = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
    chat = ChatRequest(request, fields, fingerprint, received.trace_id, state.report_cost)
    plan = state.next_step().plan(chat)
    return [Wait(state.delay), *plan] if state.delay else plan


def _check(request: ChatCompletionRequest) -> None:
    if not request.messages:
        raise _bad_request("messages is empty.")
    for number, message in enumerate(request.messages):
        if message.get("role") not in _ROLES:
            raise _bad_request(f"messages[{number}].role is {message.get('role')!r}.")
    n, temperature = request.n, request.temperature
    if n is not None and (not float(n).is_integer() or not 1 <= n <= _MAX_N):
        raise _bad_request(f"n is {n:g}, not a whole number from 1 to {_MAX_N}.")
    if temperature is not None and not 0 <= temperature <= _MAX_TEMPERATURE:
        raise _bad_request(f"temperature is {temperature:g}, not from 0 to {_MAX_TEMPERATURE}.")
    reasons = request.model.endswith("-thinking") or request.reasoning_effort
    if reasons and request.tool_choice not in {None, "auto", "none"}:
        # From Anthropic's documentation; the gateway forwards both (docs/api.md#request-fields).
        raise _bad_request("Thinking may not be enabled when tool_choice forces tool use.")


def _count_tokens(_: ServiceState, received: ReceivedRequest) -> Plan:
    fields = _read_object(received.body)
    for name in ("model", "messages"):
        if not fields.get(name):
            raise _bad_request(f"{name} is missing.")
    return json_plan({"input_tokens": count_prompt(fields)})


def _script(state: ServiceState, received: ReceivedRequest) -> Plan:
    """Append the steps of a JSON script (`acechat.emulator.script_file`)."""
    from acechat.emulator.script_file import read_script

    try:
        state.script(*read_script(received.body.decode()))
    except (ConfigurationError, UnicodeDecodeError) as error:
        raise _bad_request(str(error)) from None
    return json_plan({"unused": state.unused})


def _unused(state: ServiceState, _: ReceivedRequest) -> Plan:
    return json_plan({"unused": state.unused})


def _reset(state: ServiceState, _: ReceivedRequest) -> Plan:
    state.reset()
    return json_plan({"unused": state.unused})


def _requests(state: ServiceState, _: ReceivedRequest) -> Plan:
    """Return the received requests but those of the control endpoint, oldest first."""
    shown = [
        {
            "method": one.method,
            "path": one.path,
            "headers": one.headers,
            "body": _decoded(one.body),
            "trace_id": one.trace_id,
        }
        for one in state.requests
        if not one.path.startswith(CONTROL)
    ]
    return json_plan({"requests": shown})


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")


def _models(_: ServiceState, __: ReceivedRequest) -> Plan:
    data = [
        {"id": name, "object": "model", "created": _MODELS_CREATED, "owned_by": "system"}
        for name in MODELS
    ]
    return json_plan({"object": "list", "data": data})


def _health(_: ServiceState, __: ReceivedRequest) -> Plan:
    return json_plan({"status": "ok"})


def _catalog(_: ServiceState, __: ReceivedRequest) -> Plan:
    return json_plan(CATALOG)


_PUBLIC = {_health, _catalog}
"""Routes that need no token."""


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_request(str(error)) from None
    if not isinstance(value, dict):
        raise _bad_request("the body is not an object.")
    return cast("dict[str, Any]", value)


def _bad_request(reason: str) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, None, f"The json payload is not valid: {reason}")


_ROUTES: Mapping[tuple[str, str], _Route] = {
    ("POST", "/v1/chat/completions"): _chat,
    ("POST", "/claude/chat/completions"): _chat,
    ("POST", "/v1/messages/count_tokens"): _count_tokens,
    ("POST", "/claude/messages/count_tokens"): _count_tokens,
    ("GET", "/v1/models"): _models,
    ("GET", "/api/v1/models/catalog/"): _catalog,
    ("GET", "/health"): _health,
    ("GET", f"{CONTROL}script"): _unused,
    ("POST", f"{CONTROL}script"): _script,
    ("POST", f"{CONTROL}reset"): _reset,
    ("GET", f"{CONTROL}requests"): _requests,
}
