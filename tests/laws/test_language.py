"""Law 15: plain technical English, counted.

The words below replaced the standard terms of this field in earlier versions (CONTRIBUTING.md,
"Language"). A few of each are right in their place; many of them make a text hard to enter.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest

COUNTED = {
    "what", "who", "whom", "whose", "whoever", "whatever", "nobody", "somebody", "anybody",
    "everybody", "tell", "tells", "told", "telling", "say", "says", "said", "saying",
}  # fmt: skip
AT_MOST = 5.0
"""Per 1,000 words."""

WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def docstrings(tree):
    """Yield the docstrings of *tree*, and the texts below attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield text


def comments(source):
    """Yield the comments of *source* without the codes of linters."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield re.sub(r"noqa: [A-Z0-9, ]+-?", "", token.string)


def prose_of(path):
    """Return the prose of a module or page: no code, no output of programs, no links."""
    source = path.read_text()
    if path.suffix == ".py":
        return "\n".join([*docstrings(ast.parse(source)), *comments(source)])
    source = re.sub(r"^```.*?^```$", "", source, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|\S+://\S+", "", source)


def rate(text):
    words = [word.lower() for word in WORD.findall(text)]
    return 1000 * sum(word in COUNTED for word in words) / max(len(words), 1), len(words)


def folders(root):
    """Return the files of each part of the project whose prose is counted."""
    parts = {
        path.name if path.is_dir() else "root": []
        for path in sorted((root / "acechat").iterdir())
        if path.is_dir() or path.suffix == ".py"
    }
    for path in sorted((root / "acechat").rglob("*.py")):
        inside = path.relative_to(root / "acechat").parts
        parts[inside[0] if len(inside) > 1 else "root"].append(path)
    for name in ("benchmarks", "examples"):
        parts[name] = sorted((root / name).rglob("*.py"))
    parts["docs"] = [*sorted((root / "docs").rglob("*.md"))]
    parts["docs"] += [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return {name: files for name, files in parts.items() if files}


def test_the_prose_uses_the_words_of_the_field(root):
    rates = {}
    for name, files in folders(root).items():
        found, words = rate("\n".join(map(prose_of, files)))
        if words >= 200:  # in fewer, one word is many
            rates[name] = found
    assert len(rates) >= 10
    assert not {name: round(found, 1) for name, found in rates.items() if found > AT_MOST}


def test_no_docstring_begins_with_a_question_word(root):
    begun = [
        f"{path.relative_to(root)}: {text.splitlines()[0]}"
        for path in sorted((root / "acechat").rglob("*.py"))
        for text in docstrings(ast.parse(path.read_text()))
        if re.match(r"\s*(What|Who|Whose|Whoever|Whatever)\b", text)
    ]
    assert not begun


@pytest.mark.parametrize(
    ("text", "found"),
    [("What a call is told.", 400.0), ("Return the response.", 0.0), ("# who tells whom", 1000.0)],
)
def test_the_count_counts(text, found):
    assert rate(text)[0] == found
