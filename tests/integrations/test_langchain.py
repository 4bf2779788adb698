"""`ChatAceData` beyond the standard suite: what LangChain users of Claude rely on."""

from __future__ import annotations

import asyncio
import json
import pickle

import pytest

pytest.importorskip("langchain_core", reason="needs langchain-core")

from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from acechat import (
    AuthenticationError,
    Client,
    OutputError,
    StreamInterruptedError,
    StreamTruncatedError,
)
from acechat.emulator import cut, fail, ok
from acechat.integrations.langchain import ChatAceData

TOKEN = "tok-secret-0123456789"
KINDS = pytest.mark.parametrize("kind", ["invoke", "stream", "ainvoke", "astream"])
WEATHER = {"type": "function", "function": {"name": "weather"}}
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 4, "cached_creation_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 7},
}


class Answer(BaseModel):
    """An answer."""

    value: int


def weather(city: str) -> str:
    """Forecast the weather."""
    return f"rain in {city}"


@pytest.fixture
def model(environment):
    model = ChatAceData(max_retries=0)
    yield model
    model.close()


def call(model, kind, prompt="Hello", **options):
    """Return the message of a call, merged from its chunks if it is a stream."""
    owner = getattr(model, "bound", model)
    if kind == "invoke":
        return model.invoke(prompt, **options)
    if kind == "stream":
        merged = None
        for chunk in model.stream(prompt, **options):
            merged = chunk if merged is None else merged + chunk
        return merged

    async def main():
        try:
            if kind == "ainvoke":
                return await model.ainvoke(prompt, **options)
            merged = None
            async for chunk in model.astream(prompt, **options):
                merged = chunk if merged is None else merged + chunk
            return merged
        finally:
            await owner.aclose()

    return asyncio.run(main())


@KINDS
def test_reasoning_is_a_content_block(model, environment, kind):
    environment.script(ok(["Forty ", "two"], reasoning=["Let me ", "think"]))

    message = call(model, kind)

    assert message.text == "Forty two"
    assert message.additional_kwargs["reasoning_content"] == "Let me think"
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
    assert message.content_blocks[0]["reasoning"] == "Let me think"


@pytest.mark.parametrize("kind", ["invoke", "stream"])
def test_reasoning_is_a_block_of_output_version_v1(environment, kind):
    environment.script(ok("Forty two", reasoning="Let me think"))
    model = ChatAceData(output_version="v1")

    message = call(model, kind)
    model.close()

    assert [block["type"] for block in message.content] == ["reasoning", "text"]


@KINDS
def test_usage_and_metadata_are_kept(model, environment, kind):
    environment.script(ok("Hi", usage=USAGE, cost=0.5))

    message = call(model, kind)

    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 20,
        "total_tokens": 30,
        "input_token_details": {"cache_read": 4, "cache_creation": 2},
        "output_token_details": {"reasoning": 7},
    }
    metadata = message.response_metadata
    assert metadata["model_name"] == "claude-sonnet-4-20250514"
    assert metadata["finish_reason"] == "stop"
    assert metadata["trace_id"] == environment.requests[0].trace_id
    assert metadata["cost"]["amount"] == "0.5"


def test_the_usage_callback_counts(model):
    with get_usage_metadata_callback() as counted:
        model.invoke("Hello")

    (usage,) = counted.usage_metadata.values()
    assert usage["total_tokens"] > 0


@KINDS
def test_tool_calls_are_parsed(model, environment, kind):
    calls = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"}), ("clock", {})]
    environment.script(ok(tool_calls=calls))

    message = call(model.bind_tools([weather]), kind)

    assert [(each["name"], each["args"]) for each in message.tool_calls] == calls
    assert len({each["id"] for each in message.tool_calls}) == 3
    assert not message.invalid_tool_calls
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_tool_call_chunks_are_streamed(model, environment):
    environment.script(ok(tool_calls=[("weather", {"city": "Paris and its surroundings"})]))

    chunks = [each for each in model.stream("?") if each.tool_call_chunks]

    assert chunks[0].tool_call_chunks[0]["name"] == "weather"
    text = "".join(each.tool_call_chunks[0]["args"] or "" for each in chunks)
    assert json.loads(text) == {"city": "Paris and its surroundings"}
    assert {each.tool_call_chunks[0]["index"] for each in chunks} == {0}


def test_invalid_arguments_are_an_invalid_tool_call(model, environment):
    environment.script(ok(tool_calls=[("weather", "{not json")]))

    message = model.invoke("?")

    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == "{not json"


@KINDS
def test_a_truncated_tool_call_is_an_error(model, environment, kind):
    half = ok(tool_calls=[("weather", '{"city": "Par')], finish_reason="length")
    environment.script(half)

    with pytest.raises(OutputError, match="truncated at the token limit"):
        call(model.bind_tools([weather]), kind)


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_a_truncated_structured_output_is_an_error(model, environment, method):
    step = {"tool_calls": [("Answer", '{"value": 4')]}
    if method != "function_calling":
        step = {"text": '{"value": 4'}
    environment.script(ok(**step, finish_reason="length"))

    with pytest.raises(OutputError, match="truncated at the token limit"):
        model.with_structured_output(Answer.model_json_schema(), method=method).invoke("?")


def test_truncated_text_is_reported_by_its_finish_reason(model, environment):
    environment.script(ok("Half of", finish_reason="length"))

    assert model.invoke("?").response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("kind", ["stream", "astream"])
def test_a_truncated_stream_is_an_error(model, environment, kind):
    environment.script(cut(after=4, of=ok("one two three four")))

    with pytest.raises((StreamTruncatedError, StreamInterruptedError)) as caught:
        call(model, kind)

    assert caught.value.partial.text.startswith("one")


@KINDS
def test_errors_are_those_of_acechat(model, environment, kind):
    environment.script(fail(401))

    with pytest.raises(AuthenticationError):
        call(model, kind)


def test_a_fallback_takes_over(model, environment):
    environment.script(fail(503))
    other = ChatAceData(model="claude-opus-4-20250514", client=model._blocking())

    message = model.with_fallbacks([other]).invoke("Hello")

    assert message.response_metadata["model_name"] == "claude-opus-4-20250514"


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("include_raw", [False, True])
def test_structured_output(model, environment, method, include_raw):
    step = {"tool_calls": [("Answer", {"value": 42})]}
    environment.script(ok(**step) if method == "function_calling" else ok('{"value": 42}'))

    found = model.with_structured_output(Answer, method=method, include_raw=include_raw).invoke("?")

    assert (found["parsed"] if include_raw else found) == Answer(value=42)
    body = environment.requests[0].json
    if method == "function_calling":
        assert body["tool_choice"] == {"type": "function", "function": {"name": "Answer"}}
    else:
        wanted = {"json_schema": "json_schema", "json_mode": "json_object"}[method]
        assert body["response_format"]["type"] == wanted


@pytest.mark.parametrize("model_name", ["claude-opus-5", "claude-sonnet-4-20250514-thinking"])
def test_a_model_that_reasons_is_not_forced_to_call(environment, model_name):
    model = ChatAceData(model=model_name)
    environment.script(ok(tool_calls=[("Answer", {"value": 42})]), ok("Hm"))
    structured = model.with_structured_output(Answer)

    assert structured.invoke("?") == Answer(value=42)
    assert environment.requests[0].json["tool_choice"] == "auto"
    with pytest.raises(OutputError, match="did not call the tool"):
        structured.invoke("?")
    model.close()


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("any", "required"),
        (True, "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("weather", WEATHER),
        ({"type": "tool", "name": "weather"}, WEATHER),
        (WEATHER, WEATHER),
    ],
)
def test_tool_choice(model, environment, choice, sent):
    model.bind_tools([weather], tool_choice=choice).invoke("?")

    assert environment.requests[0].json["tool_choice"] == sent


def test_messages_are_sent_as_the_service_wants_them(model, environment):
    reasoned = AIMessage(
        [{"type": "thinking", "thinking": "Hm", "signature": "x"}, {"type": "text", "text": "Ok"}],
        tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": "c1"}],
    )
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    cached = {"type": "text", "text": "Long", "cache_control": {"type": "ephemeral"}}
    model.invoke(
        [
            SystemMessage([cached]),
            HumanMessage([{"type": "text", "text": "Look"}, image]),
            reasoned,
            ToolMessage("rain", tool_call_id="c1"),
        ]
    )

    system, user, assistant, tool = environment.requests[0].json["messages"]
    assert system["content"] == [cached]
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    assert assistant["content"] == "Ok"
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert (tool["role"], tool["content"], tool["tool_call_id"]) == ("tool", "rain", "c1")


def test_options_are_sent(environment):
    model = ChatAceData(
        temperature=0, max_tokens=9, stop=["x"], reasoning_effort="low", model_kwargs={"user": "u"}
    )
    model.invoke("Hello", top_p=0.5)
    model.close()

    body = environment.requests[0].json
    assert {"temperature": 0, "max_tokens": 9, "reasoning_effort": "low"}.items() <= body.items()
    assert (body["stop"], body["user"], body["top_p"]) == (["x"], "u", 0.5)


def test_an_unknown_option_is_an_error(model):
    with pytest.raises(TypeError, match="max_tokens"):
        model.invoke("Hello", max_token=3)


def test_callbacks_receive_the_tokens(model, environment):
    tokens, ended = [], []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token, **_):
            tokens.append(token)

        def on_llm_end(self, response, **_):
            ended.append(response)

    environment.script(ok(["one ", "two"]))
    streaming = model.model_copy(update={"streaming": True})
    message = streaming.invoke("Hello", config={"callbacks": [Listener()]})

    assert message.text == "one two"
    assert [token for token in tokens if token] == ["one ", "two"]
    assert len(ended) == 1
    streaming.close()


def test_a_chain_streams(model, environment):
    environment.script(ok(["one ", "two"]))
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model

    assert "".join(chunk.text for chunk in chain.stream({"question": "?"})) == "one two"


def test_a_stream_that_is_left_closes_its_connection(model, environment):
    environment.script(ok(["one ", "two "] * 500))

    stream = model.stream("Hello")
    next(stream)
    stream.close()

    assert model.invoke("Again").text


def test_several_choices_are_generations(model):
    result = model.generate([[HumanMessage("Hello")]], n=2)

    assert len(result.generations[0]) == 2
    assert result.generations[0][1].message.usage_metadata is None


def test_tokens_are_counted_by_the_service(model):
    assert model.get_num_tokens("Hello big world") > 0
    assert model.get_num_tokens_from_messages([HumanMessage("Hello")], tools=[weather]) > 0


def test_the_token_is_in_no_text(monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "other")
    model = ChatAceData(api_key=TOKEN)

    texts = [repr(model), str(model), dumps(model), str(model._get_ls_params())]
    texts += [str(model._identifying_params), str(model.model_dump()), model.model_dump_json()]
    assert not [text for text in texts if TOKEN in text]
    assert TOKEN.encode() not in pickle.dumps(model)


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_a_model_is_loaded_without_its_token(environment):
    serialized = dumps(ChatAceData(api_token=TOKEN, temperature=0.5, stop=["x"]))

    loaded = loads(
        serialized,
        valid_namespaces=["acechat"],
        allowed_objects=[ChatAceData],
        secrets_from_env=True,
    )

    assert TOKEN not in serialized
    assert (loaded.temperature, loaded.stop) == (0.5, ["x"])
    assert loaded.api_token.get_secret_value() == environment.token


def test_a_model_pickles_without_its_token(environment):
    model = ChatAceData(api_token=TOKEN, temperature=0.5)
    model._blocking()
    copy = pickle.loads(pickle.dumps(model))
    model.close()

    assert copy.temperature == 0.5
    assert copy.api_token.get_secret_value() == environment.token
    assert copy.invoke("Hello").text
    copy.close()


def test_a_client_is_shared(environment):
    with Client(environment.token, base_url=environment.url) as client:
        ChatAceData(client=client).invoke("Hello")
        assert client.meter.snapshot().calls == 1


def test_the_agent_of_langchain_runs(model, environment):
    agents = pytest.importorskip("langchain.agents", reason="needs langchain")
    environment.script(ok(tool_calls=[("weather", {"city": "Paris"})]), ok("Take one"))

    result = agents.create_agent(model, tools=[weather]).invoke(
        {"messages": [{"role": "user", "content": "Umbrella in Paris?"}]}
    )

    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert result["messages"][2].content == "rain in Paris"
