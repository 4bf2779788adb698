"""Every public name is in the reference, and every relative link of the first pages resolves."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
MODULES = ["acechat", "acechat.types", "acechat.emulator", "acechat.mcp", "acechat.testing"]
NAMED = set(re.findall(r"^\.\. auto(?:class|data):: (\S+)", REFERENCE, re.MULTILINE))
WHOLE = re.findall(r"^\.\. automodule:: (\S+)\n   :members:$", REFERENCE, re.MULTILINE)
TOLD = {
    id(getattr(import_module(name), each)) for name in WHOLE for each in import_module(name).__all__
}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    names = import_module(module).__all__
    missing = [
        name
        for name in names
        if f"{module}.{name}" not in NAMED and id(getattr(import_module(module), name)) not in TOLD
    ]

    assert missing == []


def test_every_fixture_is_in_the_reference():
    fixtures = import_module("acechat._pytest_plugin").__all__

    assert [name for name in fixtures if f"| `{name}` |" not in REFERENCE] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", (ROOT / page).read_text()))
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in inside if not (ROOT / link).exists()] == []
