"""Characters without a glyph are escaped, except where the text around them needs them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat import Delta
from acechat.cli.terminal.rendering import Renderer
from acechat.cli.terminal.text import one_line, unstyled
from acechat.cli.terminal.visible import VisibleText, visible
from acechat.cli.terminal.writer import PlainWriter

BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
MARKS = [0x061C, 0x200E, 0x200F]
JOINERS = [0x200B, 0x200C, 0x200D]
INVISIBLE = [0x00AD, 0x034F, 0x115F, 0x1160, 0x180E, 0x2060, 0x2061, 0x2064, 0x206A, 0x206F, 0x3164,
             0xFEFF, 0xFFA0, 0xFFF9, 0xFFFB, 0x1D173, 0xE0001, 0xE0041, 0xE007F, 0xE0101, 0xFE00,
             0xFE0F]  # fmt: skip

NEEDED = {
    "a family": "👨‍👩‍👧‍👦",
    "a profession with a skin tone": "👩🏽‍💻",
    "a heart on fire": "❤️‍🔥",
    "a head that shakes": "🙂‍↔️",
    "a flag of a region": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a rainbow flag": "🏳️‍🌈",
    "a keycap": "1️⃣",
    "Persian with a non-joiner": "می‌خواهم",
    "Hindi with a joiner": "क्‍ष",
    "Sinhala": "ශ්‍රී",
    "Malayalam": "ന്‍",
    "Khmer with breaks": "ភាសា\u200bខ្មែរ",
    "Hebrew with a mark": "שלום\u200f!",
    "Arabic with a letter mark": "\u0663\u061c-",
    "an ideograph with a selector": "葛\U000e0100",
    "Mongolian": "ᠪᠠᠨ\u180bᠠ",
    "German": "Straße, „groß“ …",
}


@pytest.mark.parametrize("code", [*BIDI, *MARKS, *JOINERS, *INVISIBLE], ids=hex)
@pytest.mark.parametrize(
    "text", ["a%sb", "%s", "https://a.example/%sx", "Ünï%scode", "日%s" * 2, "- %s -"]
)
def test_a_hidden_character_is_escaped(text, code):
    if "日" in text and 0xFE00 <= code <= 0xE0FFF:
        return  # an ideograph takes a selector
    shown = visible(text % ((chr(code),) * text.count("%s")))

    assert chr(code) not in shown
    assert shown == text % ((f"<U+{code:04X}>",) * text.count("%s"))


@pytest.mark.parametrize("code", BIDI, ids=hex)
@pytest.mark.parametrize("text", ["שלום%sabc", "क%sष", "👩%s💻"])
def test_an_override_is_escaped_in_every_script(text, code):
    assert visible(text % chr(code)) == text % f"<U+{code:04X}>"


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_a_needed_character_stays(text):
    assert visible(text) == text
    assert visible(f"a {text} b") == f"a {text} b"
    assert one_line(text) == text
    assert "".join(lines(text)) == text
    reader = VisibleText()
    assert "".join(map(reader.feed, text)) + reader.close() == text


def test_data_hidden_in_selectors_or_tags_is_escaped():
    for hidden in ("\ufe01\ufe02", "\U000e0102\U000e0103", "\U000e0068\U000e0069\U000e006a" * 5):
        for carrier in ("😀", "葛", "a", "🏴"):
            assert visible(carrier + hidden).count("<U+") >= len(hidden) - 1


def test_separators_of_unicode_end_a_line():
    assert visible("a\u2028b\u2029c") == "a\nb\nc"


odd = st.sampled_from(
    [*map(chr, [*BIDI, *MARKS, *JOINERS, *INVISIBLE, 0xE0067]), *"".join(NEEDED.values()), "\u2028"]
)


@given(st.lists(st.text(odd, max_size=6), max_size=12))
def test_chunks_do_not_matter(chunks):
    reader = VisibleText()
    shown = "".join(map(reader.feed, chunks)) + reader.close()

    assert shown == visible("".join(chunks))


def lines(text, width=200):
    found = Renderer(io.TextIOWrapper(io.BytesIO(), "utf-8")).render(text, width)
    return [unstyled(line) for line in found]


PLACES = [
    "text {} text",
    "# heading {}",
    "`code {}`",
    "```\nx = '{}'\n```",
    "    code {}\n",
    "* item {}",
    "> quoted {}",
    "| a{} | b |\n| - | - |\n| c | d |",
    "| a | b |\n| - | - |\n| c | d{} |",
    "[label {}](https://a.example)",
    '[label](https://a.example "title {}")',
    "![alt {}](https://a.example/x.png)",
    "**bold {}** and *so {}*",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("written", ["\u202e", "\u200b", "\ufeff"], ids=ascii)
def test_hidden_characters_are_escaped_everywhere_in_markdown(place, written):
    escaped = f"<U+{ord(written):04X}>"

    assert escaped in " ".join(lines(place.replace("{}", written)))


@pytest.mark.parametrize(
    "place", [place for place in PLACES if "code" not in place and "```" not in place]
)
@pytest.mark.parametrize("entity", ["&#x202e;", "&#8238;", "&rlm;", "&ZeroWidthSpace;", "&zwj;"])
def test_an_entity_is_as_visible_as_its_character(place, entity):
    shown = " ".join(lines(place.replace("{}", entity)))

    assert "<U+20" in shown
    assert not set(shown) & set("\u202e\u200f\u200b\u200d")


def test_the_address_of_a_link_has_no_hidden_characters():
    shown = " ".join(lines("[a](https://a.example/\u202egnp.exe)"))

    assert "\u202e" not in shown
    assert "https://a.example/" in shown


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_plain_text_is_escaped_on_a_terminal_only(monkeypatch, terminal):
    stream = Screen() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    writer = PlainWriter(reasoning=False)

    for character in "a\u202eb👩‍💻":
        writer.show([Delta(content=character)])
    writer.close()

    assert stream.getvalue() == ("a<U+202E>b👩‍💻\n" if terminal else "a\u202eb👩‍💻\n")
