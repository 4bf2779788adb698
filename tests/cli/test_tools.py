"""`acechat chat` with tools: functions, files and MCP servers, each call with approval."""

from __future__ import annotations

import sys
import time

import pytest

from acechat.emulator import call, ok

TOOLS = '''
from __future__ import annotations
from typing import Literal

def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """Weather of a city."""
    with open("calls.txt", "a") as file:
        file.write(f"weather {city}\\n")
    return f"sunny in {city}"

async def now() -> str:
    """The time."""
    with open("calls.txt", "a") as file:
        file.write("now\\n")
    return "noon"

def _hidden() -> str:
    """Not a tool."""
'''

SERVER = '''
from mcp.server import MCPServer
server = MCPServer("demo")

@server.tool()
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number

server.run("stdio")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mytools.py").write_text(TOOLS)
    return tmp_path


def calls(folder):
    path = folder / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "arguments",
    [["--tool", "mytools:weather,now"], ["--functions", "mytools.py"],
     ["--tool", "mytools:weather", "--tool", "mytools:now"]],
)  # fmt: skip
def test_approved_functions_are_called(run, environment, folder, arguments):
    environment.script(
        ok("Let me look.", tool_calls=[("weather", {"city": "Paris"}), ("now", {})]), ok("Sunny.")
    )

    done = run("chat", "Umbrella?", *arguments, "--yes")

    assert done.stdout == "Let me look.\nSunny.\n"
    assert 'calling weather(city="Paris")' in done.stderr
    assert "weather: sunny in Paris" in done.stderr
    assert sorted(calls(folder)) == ["now", "weather Paris"]
    tools = environment.requests[0].json["tools"]
    assert [tool["function"]["name"] for tool in tools] == ["weather", "now"]
    assert tools[0]["function"]["parameters"]["properties"]["unit"]["enum"] == ["C", "F"]
    contents = {message["content"] for message in environment.requests[1].json["messages"][2:]}
    assert contents == {"sunny in Paris", "noon"}


def test_no_function_is_called_without_a_terminal(run, environment, folder):
    done = run("chat", "Umbrella?", "--tool", "mytools:weather")

    assert (done.returncode, environment.requests, calls(folder)) == (2, [], [])
    assert done.stderr == (
        "acechat: tools are called after approval on a terminal only. "
        "Next: approve all calls with --yes\n"
    )


def test_each_call_is_approved_on_a_terminal(terminal, environment, folder):
    environment.script(
        call("weather", city="Paris"),
        ok(tool_calls=[("weather", {"city": "Rome\n\x1b[2J"})]),
        call("weather", city="Oslo"),
        call("weather", city="Bonn"),
        ok("Done."),
    )

    terminal.open("chat", "Umbrella?", "--tool", "mytools:weather", width=110)
    terminal.wait_for('call weather(city="Paris")?')
    terminal.press("y")
    terminal.wait_for('call weather(city="Rome\\n\\u001b[2J")?')
    terminal.press("n")
    terminal.wait_for('call weather(city="Oslo")?')
    terminal.press("a")

    assert "exit code 0" in terminal.end()
    assert calls(folder) == ["weather Paris", "weather Oslo", "weather Bonn"]
    refused = environment.requests[2].json["messages"][-1]["content"]
    assert "the user did not approve this call" in refused


def test_a_piped_prompt_can_be_approved_on_the_terminal(terminal, environment, folder):
    environment.script(call("weather", city="Paris"), ok("Done."))
    command = f"{sys.executable} -m acechat"

    terminal.open(command=f"echo Umbrella? | {command} --tool mytools:weather", width=100)
    terminal.wait_for('call weather(city="Paris")?')
    terminal.press("y")

    assert "exit code 0" in terminal.end()
    assert calls(folder) == ["weather Paris"]


def test_ctrl_c_at_the_question_calls_nothing(terminal, environment, folder):
    environment.script(call("weather", city="Paris"), ok("Done."))

    terminal.open("chat", "Umbrella?", "--tool", "mytools:weather", width=100)
    terminal.wait_for('call weather(city="Paris")?')
    terminal.press("C-c")

    assert "exit code 130" in terminal.end()
    assert calls(folder) == []


def test_keys_pressed_before_the_question_approve_nothing(terminal, environment, folder):
    environment.script(call("weather", city="Paris"), ok("Done."))

    terminal.open("chat", "Umbrella?", "--tool", "mytools:weather", width=100)
    terminal.type("yyyy")
    terminal.wait_for('call weather(city="Paris")?')
    time.sleep(0.5)

    assert calls(folder) == []
    terminal.press("n")
    terminal.end()
    assert calls(folder) == []


def test_tools_work_in_a_conversation(terminal, environment, folder):
    environment.script(call("weather", city="Paris"), ok("Sunny there."), ok("Yes."))

    terminal.open("chat", "--tool", "mytools:weather", width=100)
    terminal.wait_for("/help lists the commands")
    time.sleep(0.3)
    terminal.enter("Umbrella?")
    terminal.wait_for('call weather(city="Paris")?')
    terminal.press("y")
    terminal.wait_for("Sunny there.")
    terminal.enter("Really?")
    terminal.wait_for("Yes.")
    terminal.press("C-d")

    assert "exit code 0" in terminal.end()
    roles = [message["role"] for message in environment.requests[2].json["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_the_tools_of_an_mcp_server_are_called(run, environment, tmp_path):
    pytest.importorskip("mcp")
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    environment.script(call("double", number=21), ok("42."))

    done = run("chat", "Twice 21?", "--mcp", f"{sys.executable} {server}", "--yes")

    assert done.stdout == "42.\n"
    assert "42" in environment.requests[1].json["messages"][-1]["content"]


def test_a_missing_mcp_server_is_one_line(run, environment):
    done = run("chat", "Hi", "--mcp", "/nonexistent/server", "--yes")

    assert (done.returncode, environment.requests) == (1, [])
    assert "cannot connect to the MCP server" in done.stderr
    assert done.stderr.count("\n") == 1
