"""Words that make no command, and failures that have a next step: one line each."""

from __future__ import annotations

import re
import socket

import pytest

from acechat.cli.options import complete_model
from acechat.emulator import MODELS, fail

USAGE = {
    "doctor --zzz": "acechat: No such option '--zzz'. Next: acechat doctor --help\n",
    "chat -o x": "acechat: Invalid value for '--option': 'x' is no KEY=VALUE: --option "
    "max_tokens=100. Next: acechat chat --help\n",
    "chatt": "acechat: No such command 'chatt'. Did you mean 'chat'? Next: acechat --help\n",
    "models x": "acechat: Got unexpected extra argument (x). Next: acechat models --help\n",
    "emulate --record x": "acechat: --record FILE goes with --upstream URL, and without --replay. "
    "Next: acechat emulate --help\n",
}


def plain(text):
    text = re.sub("[:']", "", text)
    return " ".join(text.split())


@pytest.mark.parametrize(("words", "said"), USAGE.items(), ids=USAGE)
def test_wrong_usage_is_one_line_that_says_where_to_look(run, words, said):
    done = run(*words.split())

    # The versions of click differ in their punctuation.
    assert plain(done.stderr.splitlines()[0]) == plain(said)
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_without_a_command_there_is_help(run):
    done = run()

    assert "Commands:" in done.stdout + done.stderr
    assert "a service of acechat's own on localhost.\n" in done.stdout + done.stderr


def test_a_refused_request_says_what_to_do(run, environment):
    environment.script(fail(400))

    done = run("chat", "Hello", "-o", "temperature=5")

    assert "Next: correct what it names, or leave it out: acechat chat --help\n" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1


def test_a_port_that_is_taken_says_how_to_name_another(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("emulate", "--port", str(taken.getsockname()[1]))

    assert done.stderr.endswith(" Next: take another one: --port PORT\n")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1


def test_models_complete_from_what_is_known():
    assert complete_model(None, None, "claude-opus-4-2") == ["claude-opus-4-20250514"]
    assert set(MODELS) <= set(complete_model(None, None, ""))


@pytest.mark.parametrize("option", ["--replay", "--record"])
def test_a_shell_completes_files_where_a_file_is_meant(run, option):
    env = {"_ACECHAT_COMPLETE": "bash_complete", "COMP_CWORD": "3"}

    done = run(env=env | {"COMP_WORDS": f"acechat emulate {option} tal"})

    assert done.stdout == "file,tal\n"
