"""The command line, as processes and in a real terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from acechat.cli._output import split_blocks
from acechat.emulator import cut, fail, ok, pace, stall

COMMAND = [sys.executable, "-m", "acechat"]
DOT = str(Path(__file__).parent.parent / "examples" / "dot.png")


@pytest.fixture
def run():
    def run_command(*arguments, stdin="", env=None):
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=os.environ | (env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run_command


def test_an_answer_is_plain_text_when_piped(run, environment):
    environment.script(ok("# Title\n\n* one\n* two\n"))

    done = run("chat", "Hello")

    assert done.stdout == "# Title\n\n* one\n* two\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_options_reach_the_service(run, environment):
    run("chat", "Hello", "--model", "claude-x", "--system", "Be brief.", "--image", DOT)

    sent = environment.requests[0].json
    assert sent["model"] == "claude-x"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in sent["messages"][1]["content"]] == ["text", "image_url"]


def test_standard_input_is_a_prompt_too(run, environment):
    run("chat", "Summarise", stdin="a long text\n")

    parts = environment.requests[0].json["messages"][0]["content"]
    assert [part["text"] for part in parts] == ["Summarise", "a long text"]


def test_thoughts_go_to_stderr_when_piped(run, environment):
    environment.script(ok("4", reasoning="2 and 2"))

    done = run("chat", "2 + 2?", "--reasoning")

    assert (done.stdout, done.stderr) == ("4\n", "2 and 2\n")


def test_thoughts_are_not_shown_unless_asked_for(run, environment):
    environment.script(ok("4", reasoning="2 and 2"))

    done = run("chat", "2 + 2?")

    assert (done.stdout, done.stderr) == ("4\n", "")


def test_the_emulator_needs_no_token(run):
    done = run("chat", "Hello", "--emulator")

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert done.returncode == 0


def test_a_refusal_is_one_line_with_code_and_trace_id(run, environment):
    done = run("chat", "Hello", env={"ACEDATACLOUD_API_TOKEN": "wrong"})

    trace_id = environment.requests[0].trace_id
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "acechat: HTTP 401 invalid_token: The specified token is invalid or wrong. "
        f"(trace {trace_id})\n"
    )


def test_a_cut_answer_shows_what_came_and_fails(run, environment):
    environment.script(cut(after=4, of=ok(["one ", "two ", "three"])))

    done = run("chat", "Hello")

    assert done.stdout == "one two \n"
    assert done.returncode == 1
    assert done.stderr.startswith("acechat: the stream ended after 4 events")
    assert done.stderr.count("\n") == 1


def test_a_gateways_page_is_one_line_too(run, environment):
    page = "<html>\n<head><title>413\nToo Large</title></head></html>"
    environment.script(fail(413, body=page, headers={"Content-Type": "text/html"}))

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert (
        done.stderr
        == "acechat: HTTP 413: 413 Too Large (a page of HTML from Python/"
        + (done.stderr.partition("Python/")[2])
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["chat", "Hi"], {}, "no API token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "platform-v1-x"}, "platform token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "a\r\nb"}, "characters that no token has"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "tökén"}, "characters that no token has"),
        (["chat", "Hi", "--emulator", "-i", "missing.png"], {}, "No such file"),
        (["chat", "Hi", "--emulator", "-i", "."], {}, "Is a directory"),
        (["chat", "Hi", "--emulator", "-i", __file__], {}, "is no image of a known type"),
        (["chat", "--emulator"], {}, "nothing to say"),
        (["chat", "Hi", "--emulater"], {}, "No such option"),
        (["chatt"], {}, "No such command"),
    ],
)
def test_wrong_usage_says_what_to_do_and_exits_with_2(run, arguments, env, said):
    done = run(*arguments, env=env)

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_no_network_is_one_line_and_exit_code_1(run):
    env = {
        "ACEDATACLOUD_API_TOKEN": "token",
        "ACEDATACLOUD_API_BASE_URL": "http://127.0.0.1:9",
    }

    done = run("chat", "Hello", env=env)

    assert done.returncode == 1
    assert done.stderr == "acechat: cannot connect to 127.0.0.1:9: Connection refused\n"


def test_a_reader_that_leaves_is_no_accident(environment):
    environment.script(pace(0.02, of=ok(["word "] * 100)))

    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat Hello </dev/null | head -c 4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.stdout, done.stderr) == ("word", "")


def test_ctrl_c_ends_a_stream_within_a_second(environment):
    environment.script(stall(20, after=3))
    process = subprocess.Popen(
        [*COMMAND, "chat", "Hello"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.read(3) == "You"

    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=10)

    assert process.returncode == 130
    assert time.monotonic() - started < 1
    assert "Traceback" not in complaints


def test_emulate_serves_until_ctrl_c(run):
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
    settings = dict(pair.split("=", 1) for pair in process.stdout.readline().split())

    done = run("chat", "Hello", env=settings)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=10)

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert process.returncode in {0, 130}
    assert complaints == ""


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_it_says_what_to_install(missing, tmp_path):
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError(name={missing!r})")
    command = "chat" if missing == "click" else "--help"

    done = subprocess.run(
        [*COMMAND, command],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    if missing == "click":
        assert done.stderr == (
            "acechat: the command line needs click: python -m pip install 'acechat[cli]'\n"
        )
    else:
        assert done.returncode == 0  # rich is only needed on a terminal


@pytest.mark.parametrize(
    ("text", "whole", "rest"),
    [
        ("one", "", "one"),
        ("one\n\ntwo", "one\n\n", "two"),
        ("```\na\n\nb", "", "```\na\n\nb"),
        ("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n", "c"),
        ("a\n\n```py\nx", "a\n\n", "```py\nx"),
    ],
)
def test_a_block_ends_at_an_empty_line_outside_of_a_fence(text, whole, rest):
    assert split_blocks(text) == (whole, rest)


@pytest.fixture
def terminal():
    """Run a command in a real terminal of 60 by 20; return what the screen and its past show."""
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    name = f"acechat-{uuid.uuid4().hex[:8]}"
    server = [tmux, "-L", name]

    def show(command, until, keys=(), seconds=20.0):
        env = {key: os.environ[key] for key in os.environ if key.startswith("ACEDATACLOUD")}
        settings = [f"{key}={value}" for key, value in env.items()]
        subprocess.run(
            [*server, "-f", os.devnull, "new-session", "-d", "-x", "60", "-y", "20",
             "env", *settings, "TERM=screen-256color", "bash", "--norc", "-c",
             f"unset COLUMNS LINES; stty size; {command}; echo exit code $?; sleep 60"],
            check=True,
        )  # fmt: skip
        end = time.monotonic() + seconds
        screen = ""
        pending = list(keys)
        while time.monotonic() < end:
            screen = subprocess.run(
                [*server, "capture-pane", "-p", "-S", "-200"],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            if pending and pending[0][0] in screen:
                subprocess.run([*server, "send-keys", pending.pop(0)[1]], check=True)
            if until in screen:
                return screen
            time.sleep(0.1)
        pytest.fail(f"{until!r} did not appear on:\n{screen}")

    yield show
    subprocess.run([*server, "kill-server"], capture_output=True, check=False)


def test_on_a_terminal_markdown_is_rendered_and_nothing_is_lost(terminal, environment):
    items = "".join(f"* item {number}\n" for number in range(40))
    environment.script(ok([*f"Some **bold** text.\n\n{items}\n```python\nx = 1\n```\n"]))

    screen = terminal(f"{' '.join(COMMAND)} chat Hello", "exit code 0")

    assert "Some bold text." in screen
    assert "**" not in screen
    assert [f"item {number}" in screen for number in range(40)] == [True] * 40
    assert screen.count("item 39") == 1
    assert "x = 1" in screen
    assert "```" not in screen


def test_on_a_terminal_ctrl_c_keeps_what_came(terminal, environment):
    environment.script(stall(30, after=5, of=ok(["some ", "text ", "that ", "never comes"])))

    screen = terminal(f"{' '.join(COMMAND)} chat Hello", "exit code", keys=[("some text", "C-c")])

    assert "some text" in screen
    assert "exit code 130" in screen
    assert "Traceback" not in screen
