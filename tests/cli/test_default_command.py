"""`acechat PROMPT` without a command, `acechat help`, and `-` for standard input."""

from __future__ import annotations

import pytest

SHORT = {
    "one word": ["Hello"],
    "a quoted prompt": ["Hello there"],
    "several words": ["what", "is", "asyncio"],
    "a prompt that begins with a command": ["help me", "please"],
    "an empty line before it": ["\nHello"],
    "an option before the prompt": ["--model", "claude-x", "Hello"],
    "an option after the prompt": ["Hello", "-s", "Be brief."],
    "a request field": ["-o", "max_tokens=100", "Hello"],
    "a leading dash": ["--", "-5 + 3?"],
    "a leading option name": ["--", "--help", "me"],
    "options and a leading dash": ["-m", "claude-x", "--", "-5 + 3?"],
    "a dash in the middle": ["5", "-", "3"],
}


@pytest.mark.parametrize("arguments", SHORT.values(), ids=SHORT)
def test_without_a_command_the_arguments_are_those_of_chat(run, environment, arguments):
    short, complete = run(*arguments), run("chat", *arguments)

    assert (short.returncode, short.stdout, short.stderr) == (0, complete.stdout, "")
    first, second = (request.json for request in environment.requests)
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [
        (["--", "-5 + 3?"], "-5 + 3?"),
        (["--", "--help", "me"], "--help me"),
        (["5", "-", "3"], "5 - 3"),
        (["hello"], "hello"),
    ],
)
def test_the_prompt_is_sent_unchanged(run, environment, arguments, prompt):
    run(*arguments)

    assert environment.requests[0].json["messages"] == [{"role": "user", "content": prompt}]


@pytest.mark.parametrize("word", ["chatt", "doktor", "confg", "model", "emulator"])
def test_a_misspelt_command_is_not_sent(run, environment, word):
    done = run(word, "x")

    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert f"acechat chat {word}" in done.stderr
    assert environment.requests == []


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["-"], ["from stdin"]),
        (["-", "Translate this"], ["from stdin", "Translate this"]),
        (["Translate this", "-"], ["Translate this", "from stdin"]),
        (["chat", "-", "Translate", "this"], ["from stdin", "Translate this"]),
        (["Translate this"], ["Translate this", "from stdin"]),
    ],
)
def test_a_dash_is_standard_input(run, environment, arguments, texts):
    done = run(*arguments, stdin="from stdin\n")

    assert done.returncode == 0
    content = environment.requests[0].json["messages"][0]["content"]
    sent = [content] if isinstance(content, str) else [part["text"] for part in content]
    assert sent == texts


def test_an_empty_standard_input_is_an_empty_prompt(run, environment, dot):
    for arguments in (["-"], ["-", "-i", dot]):
        done = run(*arguments, stdin="\n")

        assert done.returncode == 2
        assert "the prompt is empty" in done.stderr
    assert environment.requests == []


def test_on_a_terminal_a_dash_reads_until_ctrl_d(terminal, environment):
    terminal.open("-", "Count the lines")
    terminal.wait_for("Ctrl-D ends it")
    terminal.enter("one")
    terminal.enter("two")
    terminal.press("C-d")

    assert "exit code 0" in terminal.end()
    parts = environment.requests[0].json["messages"][0]["content"]
    assert [part["text"] for part in parts] == ["one\ntwo", "Count the lines"]


@pytest.mark.parametrize(
    "command", [[], ["chat"], ["models"], ["doctor"], ["config"], ["config", "set"], ["help"]]
)
def test_help_shows_the_help_of_a_command(run, command):
    shown = run("help", *command)

    assert shown.returncode == 0
    assert shown.stdout == run(*command, "--help").stdout
    assert shown.stdout.startswith(" ".join(["Usage: acechat", *command]))
