"""The commands of a conversation on a terminal."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path

import pytest

from acechat.cli.content.paths import dropped_path, typed_path
from acechat.cli.library.store import Store
from acechat.emulator import ok

CODE = "Here:\n\n```sh\nls\n```\n"


@pytest.fixture
def chat(terminal, environment):
    """Start a conversation that waits for its first prompt."""

    def start(*arguments, **options):
        terminal.open("chat", *arguments, **{"width": 110, "height": 40, **options})
        terminal.wait_for("/help lists the commands")
        time.sleep(0.3)  # until the line editor reads
        return terminal

    return start


def sent(environment, number=-1):
    return [message["content"] for message in environment.requests[number].json["messages"]]


@pytest.mark.parametrize("word", ["exit", "quit", "EXIT", " quit ", "/exit"])
def test_plain_words_end_the_conversation(chat, environment, word):
    terminal = chat()

    terminal.enter(word)

    assert "exit code 0" in terminal.end()
    assert environment.requests == []


def test_help_is_understood_as_a_word(chat, environment):
    terminal = chat()

    terminal.enter("help")
    screen = terminal.wait_for("Ctrl-C stops a response")

    for name in ("/new", "/clear", "/copy", "/edit", "/history", "/load", "/save", "/model"):
        assert f"\n{name} " in screen
    assert environment.requests == []


@pytest.mark.parametrize("command", ["/new", "/clear"])
def test_a_new_conversation_keeps_model_and_system_prompt(chat, environment, home, command):
    terminal = chat("-m", "claude-x", "-s", "Be brief.")

    terminal.enter("one")
    terminal.wait_for("(2 messages)")
    terminal.enter(command)
    terminal.wait_for("new conversation")
    terminal.enter("two")
    terminal.wait_for('"two"')
    screen = terminal.tmux("capture-pane", "-p")  # without the lines that scrolled off

    assert sent(environment) == ["Be brief.", "two"]
    assert environment.requests[-1].json["model"] == "claude-x"
    assert ('"one"' in screen) == (command == "/new")
    assert [entry.title for entry in Store(home / "state").latest(-1)] == ["two", "one"]


def test_the_last_response_is_copied(chat, environment, tmp_path):
    clipboard = tmp_path / "pbcopy"
    clipboard.write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n")
    clipboard.chmod(clipboard.stat().st_mode | stat.S_IXUSR)
    environment.script(ok(CODE))
    terminal = chat(env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    terminal.enter("/copy")
    terminal.wait_for("there is no response to copy yet")
    terminal.enter("Code?")
    terminal.wait_for("ls")
    terminal.enter("/copy")
    terminal.wait_for(f"copied {len(CODE)} characters")
    assert (tmp_path / "copied").read_text() == CODE
    terminal.enter("/copy code")
    terminal.wait_for("copied 2 characters")

    assert (tmp_path / "copied").read_text() == "ls"


def test_without_a_clipboard_the_terminal_is_asked(capsys, monkeypatch):
    from acechat.cli.terminal.clipboard import copy

    monkeypatch.setenv("PATH", "/nonexistent")
    assert "terminal" in copy("Grüße")
    text = capsys.readouterr().out.removeprefix("\x1b]52;c;").removesuffix("\x07")
    assert base64.b64decode(text).decode() == "Grüße"


def test_a_prompt_is_written_in_the_editor(chat, environment, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\nprintf "%s\\nsecond line\\n" "$(cat "$1")" > "$1"\nsleep 1.1\ntouch "$1"\n'
    )
    editor.chmod(0o700)
    terminal = chat(env={"EDITOR": str(editor), "VISUAL": str(editor)})

    terminal.enter("/edit first line")
    terminal.wait_for("You said")

    assert sent(environment) == ["first line\nsecond line"]


def test_an_editor_that_saves_nothing_sends_nothing(chat, environment):
    terminal = chat(env={"EDITOR": "true", "VISUAL": "true"})

    terminal.enter("/edit")
    terminal.wait_for("nothing sent")

    assert environment.requests == []


def test_conversations_are_listed_and_loaded(chat, environment, home):
    store = Store(home / "state")
    for prompt in ("About Paris", "About Rome"):
        store.save([{"role": "user", "content": prompt}, {"role": "assistant", "content": "Yes."}])
    terminal = chat()

    terminal.enter("/history")
    terminal.wait_for("About Rome")
    terminal.enter("/history paris")
    terminal.wait_for("About Paris", count=2)
    terminal.enter("/load c1")
    terminal.wait_for("continuing after 2 messages: About Paris")
    terminal.enter("More")
    terminal.wait_for("(3 messages)")
    terminal.enter("/load c9")
    terminal.wait_for("there is no conversation 'c9'")

    assert sent(environment) == ["About Paris", "Yes.", "More"]
    assert len(store.latest(-1)) == 2
    assert len(store.get(1).messages) == 4


def test_words_after_commands_are_completed(chat, home):
    Store(home / "state").save([{"role": "user", "content": "Hi"}])
    terminal = chat()

    terminal.type("/model son")
    terminal.wait_for("sonnet")
    terminal.press("Tab")
    terminal.press("Enter")
    terminal.wait_for("model: claude-sonnet-5")
    terminal.type("/load c")
    terminal.wait_for("c1")
    terminal.press("C-c")
    terminal.type("/h")
    screen = terminal.wait_for("/history")

    assert "/help" in screen


@pytest.mark.parametrize(("key", "content"), [("y", "new"), ("n", "old")])
def test_save_asks_before_it_replaces_a_file(chat, environment, tmp_path, key, content):
    environment.script(ok("new"))
    file = tmp_path / "a.md"
    file.write_text("old\n")
    terminal = chat()

    terminal.enter("Hi")
    terminal.wait_for("new")
    terminal.enter(f"/save {file}")
    terminal.wait_for("[y/n]")
    terminal.press(key)
    terminal.wait_for("saved")
    terminal.press("C-d")
    terminal.end()

    assert file.read_text() == f"{content}\n"


@pytest.mark.parametrize(("answer", "requests"), [("y", 1), ("n", 0)])
def test_the_option_asks_before_the_call(terminal, environment, tmp_path, answer, requests):
    environment.script(ok("new"))
    file = tmp_path / "a.md"
    file.write_text("old\n")

    terminal.open("chat", "Hi", "--save", str(file), width=110)
    terminal.wait_for("replace ")
    terminal.enter(answer)
    terminal.end()

    assert len(environment.requests) == requests
    assert file.read_text() == ("new\n" if requests else "old\n")


def test_a_script_replaces_a_file_without_a_question(run, environment, tmp_path):
    file = tmp_path / "a.md"
    file.write_text("old\n")

    assert run("chat", "Hi", "--save", str(file)).returncode == 0
    assert file.read_text() == 'You said: "Hi" (1 message)\n'


FORMS = {
    "plain": str,
    "escaped": lambda path: str(path).replace(" ", "\\ ").replace("'", "\\'").replace("(", "\\("),
    "single quotes": lambda path: f"'{path}'",
    "double quotes": lambda path: f'"{path}"',
    "url": lambda path: path.as_uri(),
    "spaces around": lambda path: f"  {path} ",
    "home": lambda path: f"~/{path.name}",
    "home, escaped": lambda path: f"~/{path.name}".replace(" ", "\\ ").replace("(", "\\("),
}


@pytest.mark.parametrize("name", ["cat.png", "my cat.png", "cat (1).png", "Ünï.png", "100%.png"])
@pytest.mark.parametrize("form", FORMS)
def test_dropped_paths_are_understood(tmp_path, monkeypatch, name, form):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / name
    path.write_bytes(b"x")

    assert typed_path(FORMS[form](path)) == path
    assert dropped_path(FORMS[form](path)) == path


@pytest.mark.parametrize(
    "line", ["Hello", "/etc/missing", "~nobody/x", "/tmp is a folder", "/", "'/", "file://", "\0/"]
)
def test_text_is_no_dropped_path(line):
    assert dropped_path(line) is None


def test_a_name_with_quotes_and_backslashes_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("'quoted'", "back\\ slash", "~tilde"):
        (tmp_path / name).write_text("x")
        assert typed_path(name).read_text() == "x"


def test_a_dropped_image_is_sent_with_the_next_prompt(chat, environment, dot, tmp_path):
    image = tmp_path / "my dot.png"
    image.write_bytes(Path(dot).read_bytes())
    terminal = chat()

    terminal.enter(str(image).replace(" ", "\\ "))
    terminal.wait_for("images: 1 to be shown")
    terminal.enter(f"/image '{image}'")
    terminal.wait_for("images: 2 to be shown")
    terminal.enter("/image ~nobody.png")
    terminal.wait_for("cannot read '~nobody.png'")
    terminal.enter("Compare")
    terminal.wait_for("You said")

    parts = sent(environment)[0]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url"]
