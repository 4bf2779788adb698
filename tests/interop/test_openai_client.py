"""OpenAI's own Python client reads what `stream.sse` relays: the answer, and the failure."""

import json
import subprocess

import pytest

from acechat.emulator import Service, cut, error_event, ok

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

    assert told == {"text": "Hello big world", "finish": "stop", "error": None, "tokens": 4}


def test_it_raises_what_the_service_said_in_the_middle(hear):
    told, trace_id = hear(error_event("busy", "come back later", after=4, of=ok("Hello big world")))

    assert told["text"] == "Hello big"
    assert told["error"] == ["come back later", "busy", trace_id]


def test_it_does_not_take_a_cut_answer_for_a_whole_one(hear):
    told, trace_id = hear(cut(after=4, of=ok("Hello big world")))

    assert told["text"] == "Hello big"
    assert told["finish"] is None
    assert told["error"][1:] == ["stream_truncated", trace_id]
