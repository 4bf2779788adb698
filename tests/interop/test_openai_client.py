"""OpenAI's Python client: with what `stream.sse` relays, and with the emulator."""

import json
import subprocess

import pytest

from acechat.emulator import Service, call, cut, error_event, fail, ok

pytestmark = pytest.mark.timeout(300, func_only=True)

PROGRAM = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="k-1", max_retries=0)
told = {"text": "", "finish": None, "error": None, "tokens": None}
try:
    for chunk in client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
    ):
        if chunk.usage:
            told["tokens"] = chunk.usage.total_tokens
        for choice in chunk.choices:
            told["text"] += choice.delta.content or ""
            told["finish"] = choice.finish_reason or told["finish"]
except openai.APIError as error:
    told["error"] = [error.message, error.code, error.body["trace_id"]]
print(json.dumps(told))
"""


@pytest.fixture
def hear(openai, relay_of):
    """What OpenAI's client makes of a relay of an emulator that does *step*."""

    def heard(step):
        with Service() as service:
            service.script(step)
            settings = {"base_url": service.url, "api_token": service.token, "retries": 1}
            with relay_of(**settings) as url:
                done = subprocess.run(
                    [openai, "-c", PROGRAM, url], capture_output=True, text=True, check=True
                )
            return json.loads(done.stdout), service.requests[0].trace_id

    return heard


def test_it_reads_the_answer(hear):
    told, _ = hear(ok("Hello big world"))

    assert told == {"text": "Hello big world", "finish": "stop", "error": None, "tokens": 14}


def test_it_raises_what_the_service_said_in_the_middle(hear):
    told, trace_id = hear(error_event("busy", "come back later", after=4, of=ok("Hello big world")))

    assert told["text"] == "Hello big"
    assert told["error"] == ["come back later", "busy", trace_id]


def test_it_does_not_take_a_cut_answer_for_a_whole_one(hear):
    told, trace_id = hear(cut(after=4, of=ok("Hello big world")))

    assert told["text"] == "Hello big"
    assert told["finish"] is None
    assert told["error"][1:] == ["stream_truncated", trace_id]


DIRECT = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key=sys.argv[2], max_retries=0)
model = "claude-sonnet-4-20250514"
asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": False}
tool = {"type": "function", "function": {"name": "weather", "parameters": city}}
form = {"type": "json_schema", "json_schema": {"name": "place", "schema": city, "strict": True}}
create = client.chat.completions.create
seen = {}

reply = create(**asked)
seen["text"] = reply.choices[0].message.content
seen["cost"] = reply.usage.cost["currency"]
seen["stream"] = "".join(
    choice.delta.content or "" for chunk in create(**asked, stream=True) for choice in chunk.choices
)
for name, more in {"scripted": {"tools": [tool]},
                   "forced": {"tools": [tool], "tool_choice": "required"}}.items():
    call = create(**asked, **more).choices[0].message.tool_calls[0].function
    seen[name] = [call.name, json.loads(call.arguments)]
calling = create(**asked, tools=[tool], tool_choice="required", stream=True)
parts = [call.function for chunk in calling
         for choice in chunk.choices for call in choice.delta.tool_calls or []]
seen["streamed"] = "".join(part.arguments or "" for part in parts)
seen["structured"] = json.loads(create(**asked, response_format=form).choices[0].message.content)
try:
    create(**asked)
except openai.RateLimitError as error:
    seen["error"] = [error.status_code, error.code]
seen["models"] = model in [one.id for one in client.models.list()]
print(json.dumps(seen))
"""


def test_the_official_python_client_works(openai):
    with Service() as service:
        service.script(ok("Hello!"), ok("Once upon a time"), call("weather", city="Oslo"),
                       ok(), ok(), ok(), fail(429))  # fmt: skip
        done = subprocess.run(
            [openai, "-c", DIRECT, service.url, service.token],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "text": "Hello!",
        "cost": "credits",
        "stream": "Once upon a time",
        "scripted": ["weather", {"city": "Oslo"}],
        "forced": ["weather", {"city": "Paris"}],
        "streamed": '{"city": "Paris"}',
        "structured": {"city": "Paris"},
        "error": [429, "too_many_requests"],
        "models": True,
    }
