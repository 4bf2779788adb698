"""Each extra is in the table of docs/install.md, and has a page and an example that CI runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(PROJECT["optional-dependencies"])
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
ROWS = {
    extra: (packages, purpose)
    for extra, packages, purpose in ROW.findall(
        (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    )
}
WITHOUT_EXAMPLE = {
    "cli": "the commands of its page are executed by the tests of the documentation",
    "ray": "`nox -s ray` executes the programs of its page on a cluster",
    "speed": "it changes no program; `nox -s speed` runs the tests of behaviour with it",
}


def test_the_table_has_all_extras():
    assert sorted(ROWS) == EXTRAS


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_has_a_page_with_its_name(extra):
    packages, purpose = ROWS[extra]
    page = ROOT / "docs" / re.search(r"\]\(([^)#]+)", purpose)[1]

    assert f"acechat[{extra}]" in page.read_text(encoding="utf-8")
    names = [re.match(r"[\w-]+", each)[0] for each in PROJECT["optional-dependencies"][extra]]
    assert names[0] in packages.replace(" and others", "")


@pytest.mark.parametrize("extra", sorted({*EXTRAS} - {*WITHOUT_EXAMPLE}))
def test_an_extra_has_an_example(extra):
    examples = [
        path.name
        for path in (ROOT / "examples").glob("[0-9]*")
        if f"acechat[{extra}]" in path.read_text(encoding="utf-8")
    ]

    assert examples
