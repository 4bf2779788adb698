"""What the laws share: the sources, the samples of the source document, a decoder to feed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data"
PACKAGE = Path(__file__).parent.parent.parent / "acechat"


@pytest.fixture(scope="session")
def sources():
    """The syntax tree of each module of acechat, by the name under which it is imported."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("acechat", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(part for part in parts if part != "__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


@pytest.fixture(scope="session")
def stream_basic():
    """The stream that the source document shows, byte for byte."""
    return (DATA / "stream_basic.sse").read_bytes()
