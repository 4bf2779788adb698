"""`acechat chat` without a prompt: a conversation, in a real terminal."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from acechat.emulator import fail, ok, stall


@pytest.fixture
def talk(terminal, environment):
    """A conversation that waits for its first question."""

    def begin(*arguments, **options):
        terminal.open("chat", *arguments, **options)
        terminal.wait_for("/help lists what you can do")
        time.sleep(0.3)  # until the line editor reads
        return terminal

    return begin


def sent(environment, number=-1):
    return [message["content"] for message in environment.requests[number].json["messages"]]


def test_it_remembers_what_was_said(talk, environment):
    terminal = talk()

    terminal.say("I am Ada.")
    terminal.wait_for("(1 message)")
    terminal.say("Who am I?")
    terminal.wait_for("(3 messages)")
    terminal.press("C-d")

    assert "exit code 0" in terminal.end()
    assert sent(environment) == ["I am Ada.", 'You said: "I am Ada." (1 message)', "Who am I?"]


def test_a_question_may_have_several_lines(talk, environment):
    terminal = talk()

    terminal.type("one\\")
    terminal.press("Enter")
    terminal.type("two")
    terminal.press("C-j")
    terminal.type("three")
    terminal.press("M-Enter")
    terminal.say("four")
    terminal.wait_for("You said")

    assert sent(environment) == ["one\ntwo\nthree\nfour"]


def test_a_pasted_text_is_one_question(talk, environment):
    terminal = talk()

    terminal.tmux("set-buffer", "one\ntwo\n")
    terminal.tmux("paste-buffer", "-p")
    time.sleep(0.3)
    terminal.say("three")
    terminal.wait_for("You said")

    assert sent(environment) == ["one\ntwo\nthree"]


def test_earlier_questions_come_back_with_the_arrow_in_the_next_session_too(talk, environment):
    terminal = talk()
    terminal.say("an earlier question")
    terminal.wait_for("You said")
    terminal.press("C-d")
    terminal.end()
    terminal.tmux("kill-server")

    terminal = talk()
    terminal.press("Up")
    time.sleep(0.3)
    terminal.press("Enter")
    terminal.wait_for("You said")

    assert sent(environment) == ["an earlier question"]


def test_ctrl_c_stops_the_answer_and_keeps_the_session_and_what_came(talk, environment):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal = talk()

    terminal.say("Tell me a story")
    terminal.wait_for("It begins well")
    terminal.press("C-c")
    terminal.wait_for("what arrived is kept")
    terminal.say("Go on")
    terminal.wait_for("(3 messages)")

    assert sent(environment) == ["Tell me a story", "It begins well ", "Go on"]


def test_ctrl_c_may_stop_one_answer_after_the_other(talk, environment):
    environment.script(stall(60, after=1), stall(60, after=1))
    terminal = talk()

    for count in (1, 2):
        terminal.say(f"question {count}")
        wait_until(lambda wanted=count: len(environment.requests) == wanted)
        terminal.press("C-c")
        terminal.wait_for("stopped before an answer came", count=count)
    terminal.say("/retry")
    terminal.wait_for("You said")

    assert sent(environment) == ["question 2"]


def test_ctrl_c_forgets_the_line_that_one_types_on(talk, environment):
    terminal = talk()

    terminal.type("nonsense")
    time.sleep(0.2)
    terminal.press("C-c")
    time.sleep(0.2)
    terminal.say("sense")
    terminal.wait_for("You said")

    assert sent(environment) == ["sense"]


def test_a_failure_is_one_line_and_the_session_goes_on(talk, environment):
    environment.script(fail(401, code="token_expired", message="Old."))
    terminal = talk(width=150)

    terminal.say("Hello")
    terminal.wait_for("Next: copy a token")
    terminal.say("/retry")
    terminal.wait_for("(1 message)")

    assert sent(environment) == ["Hello"]


def test_undo_and_retry(talk, environment):
    terminal = talk()

    terminal.say("one")
    terminal.wait_for("(1 message)")
    terminal.say("two")
    terminal.wait_for("(3 messages)")
    terminal.say("/undo")
    terminal.wait_for("forgot: two")
    terminal.say("/retry")
    terminal.wait_for("(1 message)", count=2)
    terminal.say("three")
    terminal.wait_for("(3 messages)", count=2)

    assert sent(environment, 2) == ["one"]
    assert sent(environment) == ["one", 'You said: "one" (1 message)', "three"]


def test_a_retry_that_fails_leaves_the_answer_that_was_there(talk, environment, tmp_path):
    environment.script(ok("good"), fail(403, code="used_up", message="No balance."))
    terminal = talk(width=150)

    terminal.say("one")
    terminal.wait_for("good")
    terminal.say("/retry")
    terminal.wait_for("top up at")
    terminal.say(f"/save {tmp_path}/talk.json")
    terminal.wait_for("saved")

    kept = json.loads((tmp_path / "talk.json").read_text())
    assert [message["content"] for message in kept["messages"]] == ["one", "good"]


def test_model_system_and_image(talk, environment, dot):
    terminal = talk()

    terminal.say("/model claude-x")
    terminal.wait_for("model: claude-x")
    terminal.say("/system Be brief.")
    terminal.wait_for("system: Be brief.")
    terminal.say(f"/image {dot}")
    terminal.wait_for("1 to be shown with your next question")
    terminal.say("What is this?")
    terminal.wait_for("You said")

    asked = environment.requests[0].json
    assert asked["model"] == "claude-x"
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in asked["messages"][1]["content"]] == ["text", "image_url"]


def test_usage_is_that_of_the_session(talk, environment):
    environment.script(
        ok("first", usage={"prompt_tokens": 10, "completion_tokens": 1, "cost": {"amount": 0.5}}),
        ok("second", usage={"prompt_tokens": 20, "completion_tokens": 2, "cost": {"amount": 0.25}}),
    )
    terminal = talk(width=120)

    terminal.say("one")
    terminal.wait_for("first")
    terminal.say("two")
    terminal.wait_for("second")
    terminal.say("/usage")

    assert "2 answers | 30 tokens in, 3 out | 0.75 credits" in terminal.wait_for("2 answers")


def test_help_lists_and_a_wrong_word_is_corrected(talk, environment):
    terminal = talk(width=100)

    terminal.say("/help")
    screen = terminal.wait_for("Ctrl-D ends the conversation.")
    terminal.say("/sytem x")
    terminal.wait_for("did you mean /system?")
    terminal.say("/image missing.png")
    terminal.wait_for("No such file")
    terminal.say("//etc is a folder")
    terminal.wait_for("You said")

    commands = [
        "help",
        "undo",
        "retry",
        "save",
        "load",
        "model",
        "system",
        "image",
        "usage",
        "exit",
    ]
    assert all(f"/{name} " in screen for name in commands)
    assert sent(environment) == ["/etc is a folder"]


def test_save_load_and_exit(talk, environment, tmp_path):
    terminal = talk(width=120)

    terminal.say("I am Ada.")
    terminal.wait_for("(1 message)")
    terminal.say(f"/save {tmp_path}/answer.md")
    terminal.wait_for("answer.md", count=2)
    terminal.say(f'/save "{tmp_path}/a talk.json"')
    terminal.wait_for("a talk.json", count=2)
    terminal.say("/undo")
    terminal.wait_for("forgot")
    terminal.say(f'/load "{tmp_path}/a talk.json"')
    terminal.wait_for("going on after 2 messages: I am Ada.")
    terminal.say("Who am I?")
    terminal.wait_for("(3 messages)")
    terminal.say("/exit")

    assert "exit code 0" in terminal.end()
    assert (tmp_path / "answer.md").read_text() == 'You said: "I am Ada." (1 message)\n'


def test_a_killed_conversation_goes_on_with_continue(talk, terminal, environment):
    environment.script(ok("Hello Ada."), stall(60, after=1))
    talk()
    terminal.say("I am Ada.")
    terminal.wait_for("Hello Ada.")
    terminal.say("Who am I?")
    wait_until(lambda: len(environment.requests) == 2)
    kill_client(terminal)
    terminal.wait_for("exit code 137")
    terminal.tmux("kill-server")

    talk("--continue")
    terminal.wait_for("going on after 2 messages: I am Ada.")
    terminal.wait_for("not answered yet (/retry asks again): Who am I?")
    terminal.say("/retry")
    terminal.wait_for("You said")

    assert sent(environment) == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_continue_goes_on_with_what_was_asked_on_a_terminal(terminal, run, environment, home):
    terminal.open("chat", "I am Ada.").end()
    run("chat", "I am a program.")

    run("chat", "--continue", "Who am I?")
    run("chat", "--continue", "Sure?")

    assert sent(environment)[::2] == ["I am Ada.", "Who am I?", "Sure?"]
    folder = home / "state" / "conversations"
    assert folder.stat().st_mode & 0o077 == 0
    assert len(list(folder.iterdir())) == 3


def test_nothing_is_kept_where_that_is_not_wanted(talk, terminal, environment, home):
    terminal = talk(env={"ACECHAT_HISTORY": "false"})

    terminal.say("a secret")
    terminal.wait_for("You said")
    terminal.press("C-d")
    terminal.end()

    assert not (home / "state").exists()


def test_a_folder_that_cannot_be_written_does_not_stop_a_conversation(talk, environment, tmp_path):
    (tmp_path / "file").write_text("")
    terminal = talk(width=120, env={"ACECHAT_STATE": str(tmp_path / "file")})

    terminal.say("Hello")

    terminal.wait_for("You said")
    terminal.wait_for("is not kept for --continue")


def test_the_emulator_can_be_talked_to(terminal):
    terminal.open("chat", "--emulator")
    terminal.wait_for("/help lists")
    time.sleep(0.3)

    terminal.say("Hello")

    terminal.wait_for('You said: "Hello" (1 message)')


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def kill_client(terminal):
    shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text()
    os.kill(int(children.split()[0]), signal.SIGKILL)
