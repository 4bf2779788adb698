"""Budgets, costs and their sums, prices of the catalogue, limits of runs."""

from __future__ import annotations

import copy
import decimal
import pickle
import threading
from contextlib import contextmanager
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
from acechat._config import Config
from acechat._core.meter import Meter
from acechat._credentials import read_token
from acechat._policy.values import RunLimits
from acechat._wire.decode import decode_completion
from acechat._wire.endpoints import decode_catalog, platform_root
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import ProtocolError
from acechat.types import ChatCompletionChunk, Pricing, TotalUsage


def usage(tokens=None, amount=None, currency="credits"):
    cost = None if amount is None else Cost(amount=Decimal(amount), currency=currency)
    return Usage(total_tokens=tokens, cost=cost)


def spent(*usages):
    total = TotalUsage()
    for one in usages:
        total = total.plus(one)
    return total


def test_costs_add_up_exactly():
    total = spent(*[usage(1, "0.1")] * 3)

    assert total.cost == Decimal("0.3")
    assert (total.currency, total.calls, total.total_tokens) == ("credits", 3, 3)


def test_a_cost_that_was_not_reported_is_none_and_not_zero():
    assert spent(usage(5)).cost is None
    assert spent(usage(5)).unpriced == 1
    assert spent(usage(5), usage(5, "0.5")).cost == Decimal("0.5")
    assert spent(usage(5, "0")).cost == 0


def test_usage_that_was_not_reported_is_uncounted():
    total = spent(None, Usage(), usage(3, "1"))

    assert (total.calls, total.uncounted, total.unpriced, total.total_tokens) == (3, 2, 2, 3)


def test_a_missing_total_is_the_sum_of_prompt_and_completion():
    total = spent(Usage(prompt_tokens=2, completion_tokens=3))

    assert (total.prompt_tokens, total.completion_tokens, total.total_tokens) == (2, 3, 5)


@pytest.mark.parametrize("odd", [usage(1, "5", "USD")])
def test_a_cost_in_another_currency_is_unpriced(odd):
    total = spent(usage(1, "2"), odd)

    assert (total.cost, total.currency, total.unpriced) == (Decimal(2), "credits", 1)


@given(st.lists(st.tuples(st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6))))
def test_the_order_of_completions_does_not_matter(pairs):
    usages = [usage(tokens, amount) for tokens, amount in pairs]

    assert spent(*usages) == spent(*reversed(usages))


def test_a_meter_is_thread_safe():
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


def test_reset_of_a_meter_returns_its_total():
    meter = Meter()
    meter.add(usage(7, "1"))
    before = meter.snapshot()

    assert meter.reset() == before
    assert before.total_tokens == 7
    assert meter.snapshot() == TotalUsage()


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
def test_a_budget_is_used_up_once_it_is_reached(budget, used, left):
    if left:
        budget.check(spent(used))
    else:
        with pytest.raises(BudgetExceededError, match="used up"):
            budget.check(spent(used))


@pytest.mark.parametrize(
    "limits", [{}, {"tokens": 0}, {"tokens": 1.5}, {"credits": -1}, {"credits": "5"}]
)
def test_an_invalid_budget_is_an_error(limits):
    with pytest.raises(ConfigurationError, match=r"budget|Budget"):
        Budget(**limits)


def test_a_budget_is_compared_by_value_and_part_of_the_config():
    budget = Budget(tokens=5, credits=Decimal("0.1"))
    config = Config(token=read_token("t-0123456789"), api_root="http://x/v1", budget=budget)

    assert pickle.loads(pickle.dumps(budget)) == budget == copy.deepcopy(budget)
    assert config.budget == budget


# costs and prices in JSON


COST = '{"amount": 0.000123450000000000009, "currency": "credits", "list_amount": "0.5"}'
CHOICES = '"choices": [{"message": {"content": "Hi"}}]'
BODY = f'{{{CHOICES}, "usage": {{"total_tokens": 3, "cost": {COST}}}}}'.encode()


def test_a_cost_is_decoded_exactly():
    reply, _ = decode_completion(BODY, {})

    assert reply.cost == Cost(
        amount=Decimal("0.000123450000000000009"), currency="credits", list_amount=Decimal("0.5")
    )


@pytest.mark.parametrize(
    "cost",
    ["null", '{"amount": null}', '"free"', "5", '{"amount": "much"}', '{"amount": []}', "[]"],
)
def test_a_malformed_cost_does_not_lose_the_completion(cost):
    body = f'{{{CHOICES}, "usage": {{"total_tokens": 3, "cost": {cost}}}}}'.encode()

    reply, _ = decode_completion(body, {})

    assert reply.usage.total_tokens == 3
    assert reply.cost is None or reply.cost.amount is None


@contextmanager
def user_context(traps):
    """Enter a decimal context that traps all signals, none, or rounds to two digits."""
    with decimal.localcontext() as context:
        if traps == "all":
            context.traps = dict.fromkeys(context.traps, True)
        elif traps == "none":
            context.traps = dict.fromkeys(context.traps, False)
        elif traps == "narrow":
            context.prec, context.Emax, context.Emin = 2, 1, -1
            context.traps = dict.fromkeys(context.traps, True)
        yield


CONTEXTS = pytest.mark.parametrize("context", ["default", "all", "none", "narrow"])

# Amounts in JSON, and as counted; None for those that are not counted.
AMOUNTS = {
    "0": "0",
    "-0": "0",
    "0.5": "0.5",
    '"0.5"': "0.5",
    '" 0.5 "': "0.5",
    "5e-1": "0.5",
    '"-0.0"': "0",
    "999999999999999": "999999999999999",
    "999999999999999.25": "999999999999999.25",
    "1e15": None,
    "1000000000000000": None,
    "1e28": None,
    "1e308": None,
    "1e309": None,
    "1e999999": None,
    "1e1000000": None,
    "1e999999999": None,
    "1e999999999999999999": None,
    "-1": None,
    "-0.000001": None,
    "-1e999999999": None,
    '"1e999999999"': None,
    '"1e9999999999999999999"': None,
    "9" * 400: None,
    '"NaN"': None,
    '"nan"': None,
    '"NaN123"': None,
    '"sNaN"': None,
    '"-sNaN9"': None,
    '"Infinity"': None,
    '"-inf"': None,
    '""': None,
    '"free"': None,
    "true": None,
    "false": None,
    "null": None,
    "[]": None,
    "[1]": None,
    "{}": None,
    '{"amount": 1}': None,
}


@CONTEXTS
@pytest.mark.parametrize("field", ["amount", "list_amount"])
@pytest.mark.parametrize(("written", "counted"), AMOUNTS.items(), ids=lambda one: str(one)[:24])
def test_a_malformed_amount_is_unpriced_and_loses_nothing_else(written, counted, field, context):
    start = f'{{"usage": {{"total_tokens": 3, "cost": {{"{field}": {written}}}}}, "choices": ['
    body = (start + '{"message": {"content": "Hi"}}]}').encode()
    event = (start + '{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}').encode()
    wanted = None if counted is None else Decimal(counted)
    with user_context(context):
        reply, _ = decode_completion(body, {})
        protocol = ChatStreamProtocol({}, 2**20)
        protocol.receive_data(b"data: " + event + b"\n\n")
        protocol.receive_eof()
        streamed = protocol.completion()

        for one in (reply, streamed):
            assert one.text == "Hi"
            assert one.usage.total_tokens == 3
            amount = getattr(one.cost, field)
            assert str(amount) == str(wanted) or amount.is_zero()
        assert protocol.to_dict()["choices"][0]["message"]["content"] == "Hi"
        if field == "list_amount":
            return
        total = TotalUsage().plus(usage(1, "0.25")).plus(reply.usage).plus(usage(1, "0.25"))
        Budget(credits=10**15).check(total)
        both = reply.usage + reply.usage

    assert total.unpriced == (wanted is None)
    assert total.cost == Decimal("0.5") + (wanted or 0)
    assert (total.calls, total.total_tokens) == (3, 5)
    doubled = None if wanted is None else 2 * wanted
    assert both.cost.amount == (None if doubled is None or doubled >= 10**15 else doubled)
    assert both.total_tokens == 6


@CONTEXTS
@pytest.mark.parametrize(
    "amounts",
    [
        ["0." + "3" * 5_000] * 3,
        ["1e-999999999", "1"],
        ["0e999", "1"],
        ["999999999999999"] * 100,
    ],
    ids=["digits", "tiny", "large zero", "many"],
)
def test_amounts_of_many_digits_add_up_in_any_context(amounts, context):
    total = together = None
    with user_context(context):
        for written in amounts:
            body = f'{{{CHOICES}, "usage": {{"cost": {{"amount": {written}}}}}}}'
            reply, _ = decode_completion(body.encode(), {})
            total = (total or TotalUsage()).plus(reply.usage)
            together = reply.usage if together is None else together + reply.usage

    wanted = sum(float(one) for one in amounts if not one.startswith("0e"))
    assert float(total.cost) == pytest.approx(wanted, rel=1e-15)
    assert total.unpriced == sum(one.startswith("0e") for one in amounts)


def test_the_decimal_context_is_unchanged():
    before = decimal.getcontext().copy()

    spent(usage(1, "0." + "3" * 100), usage(1, "1e999999999"))

    assert decimal.getcontext().flags == before.flags
    assert str(decimal.getcontext()) == str(before)


@pytest.mark.parametrize("name", ["NaN", "sNaN", "Infinity", "-1", "1E+15"])
def test_a_malformed_amount_is_none(name):
    odd = Decimal(name)

    assert Cost(amount=odd, list_amount=odd, currency="credits") == Cost(currency="credits")
    assert Pricing(input_credits=odd, output_credits=odd) == Pricing()


@pytest.mark.parametrize("kind", [ChatCompletion, ChatCompletionChunk])
def test_a_malformed_amount_survives_copy_and_pickle(kind):
    cost = '{"amount": 1e999999999, "currency": "credits"}'
    body = f'{{{CHOICES}, "usage": {{"cost": {cost}}}}}'.encode()
    one = msgspec.json.decode(body, type=kind)

    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert one.usage.cost == Cost(currency="credits")


@pytest.mark.parametrize(
    ("reported", "tokens", "uncounted"),
    [
        (Usage(total_tokens=-1_000), 10, 1),
        (Usage(prompt_tokens=-5, completion_tokens=-5), 10, 1),
        (Usage(prompt_tokens=-5, completion_tokens=5), 15, 0),
        (Usage(prompt_tokens=3, completion_tokens=4, total_tokens=-1), 17, 0),
    ],
)
def test_a_negative_number_of_tokens_is_not_subtracted(reported, tokens, uncounted):
    total = spent(usage(10), reported)

    assert (total.total_tokens, total.uncounted) == (tokens, uncounted)
    assert min(total.prompt_tokens, total.completion_tokens) >= 0


@CONTEXTS
@pytest.mark.parametrize("credits", [Decimal("NaN"), Decimal("sNaN"), Decimal("-sNaN1")])
def test_a_nan_as_budget_is_an_error(credits, context):  # noqa: A002 - name of the parameter
    with user_context(context), pytest.raises(ConfigurationError, match="positive number"):
        Budget(credits=credits)


def test_a_stream_reports_the_cost_in_its_last_chunk():
    protocol = ChatStreamProtocol({}, 2**20)

    event = BODY.replace(b'"message"', b'"delta"')
    protocol.receive_data(b"data: " + event + b"\n\ndata: [DONE]\n\n")

    assert protocol.completion().cost.amount == Decimal("0.000123450000000000009")


def test_a_plain_response_to_a_stream_has_its_cost_as_a_number():
    reply, _ = decode_completion(BODY, {})
    protocol = ChatStreamProtocol({}, 2**20)
    protocol.receive_completion(reply)

    assert protocol.to_dict()["usage"]["cost"]["amount"] == pytest.approx(0.00012345)


def test_a_completion_without_usage_has_no_cost():
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
def test_the_base_url_of_the_catalogue(api_root, platform):
    assert platform_root(api_root) == platform


def test_a_malformed_entry_of_the_catalogue_keeps_its_valid_fields():
    body = b'{"items": [{"id": "m", "name": 5, "pricing": {"input_credits": "x"}, "new": 1}]}'

    (model,) = decode_catalog(body)

    assert (model.id, model.name, model.pricing.input_credits) == ("m", None, None)


@pytest.mark.parametrize("price", ['"1e999999999"', '"NaN"', '"sNaN"', '"inf"', "-1", '"1e15"'])
def test_a_malformed_price_is_none(price):
    """Formatting 1e999999999 with two decimals would take a gigabyte."""
    pricing = f'{{"input_credits": {price}, "output_credits": 2}}'

    (model,) = decode_catalog(f'{{"items": [{{"id": "m", "pricing": {pricing}}}]}}'.encode())

    assert model.pricing == Pricing(output_credits=Decimal(2))


@pytest.mark.parametrize("body", [b"[]", b'{"items": 5}', b"{}", b"<html>", b'{"items": [{}]}'])
def test_a_malformed_catalogue_is_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        decode_catalog(body)


@pytest.mark.parametrize("amount", [1, 0.5, Decimal("0.5")])
def test_a_budget_has_tokens_or_credits(amount):
    assert Budget(credits=amount).credits == amount
    assert Budget(tokens=1).tokens == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Budget, "Budget needs a limit: pass tokens=, credits= or both"),
        (
            lambda: Budget(tokens=0.5),
            "Budget.tokens must be an integer of at least 1, or None, not 0.5",
        ),
        (
            lambda: Budget(credits=float("inf")),
            "Budget.credits must be a positive number, or None, not inf",
        ),
        (
            lambda: RateLimit(requests_per_minute=0),
            "RateLimit.requests_per_minute must be an integer of at least 1, or None, not 0",
        ),
        (
            lambda: RateLimit(tokens_per_minute=True),
            "RateLimit.tokens_per_minute must be an integer of at least 1, or None, not True",
        ),
    ],
)
def test_the_error_for_an_invalid_limit_names_the_valid_values(make, text):
    with pytest.raises(ConfigurationError) as caught:
        make()

    assert str(caught.value) == text


@pytest.mark.parametrize("number", [0, -1, 1.5, 8.0, True, "3", None])
@pytest.mark.parametrize("name", ["max_turns", "max_parallel"])
def test_max_turns_and_max_parallel_are_positive_integers(name, number):
    with pytest.raises(ConfigurationError) as caught:
        RunLimits(**{name: number})

    assert str(caught.value) == f"{name} must be an integer of at least 1, not {number!r}"


@pytest.mark.parametrize("number", [0, -1, True, "3", float("nan"), float("inf")])
def test_tool_timeout_is_positive_or_none(number):
    with pytest.raises(ConfigurationError) as caught:
        RunLimits(tool_timeout=number)

    assert str(caught.value) == f"tool_timeout must be a positive number, or None, not {number!r}"
    assert RunLimits(tool_timeout=0.5).tool_timeout == 0.5
    assert RunLimits(tool_timeout=None).tool_timeout is None
