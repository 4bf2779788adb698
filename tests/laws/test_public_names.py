"""Laws 7 and 12: the public names are sorted, complete and documented; options are the fields."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import types as python_types

import msgspec
import pytest

import acechat
import acechat.types
from acechat import errors
from acechat.types import ChatCompletionRequest, ChatOptions, request

MODULES = [
    "acechat",
    "acechat.errors",
    "acechat.types",
    "acechat.types.chunk",
    "acechat.types.completion",
    "acechat.types.stream_event",
    "acechat.types.messages",
    "acechat.types.request",
    "acechat.types.run",
    "acechat.types.usage",
    "acechat.emulator",
    "acechat.mcp",
]


def in_order(name):
    """Sort as the linter does: CONSTANTS, Classes, functions."""
    return (not name.isupper(), not name[:1].isupper(), name)


def defined(module):
    """Return the names that *module* makes itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, python_types.ModuleType)
    }


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_sorted_and_unique(name):
    names = importlib.import_module(name).__all__

    assert list(names) == sorted(set(names), key=in_order)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist_and_are_all_that_a_module_defines(name):
    module = importlib.import_module(name)

    assert defined(module) <= set(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_roof_exports_what_it_imports_and_nothing_else():
    assert all(hasattr(acechat, name) for name in acechat.__all__)  # some come when asked for
    imported = {
        name
        for name, value in vars(acechat).items()
        if not name.startswith("_")
        and name not in {"annotations", "TYPE_CHECKING"}
        and not isinstance(value, python_types.ModuleType)
    }

    assert set(acechat.__all__) == imported | {"__version__", "errors", "types"}


def test_every_error_is_a_public_name():
    assert set(errors.__all__) <= set(acechat.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_and_function_is_documented(name):
    module = importlib.import_module(name)
    undocumented = []
    for public in module.__all__:
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if not (thing.__dict__.get("__doc__") or thing.__doc__ or "").strip():
            undocumented.append(public)
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            documented = isinstance(value, property) or inspect.isfunction(value)
            if documented and not method.startswith("_") and not value.__doc__:
                undocumented.append(f"{public}.{method}")

    assert not undocumented
    assert module.__doc__


def test_options_are_the_request_fields_that_no_argument_has():
    fields = {field.name for field in msgspec.structs.fields(ChatCompletionRequest)}

    assert len(fields) == 29
    assert set(ChatOptions.__annotations__) == fields - {"model", "messages", "stream"}
    assert ChatOptions.__required_keys__ == frozenset()


def test_every_option_is_documented():
    (options,) = (
        node
        for node in ast.parse(inspect.getsource(request)).body
        if isinstance(node, ast.ClassDef) and node.name == "ChatOptions"
    )

    documented = {
        field.target.id
        for field, text in itertools.pairwise(options.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }

    assert documented == set(ChatOptions.__annotations__)
