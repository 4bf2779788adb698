"""`acechat chat` without a prompt: a conversation, in a real terminal."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from acechat.cli.library.store import Store
from acechat.emulator import fail, ok, stall


@pytest.fixture
def chat(terminal, environment):
    """Start a conversation that waits for its first prompt."""

    def start(*arguments, **options):
        terminal.open("chat", *arguments, **options)
        terminal.wait_for("/help lists the commands")
        time.sleep(0.3)  # until the line editor reads
        return terminal

    return start


def sent(environment, number=-1):
    return [message["content"] for message in environment.requests[number].json["messages"]]


def test_the_history_is_sent(chat, environment):
    terminal = chat()

    terminal.enter("I am Ada.")
    terminal.wait_for("(1 message)")
    terminal.enter("Who am I?")
    terminal.wait_for("(3 messages)")
    terminal.press("C-d")

    assert "exit code 0" in terminal.end()
    assert sent(environment) == ["I am Ada.", 'You said: "I am Ada." (1 message)', "Who am I?"]


def test_a_prompt_may_have_several_lines(chat, environment):
    terminal = chat()

    terminal.type("one\\")
    terminal.press("Enter")
    terminal.type("two")
    terminal.press("C-j")
    terminal.type("three")
    terminal.press("M-Enter")
    terminal.enter("four")
    terminal.wait_for("You said")

    assert sent(environment) == ["one\ntwo\nthree\nfour"]


def test_pasted_text_is_one_prompt(chat, environment):
    terminal = chat()

    terminal.tmux("set-buffer", "one\ntwo\n")
    terminal.tmux("paste-buffer", "-p")
    time.sleep(0.3)
    terminal.enter("three")
    terminal.wait_for("You said")

    assert sent(environment) == ["one\ntwo\nthree"]


def test_the_arrow_key_recalls_prompts_of_earlier_sessions(chat, environment):
    terminal = chat()
    terminal.enter("an earlier prompt")
    terminal.wait_for("You said")
    terminal.press("C-d")
    terminal.end()
    terminal.tmux("kill-server")

    terminal = chat()
    terminal.press("Up")
    time.sleep(0.3)
    terminal.press("Enter")
    terminal.wait_for("You said")

    assert sent(environment) == ["an earlier prompt"]


def test_ctrl_c_stops_the_response_and_keeps_its_text(chat, environment):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal = chat()

    terminal.enter("Tell me a story")
    terminal.wait_for("It begins well")
    terminal.press("C-c")
    terminal.wait_for("the partial response is kept")
    terminal.enter("Go on")
    terminal.wait_for("(3 messages)")

    assert sent(environment) == ["Tell me a story", "It begins well ", "Go on"]


def test_ctrl_c_stops_several_responses(chat, environment):
    environment.script(stall(60, after=1), stall(60, after=1))
    terminal = chat()

    for count in (1, 2):
        terminal.enter(f"prompt {count}")
        wait_until(lambda expected=count: len(environment.requests) == expected)
        terminal.press("C-c")
        terminal.wait_for("stopped before any text was received", count=count)
    terminal.enter("/retry")
    terminal.wait_for("You said")

    assert sent(environment) == ["prompt 2"]


def test_ctrl_c_clears_the_input_line(chat, environment):
    terminal = chat()

    terminal.type("nonsense")
    time.sleep(0.2)
    terminal.press("C-c")
    time.sleep(0.2)
    terminal.enter("sense")
    terminal.wait_for("You said")

    assert sent(environment) == ["sense"]


def test_an_error_is_one_line_and_the_session_continues(chat, environment):
    environment.script(fail(401, code="token_expired", message="Old."))
    terminal = chat(width=150)

    terminal.enter("Hello")
    terminal.wait_for("Next: copy a token")
    terminal.enter("/retry")
    terminal.wait_for("(1 message)")

    assert sent(environment) == ["Hello"]


def test_undo_and_retry(chat, environment):
    terminal = chat()

    terminal.enter("one")
    terminal.wait_for("(1 message)")
    terminal.enter("two")
    terminal.wait_for("(3 messages)")
    terminal.enter("/undo")
    terminal.wait_for("removed: two")
    terminal.enter("/retry")
    terminal.wait_for("(1 message)", count=2)
    terminal.enter("three")
    terminal.wait_for("(3 messages)", count=2)

    assert sent(environment, 2) == ["one"]
    assert sent(environment) == ["one", 'You said: "one" (1 message)', "three"]


def test_a_failed_retry_keeps_the_earlier_response(chat, environment, tmp_path):
    environment.script(ok("good"), fail(403, code="used_up", message="No balance."))
    terminal = chat(width=150)

    terminal.enter("one")
    terminal.wait_for("good")
    terminal.enter("/retry")
    terminal.wait_for("top up at")
    terminal.enter(f"/save {tmp_path}/talk.json")
    terminal.wait_for("saved")

    kept = json.loads((tmp_path / "talk.json").read_text())
    assert [message["content"] for message in kept["messages"]] == ["one", "good"]


def test_model_system_and_image(chat, environment, dot):
    terminal = chat()

    terminal.enter("/model claude-x")
    terminal.wait_for("model: claude-x")
    terminal.enter("/system Be brief.")
    terminal.wait_for("system: Be brief.")
    terminal.enter(f"/image {dot}")
    terminal.wait_for("images: 1 to be shown")
    terminal.enter("What is this?")
    terminal.wait_for("You said")

    request = environment.requests[0].json
    assert request["model"] == "claude-x"
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in request["messages"][1]["content"]] == ["text", "image_url"]


def test_usage_is_the_sum_of_the_session(chat, environment):
    environment.script(
        ok("first", usage={"prompt_tokens": 10, "completion_tokens": 1, "cost": {"amount": 0.5}}),
        ok("second", usage={"prompt_tokens": 20, "completion_tokens": 2, "cost": {"amount": 0.25}}),
    )
    terminal = chat(width=120)

    terminal.enter("one")
    terminal.wait_for("first")
    terminal.enter("two")
    terminal.wait_for("second")
    terminal.enter("/usage")

    assert "2 responses | 30 tokens in, 3 out | 0.75 credits" in terminal.wait_for("2 responses")


def test_help_lists_the_commands_and_a_misspelt_one_is_corrected(chat, environment):
    terminal = chat(width=100)

    terminal.enter("/help")
    screen = terminal.wait_for("Ctrl-C stops a response;")
    terminal.enter("/sytem x")
    terminal.wait_for("did you mean /system?")
    terminal.enter("/image missing.png")
    terminal.wait_for("No such file")
    terminal.enter("//help is a word")
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
def test_text_that_begins_with_a_slash_is_no_command(chat, environment, text):
    terminal = chat()

    terminal.enter(text)
    terminal.wait_for("You said")

    assert sent(environment) == [text]


def test_pasted_lines_are_no_unknown_command(chat, environment):
    terminal = chat()

    terminal.tmux("set-buffer", "/etc\n/usr")
    terminal.tmux("paste-buffer", "-p")
    time.sleep(0.3)
    terminal.press("Enter")
    terminal.wait_for("You said")

    assert sent(environment) == ["/etc\n/usr"]


def test_commands_report_a_missing_argument(chat, environment, tmp_path):
    (tmp_path / "notes.md").write_text("mine")
    terminal = chat(width=150)

    terminal.enter("/load")
    terminal.wait_for("missing FILE or ID: /load talk.json, /load c12")
    terminal.enter("/model")
    terminal.wait_for("model: claude-sonnet-4-20250514")
    terminal.enter(f"/save {tmp_path}/notes.md")
    terminal.wait_for("there is no response to save yet")
    terminal.enter(f"/save {tmp_path}/missing/talk.json")
    terminal.wait_for(f"cannot write '{tmp_path}/missing/talk.json': No such file or directory.")

    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_loaded_prompt_without_a_response_is_not_sent_again(chat, environment, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text('{"messages": [{"role": "user", "content": "lost"}]}')
    terminal = chat(width=150)

    terminal.enter(f"/load {file}")
    terminal.wait_for("no response yet (/retry sends again): lost")
    terminal.enter("Next")
    terminal.wait_for("You said")

    assert sent(environment) == ["Next"]


def test_the_input_line_completes_commands_and_file_names(chat, environment, tmp_path):
    (tmp_path / "a-file.json").write_text("")
    terminal = chat(width=150)

    terminal.type("/u")
    screen = terminal.wait_for("/usage")
    terminal.press("C-u")
    terminal.type(f"/load {tmp_path}/")
    terminal.wait_for("a-file.json")

    assert "/undo" in screen
    assert "/exit" not in screen


def test_only_the_owner_can_read_the_input_history(chat, environment, home):
    terminal = chat()

    terminal.enter("a secret")
    terminal.wait_for("You said")

    assert "a secret" in (home / "state" / "prompts").read_text()
    assert (home / "state" / "prompts").stat().st_mode & 0o077 == 0


def test_continue_loads_the_most_recently_used_conversation(run, environment, home):
    write(home, "20260102-000000", "started later", age=100)
    write(home, "20260101-000000", "ended later", age=50)
    (home / "state" / "conversations" / "20260103-000000.json").write_text("")

    run("chat", "--continue", "Next")

    assert sent(environment) == ["ended later", "yes", "Next"]


def test_a_prompt_without_a_response_is_not_sent_with_the_next_one(run, environment, home):
    write(home, "20260102-000000", "lost", age=1, response=None)

    run("chat", "--continue", "Next")

    assert sent(environment) == ["Next"]


def write(home, name, prompt, age, response="yes"):
    """Write a conversation that was last used *age* seconds ago."""
    file = home / "state" / "conversations" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    messages = [{"role": "user", "content": prompt}]
    messages += [{"role": "assistant", "content": response}] if response else []
    file.write_text(json.dumps({"messages": messages}))
    os.utime(file, (time.time() - age, time.time() - age))


def test_save_load_and_exit(chat, environment, tmp_path):
    terminal = chat(width=120)

    terminal.enter("I am Ada.")
    terminal.wait_for("(1 message)")
    terminal.enter(f"/save {tmp_path}/response.md")
    terminal.wait_for("response.md", count=2)
    terminal.enter(f'/save "{tmp_path}/a talk.json"')
    terminal.wait_for("a talk.json", count=2)
    terminal.enter("/undo")
    terminal.wait_for("removed")
    terminal.enter(f'/load "{tmp_path}/a talk.json"')
    terminal.wait_for("continuing after 2 messages: I am Ada.")
    terminal.enter("Who am I?")
    terminal.wait_for("(3 messages)")
    terminal.enter("/exit")

    assert "exit code 0" in terminal.end()
    assert (tmp_path / "response.md").read_text() == 'You said: "I am Ada." (1 message)\n'


def test_continue_resumes_a_killed_conversation(chat, terminal, environment):
    environment.script(ok("Hello Ada."), stall(60, after=1))
    chat()
    terminal.enter("I am Ada.")
    terminal.wait_for("Hello Ada.")
    terminal.enter("Who am I?")
    wait_until(lambda: len(environment.requests) == 2)
    kill_client(terminal)
    terminal.wait_for("exit code 137")
    terminal.tmux("kill-server")

    chat("--continue")
    terminal.wait_for("continuing after 2 messages: I am Ada.")
    terminal.wait_for("no response yet (/retry sends again): Who am I?")
    terminal.enter("/retry")
    terminal.wait_for("You said")

    assert sent(environment) == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_continue_resumes_a_prompt_on_a_terminal(terminal, run, environment, home):
    terminal.open("chat", "I am Ada.").end()
    run("chat", "I am a program.")

    run("chat", "--continue", "Who am I?")
    run("chat", "--continue", "Sure?")

    assert sent(environment)[::2] == ["I am Ada.", "Who am I?", "Sure?"]
    assert (home / "state").stat().st_mode & 0o077 == 0
    assert [entry.title for entry in Store(home / "state").latest(9)] == [
        "I am Ada.",
        "I am a program.",
    ]


def test_nothing_is_saved_with_history_off(chat, terminal, environment, home):
    terminal = chat(env={"ACECHAT_HISTORY": "false"})

    terminal.enter("a secret")
    terminal.wait_for("You said")
    terminal.press("C-d")
    terminal.end()

    assert not (home / "state").exists()


def test_an_unwritable_folder_does_not_stop_a_conversation(chat, environment, tmp_path):
    (tmp_path / "file").write_text("")
    terminal = chat(width=120, env={"ACECHAT_STATE": str(tmp_path / "file")})

    terminal.enter("Hello")

    terminal.wait_for("You said")
    terminal.wait_for("cannot save this conversation for --continue")


def test_a_conversation_with_the_emulator(terminal):
    terminal.open("chat", "--emulator")
    terminal.wait_for("/help lists")
    time.sleep(0.3)

    terminal.enter("Hello")

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
