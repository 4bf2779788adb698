"""``acechat emulate``: scripts, faults, logs and the printed settings."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from acechat import Client, RateLimitError

COMMAND = [sys.executable, "-m", "acechat", "emulate", "--port", "0"]


@contextmanager
def emulating(*options, stdin=None):
    """Run the command; yield its URL, its printed settings, and a function that ends it."""
    process = subprocess.Popen(
        [*COMMAND, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "SHELL": "/bin/bash"},
    )
    if stdin is not None:
        process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    try:
        url = process.stdout.readline().split()[-1]
        settings = [process.stdout.readline().strip() for _ in range(2)]

        def end():
            process.send_signal(signal.SIGINT)
            return process.communicate(timeout=20)

        yield url, settings, end
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", "export ACEDATACLOUD_API_TOKEN=emulated-token"),
        ("fish", "set -gx ACEDATACLOUD_API_TOKEN emulated-token"),
        ("powershell", '$env:ACEDATACLOUD_API_TOKEN = "emulated-token"'),
        ("cmd", "set ACEDATACLOUD_API_TOKEN=emulated-token"),
    ],
)
def test_the_settings_are_printed_for_each_shell(shell, line):
    with emulating("--shell", shell) as (url, settings, _):
        assert settings[1] == line
        assert url in settings[0]


def test_the_shell_is_a_posix_one_by_default():
    with emulating() as (url, settings, _):
        assert settings[0] == f"export ACEDATACLOUD_API_BASE_URL={url}"


def test_requests_are_logged_and_unused_responses_reported(tmp_path):
    script = tmp_path / "script.json"
    script.write_bytes(b'\xef\xbb\xbf["Hi", "there", "unused"]')  # with a byte order mark
    with emulating("--answers", str(script), "--fail", "429@2") as (url, _, end):
        with Client("emulated-token", base_url=url, retries=1) as client:
            assert client.chat("Hello").text == "Hi"
            with pytest.raises(RateLimitError):
                client.chat("Hello")
            assert client.chat("Hello").text == "there"
        log, stderr = end()
    lines = log.splitlines()
    assert [re.sub(r"^\S+ |\d+ ms$", "", line) for line in lines] == [
        f"POST '/v1/chat/completions' 'claude-sonnet-4-20250514' {status} "
        for status in (200, 429, 200)
    ]
    assert stderr == "1 scripted responses were not used\n"


def test_a_script_comes_from_standard_input():
    with emulating("--answers", "-", "--quiet", stdin='{"text": "from stdin"}') as (url, _, end):
        with Client("emulated-token", base_url=url) as client:
            assert client.chat("Hello").text == "from stdin"
        assert end() == ("", "")


def test_a_failure_beyond_the_script_comes_after_echoes():
    with (
        emulating("--fail", "503@2", "--any-model") as (url, _, _end),
        Client("emulated-token", base_url=url, model="m", retries=1) as client,
    ):
        assert client.chat("Hello").text.startswith("You said")
        with pytest.raises(Exception, match="503"):
            client.chat("Hello")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fail", "429"], "'429' is not STATUS@N, such as 429@2"),
        (["--fail", "429@0"], "is not STATUS@N"),
        (["--loop"], "--loop needs --replay FILE"),
        (["--answers", "missing.json"], "missing.json"),
        (["--answers", "-", "--replay", "x"], "--answers and --fail exclude --replay"),
        (["--delay", "-1"], "--delay"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, complaint):
    done = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, input="", timeout=30, check=False
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
