"""Scripts as JSON: for the command line, the control endpoint and other languages."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from acechat import APIError, Client, StreamTruncatedError
from acechat.emulator import (
    Service,
    call,
    cut,
    drop,
    error_event,
    fail,
    heartbeats,
    malformed,
    ok,
    pace,
    read_script,
    split,
    stall,
)
from acechat.errors import ConfigurationError

SAME = [
    ("Hello", ok("Hello")),
    ({"text": "Hi", "cost": 0.5, "model": "m"}, ok("Hi", cost=0.5, model="m")),
    ({"text": ["a", "b"], "finish_reason": "length"}, ok(["a", "b"], finish_reason="length")),
    ({"text": "4", "reasoning": "2 + 2"}, ok("4", reasoning="2 + 2")),
    ({"json": {"days": 2}}, ok(json={"days": 2})),
    ({"json": None}, ok(json=None)),
    ({"usage": {"total_tokens": 1}}, ok(usage={"total_tokens": 1})),
    ({"tool_calls": [{"name": "f", "arguments": {"x": 1}}]}, call("f", x=1)),
    ({"tool_calls": [{"name": "f"}]}, call("f")),
    ({}, ok()),
    ({"fail": 429, "retry_after": 1}, fail(429, retry_after=1)),
    ({"fail": 400, "code": "busy", "message": "no"}, fail(400, "busy", "no")),
    ({"fail": 502, "body": "<html>"}, fail(502, body="<html>")),
    ({"text": "Hi", "cut": 3}, cut(3, of=ok("Hi"))),
    ({"drop": 0}, drop(0, of=ok())),
    ({"split": 7, "text": "Hi"}, split(7, of=ok("Hi"))),
    ({"delay": 0.5}, stall(0.5, of=ok())),
    ({"delay": {"seconds": 1, "after": 2}}, stall(1, after=2, of=ok())),
    ({"pace": 0.01, "cut": 2}, cut(2, of=pace(0.01, of=ok()))),
    ({"error": "busy"}, error_event("busy", of=ok())),
    (
        {"error": {"code": "busy", "after": 1, "form": "bare"}},
        error_event("busy", after=1, form="bare", of=ok()),
    ),
    ({"malformed": 1}, malformed(1, of=ok())),
    ({"heartbeats": {"every": 1, "seconds": 2}}, heartbeats(1, 2, of=ok())),
]


@pytest.mark.parametrize(("value", "step"), SAME, ids=lambda value: json.dumps(value, default=str))
def test_a_step_equals_that_of_the_function(value, step):
    assert read_script(json.dumps([value])) == [step]


def test_a_script_is_a_list_or_lines():
    steps = [ok("a"), fail(429)]
    assert read_script('["a", {"fail": 429}]') == steps
    assert read_script('"a"\n\n{"fail": 429}\r\n') == steps
    assert read_script('{"text": "a"}') == steps[:1]
    assert read_script("") == []


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("[1]", "step 1 of the script is invalid: it is 1, not a text or an object"),
        ('["a", {"txt": "b"}]', "step 2 of the script is invalid: unknown field 'txt'"),
        ('[{"fail": "429"}]', 'fail is "429", not an HTTP status'),
        ('[{"fail": 429, "text": "a"}]', "unknown field 'text'"),
        ('[{"split": 0}]', "bytes must be at least 1, not 0"),
        ('[{"cut": {"nach": 1}}]', "step 1 of the script is invalid"),
        ('[{"tool_calls": [1]}]', "step 1 of the script is invalid"),
        ('[{"tool_calls": [{}]}]', "each of tool_calls needs a name"),
        ('"a"\n{"text"', "line 2 of the script is not JSON"),
        ("[" * 100_000, r"nested too deeply|not JSON"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place(script, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        read_script(script)


# ---- the control endpoint


def control(service, method, path, body=None, token=None):
    request = urllib.request.Request(
        f"{service.url}/_acechat/{path}",
        method=method,
        data=body,
        headers={"Authorization": f"Bearer {token or service.token}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_service_is_scripted_and_asked_over_http():
    with Service() as service, Client(service.token, base_url=service.url, retries=1) as client:
        status, state = control(
            service, "POST", "script", b'["Hi", {"text": "Once", "cut": 1}, "x"]'
        )
        assert (status, state) == (200, {"unused": 3})
        assert client.chat("Hello").text == "Hi"
        with pytest.raises(StreamTruncatedError):
            list(client.stream("Hello"))
        assert control(service, "GET", "script") == (200, {"unused": 1})
        [first, second] = control(service, "GET", "requests")[1]["requests"]
        assert (first["method"], first["path"]) == ("POST", "/v1/chat/completions")
        assert first["body"]["messages"] == [{"role": "user", "content": "Hello"}]
        assert first["headers"]["authorization"] == "Bearer ***"
        assert second["body"]["stream"] is True
        assert control(service, "POST", "reset") == (200, {"unused": 0})
        assert control(service, "GET", "requests")[1] == {"requests": []}


def test_the_control_endpoint_needs_the_token_and_a_valid_script():
    with Service() as service:
        assert control(service, "GET", "requests", token="wrong")[0] == 401
        status, refusal = control(service, "POST", "script", b'[{"txt": 1}]')
        assert status == 400
        assert "unknown field 'txt'" in refusal["error"]["message"]
        assert service.unused == 0


# ---- options of the service


def test_unknown_models_are_refused_unless_any_model():
    with (
        Service(any_model=False) as service,
        Client(service.token, base_url=service.url) as client,
    ):
        assert client.chat("Hi", model="claude-sonnet-4-20250514-thinking").text
        with pytest.raises(APIError, match="model is invalid") as caught:
            client.chat("Hi", model="claude-sonet-4")
    assert caught.value.status == 400


def test_each_response_is_delayed_and_reported():
    reported = []
    with Service(delay=0.2, on_response=lambda *facts: reported.append(facts)) as service:
        service.script(fail(429), drop())
        with Client(service.token, base_url=service.url, retries=1) as client:
            for _ in range(2):
                with pytest.raises(Exception, match=r"429|connection"):
                    client.chat("Hi")
    assert [(request.path, status) for request, status, _ in reported] == [
        ("/v1/chat/completions", 429),
        ("/v1/chat/completions", 0),
    ]
    assert all(seconds >= 0.2 for *_, seconds in reported)


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
def test_a_delay_out_of_range_is_refused(delay):
    with pytest.raises(ConfigurationError, match="delay must be 0 or more seconds"):
        Service(delay=delay)


def test_a_replay_starts_again_with_loop(acechat_service, tmp_path):
    path = tmp_path / "one.acecast"
    with (
        Service(record=path, upstream=acechat_service.url) as proxy,
        Client(acechat_service.token, base_url=proxy.url) as client,
    ):
        client.chat("Hi")
    with (
        Service(replay=path, loop=True) as service,
        Client("any-token", base_url=service.url) as client,
    ):
        assert {client.chat("Hi").text for _ in range(3)} == {'You said: "Hi" (1 message)'}
