"""Notices during a call: retries with reason and attempt, an open standard input."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from acechat.emulator import drop, fail, ok

COMMAND = [sys.executable, "-m", "acechat"]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (fail(503, code="api_error"), "busy (HTTP 503)"),
        (fail(429, code="too_many_requests"), "too many requests (HTTP 429, too_many_requests)"),
        (fail(500, code="api_error"), "the service failed (HTTP 500)"),
        (drop(), "the connection failed"),
    ],
)
def test_a_retry_is_announced_with_its_reason_and_attempt(run, environment, step, reason):
    environment.script(step, step, ok("Hello"))

    done = run("chat", "Hi")

    first, second = done.stderr.splitlines()
    assert first.startswith(f"{reason}: attempt 2 of 3, in ")
    assert re.fullmatch(re.escape(reason) + r": attempt 3 of 3, in [\d.]+ s", second)
    assert (done.returncode, done.stdout) == (0, "Hello\n")


def test_a_failure_names_the_number_of_attempts(run, environment):
    environment.script(*[fail(503, code="api_error", message="Busy.")] * 3)

    done = run("chat", "Hi")

    assert done.returncode == 1
    assert "(3 attempts). Next: " in done.stderr.splitlines()[-1]
    assert len(environment.requests) == 3


def test_a_failure_without_a_retry_names_no_attempts(run, environment):
    environment.script(fail(400, code="bad_request", message="Bad."))

    assert "attempt" not in run("chat", "Hi").stderr


def test_a_retry_is_visible_on_a_terminal(terminal, environment):
    environment.script(fail(503, code="api_error"), ok("Hello"))

    screen = terminal.open("chat", "Hi", width=80).end()

    assert screen.startswith("busy (HTTP 503): attempt 2 of 3, in ")
    assert "\nHello\n" in screen


def test_an_open_standard_input_is_explained(environment):
    process = subprocess.Popen(
        [*COMMAND, "chat", "Hi"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    notice = process.stderr.readline()
    stdout, _ = process.communicate("more", timeout=30)

    assert "waiting for the end of standard input" in notice
    assert "< /dev/null" in notice
    assert stdout == 'You said: "Hi more" (1 message)\n'


def test_a_short_wait_for_standard_input_is_silent(run, environment):
    assert run("chat", "Hi", stdin="more").stderr == ""
