"""HTML of messages for notebooks. Models, tools and web pages write the texts: all are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["completion_html", "conversation_html", "image_html", "run_html"]

_MOST_MARKDOWN = 20_000
"""Characters that are rendered as Markdown; longer texts are plain, as some take quadratic time."""

_MOST = 200_000
"""Characters of one text that are displayed: an output is stored in the notebook."""

_MOST_MESSAGES = 50
_MAX_NESTING = 50

_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]*={0,2}")
"""Images that are displayed. A URL of the network would report to its server that it is seen."""

_BLOCK = '<div class="acechat tex2jax_ignore mathjax_ignore">'
"""MathJax is off, because its ``\\href`` makes links that run scripts."""

_PRE = '<div style="white-space: pre-wrap; overflow-wrap: anywhere">'
_CODE = '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0">'
_SMALL = '<div style="opacity: 0.7; font-size: 85%; margin-top: 0.5em">'
_ROLE = '<div style="opacity: 0.7; font-size: 85%; margin-top: 0.8em">'


def completion_html(
    messages: Sequence[Mapping[str, Any]], facts: Iterable[tuple[str, object]]
) -> str:
    """Return the HTML of a completion.

    Args:
        messages: The message of each choice, as JSON.
        facts: Names and values of its last line; those of None are left out.
    """
    several = len(messages) > 1
    choices = [
        (_label(f"choice {number}") if several else "") + _message(message)
        for number, message in enumerate(messages, start=1)
    ]
    return _block(choices, facts)


def run_html(
    turns: Sequence[tuple[Mapping[str, Any], Sequence[tuple[str, str, Sequence[str]]]]],
    facts: Iterable[tuple[str, object]],
) -> str:
    """Return the HTML of a run.

    Args:
        turns: The message of each turn, as JSON, and its tool results: the name of the tool, its
            text, and the URLs of its images.
        facts: As in `completion_html`.
    """
    shown: list[str] = []
    if len(turns) > _MOST_MESSAGES:
        shown.append(_label(f"… {len(turns) - _MOST_MESSAGES} earlier turns"))
    for message, results in turns[-_MOST_MESSAGES:]:
        shown.append(_message(message))
        for name, text, urls in results:
            inner = f"{_CODE}{escape(_cut(text))}</pre>" + "".join(map(image_html, urls))
            shown.append(_details(f"result of {name}", inner))
    return _block(shown, facts)


def conversation_html(
    messages: Sequence[Mapping[str, Any]], facts: Iterable[tuple[str, object]]
) -> str:
    """Return the HTML of a history: *messages* as JSON, the last 50 of them."""
    shown: list[str] = []
    if len(messages) > _MOST_MESSAGES:
        shown.append(_label(f"… {len(messages) - _MOST_MESSAGES} earlier messages"))
    shown += [
        _label(str(message.get("role", ""))) + _message(message)
        for message in messages[-_MOST_MESSAGES:]
    ]
    return _block(shown, facts)


def image_html(url: str) -> str:
    """Return the HTML of an image: itself if *url* has its bytes, else its address as text."""
    if _IMAGE.fullmatch(url):
        return f'<img src="{url}" style="max-width: 100%; max-height: 24em" alt="image">'
    return f"<code>image: {escape(url[:200])}</code>"


def _block(sections: Iterable[str], facts: Iterable[tuple[str, object]]) -> str:
    known = " · ".join(
        escape(f"{name} {value}".strip()) for name, value in facts if value is not None
    )
    last = f"{_SMALL}{known}</div>" if known else ""
    return f"{_BLOCK}{''.join(sections)}{last}</div>"


def _label(text: str) -> str:
    return f"{_ROLE}{escape(text)}</div>"


def _details(summary: str, inner: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def _message(message: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if reasoning := message.get("reasoning_content"):
        parts.append(_details("reasoning", f"{_PRE}{escape(_cut(str(reasoning)))}</div>"))
    written = message.get("role", "assistant") == "assistant"
    content = message.get("content")
    contents = cast("list[Any]", content) if isinstance(content, list) else [content]
    parts += [_part(part, markdown=written) for part in contents]
    if refusal := message.get("refusal"):
        parts.append(_label("refusal") + _plain(str(refusal)))
    for call in cast("list[Any]", message.get("tool_calls") or ()):
        function = _fields(_fields(call).get("function"))
        text = f"{function.get('name', '')}({_cut(str(function.get('arguments', '')))})"
        parts.append(f"{_CODE}{escape(text)}</pre>")
    return "".join(parts)


def _fields(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _part(part: Any, *, markdown: bool) -> str:
    if isinstance(part, Mapping):
        fields = _fields(part)
        image = fields.get("image_url")
        if image is not None:
            return image_html(str(_fields(image).get("url", image)))
        if "text" not in fields:
            return f"<code>{escape(str(fields.get('type')))}</code>"
        part = fields["text"]
    if not part:
        return ""
    return _markdown(str(part)) if markdown else _plain(str(part))


def _plain(text: str) -> str:
    return f"{_PRE}{escape(_cut(text))}</div>"


def _cut(text: str) -> str:
    left = len(text) - _MOST
    return text if left <= 0 else f"{text[:_MOST]}… ({left:,} more characters)"


def _markdown(text: str) -> str:
    parser = _parser() if len(text) <= _MOST_MARKDOWN else None
    if parser is None:
        return _plain(text)
    environment: dict[str, Any] = {}
    tokens = parser.parse(text, environment)
    if any(token.level > _MAX_NESTING - 3 for token in tokens):  # it omits deeper blocks
        return _plain(text)
    return cast("str", parser.renderer.render(tokens, parser.options, environment))


@cache
def _parser() -> MarkdownIt | None:
    """Return the parser of Markdown, without HTML and images; None if it is not installed."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        return None
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.enable(["strikethrough", "table"])
    return parser.disable("image")  # its address may carry the conversation to another server
