"""The output is found wherever a model puts it, and other JSON is never taken for it."""

from __future__ import annotations

import copy
import json
import time
from typing import Literal

import pydantic
import pytest
from msgspec import Struct, defstruct

from acechat import Output, OutputError
from acechat._tools.find_output import candidates
from acechat._tools.output import OutputSpec
from acechat._wire.deltas import DeltaBatch
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ToolCall,
    ToolCallDelta,
)


class Plan(Struct):
    title: str = ""
    steps: list[str] = []


class Model(pydantic.BaseModel):
    title: str = ""
    steps: list[str] = []


FENCE = "```"
PICNIC = '{"title": "Picnic"}'
PLAN = Plan("Picnic")
PRETTY = '{\n  "title": "Picnic",\n  "steps": [\n    "[1]",\n    "{}"\n  ]\n}'


def output(kind, text):
    completion = ChatCompletion(choices=[Choice(message=AssistantMessage(content=text))])
    return OutputSpec(kind).parse(completion).output


def partials(kind, text, size):
    spec = OutputSpec(kind)
    partial = spec.partial_output()
    seen = []
    size = size or len(text)
    for chunk in (text[at : at + size] for at in range(0, len(text), size)):
        if partial.receive(DeltaBatch([Delta(content=chunk)], [])):
            seen.append(copy.deepcopy(partial.value))  # noqa: PERF401 - it changes
    return seen


FOUND = [
    # fences of any kind
    (Plan, f"{FENCE}json\n{PICNIC}\n{FENCE}", PLAN),
    (Plan, f"{FENCE}\n{PICNIC}\n{FENCE}", PLAN),
    (Plan, f"~~~json\n{PICNIC}\n~~~", PLAN),
    (Plan, f"````JSON\n{PICNIC}\n````", PLAN),
    (Plan, f"{FENCE}json5\n{PICNIC}\n{FENCE}", PLAN),
    (Plan, f"{FENCE}python\n{PICNIC}\n{FENCE}", PLAN),
    (Plan, f"1. So:\n\n   {FENCE}json\n   {PICNIC}\n   {FENCE}\n", PLAN),
    (Plan, f"So: {FENCE}json {PICNIC}{FENCE}", PLAN),
    (Plan, f"So: `{PICNIC}`.", PLAN),
    (Plan, f"{FENCE}json\n{PICNIC}", PLAN),  # never closed
    (Plan, f"{FENCE}json\r\n{PICNIC}\r\n{FENCE}", PLAN),
    (Plan, f"{FENCE}json\n{PRETTY}\n{FENCE}\nAs in [1].", Plan("Picnic", ["[1]", "{}"])),
    # scalars and lists in fences
    (int, f"It is\n{FENCE}json\n7\n{FENCE}", 7),
    (int, f"It is\n{FENCE}\n7\n{FENCE}\nas of [2].", 7),
    (bool, f"{FENCE}json\ntrue\n{FENCE}", True),
    (Literal["sun", "rain"], f'So:\n{FENCE}json\n"rain"\n{FENCE}', "rain"),
    (Plan | None, f"None:\n{FENCE}json\nnull\n{FENCE}", None),
    (int, f'Draft\n{FENCE}json\n6\n{FENCE}\nFinal\n{FENCE}json\n{{"value": 7}}\n{FENCE}', 7),
    (list[int], f"As [1] says:\n\n{FENCE}json\n[10, 20]\n{FENCE}\nSee [2].", [10, 20]),
    (list[int], f'As [1] says:\n\n{FENCE}json\n{{"value": [10, 20]}}\n{FENCE}', [10, 20]),
    # brackets, citations and empty objects in the prose
    (Plan, f'With f"{{}}" I get\n{PICNIC}', PLAN),
    (Plan, f"Use {{name}}, {{}} and {{ }}: {PICNIC} {{}}", PLAN),
    (Plan, f"[1] and [2] say so. {PICNIC} See [3].", PLAN),
    (Model, f"With {{}}: {PICNIC}. Have fun {{}}", Model(title="Picnic")),
    (Plan, f'As {{"foo": 1}} or {{"bar": {{}}}}: {PICNIC}', PLAN),
    (list[int], 'As [1] says: {"value": [10, 20]}, or [3]', [10, 20]),
    (list[int], "As [1] says: [10, 20]", [10, 20]),
    (list[int], "As [1] says:\n[10, 20]\nSee [2] and [3].", [10, 20]),
    (list[int], "The numbers are [10, 20].", [10, 20]),
    (list[Plan], f"See [1].\n[{PICNIC}]", [PLAN]),
    (Plan | None, f"As [1] says: {PICNIC}", PLAN),
    (dict[str, int], 'So {}: {"a": 1}', {"a": 1}),
    # the last complete value
    (Plan, f'Draft: {{"title": "Walk"}}\nBetter: {PICNIC}', PLAN),
    (Plan, f'{FENCE}\n{{"title": "Walk"}}\n{FENCE}\nNo:\n{FENCE}\n{PICNIC}\n{FENCE}', PLAN),
    (Plan, f'{FENCE}\n{{"title": "Walk"}}\n{FENCE}\nBetter: {PICNIC}', PLAN),
    (Plan, f'{PICNIC}\nor {{"title": 3}}', PLAN),
    (Plan, f'{PICNIC}\nor {{"title": "Wal', PLAN),
    (list[int], "Draft: [1, 2]\nBetter: [10, 20]", [10, 20]),
    # a form before the answer
    (Plan, f'I fill in {{"title": "<title>"}}:\n{PICNIC}', PLAN),
    # reasoning in tags
    (Plan, f'<think>Maybe {{"title": "Walk"}} or {{}}</think>{PICNIC}', PLAN),
    (Plan, f'<thinking>\n["a {{"\n</thinking>\n\n{FENCE}json\n{PICNIC}\n{FENCE}', PLAN),
    (Plan, f'Maybe {{"title": "Walk"}}</think>\n{PICNIC}', PLAN),
    (int, "<think>6?</think>\n\n7", 7),
    (list[int], "<think>[1]</think>[10, 20]", [10, 20]),
    (str, '{"value": "<think>a</think>b"}', "<think>a</think>b"),
    # JSON in a string
    (list[int], '{"value": "[10, 20]"}', [10, 20]),
    (Plan, r'{"title": "Picnic", "steps": "[\"eat\"]"}', Plan("Picnic", ["eat"])),
    (Model, r'So: {"title": "Picnic", "steps": "[\"eat\"]"}', Model(title="Picnic", steps=["eat"])),
    # a fence inside of a string
    (Plan, json.dumps({"title": f"{FENCE}json\n7\n{FENCE}"}), Plan(f"{FENCE}json\n7\n{FENCE}")),
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_the_output_is_found_in_the_text(kind, text, value):
    found = output(kind, text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (list[int], "As [1] says, there are none."),
        (list[int], "See [1], [2]."),
        (list[int], "There are none [1]"),
        (list[int], "There are none [1][2]\n\n[1] Smith 2020\n[2] Jones 2021"),
        (list[int], "[[1, 2], [3, 4], oops]"),
        (list[Plan], f"See [1]. [{PICNIC}]"),
        (Plan, "I have none {}."),
        (Plan, "I have none { }"),
        (Plan, 'The schema is {"type": "object", "properties": {}}'),
        (Plan, f'{FENCE}json\n{{"error": "none"}}\n{FENCE}'),
        (Model, "I have none {}."),
        (Plan | None, "I have none {}."),
        (dict[str, int], "I have none {}."),
        (Plan, f"<think>{PICNIC}</think>I have none."),
        (Plan, f"<think>{PICNIC}"),
        (int, "It is 7."),
        (str, "It is."),
    ],
)
def test_other_json_is_not_taken_for_the_output(kind, text):
    with pytest.raises(OutputError):
        output(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Plan, "{}", Plan()),
        (Plan, f"{FENCE}json\n{{}}\n{FENCE}", Plan()),
        (list[int], "[]", []),
        (list[int], f"None:\n{FENCE}json\n[]\n{FENCE}", []),
        (list[int], '{"value": []}', []),
        (dict[str, int], " {} ", {}),
    ],
)
def test_an_empty_value_is_accepted_where_it_is_the_answer(kind, text, value):
    assert output(kind, text) == value


@pytest.mark.parametrize("size", [1, 3, 0])
@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        one
        for one in FOUND
        if isinstance(one[2], Plan | Model | list)
        and '"title": 3' not in one[1]  # partials are not validated
        and '"[' not in one[1]
        and r'"{}"' not in one[1]
    ],
)
def test_the_last_partial_is_the_output(kind, text, value, size):
    seen = partials(kind, text, size)

    assert seen
    assert output(kind, json.dumps(seen[-1])) == value


@pytest.mark.parametrize("size", [1, 5, 0])
def test_reasoning_and_citations_are_never_partials(size):
    text = '<think>{"title": "Walk"} [1]</think>As [1] and {"foo": 1} say: {"title": "Picnic"} [2]'

    assert [one for one in partials(Plan, text, size) if one] == [{"title": "Picnic"}]


def test_partials_go_on_after_a_discarded_value():
    assert partials(Plan, f'So {{"title": "a", oops}} {PICNIC}', 1)[-1] == {"title": "Picnic"}


def test_prose_before_a_tool_call_does_not_end_its_partials():
    partial = OutputSpec(Plan).partial_output()
    call = ToolCallDelta(function=FunctionCallDelta(arguments=PICNIC))

    partial.receive(DeltaBatch([Delta(content='I use {"title": "x"} and ["')], []))
    assert partial.receive(DeltaBatch([Delta(tool_calls=[call])], []))

    assert partial.value == {"title": "Picnic"}


@pytest.mark.parametrize("last", [PICNIC, '{"foo": 1}', "{}", '{"title": 3}'])
def test_of_several_tool_calls_the_last_that_fits_is_the_output(last):
    arguments = ['{"title": "Walk"}', PICNIC, last]
    calls = [
        ToolCall(f"t{at}", function=FunctionCall("answer", one)) for at, one in enumerate(arguments)
    ]
    message = AssistantMessage(tool_calls=calls)
    completion = ChatCompletion(choices=[Choice(message=message, finish_reason="tool_calls")])

    assert OutputSpec(Plan).parse(completion).output == PLAN


def test_names_that_a_tool_cannot_have_are_wrapped():
    kind = defstruct("Plan", [("größe", int), ("länge", int)])
    spec = OutputSpec(Output(kind))

    assert list(spec._schema["properties"]) == ["value"]
    for text in ('{"value": {"größe": 1, "länge": 2}}', 'So: {"größe": 1, "länge": 2}'):
        assert output(kind, text) == kind(1, 2)
    assert partials(kind, 'So: {"größe": 1, "länge": 2}', 3)[-1] == {"größe": 1, "länge": 2}


@pytest.mark.parametrize(
    "unit",
    [
        "```",
        "```json\n",
        "~~~\n[1]\n~~~\n",
        "{}",
        "[1] ",
        '{"a":',
        "<think>",
        "</think>",
        "`",
        "[1]:",
        "\n[1]\n",
        " " * 50,
    ],
)
def test_the_cost_is_linear(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        partial = OutputSpec(Plan).partial_output()
        began = time.process_time()
        list(candidates(text, "{["))
        for at in range(0, size, 1000):
            partial.receive(DeltaBatch([Delta(content=text[at : at + 1000])], []))
        return time.process_time() - began

    for _ in range(3):
        ratio = seconds(10**6) / max(min(seconds(10**4) for _ in range(5)), 1e-5)
        if ratio < 300:
            return
    pytest.fail(f"a hundred times as much takes {ratio:.0f} times as long")
