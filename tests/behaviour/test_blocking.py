"""The blocking client: Ctrl-C, exit, threads, forks, notebooks. Marks: the case table."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

from acechat import (
    AceChatError,
    Client,
    ClientClosedError,
    ConfigurationError,
    RequestTimeoutError,
    RetryPolicy,
    StreamInterruptedError,
    Timeout,
)
from acechat._sync.event_loop_thread import EventLoopThread


def streams_without_end(server, wire):
    """Return a handler that completes calls, and stalls streams after one delta."""

    async def handler(reader, writer, number):
        if server.requests[-1].json.get("stream"):
            writer.write(wire.sse(wire.delta("Hello"), end=False))
        else:
            writer.write(wire.ok())

    return handler


@pytest.fixture
def settings(server, wire):
    return {
        "base_url": server.url,
        "api_token": wire.token,
        "timeout": Timeout(total=8),
        "retries": RetryPolicy(base_delay=0),
    }


@pytest.fixture
def echo(server, wire):
    """Respond to each request with its own content."""

    async def handler(reader, writer, number):
        asked = server.requests[-1].json
        said = asked["messages"][-1]["content"]
        await asyncio.sleep(0.01)
        writer.write(wire.stream(said) if asked.get("stream") else wire.ok(said))

    # Requests of several connections interleave, so the handler reads its own.
    server.handler = handler
    return server


def hold(server, *pieces):
    async def handler(reader, writer, number):
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        await reader.read()

    server.handler = handler


INTERRUPTED = """
    import sys, time
    from acechat import Client
    client = Client(TOKEN, base_url=URL)
    try:
        CALL
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    END
"""


@pytest.mark.parametrize(
    "call",
    [
        'client.chat("Hello")',
        'client.stream("Hello").collect()',
        'for _ in client.stream("Hello"): pass',
        'with client.stream("Hello") as stream: list(stream)',
        'client.conversation().send("Hello")',
        'client.count_tokens("Hello")',
    ],
)
@pytest.mark.parametrize("begun", [False, True], ids=["no head", "in the body"])
def test_ctrl_c_ends_the_call_within_a_second(script, server, wire, call, begun):  # law 8
    sent = wire.sse(wire.delta("Hel"), end=False) if "stream" in call else wire.ok()[:-5]
    hold(server, *([sent] if begun else []))
    # The process stays, so that only the client can have closed the connection.
    program = script.start(INTERRUPTED.replace("CALL", call).replace("END", "sys.stdin.read()"))
    try:
        server.wait_for(1, within=10)
        time.sleep(0.15)
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < 1
        assert server.gone(1)
    finally:
        program.kill()
        program.communicate()


def test_uncaught_ctrl_c_ends_the_program(script, server):
    hold(server)
    program = script.start(
        """
        from acechat import Client
        Client(TOKEN, base_url=URL).chat("Hello")
        """
    )
    server.wait_for(1, within=10)
    program.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, stderr = program.communicate(timeout=5)
    assert time.monotonic() - began < 1.5
    assert program.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in stderr


@pytest.mark.parametrize(
    "use",
    [
        'client.chat("Hello")',
        'stream = client.stream("Hello"); next(stream)',
        'next(iter(client.stream("Hello")))',
        'with client.stream("Hello") as stream: next(stream); sys.exit(7)',
        "pass",
        'client.chat("Hello"); del client',
        'client.chat("Hello"); client.close()',
        'client.chat("Hello"); client.me = client; del client; gc.collect()',
    ],
)
@pytest.mark.case("life-exit")
def test_a_program_without_close_exits_with_its_own_code(script, server, wire, use):
    # law 9
    server.handler = streams_without_end(server, wire)
    began = time.monotonic()
    done = script(
        f"""
        import gc, sys
        from acechat import Client
        client = Client(TOKEN, base_url=URL)
        {use}
        sys.exit(7)
        """,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "use", ['await client.chat("Hello")', 'await anext(client.stream("Hello"))']
)
@pytest.mark.parametrize("held", ["kept", "made there"])
@pytest.mark.case("life-exit")
def test_an_asyncio_program_without_close_exits_with_its_own_code(script, server, wire, use, held):
    server.handler = streams_without_end(server, wire)
    made = "client = AsyncClient(TOKEN, base_url=URL)"
    done = script(
        f"""
        import asyncio, sys
        from acechat import AsyncClient
        {made if held == "kept" else ""}
        async def main():
            {made if held != "kept" else ""}
            {use}
        asyncio.run(main())
        sys.exit(7)
        """,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_an_uncaught_exception_prints_only_its_traceback(script, server, wire):
    server.reply(wire.refusal("401 X", "invalid_token"))
    done = script(
        """
        from acechat import Client
        Client(TOKEN, base_url=URL).chat("Hello")
        """,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert wire.token not in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("acechat.errors.AuthenticationError:")


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.case("life-fork")
def test_parent_and_child_of_a_fork_have_separate_connections(script, echo, kind):
    done = script(
        f"""
        import asyncio, os, sys
        from acechat import AsyncClient, Client
        client = {kind}(TOKEN, base_url=URL, timeout=5)
        loop = asyncio.new_event_loop()
        def ask(said):
            if {kind} is Client:
                return client.chat(said).text
            return loop.run_until_complete(client.chat(said)).text
        print(ask("before"), flush=True)
        pid = os.fork()
        if not pid:
            if {kind} is AsyncClient:
                loop = asyncio.new_event_loop()
            print(ask("child"), ask("child"), flush=True)
            if {kind} is AsyncClient:
                loop.run_until_complete(client.aclose())
                loop.close()
            sys.exit(3)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(ask("parent"), code)
        if {kind} is AsyncClient:
            loop.run_until_complete(client.aclose())
            loop.close()
        """,
    )
    assert done.stdout.split() == ["before", "child", "child", "parent", "3"]
    by_text = {}
    for request in echo.requests:
        said = request.json["messages"][0]["content"]
        by_text.setdefault(said, set()).add(request.connection)
    assert by_text["child"].isdisjoint(by_text["parent"] | by_text["before"])
    assert by_text["parent"] == by_text["before"]


def test_a_forked_child_without_calls_exits(script, echo):
    done = script(
        """
        import os, sys
        from acechat import Client
        client = Client(TOKEN, base_url=URL)
        client.chat("before")
        pid = os.fork()
        if not pid:
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), client.chat("after").text)
        """
    )
    assert done.stdout.split() == ["3", "after"]
    assert echo.connections == 1


@pytest.mark.parametrize("end", ["sys.exit(3)", "client.close(); sys.exit(3)", "stream.close()"])
def test_a_forked_child_does_not_disturb_the_stream_of_its_parent(script, server, wire, end):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.sleep(0.6)
        writer.write(wire.chunk(wire.events("lo")) + wire.chunk(b""))

    server.handler = handler
    done = script(
        f"""
        import os, sys
        from acechat import Client
        client = Client(TOKEN, base_url=URL, timeout=4)
        with client.stream("Hello") as stream:
            next(stream)
            pid = os.fork()
            if not pid:
                {end}
                os._exit(3)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            print(stream.collect().text, code)
        """
    )
    assert done.stdout.split() == ["Hello", "3"]


def test_a_pool_of_forked_processes_works(script, echo):
    done = script(
        """
        import multiprocessing
        from acechat import Client
        client = Client(TOKEN, base_url=URL, timeout=5)
        def ask(said):
            return client.chat(said).text
        if __name__ == "__main__":
            print(client.chat("before").text)
            with multiprocessing.get_context("fork").Pool(3) as pool:
                print(*pool.map(ask, "abcdef"))
            print(client.chat("after").text)
        """,
        timeout=15,
    )
    assert done.stdout.split() == ["before", *"abcdef", "after"]


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_client_sent_to_a_spawned_process_has_no_token(script, echo, wire, monkeypatch, kind):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "tok-of-the-environment")
    script(
        f"""
        import asyncio, multiprocessing
        from acechat import AsyncClient, Client
        def ask(client):
            if isinstance(client, Client):
                client.chat("child")
            else:
                asyncio.run(client.chat("child"))
        if __name__ == "__main__":
            client = {kind}(TOKEN, base_url=URL, timeout=5)
            ask(client)
            process = multiprocessing.get_context("spawn").Process(target=ask, args=(client,))
            process.start()
            process.join(8)
            assert process.exitcode == 0, process.exitcode
        """,
        timeout=15,
    )
    tokens = [request.headers["authorization"] for request in echo.requests]
    assert tokens == [f"Bearer {wire.token}", "Bearer tok-of-the-environment"]


@pytest.mark.case("sec-repr")
def test_a_pickled_client_holds_no_token(settings, wire, monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", wire.token)
    with Client(**settings) as client:
        data = pickle.dumps(client)
        assert wire.token.encode() not in data
        assert pickle.loads(data) == client


@pytest.mark.case("life-in-loop")
def test_a_blocking_client_works_inside_a_running_loop(echo, settings):
    async def notebook():
        with Client(**settings) as client:
            said = client.chat("one").text
            return said, client.stream("two").collect().text

    assert asyncio.run(notebook()) == ("one", "two")


@pytest.mark.case("life-threads")
def test_32_threads_share_a_client(echo, settings, wire):
    async def handler(reader, writer, number):
        received = echo.requests[number - 1]
        said = received.json["messages"][-1]["content"]
        writer.write(wire.stream(said) if received.json.get("stream") else wire.ok(said))

    echo.handler = handler
    with Client(**settings) as client, ThreadPoolExecutor(32) as pool:

        def ask(number):
            said = f"m{number}"
            if number % 2:
                return client.chat(said).text == said
            return client.stream(said).collect().text == said

        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize("method", ["chat", "stream"])
@pytest.mark.parametrize("begun", [False, True], ids=["no head", "in the body"])
@pytest.mark.case("life-close-during-stream")
def test_close_in_another_thread_ends_the_call(server, wire, settings, method, begun):
    sent = wire.sse(wire.delta("Hel"), end=False) if method == "stream" else wire.ok()[:-5]
    hold(server, *([sent] if begun else []))
    client = Client(**settings)
    failures = []

    def call():
        try:
            client.chat("Hi") if method == "chat" else client.stream("Hi").collect()
        except AceChatError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_for(1)
    time.sleep(0.05)
    client.close()
    thread.join(1)
    assert not thread.is_alive()
    assert [type(failure) for failure in failures] == [ClientClosedError]


def test_close_during_the_first_call_ends_the_thread_of_that_call(server, settings, monkeypatch):
    start, failures = EventLoopThread.start, []

    def slowly(running, owner):
        time.sleep(0.3)
        start(running, owner)

    monkeypatch.setattr(EventLoopThread, "start", slowly)
    hold(server)
    client = Client(**settings)

    def call():
        try:
            client.chat("Hi")
        except AceChatError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.1)
    client.close()
    thread.join(2)
    assert [type(failure) for failure in failures] == [ClientClosedError]
    assert not [one for one in threading.enumerate() if one.name == "acechat"]
    assert server.gone(0.5)


def test_close_never_leaves_a_thread_waiting(server, wire, settings):
    """Close at every moment of a call."""
    server.reply(wire.ok(), wire.ok())
    for step in range(40):
        client = Client(**settings)
        stuck = []

        def work(client=client, stuck=stuck):
            try:
                while True:
                    client.chat("Hi")
                    client.stream("Hi").collect()
            except ClientClosedError:
                stuck.append("fine")
            except BaseException as error:  # noqa: BLE001 - it is reported by the test
                stuck.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(step / 4000)
        client.close()
        for thread in threads:
            thread.join(3)
        assert stuck == ["fine"] * 3, (step, stuck)


def test_partial_can_be_read_during_a_stream(server, wire, settings):
    hold(server, wire.sse(wire.delta("Hel"), end=False))
    with Client(**settings) as client, client.stream("Hi") as stream:
        next(stream)
        assert stream.partial.text == "Hel"
        assert stream.finish_reason is None
        assert stream.usage is None


def test_a_slow_reader_pauses_the_network_read(server, wire, settings):
    sent = 0

    async def handler(reader, writer, number):
        nonlocal sent
        writer.write(wire.head())
        while not writer.is_closing():
            writer.write(wire.chunk(wire.delta("x" * 4000)))
            await writer.drain()
            sent += 4000

    server.handler = handler
    with Client(**settings) as client, client.stream("Hi") as stream:
        next(stream)
        time.sleep(0.6)
        before = sent
        time.sleep(0.2)
        assert sent == before
        for _ in range(30_000):
            next(stream)
        assert sent > before


@pytest.mark.parametrize("token", ["t", "x", "token", "json", "text", "0"])
def test_a_short_token_is_not_redacted_within_words(server, wire, settings, token):
    # Local servers take any token, and people write "token"
    server.reply(wire.ok(), wire.stream(), wire.http(b"", "204 X"))
    settings |= {"api_token": token}
    with Client(**settings) as client:
        reply = client.chat("Hi")
        assert reply.response.headers["content-type"] == "application/json"
        assert client.stream("Hi").collect().text == "Hello"
    hold(server)
    with Client(**settings) as client, pytest.raises(TimeoutError, match="first_token"):
        client.chat("Hi", timeout=Timeout(first_token=0.1))


def test_dropped_clients_close_their_connections_before_their_loops_end(server, wire):
    server.reply(*[wire.ok()] * 20)
    for _ in range(20):  # the two happen in one moment
        assert Client(wire.token, base_url=server.url).chat("Hi").text == "Hello"


# raised by a call


@pytest.fixture
def wants_a_tool(server, wire):
    """Let the model call the tool ``leave`` in every response."""
    call = {"id": "t-1", "type": "function", "function": {"name": "leave", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.reply(wire.http(wire.answer() | {"choices": [choice]}))


LEAVING = """
    import sys
    from acechat import Client
    async def middleware(request, send):
        raise SystemExit(3)
    def leave():
        raise KeyboardInterrupt
    async def leave_late():
        raise KeyboardInterrupt
    leave_late.__name__ = "leave"
    client = Client(TOKEN, base_url=URL, middleware=MIDDLEWARE)
    client.USE
"""


@pytest.mark.parametrize(
    ("use", "code"),
    [
        ('chat("Hello")', 3),
        ('stream("Hello").collect()', 3),
        ('run_stream("Hello").collect()', 3),
        ('run("Hello", tools=[leave])', -signal.SIGINT),
        ('run("Hello", tools=[leave_late])', -signal.SIGINT),
        ('run_stream("Hello", tools=[leave]).collect()', -signal.SIGINT),
        ('run_stream("Hello", tools=[leave_late]).collect()', -signal.SIGINT),
    ],
)
def test_system_exit_in_a_call_ends_the_program(script, wants_a_tool, use, code):
    middleware = "[middleware]" if code == 3 else "[]"
    began = time.monotonic()
    done = script(LEAVING.replace("MIDDLEWARE", middleware).replace("USE", use), check=False)
    assert done.returncode == code
    assert done.stderr.count("Traceback") == (code != 3)
    assert time.monotonic() - began < 4


def test_system_exit_in_an_observer_does_not_end_the_program(script, server, wire):
    server.reply(wire.ok())
    done = script(
        """
        import sys
        from acechat import Client
        def leave(event):
            sys.exit(3)
        print(Client(TOKEN, base_url=URL, observers=[leave]).chat("Hello").text)
        sys.exit(7)
        """,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "Hello\n")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_an_exit_exception_ends_only_its_own_call(server, wire, settings, error):
    release = threading.Event()

    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.to_thread(release.wait)
        writer.write(wire.chunk(wire.events("lo")) + wire.chunk(b""))

    async def middleware(request, send):
        if b"leave" in request.body:

            async def fail():
                raise error

            await asyncio.create_task(fail())  # its step ends the loop's run
        return await send(request)

    server.handler = handler
    with Client(**settings, middleware=[middleware]) as client:
        stream = client.stream("Hello")
        next(stream)
        for _ in range(2):
            with pytest.raises(type(error)) as raised:
                client.chat("leave")
            assert raised.value is error
        release.set()
        assert stream.collect().text == "Hello"
        assert client.stream("Hello").collect().text == "Hello"


@pytest.mark.parametrize("use", ["chat", "stream", "next", "close"])
def test_a_blocking_call_in_its_own_loop_is_rejected(echo, settings, use):
    failures = []

    def misuse(event):
        try:
            if use == "next":
                next(begun)
            elif use == "close":
                client.close()
            else:
                answer = getattr(client, use)("inside")
                answer.collect()
        except ConfigurationError as error:
            failures.append(str(error))

    with Client(**settings, observers=[misuse]) as client:
        begun = client.stream("Hello")
        assert client.chat("Hello").text == "Hello"
        assert begun.collect().text == "Hello"
    assert failures
    assert all("use an AsyncClient there" in failure for failure in failures)


def test_a_tool_in_a_thread_may_use_its_client(server, wire, settings, wants_a_tool):
    tool_call, answers = server.answers[0], []
    server.reply(tool_call, wire.ok("inner"), wire.ok("outer"))
    with Client(**settings) as client:

        def leave() -> str:
            answers.append(client.chat("Hello").text)
            return "left"

        assert client.run("Hello", tools=[leave]).text == "outer"
    assert answers == ["inner"]


# Ctrl-C between two steps


def interrupted_after(monkeypatch, cls, name, when):
    """Let Ctrl-C come just after the next call of *name* for which *when* holds."""
    whole, came = getattr(cls, name), []

    def interrupted(self, *args, **options):
        result = whole(self, *args, **options)
        if not came and threading.current_thread() is threading.main_thread() and when(self):
            came.append(True)
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(cls, name, interrupted)
    return came


@pytest.mark.parametrize("method", ["chat", "stream"])
def test_ctrl_c_while_a_call_is_handed_to_the_loop_cancels_it(
    server, wire, settings, monkeypatch, method
):
    async def handler(reader, writer, number):
        if number == 1:
            writer.write(wire.ok())
        else:
            await reader.read()

    server.handler = handler
    with Client(**settings) as client:
        client.chat("Hello")
        loops = type(client._loop._running._loop)
        came = interrupted_after(monkeypatch, loops, "call_soon_threadsafe", lambda _: True)
        with pytest.raises(KeyboardInterrupt):
            client.chat("Hello") if method == "chat" else next(client.stream("Hello"))
        assert came
        time.sleep(0.1)
        assert len(server.requests) == 1 or server.gone()
        assert client.meter.calls == 1


@pytest.mark.parametrize("name", ["start", "join"])
def test_ctrl_c_while_the_loop_starts_or_ends_leaves_no_thread(echo, settings, monkeypatch, name):
    came = interrupted_after(
        monkeypatch, threading.Thread, name, lambda thread: thread.name == "acechat"
    )
    client = Client(**settings)
    if name == "start":
        with pytest.raises(KeyboardInterrupt):
            client.chat("Hello")
    assert client.chat("Hello").text == "Hello"
    if name == "join":
        with pytest.raises(KeyboardInterrupt):
            client.close()
    client.close()
    assert came
    time.sleep(0.1)
    assert not [one for one in threading.enumerate() if one.name == "acechat"]


# several threads and one stream


def in_threads(*works):
    """Run each in a thread; return the values or exceptions."""
    results = [None] * len(works)

    def note(number, work):
        try:
            results[number] = work()
        except BaseException as error:  # noqa: BLE001 - it is reported by the test
            results[number] = error

    threads = [threading.Thread(target=note, args=one, daemon=True) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive(), results
    return results


@pytest.mark.parametrize("make", ["stream", "run_stream", "sse"])
def test_all_threads_reading_one_stream_see_its_end(server, wire, settings, make):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.write(wire.chunk(wire.events("lo")) + wire.chunk(b""))

    server.handler = handler
    with Client(**settings) as client:
        if make == "sse":
            stream = client.stream("Hello").sse()
            told = in_threads(*[lambda: b"".join(stream)] * 3)
            assert sorted(b"".join(told).count(part) for part in (b"Hel", b"[DONE]")) == [1, 1]
        else:
            stream = getattr(client, make)("Hello")
            told = in_threads(*[lambda: list(stream.text())] * 3)
            assert sorted(chain(*told)) == ["Hel", "lo"]


def test_all_threads_reading_one_stream_see_its_failure(server, wire, settings):
    hold(server, wire.sse(wire.delta("Hel"), end=False))
    settings |= {"timeout": Timeout(idle=0.2)}
    with Client(**settings) as client:
        stream = client.stream("Hello")
        next(stream)
        failures = in_threads(*[stream.collect] * 3)
    assert [type(failure) for failure in failures] == [RequestTimeoutError] * 3
    assert failures[0].partial.text == "Hel"


def test_threads_starting_one_stream_together_send_one_request(server, wire, settings, monkeypatch):
    server.reply(wire.stream(*"abcdef"))
    start = threading.Thread.start

    def slowly(thread):
        start(thread)
        if thread.name == "acechat":
            time.sleep(0.2)

    monkeypatch.setattr(threading.Thread, "start", slowly)
    with Client(**settings) as client:
        stream = client.stream("Hello")
        told = in_threads(*[lambda: [str(delta) for delta in stream]] * 3)
        assert "".join(sorted(chain(*told))) == "abcdef"
        assert stream.completion.text == "abcdef"
    assert len(server.requests) == 1


@pytest.mark.parametrize("reads", [iter, lambda stream: iter(stream.receive, [])])
def test_deltas_left_by_one_thread_are_read_by_another(server, wire, settings, reads):
    first, both = threading.Event(), threading.Barrier(2)

    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(b"".join(map(wire.delta, "abc"))))
        await writer.drain()
        await asyncio.to_thread(first.wait)
        writer.write(wire.chunk(wire.events(*"def")) + wire.chunk(b""))

    server.handler = handler
    with Client(**settings) as client:
        stream = client.stream("Hello")

        def read():
            told = [str(next(stream))]
            first.set()
            both.wait(5)
            for one in reads(stream):
                told += map(str, one) if isinstance(one, list) else [str(one)]
            return told

        both_told = in_threads(read, read)
    assert sorted(chain(*both_told)) == [*"abcdef"]


@pytest.mark.parametrize("make", ["stream", "run_stream"])
@pytest.mark.parametrize("begun", [False, True], ids=["no head", "in the body"])
@pytest.mark.case("life-close-during-stream")
def test_a_stream_closed_by_another_thread_raises_with_its_partial(
    server, wire, settings, make, begun
):
    hold(server, *([wire.sse(wire.delta("Hel"), end=False)] if begun else []))
    with Client(**settings) as client:
        stream = getattr(client, make)("Hello")

        def close():
            server.wait_for(1)
            time.sleep(0.1)
            stream.close()

        failure, _ = in_threads(stream.collect, close)
        with pytest.raises(type(failure)):
            stream.collect()
        assert type(failure) is StreamInterruptedError
        assert failure.partial.text == ("Hel" if begun else "")


def test_a_run_closed_by_another_thread_during_a_tool_raises_a_clear_error(wants_a_tool, settings):
    begun = threading.Event()

    async def leave():
        begun.set()
        await asyncio.sleep(20)

    with Client(**settings) as client:
        run = client.run_stream("Hello", tools=[leave])

        def close():
            begun.wait(5)
            run.close()

        failure, _ = in_threads(run.collect, close)
    assert str(failure) == "the run was closed before its end"


def test_a_relay_closed_by_another_thread_ends(server, wire, settings):
    hold(server, wire.sse(wire.delta("Hel"), end=False))
    with Client(**settings) as client:
        relay = client.stream("Hello").sse()

        def close():
            time.sleep(0.2)
            relay.close()

        told, _ = in_threads(lambda: b"".join(relay), close)
        assert b"Hel" in told
        assert b"[DONE]" not in told


def test_a_stream_closed_before_its_call_began_in_the_loop_does_not_wait(
    echo, settings, monkeypatch
):
    with Client(**settings) as client:
        client.chat("Hello")
        stream, begin = client.stream("Hello"), EventLoopThread.begin

        def late(running, future, function):
            monkeypatch.undo()
            stream.close()
            begin(running, future, function)

        monkeypatch.setattr(EventLoopThread, "begin", late)
        (failure,) = in_threads(lambda: next(stream))
    assert type(failure) is StreamInterruptedError


def test_deltas_received_before_the_client_was_closed_can_be_read(server, wire, settings):
    async def handler(reader, writer, number):
        writer.write(wire.head())
        while not writer.is_closing():
            writer.write(wire.chunk(wire.delta("x" * 4000)))
            await writer.drain()

    server.handler = handler
    client = Client(**settings)
    stream = client.stream("Hi")
    next(stream)
    time.sleep(0.3)  # now the network waits for the caller
    client.close()
    with pytest.raises(ClientClosedError):
        for _ in stream:
            pass


# the end of the interpreter


AT_EXIT = """
    import atexit, sys
    def use(ask):
        try:
            print(ask(), flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
    class Last:
        def __init__(self, ask):
            self.ask = ask
        def __del__(self):
            use(self.ask)
    BEFORE
    from acechat import Client
    client = Client(TOKEN, base_url=URL, retries=1)
    def ask():
        return client.chat("Hello").text
    AFTER
    sys.exit(7)
"""
LATE = "atexit.register(lambda: use(ask))"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (LATE, ""),
        (LATE, "ask()"),
        ("", LATE),
        ("", f"ask(); {LATE}"),
        ("", 'atexit.register(lambda: use(lambda: client.with_options().chat("Hello").text))'),
        ("", "last = Last(ask)"),
        ("", "ask(); last = Last(ask)"),
        ("", f"last = Last(ask); {LATE}"),
        (LATE, 'stream = client.stream("Hello"); last = Last(lambda: next(stream)); next(stream)'),
        ("", 'stream = client.stream("Hello"); last = Last(lambda: next(stream))'),
        ("", f"last = Last(client.close); {LATE}"),
    ],
)
@pytest.mark.case("life-exit")
def test_a_client_used_at_interpreter_exit_responds_or_is_closed(
    script, server, wire, before, after
):
    server.handler = streams_without_end(server, wire)
    began = time.monotonic()
    done = script(AT_EXIT.replace("BEFORE", before).replace("AFTER", after), check=False)
    assert (done.returncode, done.stderr) == (7, "")
    # Looking up a host takes a thread, and Python starts no more.
    assert done.stdout.split()[-1] in {"Hello", "None", "ClientClosedError", "TransportError"}
    assert time.monotonic() - began < 4
