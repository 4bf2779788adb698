"""A task that waits for data is resumed by the callback that received it."""

from __future__ import annotations

import asyncio
import contextvars
from importlib.util import find_spec

import aiohttp
import pytest

from acechat import AsyncClient
from acechat._http.body_reader import BodyReader
from acechat._http.waiter import Waiter

LOOPS = ["asyncio", *(["uvloop"] if find_spec("uvloop") else [])]


@pytest.fixture(params=LOOPS)
def runner(request):
    factory = None
    if request.param == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as made:
        yield made


async def waits(waiter, seen):
    seen.append("waits")
    await waiter
    seen.append("woken")
    return "value"


async def begun(waiter, seen):
    task = asyncio.create_task(waits(waiter, seen))
    await asyncio.sleep(0)
    assert seen == ["waits"]
    return task


def test_wake_resumes_the_task_within_the_callback(runner):
    async def main():
        waiter, seen = Waiter(asyncio.get_running_loop()), []
        task = await begun(waiter, seen)

        def receive():
            waiter.wake()
            seen.append("after wake")

        asyncio.get_running_loop().call_soon(receive)
        assert await task == "value"
        return seen

    assert runner.run(main()) == ["waits", "woken", "after wake"]


def test_a_running_task_is_not_interrupted(runner):
    async def main():
        waiter, seen = Waiter(asyncio.get_running_loop()), []
        task = await begun(waiter, seen)
        waiter.wake()
        seen.append("after wake")
        assert await task == "value"
        return seen

    assert runner.run(main()) == ["waits", "after wake", "woken"]


def test_one_waiter_serves_many_waits(runner):
    async def main():
        loop = asyncio.get_running_loop()
        waiter, count = Waiter(loop), 0

        async def reads():
            nonlocal count
            for _ in range(5):
                await waiter
                count += 1

        task = asyncio.create_task(reads())
        for number in range(5):
            await asyncio.sleep(0)
            assert count == number
            loop.call_soon(waiter.wake)
            await asyncio.sleep(0)
        await task
        waiter.wake()  # no task waits
        waiter.wake_soon()
        return count

    assert runner.run(main()) == 5


def test_cancelling_the_task_ends_the_wait_with_its_message(runner):
    async def main():
        waiter, seen = Waiter(asyncio.get_running_loop()), []
        task = await begun(waiter, seen)
        task.cancel("enough")
        waiter.wake()  # data arrives before the task runs
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        task = asyncio.create_task(waits(waiter, seen))
        await asyncio.sleep(0)
        waiter.wake_soon()
        assert await task == "value", "the cancellation concerned one wait"
        return seen

    assert runner.run(main()) == ["waits", "waits", "woken"]


def test_a_time_limit_ends_the_wait(runner):
    async def main():
        waiter = Waiter(asyncio.get_running_loop())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await waiter
        assert waiter.done()
        assert not waiter.cancel()

    runner.run(main())


def test_the_task_keeps_its_context(runner):
    variable = contextvars.ContextVar("variable", default="of the loop")

    async def main():
        waiter = Waiter(asyncio.get_running_loop())

        async def reads():
            variable.set("of the task")
            await waiter
            return variable.get()

        task = asyncio.create_task(reads())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(waiter.wake)
        return await task, variable.get()

    assert runner.run(main()) == ("of the task", "of the loop")


@pytest.mark.leaves("exceptions", "tasks")  # as a program does that ends so
@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
def test_an_exception_that_ends_the_program_ends_the_loop_not_the_callback(runner, stop):
    seen = []

    async def main():
        waiter = Waiter(asyncio.get_running_loop())

        async def reads():
            await waiter
            raise stop

        def receive():
            waiter.wake()
            seen.append("the callback ended")

        task = asyncio.create_task(reads())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(receive)
        try:
            await asyncio.sleep(5)
        finally:
            seen.append(task.done())

    with pytest.raises(stop):
        runner.run(main())
    assert seen[:1] == ["the callback ended"]


def test_the_installed_aiohttp_lets_its_reader_be_adopted(server, wire):
    """If this fails, streams still work, at twice the price: see `BodyReader`."""

    async def handler(reader, writer, _number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hello")))
        await reader.read()  # until the client closes

    server.handler = handler

    async def main():
        async with AsyncClient(wire.token, base_url=server.url) as client:
            stream = client.stream("Hello")
            await anext(stream)
            kind = type(stream._response._raw.content)
            await stream.aclose()
            return kind

    assert asyncio.run(main()) is BodyReader


def test_a_reader_of_another_class_is_left_alone():
    content = aiohttp.streams.EmptyStreamReader()
    BodyReader.adopt(content)
    assert type(content) is aiohttp.streams.EmptyStreamReader


def test_data_that_arrived_before_is_kept_and_much_data_pauses_the_connection():
    class Connection:
        paused = False

        def pause_reading(self):
            self.paused = True

        def resume_reading(self, resume_parser=True):
            self.paused = False

    async def main():
        connection = Connection()
        content = aiohttp.StreamReader(connection, 2**10, loop=asyncio.get_running_loop())
        content.begin_http_chunk_receiving()
        content.feed_data(b"before ")
        content.end_http_chunk_receiving()
        BodyReader.adopt(content)
        content.begin_http_chunk_receiving()
        content.feed_data(b"after")
        content.end_http_chunk_receiving()
        assert content.read_nowait() == b"before after"
        assert content.read_nowait() == b""

        for _ in range(2 * 2**10 // 64):  # small parts take memory, too
            assert not connection.paused
            content.feed_data(b"x")
            content.feed_data(b"")
        assert connection.paused
        assert content.read_nowait() == b"x" * 32
        assert not connection.paused

        content.feed_eof()
        assert content.read_nowait() == b""
        assert content.is_eof()
        content.set_exception(ConnectionError("broken"))
        with pytest.raises(ConnectionError, match="broken"):
            content.read_nowait()

    asyncio.run(main())
