"""Tools of a real MCP server, over stdio and HTTP, async and sync."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from itertools import permutations
from pathlib import Path
from unittest import mock

import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    ConnectError,
    MaxTurnsError,
    ToolError,
    TransportError,
)
from acechat import mcp as acechat_mcp
from acechat.emulator import call, ok

pytest.importorskip("mcp")

SERVER = str(Path(__file__).with_name("mcp_server.py"))
RAW_SERVER = str(Path(__file__).with_name("mcp_raw_server.py"))
MCPToolError = acechat_mcp.MCPToolError
OBJECT = {"type": "object"}
connect = acechat_mcp.connect


async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def raw(*, timeout=30.0, prefix="", tools=("x",), **what):
    """Return a connection to a raw server with the fault *what*, see mcp_raw_server.py."""
    schema = {"type": "object", "properties": {}}
    listed = [
        {"name": one, "inputSchema": schema} if isinstance(one, str) else one for one in tools
    ]
    variables = {"RAW": json.dumps({"tools": listed, **what})}
    return connect(sys.executable, RAW_SERVER, env=variables, timeout=timeout, prefix=prefix)


def ends(pid):
    """Return whether a process ends within two seconds."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@contextmanager
def serving():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60  # the import takes a second on an idle machine
        while time.monotonic() < until:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def url():
    with serving() as (url, _):
        yield url


@pytest.fixture(params=["async", "blocking"])
def run(request, acechat_service, url):
    """Run with the server's tools; no task may be left behind."""
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token, "proxy": ""}

    async def asynchronous(more, connection, **options):
        async with AsyncClient(**settings) as client:
            async with connection as tools:
                result = await client.run("Hello", tools=[*tools, *more], **options)
            assert len(asyncio.all_tasks()) == 1
            return result

    def run(*more, place=(url,), prefix="", **options):
        connection = connect(*place, prefix=prefix)
        if request.param == "async":
            return asyncio.run(asynchronous(more, connection, **options))
        with Client(**settings) as client, connection as tools:
            return client.run("Hello", tools=[*tools, *more], **options)

    return run


def told(result):
    return [one.content for turn in result for one in turn.results]


@pytest.mark.parametrize(
    "options", [{}, {"place": (sys.executable, SERVER)}], ids=["http", "stdio"]
)
def test_tools_of_a_server_and_functions_are_called(run, acechat_service, options):
    acechat_service.script(
        ok(tool_calls=[("forecast", {"city": "Paris", "days": 2}), ("add", {"a": 1, "b": 2})]),
        ok("Rain."),
    )

    result = run(add, **options)

    assert told(result) == ["rain in Paris for 2", "3"]
    tools = acechat_service.requests[0].json["tools"]
    assert tools[0]["function"]["description"] == "Forecast the weather."
    assert tools[0]["function"]["parameters"]["required"] == ["city"]


def test_all_content_types_are_converted(run, acechat_service):
    acechat_service.script(call("show_everything"), ok("I see."))

    result = run()

    ((only,),) = [turn.results for turn in result if turn.results]
    assert only.content.splitlines() == [
        "Look:",
        "(audio/wav audio: not supported)",
        "inside",
        "(font/woff at file:///b: not supported)",
        "more: file:///c",
        "(images in the next message: 1)",
    ]
    assert only.images[0].image_url.url == "data:image/png;base64,iVBORw0KGgo="


def test_errors_of_the_server_are_reported_to_the_model(run, acechat_service):
    acechat_service.script(
        ok(tool_calls=[("forecast", {"city": "Atlantis"}), ("forecast", {})]), ok("Sorry.")
    )

    refused, misfit = told(run())

    assert refused.startswith("Error: MCPToolError: ")
    assert "forecast" in refused
    assert "city" in misfit


def test_names_have_the_prefix_and_no_invalid_characters(run, acechat_service):
    acechat_service.script(call("mine_forecast", city="Rom"), ok("Rain."))

    assert told(run(prefix="mine_")) == ["rain in Rom for 1"]
    names = [one["function"]["name"] for one in acechat_service.requests[0].json["tools"]]
    assert "mine_show_everything" in names


def test_after_a_tool_timeout_the_next_call_works(run, acechat_service):
    acechat_service.script(call("sleep"), call("forecast", city="Rom"), ok("Rain."))

    slow, quick = told(run(tool_timeout=2))

    assert (slow, quick) == ("Error: the tool did not finish within 2 s", "rain in Rom for 1")


def test_an_exception_of_the_block_is_unchanged(run, acechat_service):
    acechat_service.script(*[call("forecast", city="Rom")] * 2)

    with pytest.raises(MaxTurnsError):
        run(max_turns=2)


def test_a_command_gets_its_environment():
    async def ask():
        async with connect(sys.executable, SERVER, env={"CITY": "Rom"}) as tools:
            (setting,) = (one for one in tools if one.name == "setting")
            return await setting(name="CITY")

    (part,) = asyncio.run(ask())
    assert part.text == "Rom"


@pytest.mark.parametrize(
    "server", [("/no/such/command",), (sys.executable, "-c", ""), ("http://127.0.0.1:9/mcp",)]
)
def test_a_missing_server_raises_one_error_with_its_name(server):
    async def enter():
        async with connect(*server):
            pytest.fail("there is no server")

    with pytest.raises(ConnectError, match="cannot connect to the MCP server") as caught:
        asyncio.run(enter())
    assert server[0] in str(caught.value)

    with pytest.raises(ConnectError, match="cannot connect to the MCP server"), connect(*server):
        pytest.fail("there is no server")


def test_arguments_that_do_not_apply_to_the_server_are_rejected(monkeypatch):
    with pytest.raises(ConfigurationError, match="apply to a command, not to a URL"):
        connect("http://localhost/mcp", "x")
    with pytest.raises(ConfigurationError, match="headers= applies to a URL"):
        connect("python", headers={"a": "b"})
    monkeypatch.setattr(acechat_mcp, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"acechat\[mcp\]"):
        connect("python")
    monkeypatch.undo()
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ConfigurationError, match="timeout must be a positive number"):
            connect("python", timeout=timeout)
    with pytest.raises(ConfigurationError, match="invalid header 'Authorization'") as caught:
        connect("http://localhost/mcp", headers={"Authorization": "Bearer sk-0123\n"})
    assert "0123" not in str(caught.value)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_connections_are_closed_in_any_order(order):
    async def use():
        connections = [raw(tools=[name]) for name in "abc"]
        tools = [await one.__aenter__() for one in connections]
        for number, place in enumerate(order):
            await connections[place].__aexit__(None, None, None)
            for left in order[number + 1 :]:
                (part,) = await tools[left][0]()
                assert part.text == f"{'abc'[left]} {{}}"

    asyncio.run(use())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_blocking_connections_are_closed_in_any_order_by_any_thread(order):
    connections = [raw(tools=[name]) for name in "ab"]
    tools = [one.__enter__() for one in connections]
    for place in order:
        (part,) = tools[place][0]()
        assert part.text == f"{'ab'[place]} {{}}"
        thread = threading.Thread(target=connections[place].__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        with pytest.raises(TransportError):
            tools[place][0]()


def test_tasks_open_use_and_close_each_others_connections(url):
    async def use():
        connections = [raw(), connect(url, prefix="a_"), connect(sys.executable, SERVER), raw()]
        opened = await asyncio.gather(*[one.__aenter__() for one in connections])
        results = await asyncio.gather(
            *[asyncio.create_task(tools[0](city="Rom")) for tools in opened]
        )
        assert [parts[0].text for parts in results] == [
            'x {"city": "Rom"}',
            "rain in Rom for 1",
            "rain in Rom for 1",
            'x {"city": "Rom"}',
        ]
        async with asyncio.TaskGroup() as group:
            for one in connections:
                group.create_task(one.__aexit__(None, None, None))
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())


def test_a_connection_is_closed_twice_and_opened_again_but_not_while_it_is_open():
    async def use():
        connection = raw()
        await connection.__aexit__(None, None, None)
        async with connection:
            with pytest.raises(ConfigurationError, match="is already open"):
                await connection.__aenter__()
        await connection.__aexit__(None, None, None)
        async with connection as tools:
            assert await tools[0]()

    asyncio.run(use())


def test_a_failed_connection_does_not_affect_others():
    async def use():
        broken, sound = raw(crash="initialize"), raw()
        failed, tools = await asyncio.gather(
            broken.__aenter__(), sound.__aenter__(), return_exceptions=True
        )
        assert isinstance(failed, ConnectError)
        assert await tools[0]()
        await sound.__aexit__(None, None, None)

    asyncio.run(use())


def test_a_blocking_client_in_a_thread_uses_an_asynchronous_connection(acechat_service):
    acechat_service.script(call("x"), ok("fine"))

    def ask(tools):
        settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}
        with Client(**settings, proxy="") as client:
            return client.run("Hello", tools=tools)

    async def use():
        async with raw() as tools:
            return await asyncio.to_thread(ask, tools)

    assert told(asyncio.run(use())) == ["x {}"]


class Closed(io.StringIO):
    closed = True

    def fileno(self):
        raise ValueError("I/O operation on closed file")


class Bad(io.StringIO):
    def fileno(self):
        return 10**6


STDERR = {
    "a notebook's": io.StringIO(),
    "none": None,
    "closed": Closed(),
    "a bad descriptor": Bad(),
    "a mock": mock.MagicMock(),
    "no file": object(),
}


@pytest.mark.parametrize("also", [False, True], ids=["first", "both"])
@pytest.mark.parametrize("stderr", STDERR.values(), ids=STDERR)
def test_a_command_needs_no_descriptor_in_sys_stderr(monkeypatch, stderr, also):
    monkeypatch.setattr(sys, "stderr", stderr)
    if also:
        monkeypatch.setattr(sys, "__stderr__", stderr)

    with raw() as tools:
        assert tools[0]()


@pytest.mark.parametrize("silent", ["server/discover", "initialize", "tools/list"])
def test_a_silent_server_times_out(tmp_path, silent):
    pid = tmp_path / "pid"
    began = time.monotonic()

    with (
        pytest.raises(ConnectError, match="no response within 1 s") as caught,
        raw(silent=silent, pid=str(pid), timeout=1),
    ):
        pytest.fail("it never spoke")

    assert time.monotonic() - began < 5  # 1 s, and 2 s for the process to exit
    assert not caught.value.final
    assert ends(int(pid.read_text()))


def test_a_silent_url_times_out():
    async def use(port):
        async with connect(f"http://127.0.0.1:{port}/mcp", timeout=0.5):
            pytest.fail("it never spoke")

    with socket.create_server(("127.0.0.1", 0)) as sock:
        began = time.monotonic()
        with pytest.raises(ConnectError, match=r"no response within 0.5 s"):
            asyncio.run(use(sock.getsockname()[1]))
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ({"cursor": "same"}, "a cursor was repeated"),
        ({"cursor": "counting"}, "more than 100 pages"),
        ({"tools": ["x", "y"]}, "1 tools"),
        (
            {"tools": [{"name": "x", "description": "d" * 2000, "inputSchema": OBJECT}]},
            "1,000 bytes",
        ),
        ({"tools": [{"name": "x", "inputSchema": {**OBJECT, "title": "d" * 2000}}]}, "1,000 bytes"),
        ({"tools": [{"name": "odd", "inputSchema": {"type": "array"}}]}, "invalid tool 'odd'"),
        ({"tools": [{"name": "odd", "inputSchema": True}]}, "invalid tool 'odd'"),
        ({"tools": [{"inputSchema": OBJECT}]}, r"tools\.0\.name Field required"),
        ({"tools": [1]}, r"tools\.0 "),
    ],
)
def test_an_invalid_or_too_long_tool_list_is_rejected(monkeypatch, what, problem):
    monkeypatch.setattr(acechat_mcp, "_MAX_TOOLS", 1 if problem == "1 tools" else 1000)
    monkeypatch.setattr(acechat_mcp, "_MAX_BYTES", 1000 if "bytes" in problem else 2**24)
    began = time.monotonic()

    with pytest.raises(ConnectError, match=problem), raw(**what):
        pytest.fail("there are no tools")

    assert time.monotonic() - began < 8


def test_the_tools_of_all_pages_are_listed_once():
    names = [f"tool{number}" for number in range(300)]

    with raw(tools=[*names, "tool0"]) as tools:
        assert [tool.name for tool in tools] == names


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
@pytest.mark.parametrize("how", ["crash", "half"])
def test_a_crashed_server_raises_an_error_at_once(how, blocking):
    async def use():
        async with raw(**{how: "tools/call"}) as tools:
            for _ in range(2):
                with pytest.raises(TransportError, match="was closed"):
                    await asyncio.wait_for(tools[0](), 2)

    if not blocking:
        asyncio.run(use())
        return
    with raw(**{how: "tools/call"}) as tools:
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(TransportError, match="was closed"):
                tools[0]()
        assert time.monotonic() - began < 2


def test_a_crashed_http_server_raises_an_error_at_once():
    async def use(url, process):
        async with connect(url) as tools:
            named = {tool.name: tool for tool in tools}
            asyncio.get_running_loop().call_later(0.5, process.kill)
            for _ in range(2):
                with pytest.raises(TransportError):
                    await asyncio.wait_for(named["sleep"](), 3)

    with serving() as (url, process):
        asyncio.run(use(url, process))


def test_a_crashed_server_is_reported_to_the_model_or_raised(run, acechat_service):
    place = (sys.executable, "-c", f"import os; os.environ['RAW'] = {CRASH!r}; {RUN_RAW}")
    acechat_service.script(call("x"), ok("Sorry."), call("x"))

    (failed,) = told(run(place=place))
    assert failed.startswith("Error: TransportError: ")
    with pytest.raises(ToolError) as caught:
        run(place=place, raise_tool_errors=True)
    assert isinstance(caught.value.__cause__, TransportError)


CRASH = json.dumps(
    {"crash": "tools/call", "tools": [{"name": "x", "inputSchema": {"type": "object"}}]}
)
RUN_RAW = f"exec(open({RAW_SERVER!r}).read())"


REFUSALS = {
    "its own": ({"content": [{"type": "text", "text": "no city"}], "isError": True}, "no city"),
    "without a reason": ({"content": [], "isError": True}, "the server gave no reason"),
    "of the protocol": ({"error": {"code": -32602, "message": "no such city"}}, "no such city"),
    "a result that is none": ({"content": [{"type": "smell"}]}, "validation error"),
    "no content": ({"content": 1}, "validation error"),
}


@pytest.mark.parametrize(("result", "text"), REFUSALS.values(), ids=REFUSALS)
def test_errors_of_a_call_are_acechat_errors(result, text):
    with raw(results={"x": result}) as tools:
        with pytest.raises(MCPToolError, match=text):
            tools[0]()
        with pytest.raises(MCPToolError, match=text):
            tools[0]()  # the connection still works


@pytest.mark.parametrize(
    "schema", [{}, None, {"type": None}, {**OBJECT, "properties": []}, {"type": ["object", "null"]}]
)
def test_an_invalid_schema_does_not_hide_other_tools(schema):
    tools = [{"name": "odd", "inputSchema": schema}, {"name": "none"}, "x"]

    with raw(tools=tools) as tools:
        for tool in tools:
            assert tool.parameters == {**OBJECT, "properties": {}}
            assert tool()[0].text == f"{tool.name} {{}}"


def test_original_names_and_arguments_reach_the_server():
    union = {"name": "查询", "inputSchema": {"type": "object", "anyOf": [{"required": ["a"]}]}}
    odd = {"name": "查时", "inputSchema": {"type": "object", "properties": {"日期": {}}}}

    with raw(tools=[union, odd, "self"], prefix="my_") as tools:
        first, second, third = tools
        (key,) = second.parameters["properties"]
        assert first(arguments={"a": 1})[0].text == '查询 {"a": 1}'
        assert json.loads(second(**{key: 1})[0].text.removeprefix("查时 ")) == {"日期": 1}
        names = {"function": 1, "owner": 2, "client": 3, "name": 4, "arguments": 5, "thread": 6}
        assert third.function(**names, self=7)[0].text == f"self {json.dumps({**names, 'self': 7})}"


def test_a_pattern_of_the_server_cannot_block_the_process():
    tool = {
        "name": "x",
        "inputSchema": {"type": "object"},
        "outputSchema": {**OBJECT, "properties": {"a": {"pattern": "^(a+)+$"}}},
    }
    result = {"content": [], "structuredContent": {"a": "a" * 40 + "!"}}
    code = f"""
        import json, sys
        from acechat import mcp
        raw = {json.dumps({"tools": [tool], "results": {"x": result}})!r}
        with mcp.connect(sys.executable, {RAW_SERVER!r}, env={{"RAW": raw}}) as tools:
            print(tools[0]()[0].text)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert json.loads(done.stdout) == result["structuredContent"]


def test_cancellation_while_connecting_leaves_no_process(tmp_path):
    pid = tmp_path / "pid"

    async def use():
        with suppress(TimeoutError):
            async with asyncio.timeout(1), raw(silent="server/discover", pid=str(pid)):
                pytest.fail("it never spoke")
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())
    assert ends(int(pid.read_text()))


def test_close_ends_a_pending_open_and_pending_calls():
    async def use():
        connection = raw(silent="server/discover")
        opening = asyncio.create_task(connection.__aenter__())
        await asyncio.sleep(0.3)
        await connection.__aexit__(None, None, None)
        with pytest.raises(ConnectError, match="closed before it was open"):
            await opening

        connection = connect(sys.executable, SERVER)
        named = {tool.name: tool for tool in await connection.__aenter__()}
        using = asyncio.create_task(named["sleep"]())
        await asyncio.sleep(0.3)
        await connection.__aexit__(None, None, None)
        with pytest.raises(TransportError, match="was closed"):
            await asyncio.wait_for(using, 1)
        with pytest.raises(TransportError, match="is closed"):
            await named["sleep"]()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())


FORGETFUL = {
    "async": """
        async def use():
            (tool,) = await connection.__aenter__()
            print((await tool())[0].text)
            return tool

        tool = asyncio.run(use())
        try:
            asyncio.run(tool())
        except acechat.TransportError:
            sys.exit(3)
        """,
    "blocking": """
        (tool,) = connection.__enter__()
        print(tool()[0].text)
        sys.exit(3)
        """,
}


@pytest.mark.parametrize("script", FORGETFUL.values(), ids=FORGETFUL)
def test_a_script_without_close_exits_with_its_own_code(tmp_path, script):
    pid = tmp_path / "pid"
    code = f"""
        import acechat, asyncio, sys
        from acechat import mcp
        connection = mcp.connect(sys.executable, {RAW_SERVER!r}, env={{"RAW": sys.argv[1]}})
        """
    what = {"pid": str(pid), "tools": [{"name": "x", "inputSchema": OBJECT}]}

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(code) + textwrap.dedent(script),
            json.dumps(what),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.returncode, done.stdout, done.stderr) == (3, "x {}\n", "")
    assert ends(int(pid.read_text()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_gets_an_error_and_the_parent_continues():
    with raw() as tools:
        pid = os.fork()
        if not pid:
            try:
                tools[0]()
            except TransportError:
                os._exit(7)
            finally:
                os._exit(1)
        until = time.monotonic() + 10
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < until:
            time.sleep(0.02)
        if not ended[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert tools[0]()
    assert os.waitstatus_to_exitcode(ended[1]) == 7
    assert ended[0] == pid
