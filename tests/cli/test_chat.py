"""`acechat chat PROMPT`, as a process: what it sends, prints, and returns."""

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
THINKER = "claude-sonnet-4-20250514-thinking"


def test_an_answer_is_plain_text_when_piped(run, environment):
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
        f"(trace {trace_id}). Next: copy a token from https://platform.acedata.cloud, "
        "then: acechat config set token\n"
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
        == "acechat: HTTP 413: 413 Too Large (HTML page from Python/"
        + (done.stderr.partition("Python/")[2])
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["chat", "Hi"], {}, "no API token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "platform-v1-x"}, "platform token"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "a\r\nb"}, "invalid characters"),
        (["chat", "Hi"], {"ACEDATACLOUD_API_TOKEN": "tökén"}, "invalid characters"),
        (["chat", "Hi", "--emulator", "-i", "missing.png"], {}, "No such file"),
        (["chat", "Hi", "--emulator", "-i", "."], {}, "Is a directory"),
        (["chat", "Hi", "--emulator", "-i", __file__], {}, "has no supported format"),
        (["chat", "--emulator"], {}, "nothing to say"),
        (["chat", "Hi", "--emulater"], {}, "No such option"),
        (["chatt"], {}, "Did you mean 'chat'?"),
        (["chat", "Hi", "--emulator", "-o", "max_token=5"], {}, "did you mean 'max_tokens'?"),
        (["chat", "Hi", "--emulator", "-o", "max_tokens=many"], {}, "must be a whole number"),
        (["chat", "Hi", "--emulator", "-o", "max_tokens"], {}, "is no KEY=VALUE"),
        (["chat", "Hi", "--emulator", "-o", "model=x"], {}, "an option of its own: --model"),
        (["chat", "Hi", "--emulator", "--timeout", "-1"], {}, "must be a positive number"),
        (["chat", "Hi", "--emulator", "--load", "missing.json"], {}, "No such file"),
        (["chat", "Hi", "--emulator", "--continue"], {}, "no conversation to continue"),
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
    assert done.stderr == (
        "acechat: cannot connect to 127.0.0.1:9: Connection refused. Next: acechat doctor\n"
    )


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


@pytest.mark.parametrize("missing", ["click", "rich", "prompt_toolkit", "platformdirs"])
def test_without_its_extra_it_says_what_to_install(missing, tmp_path):
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


def test_what_is_needed_later_is_named_too(run, tmp_path, monkeypatch):
    (tmp_path / "platformdirs.py").write_text("raise ModuleNotFoundError(name='platformdirs')")
    monkeypatch.delenv("ACECHAT_CONFIG")

    done = run(
        "models", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    )

    assert done.stderr.startswith("acechat: the command line needs platformdirs: ")


def test_json_is_every_field_that_the_service_sent(run, environment):
    done = run("chat", "Hello", "--json")

    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"] == 'You said: "Hello" (1 message)'
    assert answer["usage"]["total_tokens"] == 6
    assert done.stdout.count("\n") == 1


def said(value):
    """Leave out what is null: a stream cannot tell it from what is not there."""
    if isinstance(value, dict):
        return {key: said(part) for key, part in value.items() if part is not None}
    return [said(part) for part in value] if isinstance(value, list) else value


def test_json_is_the_same_without_a_stream(run, environment):
    streamed = run("chat", "Hello", "--json")
    whole = run("chat", "Hello", "--json", "--no-stream")

    assert said(json.loads(whole.stdout)) == said(json.loads(streamed.stdout))
    assert [request.json.get("stream") for request in environment.requests] == [True, None]


def test_json_fits_into_any_encoding_and_obeys_no_control(run, environment):
    environment.script(ok("\u4f60\u597d \U0001f600 \x1b[31m \x9b31m"))

    done = run(
        "chat", "Hello", "--json", text=False, stdin=b"", env={"PYTHONIOENCODING": "latin-1"}
    )

    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout
    content = json.loads(done.stdout)["choices"][0]["message"]["content"]
    assert content == "\u4f60\u597d \U0001f600 \x1b[31m \x9b31m"


def test_an_answer_that_is_not_streamed_looks_the_same(run, environment):
    thinking = ("chat", "2 + 2?", "--model", THINKER, "--reasoning")

    streamed, whole = run(*thinking), run(*thinking, "--no-stream")

    assert (whole.stdout, whole.stderr) == (streamed.stdout, streamed.stderr)
    assert "I say it back" in whole.stderr


def test_fields_of_the_request_are_typed_as_the_contract_types_them(run, environment):
    options = ["max_tokens=9", "temperature=0.5", "user=123", 'stop=["a","b"]', "logprobs=true",
               'response_format={"type": "json_object"}', "reasoning-effort=high"]  # fmt: skip

    run("chat", "Hello", *[word for option in options for word in ("--option", option)])

    sent = environment.requests[0].json
    assert {name: sent[name] for name in sent if name not in {"model", "messages", "stream"}} == {
        "max_tokens": 9, "temperature": 0.5, "user": "123", "stop": ["a", "b"], "logprobs": True,
        "response_format": {"type": "json_object"}, "reasoning_effort": "high",
    }  # fmt: skip


def test_an_answer_that_was_cut_at_its_limit_says_so(run, environment):
    done = run("chat", "Hello", "-o", "max_tokens=2")

    assert done.stdout == "You said:\n"
    assert done.stderr == "the answer was cut at its limit of tokens: --option max_tokens=N\n"


def test_all_the_answers_that_were_asked_for_are_shown(run, environment):
    done = run("chat", "Hello", "-o", "n=2")

    first, second = done.stdout.split("\n\n---\n\n")
    assert first == 'You said: "Hello" (1 message, answer 1 of 2)'
    assert second == 'You said: "Hello" (1 message, answer 2 of 2)\n'


def test_usage_tells_tokens_money_and_time(run, environment):
    usage = {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240,
             "cost": {"amount": 0.0125, "currency": "Credits"}}  # fmt: skip
    environment.script(pace(0.05, of=ok(["word "] * 10, usage=usage)))

    done = run("chat", "Hello", "--usage")

    assert re.fullmatch(
        r"1,200 tokens in, 40 out \| 0\.0125 Credits \| first token \d\.\d\d s \| "
        r"\d\.\d\d s in all \| \d+ tokens/s\n",
        done.stderr,
    )


def test_what_the_service_does_not_tell_is_not_made_up(run, environment):
    environment.script(ok("Hi", usage={"total_tokens": 3}))

    done = run("chat", "Hello", "--usage")

    assert re.fullmatch(r"first token \d\.\d\d s \| \d\.\d\d s in all\n", done.stderr)


def test_a_limit_of_time_holds(run, environment):
    environment.script(stall(30, after=3))

    done = run("chat", "Hello", "--timeout", "1.5")

    assert done.returncode == 1
    assert done.stdout == "You\n"
    assert done.stderr.endswith("Next: give it more time: --timeout SECONDS\n")


def test_an_answer_can_be_saved(run, environment, tmp_path):
    environment.script(ok("# Hi\n"))

    run("chat", "Hello", "--save", str(tmp_path / "answer.md"))

    assert (tmp_path / "answer.md").read_text() == "# Hi\n\n"


def test_an_answer_that_cannot_be_saved_is_shown(run, environment):
    done = run("chat", "Hello", "--save", "/nonexistent/x.md")

    assert done.stdout == 'You said: "Hello" (1 message)\n'
    assert done.stderr == (
        "acechat: cannot write '/nonexistent/x.md': No such file or directory. Next: name another\n"
    )
    assert done.returncode == 2


def test_words_need_no_quotes(run, environment):
    run("chat", "hi", "there")

    assert environment.requests[0].json["messages"][0]["content"] == "hi there"


def test_a_prompt_of_nothing_is_not_sent(run, environment):
    done = run("chat", "   ", stdin="\n")

    assert done.returncode == 2
    assert "nothing to say" in done.stderr
    assert environment.requests == []


@pytest.mark.parametrize(("words", "code"), [("", 2), ("Hello", 0)])
def test_a_closed_input_is_an_empty_one(environment, words, code):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat {words} <&-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_json_of_a_cut_answer_is_what_arrived(run, environment):
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


def test_several_images_and_addresses_of_them_are_sent(run, environment, dot):
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
    picture = Path(dot).read_bytes()

    run("chat", "What is this?", "--image", "-", stdin=picture, text=False)

    text, picture = environment.requests[0].json["messages"][0]["content"]
    assert text["text"] == "What is this?"
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")


def test_bytes_that_are_no_text_are_refused(run, environment, dot):
    done = run("chat", "What is this?", stdin=Path(dot).read_bytes(), text=False)

    assert done.returncode == 2
    assert b"for an image: --image -" in done.stderr
    assert environment.requests == []


def test_an_image_may_have_a_windows_path(run, environment, dot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = r"C:\Users\Ada Lovelace\dot.png"
    (tmp_path / name).write_bytes(Path(dot).read_bytes())

    run("chat", "What is this?", "--image", name)

    assert "image_url" in environment.requests[0].json["messages"][0]["content"][1]


NASTY = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x08\rred\x7f \x1b[31mtext\x1b[0m"


def test_a_models_text_cannot_command_a_terminal(run, environment):
    environment.script(ok([NASTY[:3], NASTY[3:]], reasoning=NASTY))

    done = run("chat", "Hello", "--reasoning")

    assert done.stdout == "]0;pwned[2J31mred [31mtext[0m\n"
    assert done.stderr == done.stdout


def test_a_services_error_cannot_command_a_terminal(run, environment):
    environment.script(fail(400, code="bad\x1b[5m", message=NASTY))

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert not set(done.stderr[:-1]) & {chr(code) for code in [*range(32), *range(127, 160)]}


@pytest.mark.parametrize("locale", ["latin-1", "ascii", "cp1252"])
def test_letters_that_an_encoding_lacks_become_question_marks(run, environment, locale):
    environment.script(ok("\u4f60\u597d, Ren\u00e9e"))

    done = run("chat", "Hello", env={"PYTHONIOENCODING": locale}, stdin=b"", text=False)

    assert done.stdout == "??, Ren\u00e9e\n".encode(locale, "replace")
    assert done.returncode == 0


def test_a_disk_that_is_full_is_one_line(environment):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} chat Hello </dev/null >/dev/full"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.stderr == "acechat: No space left on device\n"
    assert done.returncode == 1


def test_a_closed_output_is_no_accident(environment):
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
        (fail(403, code="disabled", message="Off."), "write to the support"),
        (fail(403, code="forbidden", message="No."), "in other words"),
        (fail(404, code="no_api", message="Where?"), "acechat models"),
        (fail(413, code="request_too_large", message="Big."), "send less"),
        (fail(429, code="too_many_requests", message="Slow.", retry_after=900), "wait 900 s"),
    ],
)
def test_a_refusal_says_what_to_do_next(run, environment, step, todo):
    environment.script(step)

    done = run("chat", "Hello")

    assert done.returncode == 1
    assert todo in done.stderr.partition("Next: ")[2]
    assert done.stderr.count("\n") == 1
    assert "(trace " in done.stderr
