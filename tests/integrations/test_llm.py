"""The plugin of `llm`, with the real library and its command line, against the emulator."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("llm", reason="needs llm")

import llm
from pydantic import BaseModel

from acechat.emulator import Service, cut, fail, ok

MODEL = "acechat/claude-sonnet-4-20250514"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
PDF = b"%PDF-1.4\n"
KINDS = pytest.mark.parametrize("kind", ["blocking", "async"])
STREAM = pytest.mark.parametrize("stream", [True, False])


class Answer(BaseModel):
    value: int


def weather(city: str) -> str:
    """Forecast the weather."""
    return f"rain in {city}"


@pytest.fixture(autouse=True)
def folder(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    yield
    gc.collect()  # a chain and its model are a cycle; the client closes when the model is collected
    until = time.monotonic() + 10
    while any(each.name == "acechat" for each in threading.enumerate()):
        assert time.monotonic() < until, "the client of a model was not closed"
        time.sleep(0.02)


def ask(kind, *content, **options):
    """Return the response to a prompt, complete and blocking."""
    if kind == "blocking":
        response = llm.get_model(MODEL).prompt(*content, **options)
        response.text()
        return response

    model = llm.get_async_model(MODEL)  # it reads files, which must not block a loop

    async def main():
        response = await model.prompt(*content, **options)
        return await response.to_sync_response()

    return asyncio.run(main())


def parts_of(response):
    return [part for message in response.messages() for part in message.parts]


@KINDS
@STREAM
def test_text_reasoning_and_usage(environment, kind, stream):
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    usage["completion_tokens_details"] = {"reasoning_tokens": 3}
    environment.script(ok(["Forty ", "two"], reasoning=["Let me ", "think"], usage=usage))

    response = ask(kind, "Hello", stream=stream, system="Be brief.")

    assert response.text() == "Forty two"
    reasoning, text = parts_of(response)
    assert (reasoning.text, text.text) == ("Let me think", "Forty two")
    assert (response.usage().input, response.usage().output) == (5, 7)
    assert response.usage().details == {"completion_tokens_details": {"reasoning_tokens": 3}}
    assert response.resolved_model == "claude-sonnet-4-20250514"
    assert response.response_json["trace_id"] == environment.requests[0].trace_id
    assert environment.requests[0].json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert environment.requests[0].json.get("stream", False) is stream


def ask_again(model, key, times=1):
    """Send a prompt to *model*, with *key*."""
    model.key = key  # as an argument it would be looked up in a file, which blocks the loop
    if isinstance(model, llm.KeyModel):
        return [model.prompt("Hello").text() for _ in range(times)]

    async def main():
        return [await model.prompt("Hello").text() for _ in range(times)]

    return asyncio.run(main())


def get_model(kind):
    return llm.get_model(MODEL) if kind == "blocking" else llm.get_async_model(MODEL)


@KINDS
def test_prompts_to_one_model_share_a_connection(environment, kind):
    ask_again(get_model(kind), environment.token, times=2)

    first, second = environment.requests
    assert first.client_port == second.client_port


@KINDS
def test_a_model_uses_the_key_and_the_address_of_each_prompt(environment, kind, monkeypatch):
    model = get_model(kind)
    with Service() as other:
        assert ask_again(model, environment.token)
        with pytest.raises(llm.ModelError, match="401"):
            ask_again(model, "another-token")
        monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", other.url)
        assert ask_again(model, environment.token)

    assert len(environment.requests) == 2
    assert len(other.requests) == 1


@KINDS
def test_options(environment, kind):
    ask(kind, "Hello", options={"max_tokens": 9, "temperature": 0.5, "reasoning_effort": "low"})

    body = environment.requests[0].json
    assert (body["max_tokens"], body["temperature"], body["reasoning_effort"]) == (9, 0.5, "low")


@KINDS
@STREAM
def test_a_schema_is_a_forced_tool_whose_arguments_are_the_text(environment, kind, stream):
    environment.script(ok(tool_calls=[("output", {"value": 42})]))

    response = ask(kind, "?", schema=Answer, stream=stream)

    assert json.loads(response.text()) == {"value": 42}
    assert environment.requests[0].json["tool_choice"]["function"]["name"] == "output"


def test_a_model_that_reasons_is_not_forced_to_call(environment):
    environment.script(ok(tool_calls=[("output", {"value": 42})]))

    response = ask("blocking", "?", schema=Answer, options={"reasoning_effort": "low"})

    assert json.loads(response.text()) == {"value": 42}
    assert "tool_choice" not in environment.requests[0].json


@KINDS
@STREAM
def test_tool_calls(environment, kind, stream):
    calls = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
    environment.script(ok(tool_calls=calls))

    response = ask(kind, "?", tools=[weather], stream=stream)

    found = response.tool_calls() if kind == "blocking" else response._tool_calls
    assert [(call.name, call.arguments) for call in found] == calls
    assert len({call.tool_call_id for call in found}) == 2
    kinds = [type(part).__name__ for part in parts_of(response)]
    assert kinds == ["ToolCallPart", "ToolCallPart"]


def test_a_chain_runs_tools(environment):
    environment.script(ok(tool_calls=[("weather", {"city": "Paris"})]), ok("Take one"))

    text = llm.get_model(MODEL).chain("Umbrella in Paris?", tools=[weather]).text()

    assert text == "Take one"
    user, assistant, tool = environment.requests[1].json["messages"]
    assert user["content"] == "Umbrella in Paris?"
    assert assistant["tool_calls"][0]["function"]["name"] == "weather"
    assert (tool["role"], tool["content"]) == ("tool", "rain in Paris")
    assert tool["tool_call_id"] == assistant["tool_calls"][0]["id"]


def test_a_conversation_sends_its_history(environment):
    environment.script(ok("Hi Ada", reasoning="Hm"), ok("Ada"))
    conversation = llm.get_model(MODEL).conversation()
    conversation.prompt("I am Ada").text()
    conversation.prompt("Who am I?").text()

    assert [each["content"] for each in environment.requests[1].json["messages"]] == [
        "I am Ada",
        "Hi Ada",
        "Who am I?",
    ]


@pytest.mark.parametrize(
    ("attachment", "part"),
    [
        ({"content": PNG, "type": "image/png"}, "image_url"),
        ({"url": "https://example.com/a.png", "type": "image/png"}, "image_url"),
        ({"content": PDF, "type": "application/pdf"}, "file"),
    ],
)
def test_attachments(environment, attachment, part):
    ask("blocking", "What is this?", attachments=[llm.Attachment(**attachment)])

    text, sent = environment.requests[0].json["messages"][0]["content"]
    assert text["text"] == "What is this?"
    assert sent["type"] == part
    if "url" in attachment:
        assert sent["image_url"]["url"] == attachment["url"]


@KINDS
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (fail(401), "401"),
        (cut(after=4, of=ok("one two three four")), "truncated|interrupted|ended|broke"),
        (ok(tool_calls=[("weather", '{"city": "Par')], finish_reason="length"), "truncated"),
    ],
)
def test_failures_are_model_errors(environment, kind, step, message):
    environment.script(step)

    with pytest.raises(llm.ModelError, match=message):
        ask(kind, "Hello", tools=[weather])


def test_a_missing_key_is_explained(monkeypatch):
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")

    with pytest.raises(llm.NeedsKeyException, match="ACEDATACLOUD_API_TOKEN"):
        ask("blocking", "Hello")


def run(*arguments, **options):
    command = Path(sys.executable).with_name("llm")
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_the_command_line(environment):
    environment.script(ok("Hi Ada", reasoning="Let me think"))

    done = run("-m", MODEL, "hi", "-o", "max_tokens", "50", "--usage")

    assert done.stdout.strip() == "Hi Ada", done.stderr
    assert "input" in done.stderr
    assert environment.requests[0].json["max_tokens"] == 50
    logged = run("logs", "--json").stdout
    assert "Hi Ada" in logged
    assert environment.token not in logged


def test_the_command_line_shows_an_error_without_a_traceback(environment):
    environment.script(fail(401))

    done = run("-m", MODEL, "hi")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_refresh_stores_the_models_of_the_service(environment):
    done = run("acechat", "refresh")
    assert "models stored in" in done.stdout, done.stderr

    listed = run("models", "-q", "acechat/").stdout
    assert "acechat/claude-sonnet-4-20250514" in listed


def test_the_known_models_are_those_of_the_service():
    from acechat.emulator import MODELS
    from acechat.integrations.llm import _NAMES

    assert set(_NAMES) == set(MODELS)
