"""Every example runs, says something, and is short; services are started and asked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from acechat.emulator import fail, ok

FOLDER = Path(__file__).parent.parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))
SERVICES = [path for path in EXAMPLES if path.stem.endswith("_service")]
STORIES = [path for path in EXAMPLES if path not in SERVICES]


def by_name(path):
    return path.stem


def post(url, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.headers, response.read().decode()


@pytest.mark.parametrize("example", STORIES, ids=by_name)
def test_it_runs_against_the_service_on_localhost(example, environment, skip_without_imports):
    skip_without_imports(example.read_text())
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "You said: " in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("example", SERVICES, ids=by_name)
def test_a_service_relays_the_answer(example, environment, serving):
    environment.script(ok("Hello big world"), fail(401), ok("Hello again"))
    with serving(example) as (port, process):
        url = f"http://127.0.0.1:{port}"
        headers, body = post(f"{url}/chat", {"prompt": "Hello"})
        assert headers["Content-Type"].startswith("text/event-stream")
        pieces = [json.loads(event[6:]) for event in body.split("\n\n")[:-2]]
        told = [choice["delta"].get("content") for one in pieces for choice in one["choices"]]
        assert "".join(filter(None, told)) == "Hello big world"
        assert body.endswith("data: [DONE]\n\n")

        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"{url}/chat", {"prompt": "Hello"})
        refused = json.loads(caught.value.read())
        caught.value.close()
        assert caught.value.code == 502
        assert refused == {
            "error": "AuthenticationError",
            "trace_id": environment.requests[1].trace_id,
        }

        assert "again" in post(f"{url}/chat", {"prompt": "Hello"})[1]

        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said or "KeyboardInterrupt" in said, said
    assert [request.json["messages"][-1]["content"] for request in environment.requests] == [
        "Hello"
    ] * 3


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_it_is_short_and_has_a_summary(example):
    text = example.read_text()

    assert len(text.splitlines()) <= 40
    assert "Shows:" in text


def test_they_are_numbered_without_two_of_a_number():
    numbers = [path.name[:2] for path in EXAMPLES]

    assert len(set(numbers)) == len(numbers) >= 11
    assert len(SERVICES) >= 2


@pytest.mark.parametrize("example", [*SERVICES, FOLDER / "web" / "server.py"], ids=by_name)
def test_a_service_leaves_the_port_of_the_emulator_alone(example):
    assert '"8080"' in example.read_text(encoding="utf-8")
