"""Budgets, and the sums that they are compared with."""

from __future__ import annotations

import copy
import pickle
import threading
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat import (
    Budget,
    BudgetExceededError,
    ChatCompletion,
    ConfigurationError,
    Cost,
    RateLimit,
    Usage,
)
from acechat._catalog import decode_catalog, platform_root
from acechat._codec import decode_completion
from acechat._config import Config
from acechat._environment import read_token
from acechat._money import Meter
from acechat._protocol import ChatStreamProtocol
from acechat._terms import Limits
from acechat.errors import ProtocolError
from acechat.types import Spent


def usage(tokens=None, amount=None, currency="credits"):
    cost = None if amount is None else Cost(amount=Decimal(amount), currency=currency)
    return Usage(total_tokens=tokens, cost=cost)


def spent(*usages):
    total = Spent()
    for one in usages:
        total = total.plus(one)
    return total


def test_costs_add_up_exactly():
    total = spent(*[usage(1, "0.1")] * 3)

    assert total.cost == Decimal("0.3")
    assert (total.currency, total.calls, total.total_tokens) == ("credits", 3, 3)


def test_a_cost_that_nobody_told_is_none_not_nothing():
    assert spent(usage(5)).cost is None
    assert spent(usage(5)).unpriced == 1
    assert spent(usage(5), usage(5, "0.5")).cost == Decimal("0.5")
    assert spent(usage(5, "0")).cost == 0


def test_usage_that_nobody_told_is_counted_as_such():
    total = spent(None, Usage(), usage(3, "1"))

    assert (total.calls, total.uncounted, total.unpriced, total.total_tokens) == (3, 2, 2, 3)


def test_a_sum_that_is_missing_is_made_of_its_parts():
    total = spent(Usage(prompt_tokens=2, completion_tokens=3))

    assert (total.prompt_tokens, total.completion_tokens, total.total_tokens) == (2, 3, 5)


@pytest.mark.parametrize("odd", [usage(1, "5", "USD")])
def test_amounts_that_cannot_be_added_are_counted_as_unpriced(odd):
    total = spent(usage(1, "2"), odd)

    assert (total.cost, total.currency, total.unpriced) == (Decimal(2), "credits", 1)


@given(st.lists(st.tuples(st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6))))
def test_the_order_of_answers_does_not_matter(pairs):
    usages = [usage(tokens, amount) for tokens, amount in pairs]

    assert spent(*usages) == spent(*reversed(usages))


def test_a_meter_counts_in_threads():
    meter = Meter()

    def work():
        for _ in range(2_000):
            meter.add(usage(1, "0.001"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (meter.calls, meter.total_tokens, meter.cost) == (8_000, 8_000, Decimal(8))


def test_a_meter_begins_again_and_says_what_it_had_counted():
    meter = Meter()
    meter.add(usage(7, "1"))
    before = meter.snapshot()

    assert meter.reset() == before
    assert before.total_tokens == 7
    assert meter.snapshot() == Spent()


@pytest.mark.parametrize(
    ("budget", "used", "left"),
    [
        (Budget(tokens=10), usage(9), True),
        (Budget(tokens=10), usage(10), False),
        (Budget(credits=0.3), usage(1, "0.29"), True),
        (Budget(credits=0.3), usage(1, "0.3"), False),
        (Budget(credits=Decimal("0.3")), usage(1, "0.31"), False),
        (Budget(credits=1), usage(10**9), True),
        (Budget(tokens=10, credits=1), usage(3, "1"), False),
    ],
)
def test_a_budget_is_used_up_when_it_is_reached(budget, used, left):
    if left:
        budget.check(spent(used))
    else:
        with pytest.raises(BudgetExceededError, match="used up"):
            budget.check(spent(used))


@pytest.mark.parametrize(
    "limits", [{}, {"tokens": 0}, {"tokens": 1.5}, {"credits": -1}, {"credits": "5"}]
)
def test_what_is_no_budget_is_refused(limits):
    with pytest.raises(ConfigurationError, match=r"budget|Budget"):
        Budget(**limits)


def test_a_budget_is_a_value_and_part_of_the_configuration():
    budget = Budget(tokens=5, credits=Decimal("0.1"))
    config = Config(token=read_token("t-0123456789"), api_root="http://x/v1", budget=budget)

    assert pickle.loads(pickle.dumps(budget)) == budget == copy.deepcopy(budget)
    assert config.budget == budget


# the wire


COST = '{"amount": 0.000123450000000000009, "currency": "credits", "list_amount": "0.5"}'
BODY = f'{{"choices": [], "usage": {{"total_tokens": 3, "cost": {COST}}}}}'.encode()


def test_a_cost_is_read_to_the_last_digit():
    reply, _ = decode_completion(BODY, {})

    assert reply.cost == Cost(
        amount=Decimal("0.000123450000000000009"), currency="credits", list_amount=Decimal("0.5")
    )


@pytest.mark.parametrize(
    "told",
    ["null", '{"amount": null}', '"free"', "5", '{"amount": "much"}', '{"amount": []}', "[]"],
)
def test_a_cost_of_another_form_does_not_lose_the_answer(told):
    body = f'{{"choices": [], "usage": {{"total_tokens": 3, "cost": {told}}}}}'.encode()

    reply, _ = decode_completion(body, {})

    assert reply.usage.total_tokens == 3
    assert reply.cost is None or reply.cost.amount is None


def test_a_stream_tells_the_cost_last():
    protocol = ChatStreamProtocol({}, 2**20)

    protocol.receive_data(b"data: " + BODY + b"\n\ndata: [DONE]\n\n")

    assert protocol.completion().cost.amount == Decimal("0.000123450000000000009")


def test_a_whole_answer_to_a_stream_keeps_its_cost_a_number():
    reply, _ = decode_completion(BODY, {})
    protocol = ChatStreamProtocol({}, 2**20)
    protocol.receive_completion(reply)

    assert protocol.to_dict()["usage"]["cost"]["amount"] == pytest.approx(0.00012345)


def test_no_answer_has_no_cost():
    assert ChatCompletion(choices=[]).cost is None
    assert msgspec.json.decode(b'{"choices": []}', type=ChatCompletion).cost is None


@pytest.mark.parametrize(
    ("api_root", "platform"),
    [
        ("https://api.acedata.cloud/v1", "https://platform.acedata.cloud/api/v1"),
        ("https://api-test.acedata.cloud/v1", "https://platform-test.acedata.cloud/api/v1"),
        ("https://api.acedata.cloud/openai", "https://platform.acedata.cloud/api/v1"),
        ("http://localhost:8080/v1", "http://localhost:8080/api/v1"),
        (
            "https://api.acedata.cloud.evil.example/v1",
            "https://api.acedata.cloud.evil.example/api/v1",
        ),
        ("https://my-gateway.example/ace", "https://my-gateway.example/api/v1"),
    ],
)
def test_where_the_catalogue_is(api_root, platform):
    assert platform_root(api_root) == platform


def test_an_odd_entry_of_the_catalogue_keeps_what_fits():
    body = b'{"items": [{"id": "m", "name": 5, "pricing": {"input_credits": "x"}, "new": 1}]}'

    (model,) = decode_catalog(body)

    assert (model.id, model.name, model.pricing.input_credits) == ("m", None, None)


@pytest.mark.parametrize("body", [b"[]", b'{"items": 5}', b"{}", b"<html>", b'{"items": [{}]}'])
def test_what_is_no_catalogue_is_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        decode_catalog(body)


@pytest.mark.parametrize("amount", [1, 0.5, Decimal("0.5")])
def test_a_budget_is_of_tokens_or_of_credits(amount):
    assert Budget(credits=amount).credits == amount
    assert Budget(tokens=1).tokens == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Budget, "a budget needs a limit: Budget(tokens=...) or (credits=...)"),
        (
            lambda: Budget(tokens=0.5),
            "Budget.tokens must be a whole number of 1 or more, or None, not 0.5",
        ),
        (
            lambda: Budget(credits=float("inf")),
            "Budget.credits must be a positive number, or None, not inf",
        ),
        (
            lambda: RateLimit(requests_per_minute=0),
            "RateLimit.requests_per_minute must be a whole number of 1 or more, or None, not 0",
        ),
        (
            lambda: RateLimit(tokens_per_minute=True),
            "RateLimit.tokens_per_minute must be a whole number of 1 or more, or None, not True",
        ),
    ],
)
def test_a_limit_that_is_none_says_what_it_must_be(make, told):
    with pytest.raises(ConfigurationError) as caught:
        make()

    assert str(caught.value) == told


@pytest.mark.parametrize("number", [0, -1, 1.5, 8.0, True, "3", None])
@pytest.mark.parametrize("name", ["max_turns", "max_parallel"])
def test_a_run_has_a_whole_number_of_turns_and_of_tools_at_a_time(name, number):
    with pytest.raises(ConfigurationError) as caught:
        Limits(**{name: number})

    assert str(caught.value) == f"{name} must be a whole number of 1 or more, not {number!r}"


@pytest.mark.parametrize("number", [0, -1, True, "3", float("nan"), float("inf")])
def test_a_tool_has_a_positive_number_of_seconds_or_any(number):
    with pytest.raises(ConfigurationError) as caught:
        Limits(tool_timeout=number)

    assert str(caught.value) == f"tool_timeout must be a positive number, or None, not {number!r}"
    assert Limits(tool_timeout=0.5).tool_timeout == 0.5
    assert Limits(tool_timeout=None).tool_timeout is None
