"""Splitting of Markdown into blocks; types of the values of --option."""

from __future__ import annotations

import pytest
from click import BadParameter
from hypothesis import given
from hypothesis import strategies as st

from acechat import ChatOptions
from acechat.cli.options import complete_option, read_options
from acechat.cli.terminal.blocks import split_blocks
from acechat.cli.terminal.text import clean, one_line


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("one", ["one"]),
        ("one\n\ntwo", ["one\n\n", "two"]),
        ("one\n \ntwo", ["one\n \n", "two"]),
        ("one\n\n", ["one\n\n"]),
        ("```\na\n\nb", ["```\na\n\nb"]),
        ("```\na\n\nb\n```\n\nc", ["```\na\n\nb\n```\n\n", "c"]),
        ("a\n\n```py\nx", ["a\n\n", "```py\nx"]),
        ("````\n```\n\nb\n````\n\nc", ["````\n```\n\nb\n````\n\n", "c"]),
        ("```\n```py\n\nb\n```\n\nc", ["```\n```py\n\nb\n```\n\n", "c"]),
        ("1. a\n\n   more of a\n\n2. b", ["1. a\n\n   more of a\n\n", "2. b"]),
        ("* a\n\n  ```\n  x\n\n  y\n  ```\n", ["* a\n\n  ```\n  x\n\n  y\n  ```\n"]),
    ],
)
def test_a_block_ends_at_an_empty_line_if_no_indented_line_follows(text, blocks):
    assert split_blocks(text) == blocks


@given(st.text("a \n`~*"))
def test_the_blocks_joined_are_the_text(text):
    assert "".join(split_blocks(text)) == text


@given(st.text(st.sampled_from("a1 *`\n")), st.integers(0))
def test_a_complete_block_does_not_change_with_later_text(text, end):
    end %= len(text) + 1
    *complete, _ = split_blocks(text[:end])

    assert split_blocks(text)[: len(complete)] == complete


@given(st.text())
def test_clean_text_has_no_control_characters(text):
    controls = {chr(code) for code in [*range(32), *range(127, 160)]}

    assert not set(clean(text)) & (controls - {"\n", "\t"})
    assert not set(one_line(text)) & controls


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("max_tokens=100", 100),
        ("temperature=0", 0.0),
        ("user=null", None),
        ("user=a=b", "a=b"),
        ("user=", ""),
        ("stop=END", "END"),
        ('stop=["a"]', ["a"]),
        ("parallel_tool_calls=false", False),
        ('logit_bias={"50": -100}', {"50": -100}),
        ("tool_choice=required", "required"),
        ('tool_choice={"type":"function","function":{"name":"f"}}',
         {"type": "function", "function": {"name": "f"}}),
        ('tools=[{"type":"function","function":{"name":"f"}}]',
         [{"type": "function", "function": {"name": "f"}}]),
        ("reasoning_effort=xhigh", "xhigh"),
    ],
)  # fmt: skip
def test_an_option_has_the_type_of_its_field(pair, value):
    assert read_options([pair]) == {pair.partition("=")[0]: value}


@pytest.mark.parametrize(
    "pair", ["max_tokens=1.5", "logprobs=maybe", "logit_bias=[1]", "tools=x", "seed=", "metadata={"]
)
def test_a_value_of_a_wrong_type_is_rejected(pair):
    with pytest.raises(BadParameter, match="must be"):
        read_options([pair])


def test_every_request_field_is_accepted():
    for name in ChatOptions.__annotations__:
        assert read_options([f"{name}=null"]) == {name: None}


def test_the_shell_completes_fields():
    assert complete_option(None, None, "max_") == ["max_tokens=", "max_completion_tokens="]
