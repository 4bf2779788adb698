"""Tools of a real MCP server, over stdio and over HTTP, in both colours."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acechat import AsyncClient, Client, ConfigurationError, ConnectError, MaxTurnsError
from acechat import mcp as acechat_mcp
from acechat.emulator import call, ok

pytest.importorskip("mcp")

SERVER = str(Path(__file__).with_name("mcp_server.py"))
connect = acechat_mcp.connect


async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.fixture(scope="module")
def url():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60  # it takes a second to import, on a machine that is idle
        while time.monotonic() < until:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


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
def test_a_servers_tools_are_called_beside_functions(run, acechat_service, options):
    acechat_service.script(
        ok(tool_calls=[("forecast", {"city": "Paris", "days": 2}), ("add", {"a": 1, "b": 2})]),
        ok("Rain."),
    )

    result = run(add, **options)

    assert told(result) == ["rain in Paris for 2", "3"]
    tools = acechat_service.requests[0].json["tools"]
    assert tools[0]["function"]["description"] == "Forecast the weather."
    assert tools[0]["function"]["parameters"]["required"] == ["city"]


def test_every_kind_of_content_arrives_as_far_as_it_can(run, acechat_service):
    acechat_service.script(call("show_everything"), ok("I see."))

    result = run()

    ((only,),) = [turn.results for turn in result if turn.results]
    assert only.content.splitlines() == [
        "Look:",
        "(audio/wav audio: not supported)",
        "inside",
        "(font/woff at file:///b: not supported)",
        "more: file:///c",
        "(pictures in the next message: 1)",
    ]
    assert only.images[0].image_url.url == "data:image/png;base64,iVBORw0KGgo="


def test_what_the_server_refuses_is_told_to_the_model(run, acechat_service):
    acechat_service.script(
        ok(tool_calls=[("forecast", {"city": "Atlantis"}), ("forecast", {})]), ok("Sorry.")
    )

    refused, misfit = told(run())

    assert refused.startswith("Error: MCPToolError: ")
    assert "forecast" in refused
    assert "city" in misfit


def test_names_get_the_prefix_and_lose_what_the_service_does_not_take(run, acechat_service):
    acechat_service.script(call("mine_forecast", city="Rom"), ok("Rain."))

    assert told(run(prefix="mine_")) == ["rain in Rom for 1"]
    names = [one["function"]["name"] for one in acechat_service.requests[0].json["tools"]]
    assert "mine_show_everything" in names


def test_a_tool_that_takes_too_long_is_left_and_the_next_one_works(run, acechat_service):
    acechat_service.script(call("sleep"), call("forecast", city="Rom"), ok("Rain."))

    slow, quick = told(run(tool_timeout=2))

    assert (slow, quick) == ("Error: the tool did not end within 2 s", "rain in Rom for 1")


def test_an_error_of_the_block_comes_out_as_it_is(run, acechat_service):
    acechat_service.script(*[call("forecast", city="Rom")] * 2)

    with pytest.raises(MaxTurnsError):
        run(max_turns=2)


def test_a_command_gets_its_variables():
    async def ask():
        async with connect(sys.executable, SERVER, env={"CITY": "Rom"}) as tools:
            (setting,) = (one for one in tools if one.name == "setting")
            return await setting(name="CITY")

    (part,) = asyncio.run(ask())
    assert part.text == "Rom"


@pytest.mark.parametrize(
    "server", [("/no/such/command",), (sys.executable, "-c", ""), ("http://127.0.0.1:9/mcp",)]
)
def test_no_server_is_one_error_that_names_it(server):
    async def enter():
        async with connect(*server):
            pytest.fail("there is no server")

    with pytest.raises(ConnectError, match="no MCP server at") as caught:
        asyncio.run(enter())
    assert server[0] in str(caught.value)

    with pytest.raises(ConnectError, match="no MCP server at"), connect(*server):
        pytest.fail("there is no server")


def test_arguments_that_do_not_go_with_the_server_are_refused(monkeypatch):
    with pytest.raises(ConfigurationError, match="a URL takes no arguments"):
        connect("http://localhost/mcp", "x")
    with pytest.raises(ConfigurationError, match="headers= are for a URL"):
        connect("python", headers={"a": "b"})
    monkeypatch.setattr(acechat_mcp, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"acechat\[mcp\]"):
        connect("python")
