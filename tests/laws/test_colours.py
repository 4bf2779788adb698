"""Law 6: the asynchronous and the blocking classes have the same methods and signatures."""

from __future__ import annotations

import inspect

import pytest

from acechat import (
    AsyncBatch,
    AsyncChatStream,
    AsyncClient,
    AsyncConversation,
    AsyncPreparedRequest,
    AsyncRunStream,
    AsyncSSERelay,
    Batch,
    ChatStream,
    Client,
    Conversation,
    PreparedRequest,
    RunStream,
    SSERelay,
)

PAIRS = [
    (AsyncBatch, Batch),
    (AsyncClient, Client),
    (AsyncChatStream, ChatStream),
    (AsyncConversation, Conversation),
    (AsyncPreparedRequest, PreparedRequest),
    (AsyncSSERelay, SSERelay),
    (AsyncRunStream, RunStream),
]
NAMES = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
SPECIAL = {"__enter__", "__exit__", "__iter__", "__next__", "__eq__", "__repr__", "__reduce__"}


def blocking_name(name):
    return NAMES.get(name, name)


def blocking_type(annotation):
    text = str(annotation)
    if text.startswith("Coroutine[Any, Any, "):  # what `async def` means
        text = text[20:-1]
    if text == "AsyncRun":  # is awaited for what the blocking call returns
        return "RunResult"
    nouns = ("Batch", "RunStream", "Client", "ChatStream", "Conversation", "SSERelay")
    for name in (*nouns, "PreparedRequest", "Iterator", "Iterable"):
        text = text.replace(f"Async{name}", name)
    return text


def members(cls):
    """Return what *cls* offers, its parents included, by the blocking names."""
    return {
        blocking_name(name): value
        for parent in reversed(cls.__mro__[:-1])
        for name, value in vars(parent).items()
        if not name.startswith("_") or blocking_name(name) in SPECIAL
    }


def parameters(method):
    return [
        (parameter.name, parameter.kind, parameter.default, blocking_type(parameter.annotation))
        for parameter in inspect.signature(method).parameters.values()
    ]


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_both_colours_offer_the_same(asynchronous, blocking):
    assert members(asynchronous).keys() == members(blocking).keys()


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_both_colours_have_the_same_signatures(asynchronous, blocking):
    here, there = members(asynchronous), members(blocking)

    for name in here.keys() & there.keys():
        if isinstance(here[name], property):
            ours, theirs = here[name].fget, there[name].fget
        else:
            ours, theirs = here[name], there[name]
        assert parameters(ours) == parameters(theirs), name
        returned = [inspect.signature(each).return_annotation for each in (ours, theirs)]
        assert blocking_type(returned[0]) == blocking_type(returned[1]), name


def test_constructors_take_the_same_but_for_a_session_of_the_callers():
    ours = [each for each in parameters(AsyncClient.__init__) if each[0] != "session"]

    assert ours == parameters(Client.__init__)
    assert "session" in inspect.signature(AsyncClient).parameters


def test_close_is_another_name_for_aclose_on_the_client():
    assert inspect.iscoroutinefunction(AsyncClient.close)
    assert inspect.iscoroutinefunction(AsyncClient.aclose)
    assert parameters(AsyncClient.close) == parameters(AsyncClient.aclose)


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_no_blocking_method_is_a_coroutine(asynchronous, blocking):
    for name, value in members(blocking).items():
        assert not inspect.iscoroutinefunction(value), name
        assert not inspect.isasyncgenfunction(value), name


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_both_colours_are_documented(asynchronous, blocking):
    for cls in (asynchronous, blocking):
        public = {name: value for name, value in members(cls).items() if name[0] != "_"}
        assert all(value.__doc__ for value in public.values())
