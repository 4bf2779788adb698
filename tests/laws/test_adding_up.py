"""Law 4: what the chunks of an answer add up to is the answer, however it was cut into chunks."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acechat._wire.decode import decode_completion
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import ProtocolError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    CompletionTokensDetails,
    FunctionCall,
    PromptTokensDetails,
    ToolCall,
    Usage,
)

LIMIT = 16 * 2**20

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
arguments = st.dictionaries(texts, st.one_of(st.integers(), texts), max_size=3).map(json.dumps)
counts = st.none() | st.integers(0, 10**6)

calls = st.builds(
    ToolCall,
    id=st.uuids().map(lambda number: f"toolu_{number.hex}"),
    function=st.builds(FunctionCall, name=st.sampled_from(["weather", "f"]), arguments=arguments),
)
said = st.builds(
    AssistantMessage,
    content=st.none() | texts,
    reasoning_content=st.none() | texts.filter(bool),
    refusal=st.none() | texts.filter(bool),
)
called = st.builds(
    AssistantMessage,
    content=st.none() | texts.filter(bool),
    reasoning_content=st.none() | texts.filter(bool),
    tool_calls=st.lists(calls, min_size=1, max_size=3, unique_by=lambda call: call.id),
)
usages = st.none() | st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    prompt_tokens_details=st.none() | st.builds(PromptTokensDetails, cached_tokens=counts),
    completion_tokens_details=st.none()
    | st.builds(CompletionTokensDetails, reasoning_tokens=counts),
)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "pause_turn"])


@st.composite
def completions(draw):
    """Draw a whole answer of one to three choices."""
    messages = draw(st.lists(st.one_of(said, called), min_size=1, max_size=3))
    choices = [Choice(number, message, draw(reasons)) for number, message in enumerate(messages)]
    return ChatCompletion(
        choices=choices,
        id=draw(st.sampled_from(["msg_bdrk_01", "chatcmpl-1", ""])),
        created=draw(st.none() | st.integers(0, 2**40)),
        model="claude-opus-4-20250514",
        usage=draw(usages),
        system_fingerprint=draw(st.none() | st.just("fp")),
        service_tier=draw(st.none() | st.just("default")),
    )


def pieces_of(draw, text):
    """Cut *text* into pieces: the whole, single characters, or anything between."""
    if draw(st.booleans()):
        return list(text) or [text]
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def told_calls(draw, calls):
    """Cut tool calls into the pieces of deltas, as different servers do."""
    ids_repeated = draw(st.booleans())
    names_repeated = draw(st.booleans())
    # new-api counts blocks: two calls may share index 0, the first one may have index 1.
    numbers = draw(st.sampled_from(["from 0", "from 1", "all 0", "none"]))
    for place, call in enumerate(calls):
        number = {"from 0": place, "from 1": place + 1, "all 0": 0, "none": None}[numbers]
        started = draw(st.booleans())
        sent = "" if call.function.arguments == "{}" and draw(st.booleans()) else None
        text = call.function.arguments if sent is None else sent
        cut = pieces_of(draw, text)
        if started:
            cut.insert(0, "")
        for at, piece in enumerate(cut):
            function = {"arguments": piece}
            if at == 0 or names_repeated:
                function["name"] = call.function.name
            delta = {"function": function, "type": "function"}
            if number is not None:
                delta["index"] = number
            if at == 0 or ids_repeated:
                delta["id"] = call.id
            yield delta


def deltas_of(draw, message):
    """Cut *message* into deltas; two texts may share one, and thoughts may come twice."""
    twice = draw(st.booleans())
    name = draw(st.sampled_from(["reasoning_content", "reasoning"]))
    for piece in pieces_of(draw, message.reasoning_content or ""):
        delta = {name: piece}
        if twice:
            delta = {"reasoning_content": piece, "reasoning": piece}
        if message.reasoning_content:
            yield delta
    if message.content is not None:
        for piece in pieces_of(draw, message.content):
            yield {"content": piece}
    if message.refusal:
        for piece in pieces_of(draw, message.refusal):
            yield {"refusal": piece}
    for piece in told_calls(draw, message.tool_calls or []):
        yield {"tool_calls": [piece]}


def interleaved(draw, lists):
    """Put the deltas of several choices into one order that keeps each choice's own."""
    waiting = [list(each) for each in lists]
    while any(waiting):
        number = draw(st.sampled_from([n for n, each in enumerate(waiting) if each]))
        yield number, waiting[number].pop(0)


@st.composite
def told(draw):
    """Draw an answer, and the bytes of a stream that tells it."""
    answer = draw(completions())
    head = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": answer.system_fingerprint,
        "service_tier": answer.service_tier,
    }
    role_always = draw(st.booleans())
    nulls = draw(st.booleans())
    usage = msgspec.to_builtins(answer.usage)
    in_finish = draw(st.booleans())
    chunks = [[{"role": "assistant"}, *deltas_of(draw, c.message)] for c in answer.choices]
    finish_alone = draw(st.booleans())
    for choice, deltas in zip(answer.choices, chunks, strict=True):
        if finish_alone:
            deltas.append({})
        deltas[-1] = (deltas[-1], choice.finish_reason)
    events = []
    for number, delta in interleaved(draw, chunks):
        reason = None
        if isinstance(delta, tuple):
            delta, reason = delta  # noqa: PLW2901 - the last delta carries the reason
        if role_always:
            delta = {**delta, "role": "assistant"}  # noqa: PLW2901
        if nulls:
            delta = {"content": None, "tool_calls": None, **delta}  # noqa: PLW2901
        told_choice = {"index": number, "delta": delta}
        if reason or nulls:
            told_choice["finish_reason"] = reason
        events.append({**head, "choices": [told_choice]} | ({"usage": None} if nulls else {}))
    if usage is not None and in_finish:
        events[-1]["usage"] = usage
    elif usage is not None:
        events.append({**head, "choices": [], "usage": usage})
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return answer, data + draw(st.sampled_from([b"", b"data: [DONE]\n\n", b"data: [DONE]"]))


def accumulated(data, cuts):
    protocol = ChatStreamProtocol({}, LIMIT)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        protocol.receive_data(data[start:end])
    protocol.receive_eof()
    return protocol


def as_wire(answer):
    """Return what the service would have sent for *answer* at once."""
    return decode_completion(msgspec.json.encode(answer), {})[0]


def is_empty(answer):
    """Whether *answer* has neither content nor a reason for having none: then it is an error."""
    return not any(
        choice.message.content is not None
        or choice.message.reasoning_content
        or choice.message.refusal
        or choice.message.tool_calls
        or choice.finish_reason not in {"stop", "tool_calls"}
        for choice in answer.choices
    )


@settings(deadline=None, max_examples=150)
@given(drawn=told(), data=st.data())
def test_a_stream_adds_up_to_the_answer(drawn, data):
    answer, stream = drawn
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))

    if is_empty(answer):
        for decode in (lambda: accumulated(stream, cuts), lambda: as_wire(answer)):
            with pytest.raises(ProtocolError, match="contains no completion"):
                decode()
        return
    protocol = accumulated(stream, cuts)

    assert protocol.completion() == as_wire(answer) == answer
    assert protocol.usage == answer.usage
    assert protocol.finish_reason == answer.finish_reason


@settings(deadline=None, max_examples=80)
@given(drawn=told())
def test_deltas_add_up_to_the_answer_too(drawn):
    answer, stream = drawn
    protocol = ChatStreamProtocol({}, LIMIT)

    deltas = protocol.receive_data(stream).deltas

    for choice in answer.choices:
        own = [delta for delta in deltas if delta.index == choice.index]
        message = choice.message
        assert "".join(str(delta) for delta in own) == (message.content or "")
        thoughts = "".join(delta.reasoning_content or "" for delta in own)
        assert thoughts == (message.reasoning_content or "")
        assert "".join(delta.refusal or "" for delta in own) == (message.refusal or "")
        pieces = [piece for delta in own for piece in delta.tool_calls or ()]
        told = "".join(piece.function.arguments or "" for piece in pieces)
        assert told.replace("{}", "") == "".join(
            call.function.arguments for call in message.tool_calls or ()
        ).replace("{}", "")


@settings(deadline=None, max_examples=150)
@given(answer=completions())
@example(answer=ChatCompletion(choices=[]))
def test_a_whole_answer_taken_for_a_stream_stays_the_answer(answer):
    protocol = ChatStreamProtocol({}, LIMIT)

    protocol.receive_completion(answer)
    protocol.receive_eof()

    assert protocol.completion() == answer


@settings(deadline=None, max_examples=60)
@given(drawn=told())
def test_what_is_told_so_far_never_shrinks(drawn):
    _, stream = drawn
    protocol = ChatStreamProtocol({}, LIMIT)
    before = {}

    for event in stream.split(b"\n\n"):
        protocol.receive_data(event + b"\n\n")
        choices = protocol.completion().choices
        texts = {choice.index: choice.message.content or "" for choice in choices}
        assert all(texts[index].startswith(text) for index, text in before.items())
        before = texts


def test_a_choice_that_begins_after_another_is_part_of_the_answer_at_once():
    protocol = ChatStreamProtocol({}, LIMIT)
    for index, text in ((1, "b"), (0, "a")):
        choice = {"index": index, "delta": {"content": text}}
        protocol.receive_data(b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode())

    told = {choice.index: choice.message.content for choice in protocol.completion().choices}

    assert told == {0: "a", 1: "b"}
