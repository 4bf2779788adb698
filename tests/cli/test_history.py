"""The history of conversations: kept, listed, searched, shown, continued, exported, deleted."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time

import pytest

from acechat.cli.library.database import HistoryError
from acechat.cli.library.store import Conflict, Store
from acechat.cli.library.texts import excerpt, title_of
from acechat.emulator import call, ok


def talk(prompt, response="yes"):
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


@pytest.fixture
def store(home):
    return Store(home / "state")


def test_every_conversation_is_kept_and_listed(run, environment, home):
    run("chat", "The capital of France?")
    run("chat", "A haiku about rain", "--json")

    lines = run("history").stdout.splitlines()

    assert [line.split("  ")[0] for line in lines] == ["c2", "c1"]
    assert [line.split("  ")[2] for line in lines] == [
        "A haiku about rain",
        "The capital of France?",
    ]
    assert (home / "state" / "history.db").stat().st_mode & 0o777 == 0o600
    assert (home / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("off", [{"arguments": ["--no-log"]}, {"env": {"ACECHAT_HISTORY": "0"}},
                                 {"arguments": ["--dry-run"]}])  # fmt: skip
def test_nothing_is_kept_if_the_history_is_off(run, environment, home, off):
    run("chat", "a secret", *off.get("arguments", []), env=off.get("env"))

    assert not (home / "state").exists()


def test_a_conversation_is_continued_by_its_id(run, environment, store):
    run("chat", "I am Ada.", "-s", "Be brief.", "-m", "claude-x")
    run("chat", "I am Bob.")

    for arguments in (["--continue", "c1", "Who am I?"], ["-c", "c1", "Really?"],
                      ["--continue=1", "Sure?"]):  # fmt: skip
        assert run("chat", *arguments).returncode == 0

    sent = environment.requests[-1].json
    assert sent["model"] == "claude-x"
    assert [message["content"] for message in sent["messages"]][::2] == [
        "Be brief.",
        'You said: "I am Ada." (2 messages)',
        'You said: "Who am I?" (4 messages)',
        'You said: "Really?" (6 messages)',
    ]
    assert len(store.latest(-1)) == 2


def test_the_word_after_continue_may_be_a_prompt(run, environment, home):
    Store(home / "state").save(talk("One or two?", "Choose 1 or 2."))

    run("chat", "--continue", "2", "please")
    run("chat", "-c")

    assert environment.requests[0].json["messages"][-1]["content"] == "2 please"
    assert len(environment.requests) == 1


@pytest.mark.parametrize("name", ["c99", "99", "x", "c"])
def test_an_unknown_id_is_refused(run, environment, name):
    done = run("chat", f"--continue={name}", "Hi")

    assert (done.returncode, environment.requests) == (2, [])
    assert f"there is no conversation '{name}'. Next: acechat history" in done.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["paris"], [1]),
        (["par"], [1]),
        (["PARIS", "eiffel"], [1]),
        (["paris rome"], []),
        (["cafe"], [2]),
        (["café"], [2]),
        (["東京"], [3]),
        (["100%"], [4]),
        (["C++"], [4]),
        (['"'], [4]),
        (["AND"], []),
        (["nothing", "here"], []),
        (["%"], [4]),
    ],
)
def test_conversations_are_found_by_words(store, words, found):
    store.save(talk("Where is Paris?", "By the Eiffel tower"))
    store.save(talk("A café"))
    store.save(talk("東京の天気は"))
    store.save(talk('C++ is 100% "fast"'))

    assert [entry.id for entry in store.search(words)] == found


def test_a_search_shows_the_words_around_the_match(run, store):
    store.save(talk("Travel", f"{'x ' * 100} the Louvre is in Paris {'y ' * 100}"))

    done = run("history", "search", "louvre")

    title, part = done.stdout.splitlines()
    assert title.endswith("Travel")
    assert part.strip().startswith("...")
    assert "the Louvre is in Paris" in part
    assert run("history", "search", "nothing").returncode == 2


def test_the_index_follows_a_conversation(store):
    known = store.save(talk("alpha"))
    known = store.save([*talk("alpha"), *talk("beta")], known=known)
    assert [entry.id for entry in store.search(["beta"])] == [known[0]]

    store.save(talk("gamma"), known=known)

    assert store.search(["alpha"]) == []
    assert [entry.title for entry in store.search(["gamma"])] == ["gamma"]


def test_a_conversation_is_shown_and_exported(run, environment, store, tmp_path):
    number, _ = store.save(talk("Hi", "**Hello**"), system="Be kind.")

    shown = run("history", "show", f"c{number}").stdout
    data = json.loads(run("history", "show", "--json").stdout)
    file = tmp_path / "talk.json"
    assert run("history", "export", "c1", str(file)).returncode == 0
    assert run("history", "export", "c1", str(tmp_path / "talk.md")).returncode == 0
    again = run("history", "export", "c1", str(file))
    agreed = run("history", "export", "c1", str(file), "--yes")
    run("chat", "More", "--load", str(file))

    assert shown == "## System\n\nBe kind.\n\n## Prompt\n\nHi\n\n## Response\n\n**Hello**\n"
    assert (tmp_path / "talk.md").read_text() == shown
    assert data["messages"] == talk("Hi", "**Hello**")
    assert (again.returncode, agreed.returncode) == (2, 0)
    roles = [message["role"] for message in environment.requests[0].json["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_conversations_are_deleted(run, store, home):
    for prompt in ("one secret", "two", "three"):
        store.save(talk(prompt))

    asked = run("history", "delete", "c1")
    first = run("history", "delete", "c1", "--yes")
    missing = run("history", "delete", "c1", "--yes")
    every = run("history", "delete", "--all", "--yes")

    assert (asked.returncode, missing.returncode) == (2, 2)
    assert (first.stdout, every.stdout) == ("deleted 1\n", "deleted 2\n")
    assert run("history").stderr == "there is no conversation yet\n"
    assert b"secret" not in (home / "state" / "history.db").read_bytes()


def test_files_of_earlier_versions_are_imported_once(run, environment, home, store):
    folder = home / "state" / "conversations"
    folder.mkdir(parents=True)
    for number in range(3):
        file = folder / f"2026010{number}.json"
        file.write_text(json.dumps({"messages": talk(f"old {number}"), "system": "Be brief."}))
        os.utime(file, (time.time() - 100 + number, time.time() - 100 + number))
    (folder / "broken.json").write_text("{")

    titles = [line.split("  ")[2] for line in run("history").stdout.splitlines()]
    run("chat", "--continue", "Next")

    assert titles == ["old 2", "old 1", "old 0"]
    assert [file.name for file in folder.iterdir()] == ["broken.json"]
    assert environment.requests[0].json["messages"][0]["content"] == "Be brief."
    assert len(store.latest(-1)) == 3


def test_two_processes_that_continue_one_conversation_lose_nothing(store):
    known = store.save(talk("one"))
    store.save([*talk("one"), *talk("two")], known=known)

    with pytest.raises(Conflict):
        store.save([*talk("one"), *talk("three")], known=known)


def test_a_conflict_becomes_a_new_conversation(terminal, run, environment, store):
    terminal.open("chat")
    terminal.wait_for("/help lists the commands")
    time.sleep(0.3)
    terminal.enter("one")
    terminal.wait_for("(1 message)")
    run("chat", "--continue", "two")
    terminal.enter("three")
    terminal.wait_for("(3 messages)")
    terminal.press("C-d")
    terminal.end()

    prompts = sorted([m["content"] for m in entry.messages][::2] for entry in store.latest(-1))
    assert prompts == [["one", "three"], ["one", "two"]]


def test_many_processes_write_at_once(home, store):
    code = (
        "import sys; from pathlib import Path; from acechat.cli.library.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for number in range(20):\n"
        "    m = [{'role': 'user', 'content': f'{sys.argv[2]} {number}'}]\n"
        "    store.save(m, known=store.save(m))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(home / "state"), str(number)])
        for number in range(4)
    ]

    assert [process.wait(120) for process in processes] == [0] * 4
    assert len(store.latest(-1)) == 80


def dropped(path):
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE conversations")
    connection.close()


DAMAGE = {
    "text": lambda path: path.write_text("this is not a database, but a text of some length" * 9),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 30_000),
    "tables": dropped,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_history_is_one_line_and_the_chat_works(run, environment, home, store, damage):
    store.save(talk("old"))
    path = home / "state" / "history.db"
    DAMAGE[damage](path)

    done = run("chat", "Hello")
    listed = run("history")
    continued = run("chat", "--continue", "Hello")

    assert (done.returncode, done.stdout) == (0, 'You said: "Hello" (1 message)\n')
    assert done.stderr.startswith(f"(not kept in the history: the history {path} is damaged (")
    assert done.stderr.count("\n") == 1
    assert listed.returncode == 1
    assert f"mv '{path}'" in listed.stderr
    assert (continued.returncode, continued.stderr.count("\n")) == (2, 1)


def test_a_newer_format_is_left_alone(store, home):
    store.save(talk("old"))
    connection = sqlite3.connect(home / "state" / "history.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()

    with pytest.raises(HistoryError, match="newer version"):
        store.save(talk("new"))


def test_a_locked_history_does_not_stop_the_chat(run, environment, home, store):
    store.save(talk("old"))
    connection = sqlite3.connect(home / "state" / "history.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")

    done = run("chat", "Hello")
    connection.close()

    assert (done.returncode, done.stdout) == (0, 'You said: "Hello" (1 message)\n')
    assert "database is locked" in done.stderr


def test_a_folder_that_cannot_be_written_does_not_stop_the_chat(run, environment, tmp_path):
    (tmp_path / "file").write_text("")

    done = run("chat", "Hello", env={"ACECHAT_STATE": str(tmp_path / "file" / "state")})

    assert (done.returncode, done.stdout) == (0, 'You said: "Hello" (1 message)\n')
    assert done.stderr.startswith("(not kept in the history: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Hello\nWorld", "Hello"),
        ("  \n spaces \x1b[31m", "spaces [31m"),
        ("x" * 80, "x" * 57 + "..."),
        ([{"type": "text", "text": '<file path="a.py">\nx\n</file>'},
          {"type": "text", "text": "Explain"}], "Explain"),
        ([{"type": "text", "text": '<file path="a.py">\nx\n</file>'}], "(file a.py)"),
        ([{"type": "image_url", "image_url": {"url": "data:"}}], "(image)"),
        ([], "(empty)"),
    ],
)  # fmt: skip
def test_the_title_is_the_first_line_of_the_prompt(content, title):
    assert title_of([{"role": "user", "content": content}]) == title


def test_an_excerpt_is_short():
    assert excerpt("a" * 200 + " word " + "b" * 200, ["word"]).count("word") == 1
    assert len(excerpt("a" * 500, ["word"])) < 100


def test_lone_surrogates_and_tools_are_kept(run, environment, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.py").write_text("def now() -> str:\n    return 'noon'\n")
    environment.script(call("now"), ok("It is noon."))

    run("chat", "The time?", "--functions", "t.py", "--yes")
    store.save([{"role": "user", "content": "\ud800 half"}])

    latest, tools = store.latest(2)
    assert latest.messages[0]["content"] == "\ud800 half"
    assert [message["role"] for message in tools.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert "`now({})`" in run("history", "show", tools.name).stdout


def test_reading_does_not_create_anything(run, home):
    assert run("history").returncode == 0
    assert run("chat", "--continue", "Hi", "--emulator").returncode == 2
    assert not (home / "state").exists()
