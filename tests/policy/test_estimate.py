"""The cost range of a request that was not sent."""

from __future__ import annotations

from decimal import Decimal

import pytest

from acechat._policy.estimate import estimate_of
from acechat.types import CatalogModel, Pricing

PRICES = Pricing(input_credits=Decimal(2), output_credits=Decimal(10))


def model(**fields):
    return CatalogModel(**{"id": "m", "unit": "1M tokens", "pricing": PRICES} | fields)


def estimate(body, *catalog, tokens=1000):
    return estimate_of({"model": "m"} | body, tokens, catalog or [model(id="other"), model()])


def test_the_range_is_from_the_prompt_to_the_longest_completion():
    found = estimate({"max_tokens": 500})

    assert (found.model, found.prompt_tokens, found.max_completion_tokens) == ("m", 1000, 500)
    assert (found.min_cost, found.max_cost) == (Decimal("0.002"), Decimal("0.007"))


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({}, 8192),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": 0}, 8192),
        ({"max_tokens": "x"}, 8192),
    ],
)
def test_the_longest_completion(body, most):
    assert estimate(body).max_completion_tokens == most


def test_a_thinking_model_has_the_price_of_its_model():
    assert estimate({"model": "m-thinking"}).min_cost == Decimal("0.002")
    assert estimate({"model": "m-thinking"}).model == "m-thinking"


@pytest.mark.parametrize(
    ("unit", "cost"),
    [
        ("1M tokens", "0.002"),
        ("M tokens", "0.002"),
        ("per 1M tokens", "0.002"),
        ("1,000,000 tokens", "0.002"),
        ("million tokens", "0.002"),
        ("1K tokens", "2"),
        ("1000 tokens", "2"),
        ("token", "2000"),
        ("image", None),
        ("0 tokens", None),
        ("", None),
        (None, None),
    ],
)
def test_the_units_of_prices(unit, cost):
    assert estimate({}, model(unit=unit)).min_cost == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    "listed",
    [model(id="other"), model(pricing=None), model(pricing=Pricing(output_credits=Decimal(1)))],
)
def test_without_a_price_there_is_no_cost(listed):
    found = estimate({}, listed)

    assert (found.min_cost, found.max_cost) == (None, None)
    assert found.prompt_tokens == 1000


def test_without_a_price_of_completions_there_is_no_upper_end():
    found = estimate({}, model(pricing=Pricing(input_credits=Decimal(2))))

    assert (found.min_cost, found.max_cost) == (Decimal("0.002"), None)
