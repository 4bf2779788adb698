"""`acechat chat PROMPT` as a process: request, output and exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from acechat.cli.app import cli
from acechat.emulator import cut, fail, ok, pace, stall

COMMAND = [sys.executable, "-m", "acechat"]
REASONING_MODEL = "claude-sonnet-4-20250514-thinking"


def test_a_piped_response_is_plain_text(run, environment):
    environment.script(ok("# Title\n\n* one\n* two\n"))

    done = run("chat", "Hello")

    assert done.stdout == "# Title\n\n* one\n* two\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_options_reach_the_service(run, environment, dot):
    run("chat", "Hello", "--model", "claude-x", "--system", "Be brief.", "--image", dot)

    sent = environment.requests[0].json
    assert sent["model"] == "claude-x"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in sent["messages"][1]["content"]] == ["text", "image_url"]


def test_standard_input_is_added_to_the_prompt(run, environment):
    run("chat", "Summarise", stdin="a long text\n")

    parts = environment.requests[0].json["messages"][0]["content"]
    assert [part["text"] for part in parts] == ["Summarise", "a long text"]


def test_reasoning_goes_to_stderr_when_piped(run, environment):
    environment.script(ok("4", reasoning="2 and 2"))

    done = run("chat", "2 + 2?", "--reasoning")

    assert (done.stdout, done.stderr) == ("4\n", "2 and 2\n")


def test_reasoning_is_hidden_by_default(run, environment):
    environment.script(ok("4", reasoning="2 and 2"))

    done = run("chat", "2 + 2?")

    assert (done.stdout, done.stderr) == ("4\n", "")


def test_the_emulator_needs_no_token(run):
    done = run("chat", "Hello", "--emulator")

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert done.returncode == 0


def test_an_error_response_is_one_line_with_code_and_trace_id(run, environment):
    done = run("chat", "Hello", env={"ACEDATACLOUD_API_TOKEN": "wrong"})

    trace_id = environment.requests[0].trace_id
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "acechat: HTTP 401 invalid_token: The specified token is invalid or wrong. "
        f"(trace {trace_id}). Next: copy a token from https://platform.acedata.cloud, "
        "then: acechat config set token\n"
    )


def test_a_truncated_response_is_shown_and_fails(run, environment):
    environment.script(cut(after=4, of=ok(["one ", "two ", "three"])))

    done = run("chat", "Hello")

    assert done.stdout == "one two \n"
    assert done.returncode == 1
    assert done.stderr.startswith("acechat: the stream ended after 4 events")
    assert done.stderr.count("\n") == 1


def test_an_html_error_page_is_one_line(run, environment):
    page = "<html>\n<head><title>413\nToo Large</title></head></html>"
    environment.script(fail(413, body=page, headers={"Content-Type": "text/html"}))

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert (
        done.stderr
        == "acechat: HTTP 413: 413 Too Large (HTML page from Python/"
        + (done.stderr.partition("Python/")[2])
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["chat", "Hi"], {}, "no API token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "platform-v1-x"}, "platform token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "a\r\nb"}, "invalid characters"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "tökén"}, "invalid characters"),
        (["chat", "Hi", "--emulator", "-i", "missing.png"], {}, "No such file"),
        (["chat", "Hi", "--emulator", "-i", "."], {}, "Is a directory"),
        (["chat", "Hi", "--emulator", "-i", __file__], {}, "has no supported format"),
        (["chat", "--emulator"], {}, "the prompt is empty"),
        (["chat", "Hi", "--emulater"], {}, "No such option"),
        (["chatt"], {}, "Did you mean 'chat'?"),
        (["chat", "Hi", "--emulator", "-o", "max_token=5"], {}, "did you mean 'max_tokens'?"),
        (["chat", "Hi", "--emulator", "-o", "max_tokens=many"], {}, "must be an integer"),
        (["chat", "Hi", "--emulator", "-o", "max_tokens"], {}, "expected KEY=VALUE"),
        (
            ["chat", "Hi", "--emulator", "-o", "model=x"],
            {},
            "use --model instead of the field 'model'",
        ),
        (["chat", "Hi", "--emulator", "--timeout", "-1"], {}, "must be a positive number"),
        (["chat", "Hi", "--emulator", "--load", "missing.json"], {}, "No such file"),
        (["chat", "Hi", "--emulator", "--continue"], {}, "there is no conversation to continue"),
    ],
)
def test_wrong_usage_shows_the_next_step_and_exits_with_2(run, arguments, env, message):
    done = run(*arguments, env=env)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_connection_error_is_one_line_and_exit_code_1(run):
    env = {
        "ACEDATACLOUD_API_TOKEN": "token",
        "ACEDATACLOUD_API_BASE_URL": "http://127.0.0.1:9",
    }

    done = run("chat", "Hello", env=env)

    assert done.returncode == 1
    assert re.sub(r"in [\d.]+ s", "in N s", done.stderr) == (
        "no connection: attempt 2 of 3, in N s\n"
        "no connection: attempt 3 of 3, in N s\n"
        "acechat: cannot connect to 127.0.0.1:9: Connection refused (3 attempts). "
        "Next: acechat doctor\n"
    )


def test_a_closed_pipe_is_no_error(environment):
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
    _, stderr = process.communicate(timeout=10)

    assert process.returncode == 130
    assert time.monotonic() - started < 1
    assert "Traceback" not in stderr


def test_emulate_serves_until_ctrl_c(run):
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--port", "0", "--shell", "sh"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
    lines = [process.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
    settings = dict(line.split("=", 1) for line in lines)

    done = run("chat", "Hello", env=settings)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert process.returncode in {0, 130}
    assert stderr == ""


@pytest.mark.parametrize("missing", ["click", "rich", "prompt_toolkit", "platformdirs"])
def test_a_missing_extra_names_the_package_to_install(missing, tmp_path):
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError(name={missing!r})")

    done = subprocess.run(
        [*COMMAND, "--help"],
        env=os.environ
        | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
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
        assert done.returncode == 0  # the others are imported where they are needed


def test_a_missing_package_that_is_imported_later_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "platformdirs.py").write_text("raise ModuleNotFoundError(name='platformdirs')")
    monkeypatch.delenv("ACECHAT_CONFIG")

    done = run(
        "models", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    )

    assert done.stderr.startswith("acechat: the command line needs platformdirs: ")


def test_json_has_every_field_of_the_response(run, environment):
    done = run("chat", "Hello", "--json")

    completion = json.loads(done.stdout)
    assert completion["choices"][0]["message"]["content"] == 'You said: "Hello" (1 message)'
    assert completion["usage"]["total_tokens"] == 21
    assert done.stdout.count("\n") == 1


def without_nulls(value):
    """Remove null fields: in a stream they cannot be distinguished from missing ones."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def test_json_is_the_same_without_a_stream(run, environment):
    streamed = run("chat", "Hello", "--json")
    complete = run("chat", "Hello", "--json", "--no-stream")

    assert without_nulls(json.loads(complete.stdout)) == without_nulls(json.loads(streamed.stdout))
    assert [request.json.get("stream") for request in environment.requests] == [True, False]


def test_json_is_escaped_for_any_encoding_and_control_character(run, environment):
    environment.script(ok("\u4f60\u597d \U0001f600 \x1b[31m \x9b31m"))

    done = run(
        "chat", "Hello", "--json", text=False, stdin=b"", env={"PYTHONIOENCODING": "latin-1"}
    )

    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout
    content = json.loads(done.stdout)["choices"][0]["message"]["content"]
    assert content == "\u4f60\u597d \U0001f600 \x1b[31m \x9b31m"


def test_a_response_without_a_stream_looks_the_same(run, environment):
    arguments = ("chat", "2 + 2?", "--model", REASONING_MODEL, "--reasoning")

    streamed, complete = run(*arguments), run(*arguments, "--no-stream")

    assert (complete.stdout, complete.stderr) == (streamed.stdout, streamed.stderr)
    assert "I say it back" in complete.stderr


def test_request_fields_have_the_types_of_the_api(run, environment):
    options = ["max_tokens=9", "temperature=0.5", "user=123", 'stop=["a","b"]', "logprobs=true",
               'response_format={"type": "json_object"}', "reasoning-effort=high"]  # fmt: skip

    run("chat", "Hello", *[word for option in options for word in ("--option", option)])

    sent = environment.requests[0].json
    assert {name: sent[name] for name in sent if name not in {"model", "messages", "stream"}} == {
        "max_tokens": 9, "temperature": 0.5, "user": "123", "stop": ["a", "b"], "logprobs": True,
        "response_format": {"type": "json_object"}, "reasoning_effort": "high",
    }  # fmt: skip


def test_truncation_at_the_token_limit_is_reported(run, environment):
    done = run("chat", "Hello", "-o", "max_tokens=3")

    assert done.stdout == "You said:\n"
    assert done.stderr == ("the response was truncated at its token limit. Next: --max-tokens N\n")


def test_all_choices_are_shown(run, environment):
    done = run("chat", "Hello", "-o", "n=2")

    first, second = done.stdout.split("\n\n---\n\n")
    assert first == 'You said: "Hello" (1 message, answer 1 of 2)'
    assert second == 'You said: "Hello" (1 message, answer 2 of 2)\n'


def test_usage_shows_tokens_cost_and_time(run, environment):
    usage = {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240,
             "cost": {"amount": 0.0125, "currency": "Credits"}}  # fmt: skip
    environment.script(pace(0.05, of=ok(["word "] * 10, usage=usage)))

    done = run("chat", "Hello", "--usage")

    assert re.fullmatch(
        r"1,200 tokens in, 40 out \| 0\.0125 Credits \| first token \d\.\d\d s \| "
        r"\d\.\d\d s total \| \d+ tokens/s\n",
        done.stderr,
    )


def test_usage_omits_fields_that_are_not_reported(run, environment):
    environment.script(ok("Hi", usage={"total_tokens": 3}))

    done = run("chat", "Hello", "--usage")

    assert re.fullmatch(r"first token \d\.\d\d s \| \d\.\d\d s total\n", done.stderr)


def test_the_timeout_ends_the_call(run, environment):
    environment.script(stall(30, after=3))

    done = run("chat", "Hello", "--timeout", "1.5")

    assert done.returncode == 1
    assert done.stdout == "You\n"
    assert done.stderr.endswith("Next: set a longer limit: --timeout SECONDS\n")


def test_a_response_can_be_saved(run, environment, tmp_path):
    environment.script(ok("# Hi\n"))

    run("chat", "Hello", "--save", str(tmp_path / "response.md"))

    assert (tmp_path / "response.md").read_text() == "# Hi\n\n"


def test_a_response_that_cannot_be_saved_is_shown(run, environment):
    done = run("chat", "Hello", "--save", "/nonexistent/x.md")

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert done.stderr == (
        "acechat: cannot write '/nonexistent/x.md': "
        "No such file or directory. Next: choose another file\n"
    )
    assert done.returncode == 2


def test_several_arguments_are_one_prompt(run, environment):
    run("chat", "hi", "there")

    assert environment.requests[0].json["messages"][0]["content"] == "hi there"


def test_an_empty_prompt_is_not_sent(run, environment):
    done = run("chat", "   ", stdin="\n")

    assert done.returncode == 2
    assert "the prompt is empty" in done.stderr
    assert environment.requests == []


@pytest.mark.parametrize(("prompt", "code"), [("", 2), ("Hello", 0)])
def test_closed_standard_input_is_empty(environment, prompt, code):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat {prompt} <&-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_json_of_a_truncated_response_is_partial(run, environment):
    environment.script(cut(after=4, of=ok(["one ", "two ", "three"])))

    done = run("chat", "Hello", "--json")

    (choice,) = json.loads(done.stdout)["choices"]
    assert choice["message"]["content"] == "one two "
    assert choice.get("finish_reason") is None
    assert done.returncode == 1
    assert done.stderr.startswith("acechat: the stream ended after 4 events")


@pytest.mark.parametrize("option", ["--image", "--load", "--save"])
def test_the_shell_completes_files(option):
    complete = ShellComplete(cli, {}, "acechat", "_ACECHAT_COMPLETE")

    (found,) = complete.get_completions(["chat", option], "ca")

    assert found.type == "file"


def test_several_images_and_image_urls_are_sent(run, environment, dot):
    run("chat", "Compare", "-i", dot, "-i", "https://img.example/x.png")

    text, first, second = environment.requests[0].json["messages"][0]["content"]
    assert text["text"] == "Compare"
    assert first["image_url"]["url"].startswith("data:image/png;base64,")
    assert second["image_url"]["url"] == "https://img.example/x.png"


def test_a_conversation_can_be_saved_and_loaded(run, environment, tmp_path):
    file = str(tmp_path / "talk.json")

    run("chat", "I am Ada.", "--system", "Be brief.", "--model", "claude-x", "--save", file)
    run("chat", "Who am I?", "--load", file)

    sent = environment.requests[1].json
    assert [message["role"] for message in sent["messages"]] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert sent["model"] == "claude-x"


def test_an_image_may_come_from_standard_input(run, environment, dot):
    data = Path(dot).read_bytes()

    run("chat", "What is this?", "--image", "-", stdin=data, text=False)

    text, image = environment.requests[0].json["messages"][0]["content"]
    assert text["text"] == "What is this?"
    assert image["image_url"]["url"].startswith("data:image/png;base64,")


def test_binary_standard_input_is_rejected(run, environment, dot):
    done = run("chat", "What is this?", stdin=Path(dot).read_bytes(), text=False)

    assert done.returncode == 2
    assert b"send an image with --image -" in done.stderr
    assert environment.requests == []


def test_an_image_may_have_a_windows_path(run, environment, dot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = r"C:\Users\Ada Lovelace\dot.png"
    (tmp_path / name).write_bytes(Path(dot).read_bytes())

    run("chat", "What is this?", "--image", name)

    assert "image_url" in environment.requests[0].json["messages"][0]["content"][1]


CONTROLS = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x08\rred\x7f \x1b[31mtext\x1b[0m"


def test_control_characters_of_a_response_are_removed(run, environment):
    environment.script(ok([CONTROLS[:3], CONTROLS[3:]], reasoning=CONTROLS))

    done = run("chat", "Hello", "--reasoning")

    assert done.stdout == "]0;pwned[2J31mred [31mtext[0m\n"
    assert done.stderr == done.stdout


def test_control_characters_of_an_error_are_removed(run, environment):
    environment.script(fail(400, code="bad\x1b[5m", message=CONTROLS))

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert not set(done.stderr[:-1]) & {chr(code) for code in [*range(32), *range(127, 160)]}


@pytest.mark.parametrize("locale", ["latin-1", "ascii", "cp1252"])
def test_characters_that_the_encoding_lacks_become_question_marks(run, environment, locale):
    environment.script(ok("\u4f60\u597d, Ren\u00e9e"))

    done = run("chat", "Hello", env={"PYTHONIOENCODING": locale}, stdin=b"", text=False)

    assert done.stdout == "??, Ren\u00e9e\n".encode(locale, "replace")
    assert done.returncode == 0


def test_a_full_disk_is_one_line(environment):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat Hello </dev/null >/dev/full"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.stderr == "acechat: No space left on device\n"
    assert done.returncode == 1


def test_closed_standard_output_is_no_error(environment):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat Hello </dev/null >&- 2>&-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0
    assert len(environment.requests) == 1


@pytest.mark.parametrize(
    ("step", "todo"),
    [
        (fail(403, code="used_up", message="No balance."), "top up at"),
        (fail(401, code="token_expired", message="Old."), "acechat config set token"),
        (fail(400, code="token_mismatched", message="Other."), "copy the token of"),
        (fail(403, code="disabled", message="Off."), "contact support"),
        (fail(403, code="forbidden", message="No."), "rephrase the prompt"),
        (fail(404, code="no_api", message="Where?"), "acechat models"),
        (fail(413, code="request_too_large", message="Big."), "send less"),
        (fail(429, code="too_many_requests", message="Slow.", retry_after=900), "wait 900 s"),
    ],
)
def test_an_error_response_shows_the_next_step(run, environment, step, todo):
    environment.script(step)

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert todo in done.stderr.partition("Next: ")[2]
    assert done.stderr.count("\n") == 1
    assert "(trace " in done.stderr


@pytest.mark.parametrize("more", [(), ("--no-stream",), ("--json",)])
def test_cache_repeats_the_stored_response(run, environment, tmp_path, more):
    env = {"XDG_CACHE_HOME": str(tmp_path / "caches")}

    first = run("chat", "Hello", "--cache", "--usage", *more, env=env)
    second = run("chat", "Hello", "--cache", "--usage", *more, env=env)

    assert first.returncode == second.returncode == 0
    assert len(environment.requests) == 1
    assert second.stdout == first.stdout
    assert "cached" not in first.stderr
    assert second.stderr.startswith("cached | ")
    if sys.platform == "linux":
        assert len(list((tmp_path / "caches" / "acechat" / "responses").iterdir())) == 1


def test_without_cache_nothing_is_stored(run, environment, tmp_path):
    run("chat", "Hello", env={"XDG_CACHE_HOME": str(tmp_path / "caches")})

    assert not (tmp_path / "caches").exists()
