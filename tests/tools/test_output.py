"""How a type is asked for, and how an answer becomes a value of it, without a network."""

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
from acechat._tools.output import _HOPELESS, OutputSpec
from acechat._tools.partial_json import PartialOutput
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


def request(*, model="claude-sonnet-4-20250514", system=None, messages=(), extra=None, **options):
    config = Config(token=Token("token"), api_root="https://api.test/v1")
    said = gather_messages(("Plan a picnic",), messages=messages, system=system)
    headers = {"x-mine": "1"}
    template = build_template(
        config, options, model=model, extra_body=extra, extra_headers=headers, stream=False
    )
    return template.request(said)


def asked(output_type, **given):
    return json.loads(OutputSpec(output_type).apply(request(**given)).body)


def said(text, **more):
    return ChatCompletion(choices=[Choice(message=AssistantMessage(content=text), **more)])


def called(arguments, *, name="answer", content=None, finish_reason="tool_calls", **more):
    call = ToolCall(id="t1", function=FunctionCall(name, arguments))
    message = AssistantMessage(content=content, tool_calls=[call])
    choice = Choice(message=message, finish_reason=finish_reason)
    return ChatCompletion(choices=[choice], **more)


def output(output_type, text):
    return OutputSpec(output_type).parse(said(text)).output


def misfit(output_type, completion):
    with pytest.raises(OutputError) as caught:
        OutputSpec(output_type).parse(completion)
    return caught.value


PICNIC = '{"title": "Picnic", "days": 2, "steps": [{"what": "eat"}]}'
PLAN = Plan("Picnic", 2, [Step("eat")])


class TestAsking:
    def test_auto_makes_the_model_call_a_tool_that_takes_the_answer(self):
        body = asked(Plan)
        (tool,) = body["tools"]
        assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
        assert tool["function"]["name"] == "answer"
        assert tool["function"]["parameters"]["type"] == "object"
        assert tool["function"]["parameters"]["description"] == "What to do."
        assert "response_format" not in body
        assert body["messages"] == [{"role": "user", "content": "Plan a picnic"}]

    @pytest.mark.parametrize("kind", [list[int], Literal["a", "b"], int, Plan | None, str])
    def test_what_is_no_object_goes_under_a_key(self, kind):
        parameters = asked(kind)["tools"][0]["function"]["parameters"]
        assert parameters["type"] == "object"
        assert parameters["required"] == ["value"]
        assert list(parameters["properties"]) == ["value"]

    def test_a_mapping_has_properties_because_the_gateway_sends_null_for_none(self):
        parameters = asked(dict[str, int])["tools"][0]["function"]["parameters"]
        assert parameters["type"] == "object"
        assert parameters["properties"] == {}

    @pytest.mark.parametrize(
        "given",
        [
            {"model": "claude-opus-4-20250514-thinking"},
            {"model": "claude-opus-5"},  # it thinks unless told otherwise (contract, 1.4)
            {"reasoning_effort": "low"},
            {"extra": {"reasoning": {"max_tokens": 2000}}},
            {"extra": {"thinking": {"type": "enabled"}}},
        ],
        ids=str,
    )
    def test_a_model_that_thinks_is_asked_in_words(self, given):
        body = asked(Plan, **given)
        assert "tools" not in body
        assert "tool_choice" not in body
        assert '"title":"Plan"' in body["messages"][0]["content"]

    def test_json_schema_sends_response_format(self):
        body = asked(Output(Plan, strategy="json_schema"))
        form = body["response_format"]
        assert form["type"] == "json_schema"
        assert form["json_schema"]["name"] == "answer"
        assert form["json_schema"]["schema"]["required"] == ["title", "days"]
        assert "tools" not in body

    def test_the_prompt_goes_to_the_end_of_the_systems_words(self):
        whole = Output(Plan, strategy="prompt")
        for given in (
            {"system": "Be brief."},
            {"messages": [{"role": "system", "content": "Be brief."}]},
        ):
            messages = asked(whole, **given)["messages"]
            assert [message["role"] for message in messages] == ["system", "user"]
            assert messages[0]["content"].startswith("Be brief.\n\nAnswer with JSON")

    def test_a_system_of_parts_is_left_alone(self):
        parts = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
        messages = asked(Output(Plan, strategy="prompt"), messages=[parts])["messages"]
        assert [message["role"] for message in messages] == ["system", "system", "user"]
        assert messages[1] == parts

    def test_everything_else_is_sent_as_it_was(self):
        before = request(temperature=0.1, extra={"news": [1.5, None]})
        after = OutputSpec(Plan).apply(before)
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
    def test_tools_of_ones_own_do_not_go_together_with_it(self, given, strategy):
        with pytest.raises(ConfigurationError, match="output_type= sets"):
            asked(Output(Plan, strategy=strategy), **given)

    def test_an_unknown_strategy_is_refused(self):
        with pytest.raises(ConfigurationError, match="'auto', 'json_schema', 'prompt'"):
            Output(Plan, strategy="tool")

    @pytest.mark.parametrize("reasks", [-1, 0.5, "2", None])
    def test_reasks_that_are_no_number_of_times_are_refused(self, reasks):
        with pytest.raises(ConfigurationError, match="retries must be a whole number of 0 or more"):
            Output(Plan, retries=reasks)

    @pytest.mark.parametrize("kind", [3, "Plan", {"type": "object"}, object, Plan("a", 1)])
    def test_what_is_no_type_is_refused(self, kind):
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

    def test_what_the_tool_took_becomes_the_text(self):
        answer = OutputSpec(Plan).parse(called(PICNIC, content="I plan."))
        assert answer.output == PLAN
        assert answer.text == PICNIC
        assert answer.tool_calls == []
        assert answer.finish_reason == "stop"

    def test_what_the_service_sent_stays_to_be_seen(self):
        sent = called(PICNIC, id="c-1")
        note_origin(sent, ResponseInfo(trace_id="t-1"), lambda: {"id": "c-1", "news": 1})
        answer = OutputSpec(Plan).parse(sent)
        assert answer.to_dict() == {"id": "c-1", "news": 1}
        assert (answer.id, answer.trace_id) == ("c-1", "t-1")

    def test_a_call_of_another_tool_is_no_answer(self):
        assert misfit(Plan, called(PICNIC, name="other")).text == ""

    def test_a_reply_is_a_value_with_its_output(self):
        answer = OutputSpec(Point).parse(called('{"x": 1}'))
        for again in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), copy.deepcopy(answer)):
            assert again == answer
            assert again.output == Point(1)

    def test_a_reply_that_was_asked_for_no_type_has_none(self):
        assert said("Hello").output is None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"title": "Picnic", "days": 9}', "Expected `int` <= 7 - at `$.days`"),
            ('{"title": 1, "days": 2}', "Expected `str`, got `int` - at `$.title`"),
            ('So: {"days": 2} ok', "Object missing required field `title`"),
            ('{"title": "a"} {"title": 5, "days": 2}', "Expected `str`, got `int` - at `$.title`"),
            ('{"title": 5, "days": 2} {"title": "a"}', "Expected `str`, got `int` - at `$.title`"),
            ("No.", "this is no JSON: "),
            ("", "this is empty, not JSON"),
        ],
    )
    def test_an_error_says_what_is_wrong_with_what_looks_most_like_it(self, text, message):
        error = misfit(Plan, said(text))
        assert error.message.startswith(message)
        assert error.text == text
        assert error.completion.text == text
        assert str(error).startswith("the response does not match output_type: ")

    def test_the_path_names_the_key_that_the_model_saw(self):
        error = misfit(list[int], called('{"value": [1, "2"]}'))
        assert error.message == "Expected `int`, got `str` - at `$.value[1]`"

    @pytest.mark.parametrize(
        ("kind", "told"),
        [
            (Checked, '{"z": 0}'),
            (list[Checked], '{"value": [{"z": 0}]}'),
            (Model | Checked, '{"value": {"z": 0}}'),
        ],
        ids=str,
    )
    def test_what_only_pydantic_checks_is_checked(self, kind, told):
        parameters = asked(kind)["tools"][0]["function"]["parameters"]
        assert '"minimum": 1' in json.dumps(parameters)
        assert "greater than or equal to 1" in misfit(kind, said(told)).message

    def test_pydantics_words_are_the_message(self):
        assert "x: Field required" in misfit(Model, said("{}")).message

    @pytest.mark.parametrize(
        ("reason", "message"),
        [("length", "it was cut at max_tokens"), ("content_filter", "the model refused")],
    )
    def test_an_answer_that_was_cut_says_so(self, reason, message):
        assert misfit(Plan, said('{"title": "Pic', finish_reason=reason)).message == message

    @pytest.mark.parametrize("kind", [Options, Options | None, dict[str, int]], ids=str)
    @pytest.mark.parametrize("reason", ["length", "content_filter"])
    def test_an_answer_that_was_cut_before_it_began_is_none(self, kind, reason):
        error = misfit(kind, called("{}", finish_reason=reason))
        assert error.message == _HOPELESS[reason]
        assert error.text == ""

    def test_an_answer_that_leaves_everything_out_is_one(self):
        assert OutputSpec(Options).parse(called("{}")).output == Options()
        assert output(Options, "{}") == Options()

    def test_what_was_told_before_the_limit_of_tokens_may_be_whole(self):
        answer = OutputSpec(Options).parse(called('{"limit": 1}', finish_reason="length"))
        assert answer.output == Options(1)


class TestAskingAgain:
    def test_the_answer_and_what_is_wrong_with_it_are_sent(self):
        asking = OutputSpec(Plan)
        first = asking.apply(request())
        with pytest.raises(OutputError) as caught:
            asking.parse(called('{"title": "a", "days": 9}'))
        body = json.loads(asking.retry_with_error(first, caught.value).body)
        *_, answer, objection = body["messages"]
        assert answer == {"role": "assistant", "content": '{"title": "a", "days": 9}'}
        assert objection["role"] == "user"
        assert "Expected `int` <= 7 - at `$.days`" in objection["content"]
        assert body["tool_choice"] == json.loads(first.body)["tool_choice"]

    @pytest.mark.parametrize("strategy", ["json_schema", "prompt"])
    def test_in_words_the_schema_is_told_again(self, strategy):
        asking = OutputSpec(Output(Plan, strategy=strategy))
        first = asking.apply(request())
        body = json.loads(asking.retry_with_error(first, misfit(Plan, said("Hm."))).body)
        assert '"required":["title","days"]' in body["messages"][-1]["content"]

    def test_an_empty_answer_is_not_sent_back(self):
        asking = OutputSpec(Plan)
        body = json.loads(
            asking.retry_with_error(asking.apply(request()), misfit(Plan, said(""))).body
        )
        assert [message["role"] for message in body["messages"]] == ["user", "user"]

    @pytest.mark.parametrize("reasks", [0, 1, 3])
    def test_it_is_done_as_often_as_was_said(self, reasks):
        asking = OutputSpec(Output(Plan, retries=reasks))
        first, error = asking.apply(request()), misfit(Plan, said("Hm."))
        for _ in range(reasks):
            assert asking.retry_with_error(first, error) is not None
        assert asking.retry_with_error(first, error) is None

    @pytest.mark.parametrize("reason", ["length", "content_filter"])
    def test_what_would_end_the_same_way_is_not_asked_again(self, reason):
        error = misfit(Plan, said("{", finish_reason=reason))
        assert OutputSpec(Plan).retry_with_error(request(), error) is None

    def test_the_usage_of_all_exchanges_is_summed(self):
        asking = OutputSpec(Plan)
        with pytest.raises(OutputError) as caught:
            asking.parse(called("{}", usage=Usage(total_tokens=3, cost=Cost(amount=0.5))))
        assert caught.value.completion.usage.total_tokens == 3
        answer = asking.parse(called(PICNIC, usage=Usage(total_tokens=4, cost=Cost(amount=0.25))))
        assert answer.usage.total_tokens == 7
        assert answer.usage.cost.amount == 0.75

    def test_a_usage_that_is_not_known_of_one_is_not_known_of_all(self):
        asking = OutputSpec(Plan)
        with pytest.raises(OutputError):
            asking.parse(called("{}"))
        assert asking.parse(called(PICNIC, usage=Usage(total_tokens=4))).usage is None

    def test_a_refused_tool_is_asked_for_in_words(self):
        words = "Thinking may not be enabled when tool_choice forces tool use."
        asking = OutputSpec(Plan)
        first = asking.apply(request())
        other = asking.fall_back_to_prompt(first, BadRequestError(400, "bad_request", words))
        body = json.loads(other.body)
        assert body.keys() == {"model", "messages"}
        assert body["messages"][0]["role"] == "system"
        assert asking.fall_back_to_prompt(other, BadRequestError(400, "bad_request", words)) is None

    def test_another_refusal_is_one(self):
        asking = OutputSpec(Plan)
        refusal = BadRequestError(400, "bad_request", "model is invalid.")
        assert asking.fall_back_to_prompt(asking.apply(request()), refusal) is None


def batch(*deltas):
    return DeltaBatch(list(deltas), [])


def piece(arguments, **more):
    return Delta(
        tool_calls=[ToolCallDelta(function=FunctionCallDelta(arguments=arguments))], **more
    )


class TestPartialOutput:
    def test_the_tools_arguments_and_the_text_are_both_read(self):
        for say in (piece, lambda text: Delta(content=text)):
            told = PartialOutput()
            assert told.receive(batch(say('{"a": 1, ')))
            assert not told.receive(batch(say('"b"')))
            assert told.receive(batch(say(": tr"), say("ue}")))
            assert told.value == {"a": 1, "b": True}

    def test_the_key_around_a_list_is_not_seen(self):
        told = OutputSpec(list[int]).partial_output()
        assert not told.receive(batch(piece("{")))
        assert told.receive(batch(piece('"value": [')))
        assert told.value == []
        assert told.receive(batch(piece("1, 2")))
        assert told.value == [1]

    @pytest.mark.parametrize("kind", [Plan | None, Plan | list[int], Model | None], ids=str)
    @pytest.mark.parametrize("pieces", [["{", "}"], ['{"value": {', "}}"]], ids=["bare", "wrapped"])
    def test_an_object_of_a_union_is_seen_with_and_without_the_key(self, kind, pieces):
        begin, end = pieces
        told = OutputSpec(kind).partial_output()
        told.receive(batch(piece(begin)))
        assert told.value in (None, {})
        assert told.receive(batch(piece('"title": "a", ')))
        assert told.value == {"title": "a"}
        assert told.receive(batch(piece(f'"days": 2{end}')))
        assert told.value == {"title": "a", "days": 2}

    def test_what_stands_before_the_key_of_a_list_is_not_seen(self):
        told = OutputSpec(list[int]).partial_output()
        assert not told.receive(batch(piece('{"why": "so", ')))
        assert told.receive(batch(piece('"value": [1, ')))
        assert told.value == [1]

    def test_an_object_is_not_mistaken_for_a_list_before_it(self):
        told = OutputSpec(Plan).partial_output()
        assert not told.receive(batch(Delta(content="As in [1]: ")))
        assert told.receive(batch(Delta(content='{"days": 2}')))
        assert told.value == {"days": 2}

    def test_other_choices_are_not_mixed_in(self):
        told = PartialOutput()
        assert not told.receive(batch(piece('{"a": 1', index=1), Delta(content="{", index=1)))
        assert told.value is None

    def test_what_says_nothing_changes_nothing(self):
        told = PartialOutput()
        nothing = Delta(tool_calls=[ToolCallDelta(id="t1")], reasoning_content="{}")
        assert not told.receive(batch(nothing))
