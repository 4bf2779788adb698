"""Rendering of Markdown on a terminal: no word is lost."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat.cli.terminal.rendering import Renderer
from acechat.cli.terminal.text import unstyled


def shown(text, width=80):
    lines = Renderer(io.TextIOWrapper(io.BytesIO(), "utf-8")).render(text, width)
    return [unstyled(line) for line in lines]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Wrap it in <div>, use `a<b>` or List<String>.",
         ["Wrap it in <div>, use a<b> or List<String>."]),
        ("<details>\n<summary>Hint</summary>\nThe answer is 42.\n</details>\n\nDone.",
         ["<details> <summary>Hint</summary> The answer is 42. </details>", "", "Done."]),
        ("# <T> generics", ["<T> generics"]),
        ("See [the docs][1].\n\n[1]: https://docs.example/ref",
         ["See [the docs][1].", "", "[1]: https://docs.example/ref"]),
        ("The ![sales *chart*](https://img.example/x.png) of May",
         ["The sales chart (https://img.example/x.png) of May"]),
        ("[![logo](l.png)](https://a.example)", ["logo (l.png) (https://a.example)"]),
        ('[a](https://b.example "A title")', ['a (https://b.example "A title")']),
        ("<https://a.example> and <me@a.example>", ["https://a.example and me@a.example"]),
        ("[https://a.example](https://b.example)", ["https://a.example (https://b.example)"]),
        ("[](https://a.example)", [" (https://a.example)"]),
    ],
)  # fmt: skip
def test_tags_and_urls_are_visible(text, lines):
    assert shown(text) == lines


MARKS = [" ", "\n", "\n\n", "<", ">", "</", "<!--", "[", "]", "](", ")", "![", "]: ", "*", "**",
         "# ", "> ", "1. ", "* ", "    ", " `code` ", "_", "!", "\\"]  # fmt: skip
WORDS = ["word", "div", "42", "https", "name", "List"]


@given(st.lists(st.sampled_from(MARKS + WORDS), max_size=40))
def test_every_word_is_visible(parts):
    text = "".join(parts)
    screen = "".join("".join(shown(text, width=500)).split())

    for word in [*WORDS, "code"]:
        assert screen.count(word) >= text.count(word)


def test_a_word_longer_than_its_column_is_complete():
    lines = shown(f"| a | b |\n| - | - |\n| {'x' * 30} | {'y' * 30} |", width=40)

    assert "".join(lines).count("x") == "".join(lines).count("y") == 30


def test_list_items_do_not_move_when_more_arrive():
    items = [f"{number}. item\n" for number in range(1, 121)]
    complete = shown("".join(items))

    for count in (1, 9, 10, 99, 100):
        assert complete[:count] == shown("".join(items[:count]))
    assert (complete[0], complete[9], complete[99]) == ("  1 item", " 10 item", " 100 item")
