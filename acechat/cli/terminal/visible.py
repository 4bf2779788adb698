"""Characters that hide or reorder text, shown as ``<U+202E>``.

Untrusted text could otherwise show one URL or command and contain another (CVE-2021-42574, "Trojan
Source"). Emoji, Arabic and the scripts of South and Southeast Asia need some of them in their
context, and keep them there.
"""

from __future__ import annotations

import re
from unicodedata import category

__all__ = ["VisibleText", "visible"]

_ODD = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
    "|[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters without a glyph: bidirectional and other format characters, joiners, fillers,
variation selectors, tags and the line separators of Unicode. First, so that it is found complete:
a flag of a region, which is a black flag and tags."""

_MAY_GO_ON = re.compile(
    "(?:\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{0,6}|[\u061c\u200b-\u200f])\\Z"
)
"""The end of a text that the next character decides."""

_LONGEST = 8
"""Maximum number of characters in a sequence that `_MAY_GO_ON` finds, and one before it."""

_JOINERS = "\u200b\u200c\u200d"
_MARKS = "\u061c\u200e\u200f"  # they order neutral characters beside right-to-left text
_ZWJ = "\u200d"
_KEYCAP_BASES = set("0123456789#*")
_LINE_ENDS = "\u2028\u2029"

_COMPLEX = re.compile(
    "[\u0590-\u1cff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010800-\U00011fff\U0001e800-\U0001eeff]"
)
"""Scripts whose letters are joined or reordered: joiners choose between their forms."""

_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001eeff]"
)
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def visible(text: str) -> str:
    """Return *text* with each character that has no glyph escaped, unless its neighbours need it.

    Line and paragraph separators become line ends.
    """
    if text.isascii() or not _ODD.search(text):
        return text
    return _ODD.sub(lambda found: _shown(text, found), text)


class VisibleText:
    """`visible` for a text that arrives in chunks."""

    def __init__(self) -> None:
        self._last = ""  # the last character shown
        self._held = ""  # characters that the next chunk decides

    def feed(self, text: str) -> str:
        """Return the next text to show."""
        text = self._held + text
        self._held = ""
        if not text.isascii() and (found := _MAY_GO_ON.search(text[-_LONGEST:])):
            text, self._held = text[: len(text) - len(found[0])], found[0]
        return self._next(text)

    def close(self) -> str:
        """Return the end of the text."""
        held, self._held = self._held, ""
        return self._next(held)

    def _next(self, text: str) -> str:
        if not text:
            return ""
        context = self._last + text + self._held[:1]
        start, end = len(self._last), len(self._last) + len(text)
        self._last = text[-1]
        if context.isascii():
            return text
        shown: list[str] = []
        for found in _ODD.finditer(context, start, end):
            shown += (context[start : found.start()], _shown(context, found))
            start = found.end()
        return "".join([*shown, context[start:end]])


def _shown(text: str, found: re.Match[str]) -> str:
    """Return the *found* character of *text*, or its escaped form."""
    character = found[0]
    if character in _LINE_ENDS:
        return "\n"
    before = text[found.start() - 1] if found.start() else " "
    after = text[found.end() : found.end() + 1] or " "
    if len(character) > 1 or _belongs(character, before, after):
        return character
    return f"<U+{ord(character):04X}>"


def _belongs(character: str, before: str, after: str) -> bool:
    """Return True if a visible text needs *character* between its neighbours."""
    if character in _JOINERS:
        joined = _COMPLEX.match(before) or _COMPLEX.match(after)
        return bool(joined) or (character == _ZWJ and _is_emoji(before) and _is_emoji(after))
    if character in _MARKS:
        return bool(_RIGHT_TO_LEFT.match(before) or _RIGHT_TO_LEFT.match(after))
    if "\ufe00" <= character <= "\ufe0f":  # it selects a glyph of the character before it
        if before.isascii():
            return before in _KEYCAP_BASES
        return category(before)[0] in "SP" or bool(_IDEOGRAPH.match(before))
    if character >= "\U000e0100":
        return bool(_IDEOGRAPH.match(before))
    if "\u180b" <= character <= "\u180f":
        return "\u1800" <= before <= "\u18af"
    return False


def _is_emoji(character: str) -> bool:
    """Return True for a symbol, a skin tone, or the selector of the emoji style."""
    return character == "\ufe0f" or (
        character >= "\u2190" and category(character) in {"So", "Sk", "Sm"}
    )
