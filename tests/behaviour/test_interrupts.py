"""Ctrl-C at every bytecode of a waiting caller, and exceptions in every step of the loop's thread.

A trace function raises KeyboardInterrupt where a signal handler could, so that no luck is needed.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from types import CodeType, FunctionType

import pytest

from acechat import AceChatError, Client, ClientClosedError, StreamInterruptedError
from acechat._sync import delta_queue, event_loop_thread, latch, loop_thread, thread_call
from acechat._sync.delta_queue import DeltaQueue
from acechat._sync.event_loop_thread import EventLoopThread
from acechat.emulator import ok

MODULES = [delta_queue, event_loop_thread, latch, loop_thread, thread_call]
FILES = {module.__file__ for module in MODULES}
"""The modules at whose bytecodes Ctrl-C comes."""

WITHIN = 5.0
"""Seconds after which a test counts a call as one that hangs; most take milliseconds."""


@pytest.fixture
def service(acechat_service):
    return acechat_service


@pytest.fixture
def settings(service):
    return {"api_token": service.token, "base_url": service.url, "proxy": "", "timeout": 20}


def weather(city: str) -> str:
    return f"rain in {city}"


def chat(client):
    assert client.chat("Hello").text


def stream(client):
    assert "".join(map(str, client.stream("Hello")))


def run(client):
    assert client.run("Umbrella in Paris?", tools=[weather], tool_choice="required").text


def close(client):
    client.close()


def ends(action, *args):
    """Return the exception of *action* in another thread; fail if it does not end."""
    failures = [None]

    def work():
        try:
            action(*args)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures[0] = error

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WITHIN)
    assert not thread.is_alive(), f"{action} hangs"
    return failures[0]


class Interrupt:
    """Raises KeyboardInterrupt before the *at*-th bytecode of the modules in FILES."""

    def __init__(self, at):
        self.left = at
        self.raised = False

    def meet(self, frame):
        """Count one bytecode of *frame*, and raise if it is the one."""
        # Python itself swallows exceptions in a finalizer.
        if self.raised or _in_finalizer(frame):
            return
        self.left -= 1
        if self.left < 0:
            self.raised = True
            raise KeyboardInterrupt


def _in_finalizer(frame):
    """Return whether a `__del__` or weakref.finalize is being called, maybe by the collector."""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_globals.get("__name__") == "weakref":
            return True
        frame = frame.f_back
    return False


@contextmanager
def _by_trace_function(interrupt):
    def begin(frame, event, arg):
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return bytecode

    def bytecode(frame, event, arg):
        if event == "opcode":
            interrupt.meet(frame)
        return bytecode

    sys.settrace(begin)
    yield  # the thread ends, and its trace function with it


@contextmanager
def _by_monitoring(interrupt):
    """From Python 3.12 on: on 3.14 a trace function misses bytecodes of code that ran before it."""
    monitoring, thread = sys.monitoring, threading.get_ident()

    def bytecode(code, offset):
        if threading.get_ident() == thread:
            interrupt.meet(sys._getframe(1))

    monitoring.use_tool_id(TOOL, "interrupts")
    try:
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, bytecode)
        for code in CODE:
            monitoring.set_local_events(TOOL, code, monitoring.events.INSTRUCTION)
        yield
    finally:
        for code in CODE:
            monitoring.set_local_events(TOOL, code, 0)
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(TOOL)


def _with_inner(code):
    """Yield *code* and that of the functions, classes and comprehensions inside of it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _with_inner(const)


TOOL = 4  # neither a debugger, nor coverage, nor a profiler
CODE = {
    code
    for function in gc.get_objects()
    if isinstance(function, FunctionType) and function.__code__.co_filename in FILES
    for code in _with_inner(function.__code__)
}
interrupting = _by_monitoring if hasattr(sys, "monitoring") else _by_trace_function


def interrupted(action, client, at):
    """Run *action* and interrupt it; return False if it ended before its *at*-th bytecode.

    In a new thread: CPython may keep an exception current in a thread whose trace function
    raises in the middle of an exception handler.
    """
    interrupt = Interrupt(at)

    def traced():
        with interrupting(interrupt):
            action(client)

    failure = ends(traced)
    assert failure is None or interrupt.raised
    assert isinstance(failure, (type(None), KeyboardInterrupt, AceChatError)), failure
    return interrupt.raised


@pytest.mark.parametrize("action", [chat, stream, run])
@pytest.mark.parametrize("first", [True, False], ids=["first-call", "later-call"])
def test_a_call_interrupted_at_any_bytecode_leaves_a_usable_client(settings, action, first):
    client = Client(**settings)
    at = 0
    while True:
        if first:
            client.close()
            client = Client(**settings)
        elif at == 0:
            chat(client)
        if not interrupted(action, client, at):
            break
        assert ends(chat, client) is None, f"bytecode {at}"
        at += 1
    assert ends(client.close) is None
    assert at > 100  # it was interrupted at all


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_close_interrupted_at_any_bytecode_can_be_repeated(settings, used):
    at = 0
    while True:
        client = Client(**settings)
        if used:
            chat(client)
        again = interrupted(close, client, at)
        began = time.monotonic()
        assert ends(client.close) is None, f"bytecode {at}"
        assert time.monotonic() - began < 1.5
        assert isinstance(ends(chat, client), ClientClosedError)
        if not again:
            break
        at += 1
    assert at > 20


def test_an_interrupted_reader_wakes_the_other_readers_of_its_stream(settings):
    """Two threads read one stream, and Ctrl-C ends one of them wherever it is."""
    with Client(**settings) as client:
        chat(client)
        at = 0
        while True:
            reply = client.stream("word " * 40)
            other = threading.Thread(target=partial(ends, partial(list, reply)), daemon=True)
            other.start()
            raised = interrupted(lambda _, reply=reply: list(reply), client, at)
            other.join(WITHIN)
            assert not other.is_alive(), f"bytecode {at}"
            if not raised or at > 2000:
                break
            at += 29  # a prime: it meets each bytecode of the loop in a few rounds


class InjectedError(Exception):
    pass


def fail(*args, **kwargs):
    raise InjectedError


def fail_closing(self, coroutine, **kwargs):
    coroutine.close()
    raise InjectedError


def fail_task(self, call, function):
    async def failing():
        raise InjectedError

    return failing()


BROKEN = {
    "begin": (EventLoopThread, "_begin", fail),
    "task": (EventLoopThread, "_call", fail_task),
    "no task": (EventLoopThread, "_call", fail),
    "end of a task": (EventLoopThread, "_end_task", fail),
    "cancel": (EventLoopThread, "_cancel", fail),
    "serve": (EventLoopThread, "_serve", fail),
    "loop": (event_loop_thread, "loop_factory", fail),
    "pump": (DeltaQueue, "_fill", fail),
    "item of the queue": (DeltaQueue, "_put", fail),
    "create_task": (asyncio.BaseEventLoop, "create_task", fail_closing),
    "call_soon_threadsafe": (asyncio.BaseEventLoop, "call_soon_threadsafe", fail),
    "getaddrinfo": (asyncio.BaseEventLoop, "getaddrinfo", fail),
    "create_connection": (asyncio.BaseEventLoop, "create_connection", fail),
}

ALWAYS_FAILS = {"begin", "task", "no task", "create_task", "call_soon_threadsafe"}
FAILS_AT_THE_START = {"serve", "loop", "create_connection"}


@pytest.mark.leaves("exceptions", "tasks", "sockets", "sessions", "threads")
@pytest.mark.parametrize("action", [chat, stream, run, close])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("started", [False, True], ids=["first-call", "later-call"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_exceptions_in_the_loop_thread_reach_the_caller(
    settings, monkeypatch, action, broken, started
):
    client = Client(**settings)
    monkeypatch.setattr(event_loop_thread, "loop_factory", lambda: asyncio.SelectorEventLoop)
    if started:
        chat(client)
    with monkeypatch.context() as patch:
        patch.setattr(*BROKEN[broken])
        began = time.monotonic()
        failure = ends(action, client)
        assert time.monotonic() - began < 2
    if action is not close and (
        broken in ALWAYS_FAILS
        or (broken in FAILS_AT_THE_START and not started)
        or (broken == "pump" and action is stream)
    ):
        assert failure is not None
    assert ends(client.close) is None
    assert isinstance(ends(chat, client), ClientClosedError)
    del client, failure
    gc.collect()  # connections that could not be closed; the warnings belong to this test


@pytest.mark.leaves("exceptions", "tasks")
def test_a_task_factory_that_raises_fails_the_calls(service, settings):
    """As of a tool that installs an instrumented factory in the client's loop."""

    async def install(a: int) -> str:
        def factory(loop, coro, **kwargs):
            coro.close()
            raise MemoryError

        asyncio.get_running_loop().set_task_factory(factory)
        return "x"

    service.script(ok(tool_calls=[("install", {"a": 1})]), ok("done"))
    client = Client(**settings, retries=1)
    ends(lambda: client.run("x", tools=[install]))
    assert isinstance(ends(chat, client), MemoryError)
    assert ends(client.close) is None


def test_eager_tasks_run_calls(service, settings):
    """As with asyncio.eager_task_factory of Python 3.12."""
    if sys.version_info < (3, 12):
        pytest.skip("asyncio has eager tasks from Python 3.12 on")

    async def install(a: int) -> str:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return "x"

    service.script(ok(tool_calls=[("install", {"a": 1})]), ok("done"))
    with Client(**settings) as client:
        client.run("x", tools=[install])
        for action in (chat, stream, run):
            assert ends(action, client) is None


def test_a_stream_closed_by_another_thread_is_interrupted_or_at_its_end(settings):
    outcomes = set()

    def read(reply):
        for _ in reply:
            pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet in the middle of close()
    try:
        with Client(**settings) as client:
            for n in range(200):
                reply = client.stream("x " * 50)
                failures = []
                reader = threading.Thread(
                    target=lambda r=reply, f=failures: f.append(ends(read, r)), daemon=True
                )
                reader.start()
                time.sleep(0.0005 * (n % 10))
                reply.close()
                reader.join(WITHIN)
                outcomes.add(type(failures[0]))
    finally:
        sys.setswitchinterval(interval)
    assert outcomes <= {type(None), StreamInterruptedError}
    assert StreamInterruptedError in outcomes


def test_an_uncancellable_tool_does_not_delay_close(service, settings):
    hold = threading.Event()

    async def stubborn() -> str:
        while not hold.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return "x"

    service.script(ok(tool_calls=[("stubborn", {})]), ok("done"))
    client = Client(**settings)
    caller = threading.Thread(
        target=ends, args=(lambda: client.run("x", tools=[stubborn]),), daemon=True
    )
    caller.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert ends(client.close) is None
    assert time.monotonic() - began < 1.5
    hold.set()
    caller.join(WITHIN)
    assert not caller.is_alive()
