"""Accumulating chunks: tool calls, reasoning, several choices and unknown fields."""

from __future__ import annotations

import json
import time

import pytest

from acechat._wire.accumulator import ChatCompletionAccumulator
from acechat._wire.chunks import as_chunk, decode_chunk
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)


def accumulate(*events):
    """Add *events*, as dicts; return the accumulator and the deltas."""
    accumulator = ChatCompletionAccumulator()
    deltas = []
    for event in events:
        data = json.dumps(event).encode()
        accumulator.add(decode_chunk(data, {}), data, deltas)
    return accumulator, deltas


def delta(index=0, reason=None, **fields):
    return {"choices": [{"index": index, "delta": fields, "finish_reason": reason}]}


def calls(*call_deltas):
    """Return the tool calls of one choice with *call_deltas*."""
    accumulator, _ = accumulate(*(delta(tool_calls=[call_delta]) for call_delta in call_deltas))
    return accumulator.completion().tool_calls


def call_delta(arguments=None, **fields):
    """Return the JSON of a tool-call delta."""
    function = {"arguments": arguments} if arguments is not None else {}
    if "name" in fields:
        function["name"] = fields.pop("name")
    return {"type": "function", "function": function, **fields}


def call(number, name, arguments="{}"):
    return ToolCall(id=number, function=FunctionCall(name, arguments))


@pytest.mark.parametrize(
    ("call_deltas", "expected"),
    [
        # The sequence of new-api: a start, then arguments without id and name.
        (
            [
                call_delta("", index=0, id="toolu_1", name="f"),
                call_delta('{"loc', index=0),
                call_delta('":"Paris"}', index=0),
            ],
            [call("toolu_1", "f", '{"loc":"Paris"}')],
        ),
        # Two parallel calls that both have index 0.
        (
            [
                call_delta("", index=0, id="a", name="f"),
                call_delta('{"x":1}', index=0),
                call_delta("", index=0, id="b", name="g"),
                call_delta('{"y":2}', index=0),
            ],
            [call("a", "f", '{"x":1}'), call("b", "g", '{"y":2}')],
        ),
        # Indices that begin at 1, and leave gaps.
        (
            [
                call_delta("", index=1, id="a", name="f"),
                call_delta("", index=5, id="b", name="g"),
                call_delta('{"x":1}', index=1),
                call_delta('{"y":2}', index=5),
            ],
            [call("a", "f", '{"x":1}'), call("b", "g", '{"y":2}')],
        ),
        # The id in every delta, interleaved.
        (
            [
                call_delta('{"x"', index=0, id="a", name="f"),
                call_delta('{"y"', index=0, id="b", name="g"),
                call_delta(":1}", index=0, id="a"),
                call_delta(":2}", index=0, id="b"),
            ],
            [call("a", "f", '{"x":1}'), call("b", "g", '{"y":2}')],
        ),
        # No ids: the index decides.
        (
            [
                call_delta("{", index=0, name="f"),
                call_delta("{", index=1, name="g"),
                call_delta("}", index=0),
                call_delta("}", index=1),
            ],
            [call("", "f"), call("", "g")],
        ),
        # Neither id nor index: the last one.
        (
            [call_delta("", id="a", name="f"), call_delta('{"x"'), call_delta(":1}")],
            [call("a", "f", '{"x":1}')],
        ),
        # An unknown index without a name goes on with the last one.
        (
            [call_delta("", index=0, id="a", name="f"), call_delta("{}", index=7)],
            [call("a", "f")],
        ),
        # Empty arguments are no arguments.
        ([call_delta("", index=0, id="a", name="f")], [call("a", "f", "{}")]),
        ([call_delta(index=0, id="a", name="f")], [call("a", "f", "{}")]),
        ([call_delta(" \n", index=0, id="a", name="f")], [call("a", "f", "{}")]),
        # null never overwrites.
        (
            [
                call_delta("{", index=0, id="a", name="f"),
                {
                    "index": 0,
                    "id": None,
                    "type": None,
                    "function": {"name": None, "arguments": None},
                },
                {"index": 0, "function": None},
                {"index": 0, "id": "", "function": {"name": "", "arguments": "}"}},
            ],
            [call("a", "f", "{}")],
        ),
        # The name repeated in every delta.
        (
            [call_delta("{", index=0, id="a", name="f"), call_delta("}", index=0, name="f")],
            [call("a", "f", "{}")],
        ),
        # Arguments before the name.
        ([call_delta("{}", index=0, id="a"), call_delta("", index=0, name="f")], [call("a", "f")]),
        # Another type than function is kept.
        (
            [{"index": 0, "id": "a", "type": "custom", "function": {"name": "f"}}],
            [ToolCall("a", "custom", FunctionCall("f"))],
        ),
    ],
)
def test_deltas_add_up_to_tool_calls(call_deltas, expected):
    assert calls(*call_deltas) == expected


def test_several_calls_may_come_in_one_delta():
    accumulator, deltas = accumulate(
        delta(
            tool_calls=[
                call_delta("{}", index=0, id="a", name="f"),
                call_delta("{}", index=0, id="b", name="g"),
            ]
        )
    )

    assert accumulator.completion().tool_calls == [call("a", "f"), call("b", "g")]
    assert [each.id for each in deltas[0].tool_calls] == ["a", "b"]


def test_arguments_may_come_as_an_object():
    accumulator, _ = accumulate(
        delta(
            tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]
        )
    )

    assert accumulator.completion().tool_calls == [call("a", "f", '{"x":1}')]


def test_a_completion_with_only_tool_calls_has_no_text():
    accumulator, _ = accumulate(
        delta(role="assistant", content=""),
        delta(tool_calls=[call_delta("{}", index=0, id="a", name="f")], reason="tool_calls"),
    )

    completion = accumulator.completion()

    assert completion.message.content is None
    assert completion.text == ""
    assert completion.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"reasoning_content": "Hm"}, "Hm"),
        ({"reasoning": "Hm"}, "Hm"),
        ({"reasoning_content": "Hm", "reasoning": "Hm"}, "Hm"),
        ({"reasoning_content": "Hm", "reasoning": "other"}, "Hm"),
        ({"reasoning_content": "", "reasoning": "Hm"}, "Hm"),
        ({"reasoning_content": None, "reasoning": "Hm"}, "Hm"),
        ({"reasoning_content": "\n"}, "\n"),
    ],
)
def test_reasoning_under_two_names_is_used_once(fields, reasoning):
    accumulator, deltas = accumulate(delta(**fields), delta(**fields), delta(content="Hi"))

    assert accumulator.completion().reasoning == reasoning * 2
    assert [each.reasoning_content for each in deltas] == [reasoning, reasoning, None]
    assert accumulator.completion().text == "Hi"


def test_one_delta_may_contain_reasoning_and_text():
    accumulator, deltas = accumulate(
        delta(content=" Hello!", reasoning_content=" help.", reasoning="x")
    )

    assert accumulator.completion().message == AssistantMessage(
        content=" Hello!", reasoning_content=" help."
    )
    assert (str(deltas[0]), deltas[0].reasoning_content) == (" Hello!", " help.")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_content": "x"}, AssistantMessage(content="ab", reasoning_content="x")),
        ({"reasoning": "x"}, AssistantMessage(content="ab", reasoning_content="x")),
        ({"refusal": "x"}, AssistantMessage(content="ab", refusal="x")),
        (
            {"tool_calls": [call_delta("{}", index=0, id="x", name="f")]},
            AssistantMessage(content="ab", tool_calls=[call("x", "f")]),
        ),
    ],
)
def test_fields_beside_later_text_are_kept(fields, expected):
    accumulator, deltas = accumulate(delta(content="a"), delta(content="b", **fields))

    assert accumulator.completion().message == expected
    assert [str(each) for each in deltas] == ["a", "b"]


def test_deltas_without_content_are_dropped():
    _, deltas = accumulate(
        delta(role="assistant", content=""),
        delta(content=""),
        delta(),
        delta(content=None, tool_calls=None, refusal=None),
        delta(content="", reasoning_content="", tool_calls=[]),
        delta(reason="stop"),
        {"choices": []},
        {"choices": [], "usage": {"total_tokens": 3}},
    )

    assert deltas == []


def test_a_delta_knows_its_choice():
    _, deltas = accumulate(delta(0, content="a"), delta(1, content="b"), delta(0, content="c"))

    assert deltas == [Delta(content="a"), Delta(content="b", index=1), Delta(content="c")]


def test_one_event_may_contain_several_choices():
    event = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"},
            {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
        ]
    }

    accumulator, deltas = accumulate(event)

    assert [each.message.content for each in accumulator.completion().choices] == ["a", "b"]
    assert [(each.content, each.index) for each in deltas] == [("b", 1), ("a", 0)]
    assert accumulator.finished
    assert accumulator.finish_reason == "stop"


@pytest.mark.parametrize("first", [0, 1])
def test_choices_may_begin_in_any_order(first):
    accumulator, _ = accumulate(
        delta(first, content="x"),
        delta(1 - first, content="y"),
        delta(1 - first, content="y"),
        delta(first, reason="stop"),
    )

    texts = {choice.index: choice.message.content for choice in accumulator.completion().choices}
    assert texts == {first: "x", 1 - first: "yy"}
    assert not accumulator.finished


def test_a_stream_is_finished_when_every_choice_is():
    accumulator, _ = accumulate()
    assert not accumulator.finished

    accumulator, _ = accumulate(
        delta(0, content="a"), delta(1, content="b"), delta(0, reason="stop")
    )
    assert not accumulator.finished

    accumulator, _ = accumulate(delta(0, reason="stop"), delta(1, reason="length"))
    assert accumulator.finished


def test_an_empty_reason_is_none():
    accumulator, _ = accumulate(delta(content="a", reason=""), delta(content="b", reason=""))

    assert not accumulator.finished
    assert accumulator.finish_reason is None
    assert accumulator.completion().text == "ab"


def test_a_finish_reason_is_kept():
    accumulator, _ = accumulate(delta(reason="stop"), delta(content=""))

    assert accumulator.finish_reason == "stop"


@pytest.mark.parametrize(
    "events",
    [
        [delta(content="a"), {**delta(reason="stop"), "usage": {"total_tokens": 3}}],
        [delta(content="a"), delta(reason="stop"), {"choices": [], "usage": {"total_tokens": 3}}],
        [{**delta(content="a"), "usage": {"total_tokens": 3}}, delta(reason="stop")],
        [
            {**delta(content="a"), "usage": {"total_tokens": 1}},
            {**delta(reason="stop"), "usage": {"total_tokens": 3}},
            {"choices": [], "usage": None},
        ],
    ],
)
def test_the_last_reported_usage_counts(events):
    accumulator, _ = accumulate(*events)

    assert accumulator.usage == accumulator.completion().usage == Usage(total_tokens=3)


def test_id_and_model_are_those_of_the_first_event():
    accumulator, _ = accumulate(
        {"id": "c-1", "created": 5, "model": "m", "system_fingerprint": "fp", **delta(content="a")},
        {"id": "c-2", "model": "n", **delta(content="b")},
    )

    completion = accumulator.completion()

    assert (completion.id, completion.created, completion.model) == ("c-1", 5, "m")
    assert completion.system_fingerprint == "fp"
    assert completion.object == "chat.completion"


def test_no_chunks_are_an_empty_completion():
    accumulator, _ = accumulate()

    assert accumulator.completion() == ChatCompletion(choices=[])
    assert accumulator.to_dict()["choices"] == []


def logprobs(**fields):
    return {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": fields}]}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([logprobs(content=[1]), logprobs(content=[2, 3])], {"content": [1, 2, 3]}),
        (
            [logprobs(content=[1], refusal=None), logprobs(content=[2], refusal=None)],
            {"content": [1, 2], "refusal": None},
        ),
        ([logprobs(content=None), logprobs(content=[1])], {"content": [1]}),
        ([logprobs(content=[1]), logprobs(content=None)], {"content": [1]}),
        (
            [logprobs(content=[], refusal=None), logprobs(content=None, refusal=[1])],
            {"content": [], "refusal": [1]},
        ),
    ],
)
def test_log_probabilities_are_joined(events, expected):
    accumulator, _ = accumulate(*events)

    assert accumulator.completion().choices[0].logprobs == expected


def test_unknown_fields_survive():
    accumulator, _ = accumulate(
        {"id": "c-1", "recipient": "all", **delta(role="assistant")},
        delta(content="Hi"),
        {
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": "stop", "stop_details": {"why": 1}}
            ],
            "channel": 7,
        },
        {"choices": [], "usage": {"total_tokens": 3, "odd_tokens": 1}, "cost": "free"},
    )

    fields = accumulator.to_dict()

    assert (fields["id"], fields["recipient"], fields["channel"], fields["cost"]) == (
        "c-1",
        "all",
        7,
        "free",
    )
    assert fields["usage"] == {"total_tokens": 3, "odd_tokens": 1}
    assert fields["object"] == "chat.completion"
    (choice,) = fields["choices"]
    assert choice["stop_details"] == {"why": 1}
    assert choice["message"] == {"role": "assistant", "content": "Hi"}
    assert choice["finish_reason"] == "stop"


def test_unknown_fields_of_a_choice_stay_with_that_choice():
    accumulator, _ = accumulate(
        delta(content="a", index=0),
        delta(content="b", index=1),
        {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop", "mood": "good"}]},
    )

    first, second = accumulator.to_dict()["choices"]

    assert "mood" not in first
    assert second["mood"] == "good"
    assert "delta" not in second


def test_a_choice_without_an_index_is_the_first():
    accumulator, _ = accumulate(
        delta(content="a", index=0),
        delta(content="b", index=1),
        {"choices": [{"delta": {}, "finish_reason": "stop", "mood": "good"}]},
    )

    first, second = accumulator.to_dict()["choices"]

    assert first["mood"] == "good"
    assert "mood" not in second


def test_reading_a_partial_completion_changes_nothing():
    accumulator, deltas = accumulate(delta(content="a"))

    early = accumulator.completion()
    assert accumulator.to_dict() == accumulator.to_dict()
    data = json.dumps(delta(content="b")).encode()
    accumulator.add(decode_chunk(data, {}), data, deltas)

    assert early.text == "a"
    assert accumulator.completion().text == "ab"


def test_a_complete_completion_is_one_chunk():
    completion = ChatCompletion(
        choices=[
            Choice(
                0,
                AssistantMessage(
                    content="a", reasoning_content="b", tool_calls=[call("1", "f"), call("2", "g")]
                ),
                "stop",
            ),
            Choice(1, AssistantMessage(refusal="no"), "content_filter", {"content": []}),
        ],
        id="c-1",
        usage=Usage(total_tokens=3),
    )

    chunk, event = as_chunk(completion)

    assert chunk.choices[0].delta == Delta(
        content="a",
        role="assistant",
        reasoning_content="b",
        tool_calls=[
            ToolCallDelta(0, "1", "function", FunctionCallDelta("f", "{}")),
            ToolCallDelta(1, "2", "function", FunctionCallDelta("g", "{}")),
        ],
    )
    assert chunk.choices[1].delta.refusal == "no"
    assert (chunk.id, chunk.usage) == ("c-1", Usage(total_tokens=3))
    accumulator = ChatCompletionAccumulator()
    assert not accumulator.add(chunk, event, [], checked=True)
    assert accumulator.completion() == completion


def cost(events):
    """Return the shortest of several durations: the others include other processes."""
    data = [json.dumps(event).encode() for event in events]
    chunks = [decode_chunk(each, {}) for each in data]
    durations = []
    for _ in range(3):
        accumulator = ChatCompletionAccumulator()
        start = time.process_time()
        for chunk, event in zip(chunks, data, strict=True):
            accumulator.add(chunk, event, [])
        accumulator.completion()
        durations.append(time.process_time() - start)
    return min(durations)


def many_choices(size):
    return [{"choices": [{"index": n, "finish_reason": "stop", "delta": {}}]} for n in range(size)]


def many_fields(size):
    return [
        {"choices": [{"finish_reason": "stop", "delta": {}}], **{f"x{n}": n for n in range(size)}},
        *[{"choices": [{"finish_reason": "stop", "delta": {}}]}] * size,
    ]


def many_fields_of_a_choice(size):
    odd = {f"x{n}": n for n in range(size)}
    choice = {"finish_reason": "stop", "delta": {}}
    return [{"choices": [choice | odd]}, *[{"choices": [choice]}] * size]


@pytest.mark.parametrize("make", [many_choices, many_fields, many_fields_of_a_choice])
def test_to_dict_takes_time_in_proportion_to_the_fields(make):
    def took(size):
        accumulator = ChatCompletionAccumulator()
        for event in make(size):
            data = json.dumps(event).encode()
            accumulator.add(decode_chunk(data, {}), data, [])
        durations = []
        for _ in range(4):
            start = time.process_time()
            accumulator.to_dict()
            durations.append(time.process_time() - start)
        return min(durations)

    assert took(8_000) < 8 * took(1_000) * 3 + 0.02


@pytest.mark.parametrize("form", ["ids", "indices", "one index"])
def test_accumulating_takes_time_in_proportion_to_the_tool_calls(form):
    def accumulate(size):
        call_deltas = []
        for n in range(size):
            if form == "indices":
                call_deltas.append(call_delta("{}", index=n, name="f"))
            else:
                call_deltas.append(
                    call_delta("{}", index=n if form == "ids" else 0, id=f"c{n}", name="f")
                )
            call_deltas.append(call_delta(" ", index=n if form != "one index" else 0))
        return [delta(tool_calls=[one]) for one in call_deltas]

    assert cost(accumulate(8_000)) < 8 * cost(accumulate(1_000)) * 3 + 0.02


@pytest.mark.parametrize("index", [[], {}, "0", None])
def test_an_invalid_index_is_ignored(index):
    choice = {"index": index, "finish_reason": "stop", "delta": {"content": "Hi"}, "odd": 1}
    data = json.dumps({"choices": [choice]}).encode()
    accumulator = ChatCompletionAccumulator()

    accumulator.add(decode_chunk(data, {}), data, [])

    assert accumulator.to_dict()["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize(
    "event",
    [
        delta(content="x"),
        delta(reasoning_content="x"),
        delta(tool_calls=[call_delta("x", index=0, id="a", name="f")]),
        logprobs(content=[1]),
    ],
    ids=["content", "reasoning", "arguments", "logprobs"],
)
def test_accumulating_takes_time_in_proportion_to_the_chunks(event):
    short = cost([event] * 2_000)
    long = cost([event] * 16_000)

    assert long < 8 * short * 3 + 0.02
