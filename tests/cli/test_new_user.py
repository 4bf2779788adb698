"""Ten tasks of a new user, each typed in a real terminal."""

from __future__ import annotations

import sys
import time

import pytest

from acechat.emulator import call, ok, stall

ACECHAT = f"{sys.executable} -m acechat"


@pytest.fixture
def shell(terminal, environment, tmp_path, dot):
    """Type commands into a shell whose word for the command is ``acechat``."""
    (tmp_path / "acechat").write_text(f'#!/bin/sh\nexec {ACECHAT} "$@"\n')
    (tmp_path / "acechat").chmod(0o700)
    (tmp_path / "report.txt").write_text("Sales rose by 12 %.")
    (tmp_path / "tools.py").write_text("def now() -> str:\n    return 'noon'\n")
    path = f"{tmp_path}:/usr/bin:/bin"
    terminal.open(
        command=f"cd {tmp_path} && cp {dot} cat.png && PATH={path} PS1='$ ' bash --norc -i",
        width=110,
        height=40,
    )
    terminal.wait_for("$ ")
    return terminal


def sent(environment, number=-1):
    return [message["content"] for message in environment.requests[number].json["messages"]]


def test_1_try_it_without_a_token(shell):
    shell.enter('acechat --emulator "Hello"')
    shell.wait_for('You said: "Hello" (1 message)')


def test_2_find_out_how_to_store_the_token(shell, environment, monkeypatch):
    shell.enter("unset ACEDATACLOUD_API_TOKEN")
    shell.enter("acechat Hello")
    shell.wait_for("acechat config set token")
    shell.enter("acechat config set token")
    shell.wait_for("token:")
    shell.enter(environment.token)
    shell.wait_for("stored in")
    shell.enter("acechat Hello")
    screen = shell.wait_for('You said: "Hello"')
    assert environment.token not in screen


def test_3_have_a_conversation_and_leave_it(shell, environment):
    shell.enter("acechat chat")
    shell.wait_for("/help lists the commands")
    time.sleep(0.3)
    shell.enter("I am Ada.")
    shell.wait_for("(1 message)")
    shell.enter("Who am I?")
    shell.wait_for("(3 messages)")
    shell.enter("exit")
    time.sleep(0.5)
    shell.enter("echo shell again")
    shell.wait_for("shell again", count=2)


def test_4_summarise_a_file_into_another(shell, environment, tmp_path):
    environment.script(ok("More sales."))
    shell.enter('acechat "Summarise" -f report.txt > summary.md; cat summary.md')
    shell.wait_for("\nMore sales.")
    assert (tmp_path / "summary.md").read_text() == "More sales.\n"


def test_5_ask_about_an_image(shell, environment):
    shell.enter('acechat "What is this?" -a cat.png')
    shell.wait_for("You said")
    assert sent(environment)[0][1]["type"] == "image_url"


def test_6_find_an_old_conversation_and_go_on(shell, environment):
    shell.enter('acechat "A hotel in Lisbon"; acechat "A haiku"')
    shell.wait_for("(1 message)", count=2)
    shell.enter("acechat history search lisbon")
    shell.wait_for("c1  ")
    shell.enter('acechat --continue c1 "And in winter?"')
    shell.wait_for("(3 messages)")
    assert sent(environment)[0] == "A hotel in Lisbon"


def test_7_get_only_the_code(shell, environment, tmp_path):
    environment.script(ok("Try:\n```sh\necho from the model\n```\nDone."))
    shell.enter('acechat "A greeting" -x > hello.sh; sh hello.sh')
    shell.wait_for("\nfrom the model")


def test_8_stop_a_long_response_and_try_again(shell, environment):
    environment.script(stall(60, after=4, of=ok(["one ", "two ", "three"])), ok("short"))
    shell.enter("acechat chat")
    shell.wait_for("/help lists the commands")
    time.sleep(0.3)
    shell.enter("Count")
    shell.wait_for("one two")
    shell.press("C-c")
    shell.wait_for("(stopped;")
    shell.enter("/retry")
    shell.wait_for("short")
    assert sent(environment) == ["Count"]


def test_9_get_json_of_a_form(shell, environment):
    environment.script(call("answer", city="Paris", visitors=3))
    shell.enter('acechat "Extract" -f report.txt --schema "city, visitors int" | cat')
    shell.wait_for('{"city":"Paris","visitors":3}')


def test_10_let_the_model_call_a_function(shell, environment):
    environment.script(call("now"), ok("It is noon."))
    shell.enter('acechat "The time?" --functions tools.py')
    shell.wait_for("call now()? [y]es, [n]o")
    shell.press("y")
    shell.wait_for("It is noon.")
