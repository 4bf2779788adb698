"""Every public name is in the reference, and every relative link of the first pages resolves."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
REFERENCE = "\n".join(page.read_text() for page in PAGES)
MODULES = ["acechat", "acechat.types", "acechat.errors", "acechat.emulator", "acechat.mcp"]
DIRECTIVE = r"^\.\. auto(?:class|data|exception|function):: (\S+)"
NAMED = re.findall(DIRECTIVE, REFERENCE, re.MULTILINE)
WHOLE = re.findall(r"^\.\. automodule:: (\S+)\n   :members:$", REFERENCE, re.MULTILINE)
DOCUMENTED = {
    id(getattr(import_module(name), each)) for name in WHOLE for each in import_module(name).__all__
} | {
    id(getattr(import_module(module), name))
    for module, _, name in (each.rpartition(".") for each in NAMED)
}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    names = import_module(module).__all__
    values = {name: getattr(import_module(module), name) for name in names}
    exempt = {"__version__", "errors", "types"}

    assert [
        name for name in names if id(values[name]) not in DOCUMENTED and name not in exempt
    ] == []


def test_no_name_is_documented_twice():
    assert len(NAMED) == len(set(NAMED))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_clients_come_first(page):
    index = (ROOT / "docs" / "reference" / "index.md").read_text()
    order = re.search(r"\{toctree\}.*?\n\n(.*?)\n```", index, re.DOTALL)[1].split()

    assert order[0] == "clients"
    assert page.stem in [*order, "index"]


@pytest.mark.parametrize("client", ["Client", "AsyncClient"])
def test_help_of_chat_lists_its_arguments(client):
    import acechat

    chat = getattr(acechat, client).chat
    text = inspect.getdoc(chat)
    arguments = text.partition("Args:")[2].partition("Raises:")[0]
    parameters = [name for name in inspect.signature(chat).parameters if name != "self"]

    assert [name for name in parameters if f"{name}:" not in arguments] == []
    options = arguments.partition("**options:")[2]
    listed = re.sub(r"\s+", " ", options).partition("`ChatOptions`: ")[2].strip(" .").split(", ")
    assert listed == list(acechat.ChatOptions.__annotations__)


def test_every_fixture_is_in_the_reference():
    fixtures = import_module("acechat._pytest_plugin").__all__

    assert [name for name in fixtures if f"| `{name}` |" not in REFERENCE] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", (ROOT / page).read_text()))
    inside = [link for link in links if not re.match(r"[a-z]+:|\.\./\.\./issues$", link)]

    assert [link for link in inside if not (ROOT / link).exists()] == []
