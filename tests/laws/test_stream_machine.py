"""Law: whatever the server sends and whatever the caller does, a stream tells the truth.

Every delta that is delivered was sent, in order, once; the end is a completion or exactly one typed
error; and no socket, task or exception is left. A real client reads from a real socket.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import warnings

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from acechat import (
    AceChatError,
    AsyncClient,
    ProtocolError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
ENDINGS = {
    **dict.fromkeys((DONE, b"data: [DONE]", b"data: [DONE]\r\n\r\n"), "done"),
    **{how: how for how in ("end", "cut", "reset")},
}
ERRORS = [
    b'data: {"error": {"message": "x"}}\n\n',
    b"event: error\ndata: x\n\n",
    b'{"error": "x"}\n\n',
]
FAILURES = {
    "end": StreamTruncatedError,
    "cut": StreamInterruptedError,
    "reset": StreamInterruptedError,
    "error": ServerError,
}
TEXTS = st.text(st.sampled_from("ab\u2028\n é😀"), min_size=1, max_size=4)


def event(text=None, reason=None):
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}, ensure_ascii=False).encode()


class Server:
    """Sends on its one connection what it is told to."""

    def __init__(self):
        self.orders = asyncio.Queue()
        self.open = 0

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
            writer.write(HEAD)
            gone = asyncio.ensure_future(reader.read())
            while not gone.done():
                order = asyncio.ensure_future(self.orders.get())
                await asyncio.wait({gone, order}, return_when=asyncio.FIRST_COMPLETED)
                if not order.done():
                    order.cancel()
                elif not self._obey(writer, *order.result()):
                    break
            gone.cancel()
        except (ConnectionError, EOFError):
            pass
        finally:
            writer.close()
            self.open -= 1

    @staticmethod
    def _obey(writer, kind, data=b""):
        match kind:
            case "send":
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            case "end":
                writer.write(b"0\r\n\r\n")
            case "cut":
                return False
            case "reset" if writer.transport.is_closing():
                return False  # the client has left before
            case "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
        return True


def talking(machine):
    return machine.end is None


def reading(machine):
    return machine.stream is not None and machine.told is None and not machine.closed


def something_to_read(machine):
    waiting = len(machine.delivered) < len(machine.sent) or machine.end is not None
    return reading(machine) and waiting


class Streams(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.complaints = []
        self.loop.set_exception_handler(lambda loop, told: self.complaints.append(told))
        self.sent, self.delivered = [], []
        self.rest, self.half = b"", None  # of an event that was sent in part
        self.finished = False
        self.blank = False  # whether a delta had the content ""
        self.end = None  # how the server ended
        self.told = None  # how the client saw it end: "whole" or an error
        self.closed = False

    def run(self, coroutine):
        async def limited():
            async with asyncio.timeout(5):
                return await coroutine

        return self.loop.run_until_complete(limited())

    @initialize()
    def opens(self):
        async def begin():
            self.server = Server()
            port = await self.server.start()
            self.client = AsyncClient("tok", base_url=f"http://127.0.0.1:{port}", retries=1)
            self.stream = self.client.stream("Hello")

        self.run(begin())

    # What the server does

    def order(self, data, *more):
        """Send *data* after the rest of what was begun."""
        if self.half is not None:
            self.sent.append(self.half)
        self.server.orders.put_nowait(("send", self.rest + data))
        self.rest, self.half = b"", None
        for kind in more:
            self.server.orders.put_nowait((kind,))

    @precondition(talking)
    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3))
    def sends(self, texts):
        self.order(b"".join(map(event, texts)))
        self.sent += texts

    @precondition(lambda machine: talking(machine) and machine.half is None)
    @rule(text=TEXTS, share=st.floats(0, 1))
    def sends_a_part(self, text, share):
        whole = event(text)
        at = 1 + int(share * (len(whole) - 2))
        self.order(whole[:at])
        self.rest, self.half = whole[at:], text

    @precondition(talking)
    @rule(beat=st.sampled_from([b": PING\n\n", event(), b"event: ping\n\n", event("")]))
    def sends_nothing_new(self, beat):
        self.order(beat)
        self.blank = self.blank or beat == event("")

    @precondition(talking)
    @rule()
    def tells_why_it_ends(self):
        self.order(event(reason="stop"))
        self.finished = True

    @precondition(talking)
    @rule(how=st.sampled_from([*ENDINGS, *ERRORS, *(error + DONE for error in ERRORS)]))
    def ends(self, how):
        self.end = ENDINGS.get(how, "error")
        if self.end in ("end", "cut", "reset"):  # and the rest of an event never comes
            self.server.orders.put_nowait((self.end,))
        else:
            self.order(how, "end")

    @rule(seconds=st.sampled_from([0, 0.002]))
    def time_passes(self, seconds):
        self.run(asyncio.sleep(seconds))

    # What the caller does

    @precondition(something_to_read)
    @rule(batch=st.booleans())
    def reads(self, batch):
        self.read(batch=batch)

    def read(self, *, batch):
        try:
            if batch:
                deltas = self.run(self.stream.receive())
                if not deltas:
                    self.told = "whole"
            else:
                deltas = [self.run(anext(self.stream))]
        except StopAsyncIteration:
            self.told = "whole"
        except Exception as error:  # noqa: BLE001 - which one it may be is the law
            self.told = error
        else:
            self.delivered += map(str, deltas)

    @precondition(reading)
    @rule(how=st.sampled_from(["stays"] * 6 + ["closes", "forgets", "is cancelled"]))
    def leaves(self, how):
        if how == "closes":
            self.run(self.stream.aclose())
            self.closed = True
        elif how == "forgets":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                self.stream = None
                gc.collect(0)
        elif how == "is cancelled" and not something_to_read(self):
            self.run(self.wait_in_vain())
            self.closed = True

    async def wait_in_vain(self):
        task = asyncio.ensure_future(anext(self.stream))
        await asyncio.sleep(0.003)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # What must hold

    @invariant()
    def what_was_delivered_was_sent(self):
        assert self.delivered == self.sent[: len(self.delivered)]

    @invariant()
    def nobody_complained(self):
        assert not self.complaints

    def teardown(self):
        try:
            if self.end is None and hasattr(self, "server"):
                self.ends("end")
            while hasattr(self, "server") and reading(self):
                self.read(batch=True)
                self.what_was_delivered_was_sent()
            if hasattr(self, "server"):
                self.check_end()
                self.run(self.check_nothing_is_left())
        finally:
            self.loop.close()
        gc.collect(0)
        assert not self.complaints

    def check_end(self):
        if self.stream is None:
            return
        text = "".join(self.sent)
        if self.told is None and (failure := self.failure_now()) is None:
            self.told = "whole"  # it had arrived before the stream was closed
        if self.told == "whole":
            assert self.has_ended()
            assert self.sent or self.blank
            assert self.stream.completion.text == "".join(self.delivered) == text
            assert self.run(self.stream.receive()) == []
        elif self.told is not None:
            if self.has_ended():  # without any content: that is no completion
                assert type(self.told) is ProtocolError
                assert not self.sent
                assert not self.blank
            else:
                assert type(self.told) is FAILURES[self.end]
            if self.end != "reset":  # which takes with it what was not read yet
                assert self.delivered == self.sent
            assert self.told.partial.text == "".join(self.delivered)
            assert self.failure_now() is self.told
        else:
            assert isinstance(failure, StreamInterruptedError)
            assert failure.partial.text == "".join(self.delivered)
        assert text.startswith(self.stream.partial.text)

    def has_ended(self):
        return self.end == "done" or (self.end == "end" and self.finished)

    def failure_now(self):
        """Return what a further read raises, once what had been read before is taken; None for the
        end of a whole answer."""
        while True:
            try:
                deltas = self.run(self.stream.receive())
            except AceChatError as error:
                return error
            if not deltas:
                return None
            self.delivered += map(str, deltas)
            self.what_was_delivered_was_sent()

    async def check_nothing_is_left(self):
        await self.client.aclose()
        while self.server.open:  # noqa: ASYNC110 - of another task of this very loop
            await asyncio.sleep(0.001)
        await self.server.stop()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_stream_tells_the_truth_whatever_happens():
    run_state_machine_as_test(
        Streams,
        settings=settings(
            max_examples=100,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
