"""The text of a saved conversation: for its title, for search, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from acechat.cli.terminal.text import one_line

__all__ = ["encodable", "excerpt", "markdown_of", "parts_of", "text_of", "title_of"]

_MAX_TITLE = 60
_BEFORE, _AFTER = 30, 60
"""Characters of an excerpt before and after the match."""

_FILE = re.compile(r'<file path="([^"]*)">')


def parts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a message; other parts are named in parentheses."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in cast("list[Any]", content):
            text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
            elif isinstance(part, dict):
                kind = str(cast("dict[str, Any]", part).get("type", "part"))
                yield f"({kind.removesuffix('_url')})"


def title_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the first line of the first prompt, shortened; files count only if alone."""
    prompts = [message for message in messages if message.get("role") == "user"]
    texts = [text for prompt in prompts[:1] for text in parts_of(prompt) if text.strip()]
    typed = [text for text in texts if not _FILE.match(text) and not text.startswith("(image)")]
    first = next(iter(typed or texts), "(empty)").strip()
    if file := _FILE.match(first):
        first = f"(file {file[1]})"
    line = encodable(one_line(first.split("\n", 1)[0]))
    return line if len(line) <= _MAX_TITLE else f"{line[: _MAX_TITLE - 3]}..."


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return all texts, for the index."""
    return encodable("\n".join(text for message in messages for text in parts_of(message)))


def encodable(text: str) -> str:
    """Return *text* with ``?`` for lone surrogates, which UTF-8 has no bytes for."""
    return text.encode(errors="replace").decode()


def excerpt(text: str, words: Sequence[str]) -> str:
    """Return the part of *text* around the first of *words*, on one line."""
    lowered = text.lower()
    found = [at for word in words if (at := lowered.find(word.lower())) >= 0]
    start = max(0, min(found, default=0) - _BEFORE)
    end = start + _BEFORE + _AFTER
    part = one_line(text[start:end])
    return f"{'...' if start else ''}{part}{'...' if end < len(text) else ''}"


def markdown_of(messages: Sequence[Mapping[str, Any]], system: str | None) -> str:
    """Return a conversation as Markdown, with a heading for each message."""
    blocks = [f"## System\n\n{system}"] if system else []
    for message in messages:
        role = str(message.get("role", "message"))
        texts = [text for text in parts_of(message) if text.strip()]
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            for call in cast("list[dict[str, Any]]", calls):
                function: dict[str, Any] = call.get("function", {})
                texts.append(f"`{function.get('name')}({function.get('arguments')})`")
        heading = {"user": "Prompt", "assistant": "Response", "tool": "Result of a tool"}
        blocks.append("\n\n".join([f"## {heading.get(role, role)}", *texts]))
    return "\n\n".join(blocks)
