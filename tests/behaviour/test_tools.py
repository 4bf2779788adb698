"""`run` and `run_stream`: tool calls, turns, events and failures."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import threading
import time
from decimal import Decimal

import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    Cost,
    Finished,
    MaxTurnsError,
    RateLimitError,
    StreamTruncatedError,
    TextDelta,
    Tool,
    ToolCallDelta,
    ToolError,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    image,
    tool,
)
from acechat.emulator import call, cut, fail, ok

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


async def weather(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    return f"rain in {city} for {days}"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def runner(kind, url, token):
    """Return a function that runs to the end with one of four methods; no task may remain."""
    mode, _, stream = kind.partition(" ")
    settings = {"base_url": url, "api_token": token, "retries": 1}

    async def asynchronous(*content, **options):
        async with AsyncClient(**settings) as client:
            try:
                if stream:
                    return await client.run_stream(*content, **options).collect()
                return await client.run(*content, **options)
            finally:
                await asyncio.sleep(0)
                assert len(asyncio.all_tasks()) == 1

    def run(*content, **options):
        content = content or ("Umbrella?",)
        if mode == "async":
            return asyncio.run(asynchronous(*content, **options))
        with Client(**settings) as client:
            if stream:
                return client.run_stream(*content, **options).collect()
            return client.run(*content, **options)

    return run


@pytest.fixture(params=["async", "async stream", "blocking", "blocking stream"])
def run(request, acechat_service):
    return runner(request.param, acechat_service.url, acechat_service.token)


@pytest.fixture
def asked(acechat_service):
    """The bodies that the service received."""
    return lambda: [json.loads(request.body) for request in acechat_service.requests]


def results(result):
    return [(one.content, one.failed) for turn in result for one in turn.results]


class TestRun:
    def test_it_runs_tool_calls_until_the_model_stops(self, run, acechat_service, asked):
        acechat_service.script(
            call("weather", city="Paris"),
            ok(
                "Wait.",
                tool_calls=[("weather", {"city": "Rom", "days": 2}), ("add", {"a": 1, "b": 2})],
            ),
            ok("Take one."),
        )

        result = run(tools=[weather, add], system="Be brief.")

        assert result.text == "Take one."
        assert [turn.text for turn in result] == ["", "Wait.", "Take one."]
        assert results(result) == [
            ("rain in Paris for 1", False),
            ("rain in Rom for 2", False),
            ("3", False),
        ]
        roles = [message.role for message in result.messages]
        assert roles == ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant"]
        first, second, third = asked()
        assert [one["function"]["name"] for one in first["tools"]] == ["weather", "add"]
        assert [message["role"] for message in second["messages"]][-2:] == ["assistant", "tool"]
        (wanted,) = second["messages"][-2]["tool_calls"]
        assert second["messages"][-1]["tool_call_id"] == wanted["id"]
        assert len(third["messages"]) == 7
        assert all(one["messages"][0]["content"] == "Be brief." for one in (first, second, third))

    def test_without_tool_calls_it_sends_one_request(self, run, acechat_service):
        acechat_service.script(ok("No."))

        result = run(tools=[weather])

        assert (result.text, len(result.turns)) == ("No.", 1)
        assert result.completion.finish_reason == "stop"

    def test_its_messages_can_continue_in_another_run(self, run, acechat_service, asked):
        acechat_service.script(call("weather", city="Paris"), ok("Yes."), ok("Indeed."))
        first = run(tools=[weather])

        run("Sure?", messages=first.messages)

        assert [one["role"] for one in asked()[-1]["messages"]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]

    def test_its_usage_is_the_sum_of_its_turns(self, run, acechat_service):
        cost = {"amount": 0.1, "currency": "credits", "list_amount": 0.2}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": cost}
        more = {**usage, "cost": {"amount": 0.2, "currency": "credits"}}
        acechat_service.script(
            ok(tool_calls=[("weather", {"city": "Paris"})], usage=usage), ok("Yes.", usage=more)
        )

        result = run(tools=[weather])

        assert result.usage.total_tokens == 14
        assert result.cost == Cost(amount=Decimal("0.3"), currency="credits")
        # list_amount is None: unknown and 0.2 is unknown

    def test_a_forced_tool_call_is_forced_once(self, run, acechat_service, asked):
        acechat_service.script(call("weather", city="Paris"), ok("Yes."))
        named = {"type": "function", "function": {"name": "weather"}}

        run(tools=[weather], tool_choice=named)
        run(tools=[weather], tool_choice="none")

        assert [one["tool_choice"] for one in asked()] == [named, "auto", "none"]

    def test_the_emulator_completes_a_forced_tool_call(self, run):
        result = run(tools=[weather], tool_choice="required")

        assert len(result.turns) == 2
        assert result.turns[0].results[0].content.startswith("rain in ")

    def test_tools_may_return_objects_and_images(self, run, acechat_service, asked):
        def facts() -> dict[str, list[int]]:
            return {"a": [1]}

        def look() -> list[object]:
            return ["Here:", image(PNG)]

        def nothing() -> None: ...

        acechat_service.script(
            ok(tool_calls=[("facts", {}), ("look", {}), ("nothing", {})]), ok("I see.")
        )

        result = run(tools=[facts, look, nothing])

        told = [content for content, _ in results(result)]
        assert told == ['{"a":[1]}', "Here:\n(images in the next message: 1)", "null"]
        last = asked()[-1]["messages"][-1]
        assert last["role"] == "user"
        assert [part["type"] for part in last["content"]] == ["text", "image_url"]


class TestFailures:
    @pytest.mark.parametrize(
        ("name", "arguments", "told"),
        [
            ("weather", "", "missing required field `city`"),
            ("weather", '{"city": 1}', "Expected `str`, got `int` - at `$.city`"),
            ("weather", '{"city": "Par', "invalid JSON"),
            ("wether", "{}", "no tool is named 'wether'; available tools: weather, broken"),
            ("broken", "{}", "Error: LookupError: 'no such city'"),
        ],
    )
    def test_the_model_receives_the_error_of_a_tool(
        self, run, acechat_service, asked, name, arguments, told
    ):
        def broken() -> None:
            raise LookupError("no such city")

        acechat_service.script(ok(tool_calls=[(name, arguments)]), ok("Sorry."))

        result = run(tools=[weather, broken])

        ((content, failed),) = results(result)
        assert failed
        assert told.replace("'no such city'", "no such city") in content
        assert "Traceback" not in content
        assert asked()[-1]["messages"][-1]["content"] == content
        assert result.text == "Sorry."

    def test_a_tool_error_is_raised_with_its_cause_and_the_turns(self, run, acechat_service):
        async def broken() -> None:
            raise LookupError("no such city")

        acechat_service.script(
            call("weather", city="Paris"),
            ok(tool_calls=[("add", {"a": 1, "b": 2}), ("broken", {})]),
        )

        with pytest.raises(ToolError, match="the tool 'broken' failed: LookupError: no") as caught:
            run(tools=[weather, broken, add], raise_tool_errors=True)

        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.call.function.name == "broken"
        first, second = caught.value.run.turns
        assert first.results[0].content == "rain in Paris for 1"
        assert len(second.completion.tool_calls) == 2
        assert len(caught.value.run.messages) == 3  # only complete turns can be sent again

    def test_system_exit_in_a_tool_is_a_tool_failure(self, run, acechat_service):
        def leave() -> None:
            sys.exit(3)

        async def leave_later() -> None:
            sys.exit("no more")

        class QuitError(BaseException):
            pass

        def quit_() -> None:
            raise QuitError

        acechat_service.script(
            call("leave"), ok(tool_calls=[("leave_later", {}), ("quit_", {})]), ok("Stay.")
        )

        assert results(run(tools=[leave, leave_later, quit_])) == [
            ("Error: SystemExit: 3", True),
            ("Error: SystemExit: no more", True),
            ("Error: QuitError", True),
        ]

        acechat_service.script(call("leave"))
        with pytest.raises(ToolError, match="'leave' failed: SystemExit: 3") as caught:
            run(tools=[leave], raise_tool_errors=True)
        assert isinstance(caught.value.__cause__, SystemExit)

    def test_an_exception_whose_str_fails_is_reported_by_its_class(self, run, acechat_service):
        class SilentError(Exception):
            def __str__(self):
                return self.args[0]

        def broken() -> None:
            raise SilentError

        acechat_service.script(call("broken"), ok("Sorry."))

        assert results(run(tools=[broken])) == [("Error: SilentError", True)]

    def test_tool_errors_are_redacted_and_shortened(self, run, acechat_service):
        def broken() -> None:
            raise RuntimeError(f"401 for {acechat_service.token}: " + "x" * 10_000)

        acechat_service.script(call("broken"), ok("Sorry."))

        ((content, _),) = results(run(tools=[broken]))

        assert acechat_service.token not in content
        assert len(content) < 1100

    def test_unsendable_results_fail_or_are_repaired(self, run, acechat_service):
        def half() -> str:
            return "\ud800!"

        def odd() -> object:
            return object()

        acechat_service.script(ok(tool_calls=[("half", {}), ("odd", {})]), ok("Fine."))

        assert results(run(tools=[half, odd])) == [
            ("?!", False),
            ("Error: the return value of the tool cannot be encoded as JSON", True),
        ]

    def test_a_tool_that_exceeds_its_timeout_is_abandoned(self, run, acechat_service):
        @tool(timeout=0.05)
        async def sleeper() -> None:
            await asyncio.sleep(60)

        def blocker() -> None:
            released.wait(60)

        async def own() -> None:
            raise TimeoutError

        released = threading.Event()
        acechat_service.script(
            ok(tool_calls=[("sleeper", {}), ("blocker", {}), ("own", {})]), ok("Late.")
        )
        began = time.monotonic()

        result = run(tools=[sleeper, blocker, own], tool_timeout=0.2)

        released.set()
        assert time.monotonic() - began < 10
        assert [content for content, _ in results(result)] == [
            "Error: the tool did not finish within 0.05 s",
            "Error: the tool did not finish within 0.2 s",
            "Error: TimeoutError",
        ]

    def test_a_tool_that_cancels_itself_has_failed(self, run, acechat_service):
        async def quitter() -> None:
            raise asyncio.CancelledError

        acechat_service.script(ok(tool_calls=[("quitter", {}), ("add", {"a": 1, "b": 2})]), ok("."))

        assert results(run(tools=[quitter, add])) == [
            ("Error: the tool was cancelled", True),
            ("3", False),
        ]

    def test_a_truncated_tool_call_is_not_executed(self, run, acechat_service):
        def delete(path: str = "/") -> None:
            raise AssertionError("it looked whole")

        cut_call = ok(
            tool_calls=[("add", {"a": 1, "b": 2}), ("delete", "")], finish_reason="length"
        )
        acechat_service.script(cut_call, ok("."))

        assert results(run(tools=[add, delete])) == [
            ("3", False),
            ("Error: the call was truncated at the token limit and not executed", True),
        ]

    def test_a_model_that_never_stops_reaches_max_turns_with_all_turns_kept(
        self, run, acechat_service
    ):
        acechat_service.script(*[call("weather", city="Paris")] * 3, ok("At last."))

        with pytest.raises(MaxTurnsError, match="no final response within 3 turns") as caught:
            run(tools=[weather], max_turns=3)

        assert len(caught.value.run.turns) == len(acechat_service.requests) == 3
        assert caught.value.run.usage.total_tokens > 0
        assert run(messages=caught.value.run.messages, tools=[weather]).text == "At last."

    def test_a_failed_request_carries_the_turns(self, run, acechat_service):
        acechat_service.script(call("weather", city="Paris"), fail(429))

        with pytest.raises(RateLimitError) as caught:
            run(tools=[weather])

        assert [turn.results[0].failed for turn in caught.value.run] == [False]
        assert len(caught.value.run.messages) == 3

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"tools": [weather, weather]}, "two tools"),
            ({"tools": [{"type": "function"}]}, "not its JSON"),
            ({"max_turns": 0}, "max_turns"),
            ({"max_parallel": 0}, "max_parallel"),
            ({"extra_body": {"stream": True}}, "stream"),
        ],
    )
    def test_invalid_arguments_are_rejected_before_sending(
        self, run, acechat_service, options, told
    ):
        with pytest.raises(ConfigurationError, match=told):
            run(**options)
        with pytest.raises(TypeError, match="max_tokens"):
            run(max_token=1)

        assert not acechat_service.requests


class TestConcurrentCalls:
    def test_calls_of_one_turn_run_concurrently_within_the_limit(self, run, acechat_service):
        now, most = 0, 0
        lock = threading.Lock()

        async def nap() -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1

        def work() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.02)
            with lock:
                now -= 1

        for naps in (nap, work):
            for limit in (1, 3):
                most = 0
                acechat_service.script(ok(tool_calls=[(naps.__name__, {})] * 6), ok("."))
                run(tools=[naps], max_parallel=limit)
                assert most == limit

    def test_tools_see_the_context_of_the_caller_and_do_not_block_the_loop(self, acechat_service):
        who = contextvars.ContextVar("who", default="nobody")

        def sync() -> str:
            return f"{who.get()} {threading.current_thread() is main}"

        async def asynchronous() -> str:
            return f"{who.get()} {threading.current_thread() is main}"

        main = threading.current_thread()
        who.set("Ada")
        acechat_service.script(ok(tool_calls=[("sync", {}), ("asynchronous", {})]), ok("."))
        acechat_service.script(ok(tool_calls=[("sync", {}), ("asynchronous", {})]), ok("."))
        settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}

        async def both():
            async with AsyncClient(**settings) as client:
                return await client.run("Hello", tools=[sync, asynchronous])

        assert results(asyncio.run(both())) == [("Ada False", False), ("Ada True", False)]

    def test_a_blocking_tool_may_use_the_client_that_called_it(
        self, acechat_service, acechat_blocking_client
    ):
        def ask(question: str) -> str:
            return acechat_blocking_client.chat(question).text

        acechat_service.script(call("ask", question="Why?"), ok("Because."), ok("I know."))

        result = acechat_blocking_client.run("Hello", tools=[ask])

        assert (results(result), result.text) == ([("Because.", False)], "I know.")


class TestTurns:
    def test_turns_are_yielded_as_they_end_and_a_break_sends_no_more(self, acechat_service):
        acechat_service.script(*[call("weather", city="Paris")] * 5)

        async def two():
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                run = client.run("Umbrella?", tools=[weather])
                async for turn in run:
                    assert turn.results[0].content == "rain in Paris for 1"
                    if len(run.turns) == 2:
                        break
                assert len(run.messages) == 5

        asyncio.run(two())
        assert len(acechat_service.requests) == 2

    def test_a_failed_run_resumes(self, acechat_service):
        acechat_service.script(call("weather", city="Paris"), fail(429), ok("Yes."))

        async def again():
            async with AsyncClient(
                acechat_service.token, base_url=acechat_service.url, retries=1
            ) as client:
                run = client.run("Umbrella?", tools=[weather])
                with pytest.raises(RateLimitError):
                    await run
                return await run

        assert len(asyncio.run(again()).turns) == 2
        assert len(acechat_service.requests) == 3

    @pytest.mark.parametrize("alone", [True, False])
    def test_a_run_resumed_after_a_tool_error_repeats_no_request_or_call(
        self, acechat_service, alone
    ):
        calls = []

        async def flaky() -> str:
            calls.append("flaky")
            if calls.count("flaky") == 1:
                raise ConnectionError
            return "sunny"

        def add(a: int, b: int) -> int:
            calls.append("add")
            return a + b

        wanted = [("flaky", {})] if alone else [("flaky", {}), ("add", {"a": 1, "b": 2})]
        acechat_service.script(ok(tool_calls=wanted), ok("Yes."))

        async def again():
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                run = client.run("Hello", tools=[flaky, add], raise_tool_errors=True, max_turns=2)
                with pytest.raises(ToolError):
                    await run
                result = await run
                assert result.usage.total_tokens == client.meter.total_tokens
                return result

        result = asyncio.run(again())
        assert len(acechat_service.requests) == len(result.turns) == 2
        assert [content for content, _ in results(result)] == ["sunny", "3"][: len(wanted)]
        assert calls.count("flaky") == 2

    def test_a_run_resumed_after_a_timeout_repeats_only_unfinished_calls(self, acechat_service):
        calls = []

        async def slow() -> str:
            calls.append("slow")
            await asyncio.sleep(60 if calls.count("slow") == 1 else 0)
            return "late"

        async def quick() -> str:
            calls.append("quick")
            return "early"

        acechat_service.script(ok(tool_calls=[("slow", {}), ("quick", {})]), ok("Yes."))

        async def again():
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                run = client.run("Hello", tools=[slow, quick])
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await run
                return await run

        result = asyncio.run(again())
        assert results(result) == [("late", False), ("early", False)]
        assert calls == ["slow", "quick", "slow"]
        assert len(acechat_service.requests) == 2

    def test_a_run_that_was_never_awaited_warns(self, acechat_client):
        with pytest.warns(RuntimeWarning, match="never awaited"):
            acechat_client.run("Hello")  # type: ignore[unused-awaitable]

    def test_cancelling_a_run_cancels_its_tools(self, acechat_service):
        cancelled = []

        async def sleeper() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append("sleeper")
                raise

        def blocker() -> None:
            released.wait(60)

        released = threading.Event()
        twice = ok(tool_calls=[("sleeper", {}), ("sleeper", {}), ("blocker", {})])
        acechat_service.script(twice, twice)

        async def cancel(stream):
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                start = client.run_stream if stream else client.run
                run = start("Hello", tools=[sleeper, blocker])
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await run.collect()
                assert len(asyncio.all_tasks()) == 1

        for stream in (False, True):
            asyncio.run(cancel(stream))
        released.set()
        assert cancelled == ["sleeper"] * 4


class TestEvents:
    def test_events_come_in_order(self, acechat_service, acechat_blocking_client):
        acechat_service.script(ok("Hm.", tool_calls=[("add", {"a": 1, "b": 2})]), ok("Three."))

        with acechat_blocking_client.run_stream("1 + 2?", tools=[add]) as stream:
            events = list(stream)

        kinds = [type(event) for event in events if not isinstance(event, ToolCallDelta)]
        assert kinds == [
            TextDelta,
            ToolStarted,
            ToolFinished,
            TurnFinished,
            TextDelta,
            TurnFinished,
            Finished,
        ]
        assert events[-1] == Finished("stop", stream.result.usage)
        pieces = [one for one in events if isinstance(one, ToolCallDelta)]
        assert "".join(one.function.arguments for one in pieces) == '{"a": 1, "b": 2}'

    def test_text_and_turns_are_views_of_the_events(self, acechat_service, acechat_blocking_client):
        script = [ok("Hm. ", tool_calls=[("add", {"a": 1, "b": 2})]), ok("It is three.")]
        acechat_service.script(*script, *script)

        texts = acechat_blocking_client.run_stream("?", tools=[add]).text()
        turns = acechat_blocking_client.run_stream("?", tools=[add]).turns()

        assert "".join(texts) == "Hm. It is three."
        assert [len(turn.results) for turn in turns] == [1, 0]

    def test_events_come_while_tools_still_run(self, acechat_service):
        async def watch():
            finish = asyncio.Event()

            async def slow() -> None:
                await finish.wait()

            acechat_service.script(
                ok(tool_calls=[("slow", {}), ("add", {"a": 1, "b": 2})]), ok(".")
            )
            async with (
                AsyncClient(acechat_service.token, base_url=acechat_service.url) as client,
                client.run_stream("Hello", tools=[slow, add]) as stream,
            ):
                async for event in stream:
                    if isinstance(event, ToolFinished):
                        finish.set()
                        yield event.result.content

        async def collect():
            return [content async for content in watch()]

        assert asyncio.run(collect()) == ["3", "null"]

    def test_a_truncated_turn_raises_with_its_partial_and_the_earlier_turns(self, acechat_service):
        acechat_service.script(call("weather", city="Paris"), cut(after=4, of=ok("So it is.")))
        with (
            Client(acechat_service.token, base_url=acechat_service.url, retries=1) as client,
            pytest.raises(StreamTruncatedError) as caught,
        ):
            client.run_stream("Umbrella?", tools=[weather]).collect()

        assert caught.value.partial.text.startswith("So")
        assert len(caught.value.run.turns) == 1

    def test_leaving_the_block_cancels_the_tools(self, acechat_service):
        stopped = []

        async def sleeper() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.append(1)

        acechat_service.script(call("sleeper"), call("sleeper"))

        async def leave():
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                async with client.run_stream("Hello", tools=[sleeper]) as stream:
                    async for event in stream:
                        if isinstance(event, ToolStarted):
                            await asyncio.sleep(0)
                            break
                assert len(asyncio.all_tasks()) == 1
                with pytest.raises(RuntimeError, match="closed before its end"):
                    await stream.receive()

        asyncio.run(leave())
        with (
            Client(acechat_service.token, base_url=acechat_service.url) as client,
            client.run_stream("Hello", tools=[sleeper]) as blocking,
        ):
            for event in blocking:
                if isinstance(event, ToolStarted):
                    time.sleep(0.05)
                    break
        assert len(stopped) == 2

    def test_a_dropped_run_warns_and_cancels_its_tools(self, acechat_service):
        async def sleeper() -> None:
            await asyncio.sleep(60)

        acechat_service.script(call("sleeper"))

        async def drop():
            async with AsyncClient(acechat_service.token, base_url=acechat_service.url) as client:
                stream = client.run_stream("Hello", tools=[sleeper])
                async for event in stream:
                    if isinstance(event, ToolStarted):
                        break
                with pytest.warns(ResourceWarning, match="dropped"):
                    del stream
                await asyncio.sleep(0.05)
                assert len(asyncio.all_tasks()) == 1

        asyncio.run(drop())

    def test_the_result_is_available_at_the_end_only(self, acechat_blocking_client):
        stream = acechat_blocking_client.run_stream("Hello", tools=[weather])

        with pytest.raises(RuntimeError, match="not been read"):
            _ = stream.result
        assert stream.collect() == stream.result
        assert stream.receive() == []


def streamed(*pieces, index_of=lambda number: 0):
    """Return a stream of tool calls as other servers send them: each chunk is (id, name, text)."""
    events = []
    for number, (call_id, name, text) in enumerate(pieces):
        function = {"arguments": text} | ({"name": name} if name else {})
        delta = {"index": index_of(number), "function": function} | (
            {"id": call_id, "type": "function"} if call_id else {}
        )
        choice = {"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": None}
        events.append({"id": "c", "model": "m", "choices": [choice]})
    end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    events.append({"id": "c", "model": "m", "choices": [end]})
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + (
        b"data: [DONE]\n\n"
    )


ONE, TWO = '{"a": 1, "b": 1}', '{"a": 2, "b": 2}'

ODD_STREAMS = {
    "two calls share an index": streamed(
        ("t1", "add", ""), (None, None, ONE), ("t2", "add", ""), (None, None, TWO)
    ),
    "indices begin at one": streamed(
        ("t1", "add", ONE), ("t2", "add", TWO), index_of=lambda n: n + 1
    ),
    "arguments come in single characters": streamed(
        ("t1", "add", ""),
        *[(None, None, one) for one in ONE],
        ("t2", "add", ""),
        *[(None, None, one) for one in TWO],
    ),
    "there are no ids": streamed((None, "add", ONE), (None, "add", TWO), index_of=lambda n: n),
}


def whole(*calls, **more):
    """Return a response with tool calls as other servers send them: (id, arguments) each."""
    told = [{**more, "id": one, "function": {"name": "add", "arguments": it}} for one, it in calls]
    message = {"role": "assistant", "content": None, "tool_calls": told}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


ODD_ANSWERS = {
    "ids are null": whole((None, ONE), (None, TWO)),
    "ids are empty": whole(("", ONE), ("", TWO)),
    "one has an id": whole(("t1", ONE), ("", TWO)),
    "both have one id": whole(("t1", ONE), ("t1", TWO)),
    "both have one index": whole(("t1", ONE), ("t2", TWO), index=1),
    "arguments are objects": whole(("t1", json.loads(ONE)), ("t2", json.loads(TWO))),
    "the type is unknown": whole(("t1", ONE), ("t2", TWO), type="tool_use"),
}


class TestMalformedCalls:
    @pytest.fixture(params=["async", "blocking"])
    def mode(self, request):
        return request.param

    @pytest.fixture
    def sent(self, server):
        """The ids of the calls that were sent back, and those of their results."""

        def sent():
            *_, message, first, second = server.requests[-1].json["messages"]
            results = [first["tool_call_id"], second["tool_call_id"]]
            return [call["id"] for call in message["tool_calls"]], results

        return sent

    @pytest.mark.parametrize("body", ODD_STREAMS.values(), ids=ODD_STREAMS)
    def test_tool_calls_of_a_stream_are_separated(self, server, wire, mode, body, sent):
        server.reply(wire.sse(body), wire.stream("Done."))

        result = runner(f"{mode} stream", server.url, "token")("Hello", tools=[add])

        assert results(result) == [("2", False), ("4", False)]
        calls, answered = sent()
        assert calls == answered == [one.call.id for one in result.turns[0].results]
        assert calls == (["t1", "t2"] if b"t1" in body else ["call_1_0", "call_1_1"])

    @pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
    def test_tool_calls_of_a_complete_response_are_separated(
        self, server, wire, mode, answer, sent
    ):
        server.reply(wire.http(wire.answer(**answer)), wire.ok("Done."))

        result = runner(mode, server.url, "token")("Hello", tools=[add])

        assert results(result) == [("2", False), ("4", False)]
        assert result.turns[0].completion.response.status == 200
        calls, answered = sent()
        assert calls == answered == [one.id for one in result.turns[0].completion.tool_calls]
        assert len(set(calls) - {""}) == 2

    def test_generated_call_ids_are_unique_across_turns(self, server, wire, mode):
        server.reply(*[wire.http(wire.answer(**whole(("", ONE))))] * 2, wire.ok("Done."))

        result = runner(mode, server.url, "token")("Hello", tools=[add])

        assert len({turn.results[0].call.id for turn in result.turns[:2]}) == 2

    @pytest.mark.parametrize("way", ["", " stream"])
    def test_a_call_without_arguments_has_an_empty_object(self, server, wire, mode, way):
        def add() -> str:
            return "12:00"

        told = wire.sse(streamed(("t1", "add", ""))) if way else whole(("t1", ""))
        first, last = (told, wire.stream("Noon.")) if way else (wire.http(told), wire.ok("Noon."))
        server.reply(first, last)

        result = runner(mode + way, server.url, "token")("Hello", tools=[add])

        assert results(result) == [("12:00", False)]
        (sent,) = server.requests[1].json["messages"][-2]["tool_calls"]
        assert sent["function"]["arguments"] == "{}"


def test_chat_and_count_tokens_accept_functions(acechat_service, acechat_blocking_client, asked):
    raw = {"type": "function", "function": {"name": "raw"}}
    made = Tool(name="made", function=add)

    reply = acechat_blocking_client.chat(
        "Hello", tools=[weather, raw, made], tool_choice="required"
    )
    counted = acechat_blocking_client.count_tokens("Hello", tools=[weather])

    assert reply.tool_calls[0].function.name == "weather"
    named = [one["function"]["name"] for one in asked()[0]["tools"]]
    assert named == ["weather", "raw", "made"]
    assert counted > acechat_blocking_client.count_tokens("Hello")
