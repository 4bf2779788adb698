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
    terminal.say("//help is a word")
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
    assert sent(environment) == ["/help is a word"]


@pytest.mark.parametrize(
    "text", ["/home/ada/x.py", "/* a */", "// a comment", "/etc/hosts or", "/"]
)
def test_a_text_that_begins_with_a_slash_is_no_command(talk, environment, text):
    terminal = talk()

    terminal.say(text)
    terminal.wait_for("You said")

    assert sent(environment) == [text]


def test_pasted_lines_are_no_command_that_does_not_exist(talk, environment):
    terminal = talk()

    terminal.tmux("set-buffer", "/etc\n/usr")
    terminal.tmux("paste-buffer", "-p")
    time.sleep(0.3)
    terminal.press("Enter")
    terminal.wait_for("You said")

    assert sent(environment) == ["/etc\n/usr"]


def test_commands_that_lack_something_say_what(talk, environment, tmp_path):
    (tmp_path / "notes.md").write_text("mine")
    terminal = talk(width=150)

    terminal.say("/load")
    terminal.wait_for("which one? /load talk.json")
    terminal.say("/model")
    terminal.wait_for("model: claude-sonnet-4-20250514")
    terminal.say(f"/save {tmp_path}/notes.md")
    terminal.wait_for("there is no answer yet")
    terminal.say(f"/save {tmp_path}/missing/talk.json")
    terminal.wait_for(f"cannot write '{tmp_path}/missing/talk.json': No such file or directory.")

    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_loaded_question_without_an_answer_is_not_sent_again(talk, environment, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text('{"messages": [{"role": "user", "content": "lost"}]}')
    terminal = talk(width=150)

    terminal.say(f"/load {file}")
    terminal.wait_for("not answered yet (/retry asks again): lost")
    terminal.say("Next")
    terminal.wait_for("You said")

    assert sent(environment) == ["Next"]


def test_the_editor_completes_commands_and_their_files(talk, environment, tmp_path):
    (tmp_path / "a-file.json").write_text("")
    terminal = talk(width=150)

    terminal.type("/u")
    screen = terminal.wait_for("/usage")
    terminal.press("C-u")
    terminal.type(f"/load {tmp_path}/")
    terminal.wait_for("a-file.json")

    assert "/undo" in screen
    assert "/exit" not in screen


def test_what_was_typed_can_be_read_by_its_owner_alone(talk, environment, home):
    terminal = talk()

    terminal.say("a secret")
    terminal.wait_for("You said")

    assert "a secret" in (home / "state" / "prompts").read_text()
    assert (home / "state" / "prompts").stat().st_mode & 0o077 == 0


def test_continue_takes_the_conversation_that_was_talked_in_last(run, environment, home):
    write(home, "20260102-000000", "began later", age=100)
    write(home, "20260101-000000", "ended later", age=50)
    (home / "state" / "conversations" / "20260103-000000.json").write_text("")

    run("chat", "--continue", "Next")

    assert sent(environment) == ["ended later", "yes", "Next"]


def test_an_unanswered_question_is_not_sent_with_the_next_one(run, environment, home):
    write(home, "20260102-000000", "lost", age=1, answer=None)

    run("chat", "--continue", "Next")

    assert sent(environment) == ["Next"]


def test_fifty_conversations_are_kept(run, environment, home):
    for number in range(60):
        write(home, f"202601{number:02}-000000", f"question {number}", age=100 - number)

    run("chat", "--continue", "Next")

    left = {file.name for file in (home / "state" / "conversations").iterdir()}
    assert len(left) == 50
    assert "20260111-000000.json" in left
    assert "20260110-000000.json" not in left


def write(home, name, question, age, answer="yes"):
    """Keep a conversation that was talked in *age* seconds ago."""
    file = home / "state" / "conversations" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    said = [{"role": "user", "content": question}]
    said += [{"role": "assistant", "content": answer}] if answer else []
    file.write_text(json.dumps({"messages": said}))
    os.utime(file, (time.time() - age, time.time() - age))


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
