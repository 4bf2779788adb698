"""Wrong usage, and failures that have a next step: one line each."""

from __future__ import annotations

import re
import socket

import pytest

from acechat.cli.options import complete_model
from acechat.emulator import MODELS, fail

USAGE = {
    "doctor --zzz": "acechat: No such option '--zzz'. Next: acechat doctor --help\n",
    "chat -o x": "acechat: Invalid value for '--option': expected KEY=VALUE such as "
    "max_tokens=100, not 'x'. Next: acechat chat --help\n",
    "chatt": "acechat: No such command 'chatt'. Did you mean 'chat'? A prompt of this word: "
    "acechat chat chatt. Next: acechat --help\n",
    "help chatt": "acechat: No such command 'chatt'. Next: acechat --help\n",
    "help chat x": "acechat: No such command 'chat x'. Next: acechat chat --help\n",
    "chat -5": "acechat: No such option '-5'. Next: acechat chat --help; a prompt that begins with "
    "a dash goes after --\n",
    "chat - -i -": "acechat: standard input can be the prompt (-) or an image (--image -, "
    "--attach -). Next: acechat chat --help\n",
    "models alias x": "acechat: expected NAME and MODEL, or NAME --remove. "
    "Next: acechat models alias --help\n",
    "emulate --record x": "acechat: --record FILE needs --upstream URL and excludes --replay. "
    "Next: acechat emulate --help\n",
}


def plain(text):
    text = re.sub("[:']", "", text)
    return " ".join(text.split())


@pytest.mark.parametrize(("command", "message"), USAGE.items(), ids=USAGE)
def test_wrong_usage_is_one_line_that_names_the_help(run, command, message):
    done = run(*command.split())

    # The versions of click differ in their punctuation.
    assert plain(done.stderr.splitlines()[0]) == plain(message)
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_without_a_command_the_help_is_shown(run):
    done = run()

    assert "Commands:" in done.stdout + done.stderr
    assert "Run the emulator on localhost.\n" in done.stdout + done.stderr


def test_an_invalid_request_shows_the_next_step(run, environment):
    environment.script(fail(400))

    done = run("chat", "Hello", "-o", "temperature=5")

    assert "Next: correct or remove the named option: acechat chat --help\n" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1


def test_a_port_in_use_shows_the_next_step(run):
    with socket.create_server(("127.0.0.1", 0)) as used:
        done = run("emulate", "--port", str(used.getsockname()[1]))

    assert done.stderr.endswith(" Next: choose another port: --port PORT\n")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1


def test_the_shell_completes_known_models():
    assert complete_model(None, None, "claude-opus-4-2") == ["claude-opus-4-20250514"]
    assert set(MODELS) <= set(complete_model(None, None, ""))


@pytest.mark.parametrize("option", ["--replay", "--record"])
def test_the_shell_completes_file_names(run, option):
    env = {"_ACECHAT_COMPLETE": "bash_complete", "COMP_CWORD": "3"}

    done = run(env=env | {"COMP_WORDS": f"acechat emulate {option} tal"})

    assert done.stdout == "file,tal\n"
