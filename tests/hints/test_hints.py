"""Names of openai's and anthropic's clients, and misspelled ones, lead to acechat's."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys

import msgspec
import pytest

import acechat
from acechat import AsyncClient, ChatCompletion, Client, Delta, errors, types
from acechat._wire.request import ChatOptions

CLIENTS = [AsyncClient, Client]
OPENAI, ANTHROPIC = "openai", "anthropic"
ALL = [*ChatOptions.__annotations__, "messages", "model", "timeout", "extra_headers", "extra_body"]
OURS = {"chat": {*ALL, "system"}}


def imported(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def constructor_of(name):
    module = imported(name)
    return parameters((module.OpenAI if name == OPENAI else module.Anthropic).__init__)


def call_of(name):
    imported(name)
    if name == OPENAI:
        from openai.resources.chat.completions import Completions
        from openai.resources.responses import Responses

        return [*parameters(Completions.create), *parameters(Responses.create)]
    from anthropic.resources.beta.messages import Messages as Beta
    from anthropic.resources.messages import Messages

    methods = [Messages.create, Messages.stream, Beta.create, Beta.tool_runner]
    return [name for method in methods for name in parameters(method)]


@pytest.fixture(params=CLIENTS, ids=["async", "sync"])
def client(request):
    client = request.param("token")
    yield client
    if isinstance(client, Client):
        client.close()


@pytest.mark.parametrize("cls", CLIENTS)
@pytest.mark.parametrize("peer", [OPENAI, ANTHROPIC])
def test_each_argument_of_the_other_clients_constructors_gets_a_suggestion(peer, cls):
    ours = inspect.signature(cls).parameters
    theirs = [name for name in constructor_of(peer) if name not in ours]
    assert len(theirs) >= 8

    for name in theirs:
        with pytest.raises(TypeError, match=f"{name}'.*did you mean .*=") as caught:
            cls(**{name: "x"})
        assert cls.__name__ in str(caught.value)


@pytest.mark.parametrize("peer", [OPENAI, ANTHROPIC])
def test_each_argument_of_the_other_clients_calls_gets_a_suggestion(peer, client):
    theirs = [name for name in call_of(peer) if name not in OURS["chat"]]
    assert len(theirs) >= 8

    for name in theirs:
        with pytest.raises(TypeError, match=f"{name}'.*did you mean .+"):
            client.prepare("Hello", **{name: "x"})


CONSTRUCTOR = {
    "api_key": "api_token=",
    "auth_token": "api_token=",
    "organization": "api_token=",
    "max_retries": "retries=",
    "default_headers": "headers=",
    "http_client": "session=",
    "proxies": "proxy=",
    "api_base": "base_url=",
    "azure_endpoint": "base_url=",
    "modle": "'model'",
    "time_out": "'timeout'",
    "temperature": "chat(..., temperature=...)",
}


@pytest.mark.parametrize("cls", CLIENTS)
@pytest.mark.parametrize(("name", "meant"), CONSTRUCTOR.items())
def test_an_argument_of_a_constructor(name, meant, cls):
    with pytest.raises(TypeError) as caught:
        cls(**{name: "x"})

    assert f"{cls.__name__}() has no argument {name!r}: did you mean {meant}" in str(caught.value)


CALL = {
    "stop_sequences": "stop=",
    "max_output_tokens": "max_tokens=",
    "functions": "tools=",
    "function_call": "tool_choice=",
    "instructions": "system=",
    "input": 'chat("...")',
    "thinking": "reasoning_effort=",
    "output_format": "output_type=",
    "response_model": "output_type=",
    "max_turns": "run()",
    "max_retries": "retries=",
    "headers": "extra_headers=",
    "temprature": "'temperature'",
    "maxTokens": "'max_tokens'",
    "outputtype": "'output_type'",
    "top_k": "extra_body={'top_k': ...}",
    "api_key": "an argument of the client, api_token=",
    "stream": "to call client.stream(...) instead",
}


@pytest.mark.parametrize(("name", "meant"), CALL.items())
@pytest.mark.parametrize("method", ["chat", "stream", "run", "run_stream", "prepare"])
def test_an_argument_of_a_call(name, meant, method):
    client = AsyncClient("token")
    if name == "max_turns" and method.startswith("run"):
        pytest.skip("it is an argument of run()")

    async def call():
        called = getattr(client, method)("Hello", **{name: True})
        await called

    with pytest.raises(TypeError) as caught:
        asyncio.run(call())

    assert f"unknown option {name!r}: did you mean {meant}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"), [("max_retries", "retries="), ("default_headers", "headers=")]
)
def test_an_argument_of_with_options(name, meant, client):
    with pytest.raises(TypeError, match=f"with_options.. has no argument .* did you mean {meant}"):
        client.with_options(**{name: 1})


def test_a_constructor_shows_its_parameters_to_editors():
    for cls in CLIENTS:
        shown = inspect.signature(cls).parameters
        assert list(shown)[:3] == ["api_token", "base_url", "model"]
        assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in shown.values())


ERROR = errors.AuthenticationError(401, "invalid_token", "no")


@pytest.mark.parametrize(
    ("error", "name", "meant"),
    [
        (ERROR, "status_code", "error.status"),
        (ERROR, "request_id", "error.trace_id"),
        (ERROR, "response", "error.body"),
        (ERROR, "type", "error.code"),
        (ERROR, "http_status", "error.status"),
        (errors.ConnectError("x"), "status", "except acechat.APIError"),
        (errors.ConnectError("x"), "message", "error.reason"),
        (errors.ConnectError("x"), "completion", "error.partial"),
    ],
)
def test_an_attribute_of_an_exception(error, name, meant):
    assert not hasattr(error, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}': did you mean .*{meant}"):
        getattr(error, name)


@pytest.mark.parametrize("peer", [OPENAI, ANTHROPIC])
def test_each_attribute_of_the_other_clients_exceptions(peer):
    cls = imported(peer).APIStatusError
    theirs = {
        name for each in cls.__mro__[:-3] for name in vars(each).get("__annotations__", ())
    } - {"args", "workspace_id"}
    assert "status_code" in theirs

    for name in sorted(theirs):
        if not hasattr(ERROR, name):
            with pytest.raises(AttributeError, match="did you mean"):
                getattr(ERROR, name)


REPLY = ChatCompletion(choices=[])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("content", "reply.text"),
        ("output_text", "reply.text"),
        ("stop_reason", "reply.finish_reason"),
        ("model_dump", r"reply.to_dict\(\)"),
        ("parsed", "reply.output"),
        ("request_id", "reply.trace_id"),
        ("input_tokens", "reply.usage.prompt_tokens"),
        ("finishreason", "'finish_reason'"),
        ("txt", "'text'"),
    ],
)
def test_an_attribute_of_a_completion(name, meant):
    assert not hasattr(REPLY, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}': did you mean {meant}"):
        getattr(REPLY, name)


def test_an_attribute_of_a_delta_as_of_a_chunk():
    with pytest.raises(AttributeError, match=r"did you mean delta\.content"):
        Delta(content="x").choices  # noqa: B018 - reads it


@pytest.mark.parametrize("name", ["text_stream", "get_final_message", "get_final_completion"])
def test_an_attribute_of_a_stream(name, client):
    stream = client.stream("Hello")

    with pytest.raises(AttributeError, match="did you mean stream"):
        getattr(stream, name)


def test_the_call_chains_of_the_other_clients(client):
    for chain in (
        lambda: client.chat.completions.create,
        lambda: client.chat.completions(messages=[]),
        lambda: client.messages.create,
        lambda: client.completions,
        lambda: client.responses.create,
        lambda: client.beta.messages,
        lambda: client.create,
    ):
        with pytest.raises(AttributeError, match=r"did you mean client\.chat\(messages="):
            chain()


def test_a_misspelled_method(client):
    with pytest.raises(AttributeError, match="did you mean 'count_tokens'"):
        client.counttokens  # noqa: B018 - reads it


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda client: client.stream("Hello"), "async for delta in client.stream"),
        (lambda client: client.run_stream("Hello"), "async for event in client.run_stream"),
        (lambda client: client.conversation(), r"await its send\(\.\.\.\)"),
        (lambda client: client.conversation().stream("Hello"), "async for delta in"),
    ],
)
def test_awaiting_a_stream_says_to_iterate(make, hint):
    async def main():
        await make(AsyncClient("token"))

    with pytest.raises(TypeError, match=hint):
        asyncio.run(main())


NAMES = {
    "OpenAI": "Client",
    "AsyncOpenAI": "AsyncClient",
    "Anthropic": "Client",
    "AsyncAnthropic": "AsyncClient",
    "APIStatusError": "APIError",
    "APITimeoutError": "RequestTimeoutError",
    "APIConnectionError": "TransportError",
    "OpenAIError": "AceChatError",
    "InternalServerError": "ServerError",
    "UnprocessableEntityError": "BadRequestError",
    "asyncclient": "AsyncClient",
    "RatelimitError": "RateLimitError",
    "ClaudeError": "AceChatError",
}


@pytest.mark.parametrize(("name", "meant"), NAMES.items())
@pytest.mark.parametrize("module", [acechat, errors, types])
def test_a_name_of_a_module(name, meant, module):
    if module is not acechat and name == "asyncclient":
        pytest.skip("it resembles no name of this module")
    if module is types and name == "RatelimitError":
        meant = "AceChatError"

    assert not hasattr(module, name)
    with pytest.raises(AttributeError, match=rf"'{name}': did you mean acechat\.{meant}\b"):
        getattr(module, name)


@pytest.mark.parametrize("peer", [OPENAI, ANTHROPIC])
def test_each_exception_and_client_of_the_other_clients_is_ours_or_gets_a_suggestion(peer):
    module = imported(peer)
    theirs = [name for name in module.__all__ if inspect.isclass(getattr(module, name))]
    theirs = [name for name in theirs if name.endswith(("Error", "Client", "AI", "Anthropic"))]
    assert len(theirs) >= 20

    for name in theirs:
        if not hasattr(acechat, name):
            with pytest.raises(AttributeError, match=r"did you mean (acechat\.)?\w+"):
                getattr(acechat, name)


@pytest.mark.parametrize(
    "line", ["from acechat import OpenAI", "from acechat.errors import APIStatusError"]
)
def test_importing_another_clients_name_shows_ours(line):
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "did you mean acechat." in done.stderr


def test_other_missing_names_are_plain_attribute_errors():
    for module in (acechat, errors, types):
        with pytest.raises(AttributeError, match=r"has no attribute 'xyzzy'$"):
            module.xyzzy  # noqa: B018 - reads it
        assert not hasattr(module, "__wrapped__")


class Plan(msgspec.Struct):
    days: int


@pytest.mark.parametrize("given", [Plan, "json_object", list[int]])
def test_response_format_of_a_type_names_output_type(given, client):
    with pytest.raises(TypeError, match=r"response_format=.*did you mean output_type="):
        client.prepare("Hello", response_format=given)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ([{"role": "user", "content": "Hi"}], "messages="),
        ({"role": "user", "content": "Hi"}, "messages="),
        ({"role": "user", "type": "message", "content": "Hi"}, "messages="),
        (types.UserMessage(content="Hi"), "messages="),
        (["Hi", "there"], r"chat\(\*parts\)"),
        (REPLY, r"messages=\[\.\.\., reply\.message\]"),
        (b"bytes", "image"),
    ],
)
def test_messages_in_the_position_of_the_content(content, hint, client):
    with pytest.raises(TypeError, match=hint):
        client.prepare(content)


class Dumped:
    def model_dump(self):
        return {}


@pytest.mark.parametrize(
    ("message", "hint"),
    [(REPLY, r"reply\.message"), (Dumped(), r"message\.model_dump\(\)"), ("Hi", "UserMessage")],
)
def test_an_object_of_another_client_among_the_messages(message, hint, client):
    with pytest.raises(TypeError, match=hint):
        client.prepare(messages=[message])


def test_requests_in_anthropics_format_are_sent_in_ours():
    client = AsyncClient("token")
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}}
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {}}}

    sent = client.prepare(
        "Hi",
        image,
        messages=[{"role": "user", "content": [image]}],
        tools=[tool],
        tool_choice={"type": "tool", "name": "f"},
    ).json()

    ours = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    assert sent["messages"][0]["content"] == [ours]
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "Hi"}, ours]
    assert sent["tools"][0]["function"]["name"] == "f"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
