"""`approve=`: tool calls are allowed, changed or refused; `before_turn=`: messages are replaced."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time

import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    RateLimitError,
    Tool,
    ToolError,
    UserMessage,
    tool,
)
from acechat.emulator import call, fail, ok


@pytest.fixture(params=["async", "async stream", "blocking", "blocking stream"])
def run(request, acechat_service):
    mode, _, stream = request.param.partition(" ")
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token, "retries": 1}

    async def asynchronous(options):
        async with AsyncClient(**settings) as client:
            if stream:
                return await client.run_stream("Go", **options).collect()
            return await client.run("Go", **options)

    def run(**options):
        if mode == "async":
            return asyncio.run(asynchronous(options))
        with Client(**settings) as client:
            if stream:
                return client.run_stream("Go", **options).collect()
            return client.run("Go", **options)

    return run


@pytest.fixture
def deleted():
    return []


@pytest.fixture
def delete(deleted):
    def delete(path: str, days: int = 1) -> str:
        deleted.append((path, days))
        return "done"

    return delete


def results(result):
    return [(one.content, one.failed, one.refused) for turn in result.turns for one in turn.results]


def asynchronous(function):
    async def approve(name, arguments):
        await asyncio.sleep(0)
        return function(name, arguments)

    return approve


class Callable:
    def __init__(self, function):
        self.function = function

    def __call__(self, name, arguments):
        return self.function(name, arguments)


class AsyncCallable(Callable):
    async def __call__(self, name, arguments):
        return self.function(name, arguments)


KINDS = {
    "function": lambda function: function,
    "async function": asynchronous,
    "object": Callable,
    "async object": AsyncCallable,
    "partial": functools.partial,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "told", "executed"),
    [
        (True, ("done", False, False), [("/a", 1)]),
        (False, ("The call was refused and not executed", True, True), []),
        ("ask me later", ("The call was refused and not executed: ask me later", True, True), []),
        ("", ("The call was refused and not executed", True, True), []),
        ({"path": "/b"}, ("done", False, False), [("/b", 1)]),
        ({"path": "/b", "days": 2}, ("done", False, False), [("/b", 2)]),
    ],
)
def test_a_call_is_allowed_changed_or_refused(
    run, acechat_service, delete, deleted, kind, answer, told, executed
):
    asked = []

    def approve(name, arguments):
        asked.append((name, arguments))
        return answer

    acechat_service.script(call("delete", path="/a"), ok("Fine."))

    result = run(tools=[delete], approve=KINDS[kind](approve))

    assert asked == [("delete", {"path": "/a"})]
    assert results(result) == [told]
    assert deleted == executed
    sent = json.loads(acechat_service.requests[-1].body)["messages"][-1]
    assert (sent["role"], sent["content"]) == ("tool", told[0])


def test_a_refusal_does_not_raise_tool_errors(run, acechat_service, delete):
    acechat_service.script(call("delete", path="/a"), ok("Fine."))

    result = run(tools=[delete], approve=lambda *_: False, raise_tool_errors=True)

    assert result.text == "Fine."


def never(name, arguments):
    raise AssertionError("it is not asked")


@pytest.mark.parametrize("arguments", ['{"path": 1}', '{"path": "/a', "{}"])
def test_invalid_calls_are_not_asked_about(run, acechat_service, delete, arguments):
    acechat_service.script(
        ok(tool_calls=[("delete", arguments)]), ok(tool_calls=[("unknown", {})]), ok("Fine.")
    )

    result = run(tools=[delete], approve=never)

    assert [one[1:] for one in results(result)] == [(True, False)] * 2


@pytest.mark.parametrize("answer", [None, 1, []], ids=repr)
def test_another_answer_ends_the_run_and_executes_nothing(
    run, acechat_service, delete, deleted, answer
):
    acechat_service.script(call("delete", path="/a"))

    with pytest.raises(TypeError, match="approve must return True, False, a reason"):
        run(tools=[delete], approve=lambda *_: answer)

    assert deleted == []


@pytest.mark.parametrize("calls", [1, 2])
def test_an_exception_of_approve_ends_the_run(run, acechat_service, delete, deleted, calls):
    def approve(name, arguments):
        raise EOFError("no terminal")

    acechat_service.script(ok(tool_calls=[("delete", {"path": "/a"})] * calls))

    with pytest.raises(EOFError, match="no terminal"):
        run(tools=[delete], approve=approve)

    assert deleted == []


def test_changed_arguments_are_validated(run, acechat_service, delete, deleted):
    acechat_service.script(call("delete", path="/a"))

    with pytest.raises(ValueError, match="Expected `int`, got `str`"):
        run(tools=[delete], approve=lambda *_: {"path": "/b", "days": "x"})

    assert deleted == []


def refuse(name, arguments):
    return "by the tool"


@pytest.mark.parametrize(
    "make",
    [
        lambda function: tool(function, approve=refuse),
        tool(approve=refuse),
        tool(name="delete", approve=refuse),
        lambda function: tool(tool(function, name="delete"), approve=refuse),
        lambda function: tool(tool(function, approve=refuse), timeout=3),
        lambda function: functools.partial(tool(function, approve=refuse)),
        lambda function: functools.partial(tool(function, approve=refuse), days=3),
        lambda function: Tool(name="delete", function=function, approve=refuse),
        lambda function: tool(Tool(name="delete", function=function), approve=refuse),
        lambda function: tool(Tool(name="delete", function=function, approve=refuse), timeout=3),
    ],
)
def test_a_tool_may_have_its_own_approve(run, acechat_service, delete, deleted, make):
    acechat_service.script(call("delete", path="/a"), ok("Fine."))

    result = run(tools=[make(delete)], approve=never)

    assert results(result)[0][0] == "The call was refused and not executed: by the tool"
    assert deleted == []


def test_a_method_may_have_its_own_approve(run, acechat_service):
    class Shop:
        def buy(self, item: str) -> str:
            return item

    made = tool(Shop().buy, approve=refuse)
    acechat_service.script(call("buy", item="tea"), ok("Fine."))

    assert results(run(tools=[made]))[0][2]
    acechat_service.script(call("buy", item="tea"), ok("Fine."))
    assert not results(run(tools=[Shop().buy]))[0][2]


def test_overrides_of_a_function_leave_the_function_itself_as_it_was(run, acechat_service, delete):
    guarded = tool(delete, name="guarded", approve=refuse)
    free = tool(guarded, name="free", approve=lambda *_: True)
    acechat_service.script(
        ok(tool_calls=[("guarded", {"path": "/a"}), ("free", {"path": "/b"})]), ok("Fine.")
    )

    assert [one[2] for one in results(run(tools=[guarded, free]))] == [True, False]


def test_several_calls_are_asked_about_one_after_the_other(run, acechat_service, delete, deleted):
    now = 0
    lock = threading.Lock()

    def approve(name, arguments):
        nonlocal now
        with lock:
            now += 1
            assert now == 1
        time.sleep(0.02)
        with lock:
            now -= 1
        return arguments["path"] != "/1"

    calls = [("delete", {"path": f"/{number}"}) for number in range(4)]
    acechat_service.script(ok(tool_calls=calls), ok("Fine."))

    result = run(tools=[delete], approve=approve)

    assert [one[2] for one in results(result)] == [False, True, False, False]
    assert sorted(path for path, _ in deleted) == ["/0", "/2", "/3"]


def test_the_wait_for_approval_does_not_count_towards_the_timeout(run, acechat_service, delete):
    def approve(name, arguments):
        time.sleep(0.3)
        return True

    acechat_service.script(call("delete", path="/a"), ok("Fine."))

    assert results(run(tools=[delete], approve=approve, tool_timeout=0.2))[0][0] == "done"


def test_an_approved_tool_that_fails_is_a_tool_failure(run, acechat_service):
    def broken() -> None:
        raise LookupError("no such city")

    acechat_service.script(call("broken"), ok("Sorry."), call("broken"))

    assert results(run(tools=[broken], approve=lambda *_: True)) == [
        ("Error: LookupError: no such city", True, False)
    ]
    with pytest.raises(ToolError, match="no such city"):
        run(tools=[broken], approve=lambda *_: True, raise_tool_errors=True)


def test_a_refused_call_is_asked_about_once_if_the_run_resumes(acechat_service, delete, deleted):
    asked = []

    def approve(name, arguments):
        asked.append(arguments["path"])
        if arguments["path"] == "/b" and len(asked) == 2:
            raise EOFError
        return False

    async def main():
        async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
            calls = [("delete", {"path": "/a"}), ("delete", {"path": "/b"})]
            acechat_service.script(ok(tool_calls=calls), ok("Fine."))
            running = client.run("Go", tools=[delete], approve=approve)
            with pytest.raises(EOFError):
                await running
            return await running

    assert [one[2] for one in results(asyncio.run(main()))] == [True, True]
    assert asked == ["/a", "/b", "/b"]


def test_an_approve_that_is_no_function_is_rejected(run, acechat_service, delete):
    with pytest.raises(ConfigurationError, match="approve must be a function, not True"):
        run(tools=[delete], approve=True)

    assert not acechat_service.requests


class TestBeforeTurn:
    @pytest.mark.parametrize("kind", ["function", "async function"])
    def test_it_sees_the_messages_of_each_request(self, run, acechat_service, delete, kind):
        seen = []

        def before(messages):
            seen.append([one.role for one in messages])

        async def before_async(messages):
            before(messages)

        acechat_service.script(call("delete", path="/a"), ok("Fine."))
        hook = before if kind == "function" else before_async

        result = run(tools=[delete], before_turn=hook, system="Be brief.")

        assert seen == [["user"], ["user", "assistant", "tool"]]
        assert len(result.messages) == 4

    def test_its_messages_are_sent_instead(self, run, acechat_service, delete):
        acechat_service.script(call("delete", path="/a"), call("delete", path="/b"), ok("Fine."))

        def shorten(messages):
            return [UserMessage(content="Short"), *messages[-2:]] if len(messages) > 3 else None

        result = run(tools=[delete], before_turn=shorten, system="Be brief.")

        sent = [json.loads(one.body)["messages"] for one in acechat_service.requests]
        assert [len(one) for one in sent] == [2, 4, 4]
        assert [one["role"] for one in sent[2]] == ["system", "user", "assistant", "tool"]
        assert sent[2][1]["content"] == "Short"
        assert result.messages[0].content == "Short"
        assert len(result.messages) == 4

    def test_an_exception_ends_the_run(self, run, acechat_service, delete):
        def before(messages):
            raise LookupError("no summary")

        with pytest.raises(LookupError, match="no summary"):
            run(tools=[delete], before_turn=before)

        assert not acechat_service.requests

    def test_messages_without_a_role_are_rejected(self, run, acechat_service, delete):
        with pytest.raises(ConfigurationError, match="message has no role"):
            run(tools=[delete], before_turn=lambda _: [{"content": "x"}])

        assert not acechat_service.requests

    def test_a_failed_turn_keeps_the_replaced_messages(self, run, acechat_service, delete):
        acechat_service.script(fail(429))

        with pytest.raises(RateLimitError) as caught:
            run(tools=[delete], before_turn=lambda _: [UserMessage(content="Short")])

        assert [one.content for one in caught.value.run.messages] == ["Short"]
