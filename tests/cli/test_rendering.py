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
    assert (complete[0], complete[9], complete[99]) == (" 1. item", "10. item", "100. item")


FORMULAS = [
    r"\(a_1 * b_2 * c\)",
    r"$x_i^2 * y_j * z$",
    r"$$\sum_{i} a_i * b_i$$",
    r"\[ \frac{a}{b} \]",
    "$$\na\n- b\n= c_1 * d_2 * e\n$$",
    "\\[\n\\begin{aligned}\n# a \\\\\n1. b\n\\end{aligned}\n\\]",
    r"a $\{x\}$ b",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("around", ["{}", "Before {} after.", "> {}", "* {}"])
def test_math_passes_unchanged(formula, around):
    if "\n" in formula and around != "{}":
        around = "Before:\n\n{}\n\nafter."
    text = "\n".join(line.strip() for line in shown(around.format(formula), 100))

    assert formula in text.replace("▌ ", "").replace("• ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs $5 and *ten* $6.", "It costs $5 and ten $6."),
        ("From $20,000 to $30,000 *net*", "From $20,000 to $30,000 net"),
        (r"\*no list\*", "*no list*"),
        (r"\(never *closed*", "(never closed"),
        ("$ a $ *b*", "$ a $ b"),
        ("`$x$` and `\\(y\\)`", "$x$ and \\(y\\)"),
    ],
)
def test_text_that_only_resembles_math_is_markdown(text, expected):
    assert shown(text) == [expected]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1. a\n2. b\n", ["1.", "2."]),
        ("3. a\n1. b\n", ["3.", "4."]),
        ("1) a\n2) b\n", ["1)", "2)"]),
        ("0. a\n", ["0."]),
        ("9. a\n10. b\n", ["9.", "10."]),
        ("99. a\n100. b\n", ["99.", "100."]),
        ("1. 1\n2. 2\n", ["1.", "2."]),
    ],
)
def test_numbered_lists_keep_their_marks(text, numbers):
    lines = [line.split() for line in shown(text, 40)]

    assert [line[0] for line in lines] == numbers
    assert all(len(line) == 2 for line in lines)


def test_wide_characters_align_in_tables():
    from rich.cells import cell_len

    table = "| 名前 | 👍🏽 | n |\n|---|---:|---|\n| 東京都 | é | 1 |\n| a | bb | 22 |\n"
    rows = [line for line in shown(table, 60) if line.strip() and "─" not in line]

    assert len({cell_len(row[: row.rindex(row.split()[-1])]) for row in rows}) == 1
