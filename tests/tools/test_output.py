"""Structured output: requests and parsing, without a network."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, TypedDict

import msgspec
import pydantic
import pytest

from acechat import ConfigurationError, Output, OutputError
from acechat._config import Config
from acechat._credentials import Token
from acechat._tools.find_output import PartialOutput
from acechat._tools.output import OutputSpec
from acechat._tools.tool_output import FINAL
from acechat._wire.deltas import DeltaBatch
from acechat._wire.messages import gather_messages
from acechat._wire.request import build_template
from acechat.errors import BadRequestError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    Cost,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ResponseInfo,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from acechat.types.completion import note_origin


class Step(msgspec.Struct):
    what: str


class Plan(msgspec.Struct):
    """What to do."""

    title: str
    days: Annotated[int, msgspec.Meta(ge=1, le=7)]
    steps: list[Step] = []


class Options(msgspec.Struct):
    limit: int | None = None
    words: list[str] = []


@dataclass
class Point:
    x: int


class Named(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    x: int


@pydantic.dataclasses.dataclass
class Checked:
    z: Annotated[int, pydantic.Field(ge=1)]


def request(
    spec=None, *, model="claude-sonnet-4-20250514", system=None, messages=(), extra=None, **options
):
    config = Config(token=Token("token"), api_root="https://api.test/v1")
    sent = gather_messages(("Plan a picnic",), messages=messages, system=system)
    headers = {"x-mine": "1"}
    template = build_template(
        config, options, model=model, extra_body=extra, extra_headers=headers, stream=False
    )
    return template.request(sent, spec and spec.apply)


def body_for(output_type, **given):
    return json.loads(request(OutputSpec(output_type), **given).body)


def with_text(text, **more):
    return ChatCompletion(choices=[Choice(message=AssistantMessage(content=text), **more)])


def with_call(arguments, *, name="answer", content=None, finish_reason="tool_calls", **more):
    call = ToolCall(id="t1", function=FunctionCall(name, arguments))
    message = AssistantMessage(content=content, tool_calls=[call])
    choice = Choice(message=message, finish_reason=finish_reason)
    return ChatCompletion(choices=[choice], **more)


def output(output_type, text):
    return OutputSpec(output_type).parse(with_text(text)).output


def mismatch(output_type, completion):
    with pytest.raises(OutputError) as caught:
        OutputSpec(output_type).parse(completion)
    return caught.value


PICNIC = '{"title": "Picnic", "days": 2, "steps": [{"what": "eat"}]}'
PLAN = Plan("Picnic", 2, [Step("eat")])


class TestRequest:
    def test_auto_requires_a_tool_call(self):
        body = body_for(Plan)
        (tool,) = body["tools"]
        assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
        assert tool["function"]["name"] == "answer"
        assert tool["function"]["parameters"]["type"] == "object"
        assert tool["function"]["parameters"]["description"] == "What to do."
        assert "response_format" not in body
        assert body["messages"] == [{"role": "user", "content": "Plan a picnic"}]

    @pytest.mark.parametrize("kind", [list[int], Literal["a", "b"], int, Plan | None, str])
    def test_values_that_are_not_objects_are_wrapped(self, kind):
        parameters = body_for(kind)["tools"][0]["function"]["parameters"]
        assert parameters["type"] == "object"
        assert parameters["required"] == ["value"]
        assert list(parameters["properties"]) == ["value"]

    def test_a_mapping_has_properties_because_the_gateway_sends_null_for_none(self):
        parameters = body_for(dict[str, int])["tools"][0]["function"]["parameters"]
        assert parameters["type"] == "object"
        assert parameters["properties"] == {}

    @pytest.mark.parametrize(
        "given",
        [
            {"model": "claude-opus-4-20250514-thinking"},
            {"model": "claude-opus-5"},  # it reasons by default (docs/api.md#models)
            {"reasoning_effort": "low"},
            {"extra": {"reasoning": {"max_tokens": 2000}}},
            {"extra": {"thinking": {"type": "enabled"}}},
        ],
        ids=str,
    )
    def test_a_reasoning_model_gets_a_prompt(self, given):
        body = body_for(Plan, **given)
        assert "tools" not in body
        assert "tool_choice" not in body
        assert '"title":"Plan"' in body["messages"][0]["content"]

    def test_json_schema_sends_response_format(self):
        body = body_for(Output(Plan, strategy="json_schema"))
        form = body["response_format"]
        assert form["type"] == "json_schema"
        assert form["json_schema"]["name"] == "answer"
        assert form["json_schema"]["schema"]["required"] == ["title", "days"]
        assert "tools" not in body

    def test_the_instruction_is_appended_to_the_system_prompt(self):
        whole = Output(Plan, strategy="prompt")
        for given in (
            {"system": "Be brief."},
            {"messages": [{"role": "system", "content": "Be brief."}]},
        ):
            messages = body_for(whole, **given)["messages"]
            assert [message["role"] for message in messages] == ["system", "user"]
            assert messages[0]["content"].startswith("Be brief.\n\nAnswer with JSON")

    def test_a_system_prompt_of_parts_is_unchanged(self):
        parts = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
        messages = body_for(Output(Plan, strategy="prompt"), messages=[parts])["messages"]
        assert [message["role"] for message in messages] == ["system", "system", "user"]
        assert messages[1] == parts

    def test_other_fields_are_unchanged(self):
        given = {"temperature": 0.1, "extra": {"news": [1.5, None]}}
        before, after = request(**given), request(OutputSpec(Plan), **given)
        own = {"tools", "tool_choice"}
        body = json.loads(after.body)
        assert {key: body[key] for key in body.keys() - own} == json.loads(before.body)
        assert (after.headers, after.path) == (before.headers, before.path)

    @pytest.mark.parametrize(
        "given",
        [
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"tool_choice": "auto"},
            {"response_format": {"type": "json_object"}},
            {"extra": {"tools": [{}]}},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("strategy", ["auto", "json_schema", "prompt"])
    def test_own_tools_and_output_type_are_rejected(self, given, strategy):
        with pytest.raises(ConfigurationError, match="output_type= sets"):
            body_for(Output(Plan, strategy=strategy), **given)

    def test_an_unknown_strategy_is_rejected(self):
        with pytest.raises(ConfigurationError, match="'auto', 'json_schema', 'prompt'"):
            Output(Plan, strategy="tool")

    @pytest.mark.parametrize("retries", [-1, 0.5, "2", None])
    def test_invalid_retries_are_rejected(self, retries):
        with pytest.raises(ConfigurationError, match="retries must be an integer of 0 or more"):
            Output(Plan, retries=retries)

    @pytest.mark.parametrize("kind", [3, "Plan", {"type": "object"}, object, Plan("a", 1)])
    def test_unsupported_types_are_rejected(self, kind):
        with pytest.raises(ConfigurationError):
            OutputSpec(kind)


class TestAccepting:
    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            (Plan, PICNIC, PLAN),
            (Point, '{"x": 1}', Point(1)),
            (Named, '{"name": "½"}', {"name": "½"}),
            (Model, '{"x": 1}', Model(x=1)),
            (list[int], '{"value": [1, 2]}', [1, 2]),
            (list[int], "[1, 2]", [1, 2]),
            (list[int], "```json\n[1, 2]\n```", [1, 2]),
            (list[Point], 'Points: [{"x": 1}, {"x": 2}]', [Point(1), Point(2)]),
            (list[Model], '{"value": [{"x": 1}]}', [Model(x=1)]),
            (Checked, '{"z": 1}', Checked(1)),
            (list[Checked], '{"value": [{"z": 1}]}', [Checked(1)]),
            (Checked | None, '{"z": 1}', Checked(1)),
            (Model | int, '{"value": 3}', 3),
            (Model | Checked, '{"value": {"z": 1}}', Checked(1)),
            (Model | Checked, '{"x": 1}', Model(x=1)),
            (Literal["a", "b"], '{"value": "b"}', "b"),
            (Literal["a", "b"], '"b"', "b"),
            (int, " 7\n", 7),
            (str, '{"value": "{}"}', "{}"),
            (Plan | None, '{"value": null}', None),
            (Point | None, '{"value": {"x": 3}}', Point(3)),
            (dict[str, int], '{"value": 3}', {"value": 3}),
            (Decimal, '{"value": "1.5"}', Decimal("1.5")),
            (Plan, f"Sure! See [1].\n```json\n{PICNIC}\n```\nHave fun {{}}", PLAN),
            (Plan, f'First {{"draft": true}}, then {PICNIC}', PLAN),
        ],
        ids=str,
    )
    def test_the_value_is_found(self, kind, text, value):
        found = output(kind, text)
        assert found == value
        assert type(found) is type(value)

    def test_the_tools_arguments_become_the_text(self):
        answer = OutputSpec(Plan).parse(with_call(PICNIC, content="I plan."))
        assert answer.output == PLAN
        assert answer.text == PICNIC
        assert answer.tool_calls == []
        assert answer.finish_reason == "stop"

    def test_the_original_response_is_kept(self):
        sent = with_call(PICNIC, id="c-1")
        note_origin(sent, ResponseInfo(trace_id="t-1"), lambda: {"id": "c-1", "news": 1})
        answer = OutputSpec(Plan).parse(sent)
        assert answer.to_dict() == {"id": "c-1", "news": 1}
        assert (answer.id, answer.trace_id) == ("c-1", "t-1")

    def test_a_call_of_another_tool_is_not_the_output(self):
        assert mismatch(Plan, with_call(PICNIC, name="other")).text == ""

    def test_equality_includes_the_output(self):
        answer = OutputSpec(Point).parse(with_call('{"x": 1}'))
        for again in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), copy.deepcopy(answer)):
            assert again == answer
            assert again.output == Point(1)

    def test_without_output_type_the_output_is_none(self):
        assert with_text("Hello").output is None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"title": "Picnic", "days": 9}', "Expected `int` <= 7 - at `$.days`"),
            ('{"title": 1, "days": 2}', "Expected `str`, got `int` - at `$.title`"),
            ('So: {"days": 2} ok', "Object missing required field `title`"),
            ('{"title": "a"} {"title": 5, "days": 2}', "Expected `str`, got `int` - at `$.title`"),
            ('{"title": 5, "days": 2} {"title": "a"}', "Expected `str`, got `int` - at `$.title`"),
            ("No.", "invalid JSON: "),
            ("", "empty text instead of JSON"),
        ],
    )
    def test_the_error_is_that_of_the_longest_candidate(self, text, message):
        error = mismatch(Plan, with_text(text))
        assert error.message.startswith(message)
        assert error.text == text
        assert error.completion.text == text
        assert str(error).startswith("the response does not match output_type: ")

    def test_the_path_names_the_key_that_the_model_saw(self):
        error = mismatch(list[int], with_call('{"value": [1, "2"]}'))
        assert error.message == "Expected `int`, got `str` - at `$.value[1]`"

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (Checked, '{"z": 0}'),
            (list[Checked], '{"value": [{"z": 0}]}'),
            (Model | Checked, '{"value": {"z": 0}}'),
        ],
        ids=str,
    )
    def test_pydantic_constraints_are_enforced(self, kind, expected):
        parameters = body_for(kind)["tools"][0]["function"]["parameters"]
        assert '"minimum": 1' in json.dumps(parameters)
        assert "greater than or equal to 1" in mismatch(kind, with_text(expected)).message

    def test_the_message_is_that_of_pydantic(self):
        assert "x: Field required" in mismatch(Model, with_text("{}")).message

    @pytest.mark.parametrize(
        ("reason", "message"),
        [("length", "truncated at max_tokens"), ("content_filter", "the model refused")],
    )
    def test_a_truncated_response_has_its_own_message(self, reason, message):
        assert mismatch(Plan, with_text('{"title": "Pic', finish_reason=reason)).message == message

    @pytest.mark.parametrize("kind", [Options, Options | None, dict[str, int]], ids=str)
    @pytest.mark.parametrize("reason", ["length", "content_filter"])
    def test_a_response_truncated_before_its_first_character_is_empty(self, kind, reason):
        error = mismatch(kind, with_call("{}", finish_reason=reason))
        assert error.message == FINAL[reason]
        assert error.text == ""

    def test_an_empty_object_is_valid_if_all_fields_are_optional(self):
        assert OutputSpec(Options).parse(with_call("{}")).output == Options()
        assert output(Options, "{}") == Options()

    def test_a_complete_value_before_truncation_is_returned(self):
        answer = OutputSpec(Options).parse(with_call('{"limit": 1}', finish_reason="length"))
        assert answer.output == Options(1)


class TestRequestAgain:
    def test_the_response_and_its_error_are_sent(self):
        spec = OutputSpec(Plan)
        first = request(spec)
        with pytest.raises(OutputError) as caught:
            spec.parse(with_call('{"title": "a", "days": 9}'))
        body = json.loads(spec.retry_with_error(first, caught.value).body)
        *_, answer, objection = body["messages"]
        assert answer == {"role": "assistant", "content": '{"title": "a", "days": 9}'}
        assert objection["role"] == "user"
        assert "Expected `int` <= 7 - at `$.days`" in objection["content"]
        assert body["tool_choice"] == json.loads(first.body)["tool_choice"]

    @pytest.mark.parametrize("strategy", ["json_schema", "prompt"])
    def test_a_prompt_repeats_the_schema(self, strategy):
        spec = OutputSpec(Output(Plan, strategy=strategy))
        first = request(spec)
        body = json.loads(spec.retry_with_error(first, mismatch(Plan, with_text("Hm."))).body)
        assert '"required":["title","days"]' in body["messages"][-1]["content"]

    def test_an_empty_response_is_not_sent_back(self):
        spec = OutputSpec(Plan)
        body = json.loads(spec.retry_with_error(request(spec), mismatch(Plan, with_text(""))).body)
        assert [message["role"] for message in body["messages"]] == ["user", "user"]

    @pytest.mark.parametrize("retries", [0, 1, 3])
    def test_the_number_of_retries_is_respected(self, retries):
        spec = OutputSpec(Output(Plan, retries=retries))
        first, error = request(spec), mismatch(Plan, with_text("Hm."))
        for _ in range(retries):
            assert spec.retry_with_error(first, error) is not None
        assert spec.retry_with_error(first, error) is None

    @pytest.mark.parametrize("reason", ["length", "content_filter"])
    def test_final_finish_reasons_are_not_retried(self, reason):
        error = mismatch(Plan, with_text("{", finish_reason=reason))
        assert OutputSpec(Plan).retry_with_error(request(), error) is None

    def test_the_usage_of_all_requests_is_summed(self):
        spec = OutputSpec(Plan)
        with pytest.raises(OutputError) as caught:
            spec.parse(with_call("{}", usage=Usage(total_tokens=3, cost=Cost(amount=0.5))))
        assert caught.value.completion.usage.total_tokens == 3
        answer = spec.parse(with_call(PICNIC, usage=Usage(total_tokens=4, cost=Cost(amount=0.25))))
        assert answer.usage.total_tokens == 7
        assert answer.usage.cost.amount == 0.75

    def test_the_total_usage_is_none_if_one_is_missing(self):
        spec = OutputSpec(Plan)
        with pytest.raises(OutputError):
            spec.parse(with_call("{}"))
        assert spec.parse(with_call(PICNIC, usage=Usage(total_tokens=4))).usage is None

    def test_a_rejected_tool_falls_back_to_a_prompt(self):
        words = "Thinking may not be enabled when tool_choice forces tool use."
        spec = OutputSpec(Plan)
        first = request(spec)
        other = spec.fall_back_to_prompt(first, BadRequestError(400, "bad_request", words))
        body = json.loads(other.body)
        assert body.keys() == {"model", "messages", "stream"}
        assert body["messages"][0]["role"] == "system"
        assert spec.fall_back_to_prompt(other, BadRequestError(400, "bad_request", words)) is None

    def test_other_errors_do_not_fall_back(self):
        spec = OutputSpec(Plan)
        refusal = BadRequestError(400, "bad_request", "model is invalid.")
        assert spec.fall_back_to_prompt(request(spec), refusal) is None


def batch(*deltas):
    return DeltaBatch(list(deltas), [])


def arguments_delta(arguments, **more):
    return Delta(
        tool_calls=[ToolCallDelta(function=FunctionCallDelta(arguments=arguments))], **more
    )


class TestPartialOutput:
    def test_the_tools_arguments_and_the_text_are_both_read(self):
        for make in (arguments_delta, lambda text: Delta(content=text)):
            partial = PartialOutput()
            assert partial.receive(batch(make('{"a": 1, ')))
            assert not partial.receive(batch(make('"b"')))
            assert partial.receive(batch(make(": tr"), make("ue}")))
            assert partial.value == {"a": 1, "b": True}

    def test_the_wrapper_of_a_list_is_removed(self):
        partial = OutputSpec(list[int]).partial_output()
        assert not partial.receive(batch(arguments_delta("{")))
        assert partial.receive(batch(arguments_delta('"value": [')))
        assert partial.value == []
        assert partial.receive(batch(arguments_delta("1, 2")))
        assert partial.value == [1]

    @pytest.mark.parametrize("kind", [Plan | None, Plan | list[int], Model | None], ids=str)
    @pytest.mark.parametrize("chunks", [["{", "}"], ['{"value": {', "}}"]], ids=["bare", "wrapped"])
    def test_an_object_of_a_union_may_be_wrapped_or_bare(self, kind, chunks):
        begin, end = chunks
        partial = OutputSpec(kind).partial_output()
        partial.receive(batch(arguments_delta(begin)))
        assert partial.value in (None, {})
        assert partial.receive(batch(arguments_delta('"title": "a", ')))
        assert partial.value == {"title": "a"}
        assert partial.receive(batch(arguments_delta(f'"days": 2{end}')))
        assert partial.value == {"title": "a", "days": 2}

    def test_other_keys_of_a_wrapper_are_ignored(self):
        partial = OutputSpec(list[int]).partial_output()
        assert not partial.receive(batch(arguments_delta('{"why": "so", ')))
        assert partial.receive(batch(arguments_delta('"value": [1, ')))
        assert partial.value == [1]

    def test_a_list_before_an_object_is_ignored(self):
        partial = OutputSpec(Plan).partial_output()
        assert not partial.receive(batch(Delta(content="As in [1]: ")))
        assert partial.receive(batch(Delta(content='{"days": 2}')))
        assert partial.value == {"days": 2}

    def test_other_choices_are_ignored(self):
        partial = PartialOutput()
        assert not partial.receive(
            batch(arguments_delta('{"a": 1', index=1), Delta(content="{", index=1))
        )
        assert partial.value is None

    def test_deltas_without_content_do_not_grow_the_value(self):
        partial = PartialOutput()
        nothing = Delta(tool_calls=[ToolCallDelta(id="t1")], reasoning_content="{}")
        assert not partial.receive(batch(nothing))
