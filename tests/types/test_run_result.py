"""`RunResult`: turns, final completion, and the sums of usage and cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    Cost,
    FunctionCall,
    ImagePart,
    ImageURL,
    PromptTokensDetails,
    RunResult,
    ToolCall,
    ToolMessage,
    ToolResult,
    Turn,
    Usage,
)


def turn(text, usage=None):
    message = AssistantMessage(content=text)
    return Turn(ChatCompletion(choices=[Choice(index=0, message=message)], usage=usage))


def run(*usages):
    return RunResult(tuple(turn(f"turn {n}", usage) for n, usage in enumerate(usages)), ())


def usd(amount):
    return Usage(cost=Cost(amount=Decimal(amount), currency="usd"))


def test_the_last_turn_is_the_final_completion():
    result = run(None, None)

    assert result.text == "turn 1"
    assert result.completion is result.turns[1].completion
    assert [each.text for each in result] == ["turn 0", "turn 1"]


def test_a_run_without_turns_is_empty():
    result = run()

    assert (result.text, result.usage, result.cost, list(result)) == ("", None, None, [])


def test_the_message_of_a_result_has_the_id_of_its_call():
    call = ToolCall(id="c-1", function=FunctionCall(name="f"))
    image = ImagePart(ImageURL("https://cdn.acedata.cloud/ueugot.png"))

    result = ToolResult(call=call, content="7", images=(image,))

    assert result.message == ToolMessage(content="7", tool_call_id="c-1")


def test_usage_is_the_sum_of_all_turns():
    one = Usage(
        prompt_tokens=10,
        total_tokens=13,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
        usage_source="exact",
    )
    other = Usage(
        prompt_tokens=1,
        total_tokens=3,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=5),
        usage_source="exact",
    )

    usage = run(one, other).usage

    assert (usage.prompt_tokens, usage.total_tokens) == (11, 16)
    assert usage.prompt_tokens_details == PromptTokensDetails(cached_tokens=9)
    assert usage.completion_tokens is None
    assert usage.usage_source == "exact"


def test_a_text_field_that_differs_between_turns_is_none():
    assert run(Usage(usage_source="exact"), Usage(usage_source="guess")).usage.usage_source is None


@pytest.mark.parametrize("usages", [(Usage(total_tokens=1), None), (None, Usage(total_tokens=1))])
def test_a_turn_without_usage_makes_the_sum_none(usages):
    assert run(*usages).usage is None
    assert run(*usages).cost is None


def test_a_field_missing_in_one_turn_is_none_in_the_sum():
    usage = run(Usage(total_tokens=1, prompt_tokens=1), Usage(total_tokens=2)).usage

    assert usage == Usage(total_tokens=3)


def test_costs_are_added_exactly():
    result = run(usd("0.1"), usd("0.2"))

    assert result.cost == Cost(amount=Decimal("0.3"), currency="usd")
    assert isinstance(result.cost.amount, Decimal)


def test_costs_in_two_currencies_have_no_sum():
    result = run(
        Usage(total_tokens=1, cost=Cost(amount=Decimal(1), currency="credits")),
        Usage(total_tokens=1, cost=Cost(amount=Decimal(1), currency="usd")),
    )

    assert result.cost is None
    assert result.usage.total_tokens == 2


def test_costs_without_a_currency_are_added():
    half = Usage(cost=Cost(amount=Decimal("0.5")))

    assert run(half, half).cost == Cost(amount=Decimal(1))
