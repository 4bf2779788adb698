"""Law 1: imports only go down, annotations included; pure layers do no I/O."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

LAYERS = [
    {"_display", "_hints", "_version"},
    {"types"},
    {"errors"},
    {"_files", "_redaction"},
    {"_policy", "_credentials", "_media", "_rotating_token"},
    {"_config"},
    {"_wire", "_record"},
    {"_tools", "_http"},
    {"_core", "emulator"},
    {"batch"},
    {"_async"},
    {"_sync"},
    {"acechat"},
    {"mcp"},  # its blocking connection shares the loop thread of `_sync`
    {"__main__", "_pytest_plugin", "cli", "integrations"},
]
"""The first component of each module, ``acechat`` for the root; each imports what stands before."""

PACKAGE = "acechat"
EDGES = LAYERS[-1]
"""They use acechat as anybody does, by its public names."""

PURE = {
    "types",
    "errors",
    "_policy",
    "_credentials",
    "_redaction",
    "_config",
    "_wire",
    "_record",
    "_tools",
}
IMPURE = {
    "acechat._record.cassette": {"os", "pathlib"},  # it reads files
    "acechat._tools.execution": {"asyncio", "contextvars"},  # it awaits functions
    "acechat._tools.executor": {"asyncio", "threading", "contextvars"},  # it runs functions
    "acechat._credentials": {"os"},  # the environment, once
    "acechat._config": {"os"},  # as above
}
PATH_LIKE = {"acechat.errors._base", "acechat.types.attempt"}
"""They name `os.PathLike` in annotations."""

PURE_FILES = ["acechat/_config.py", "acechat/_credentials.py"]
PURE_FILES += [
    f"acechat/{name}/*" for name in sorted(PURE) if f"acechat/{name}.py" not in PURE_FILES
]
"""What `nox -s coverage` wants to be covered completely."""

COMPUTES = {
    "__future__",
    "binascii",
    "bisect",
    "builtins",
    "calendar",
    "collections",
    "contextlib",
    "copy",
    "decimal",
    "difflib",
    "email",
    "enum",
    "functools",
    "itertools",
    "http",
    "inspect",
    "io",
    "json",
    "math",
    "msgspec",
    "operator",
    "re",
    "shlex",
    "sys",
    "types",
    "typing",
    "typing_extensions",
    "urllib",
    "weakref",
    "zlib",
}
"""What the pure layers may import."""

ONE_SIDED = {
    "run",  # a blocking run is a result
}
"""Modules of ``_async`` that have no twin in ``_sync``."""

AT_RUN_TIME = {
    ("acechat.cli.calls.cluster", "acechat.integrations._ray_batch"),  # both are edges; needs Ray
}
"""Imports of modules of acechat by `import_module`."""

LONG: set[str] = set()
"""Modules that are still too long; a name that is not needed any more fails."""

MOST_LINES = 320
MOST_MODULES = 16


def room(module):
    return module.split(".")[1] if "." in module else module


LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}


def imports_of(tree, sources):
    """Yield what *tree* imports, for type checkers too: modules of acechat by their full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "acechat imports by full names"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in sources else node.module


@pytest.fixture(scope="session")
def imports(sources):
    return {module: set(imports_of(tree, sources)) for module, tree in sources.items()}


@pytest.fixture(scope="session")
def own(imports):
    """The modules of acechat that each module imports."""
    return {
        module: {name for name in names if name.split(".")[0] == PACKAGE and name != module}
        for module, names in imports.items()
    }


def test_every_module_has_a_layer(sources):
    assert not [name for name in sources if room(name) not in LEVEL]


def test_imports_only_go_down(own):
    upwards = [
        f"{module} imports {imported}"
        for module, names in own.items()
        for imported in names
        if LEVEL[room(imported)] > LEVEL[room(module)]
        or (
            LEVEL[room(imported)] == LEVEL[room(module)] and room(imported) != room(module) in EDGES
        )
    ]

    assert [each for each in upwards if each != "acechat.__main__ imports acechat.cli"] == []


def test_no_module_imports_itself_by_way_of_others(own):
    sound = set()

    def walk(module, way):
        assert module not in way, f"a cycle: {' → '.join([*way, module])}"
        for below in own[module] - {PACKAGE}:
            if below not in sound:
                walk(below, [*way, module])
        sound.add(module)

    for module in sorted(own):
        walk(module, [])


def test_the_pure_layers_import_no_io_clock_or_chance(imports):
    impure = [
        f"{module} imports {name}"
        for module, names in imports.items()
        if room(module) in PURE
        for name in names
        if name.split(".")[0] not in COMPUTES | {PACKAGE} | IMPURE.get(module, set())
        and not (name == "os" and module in PATH_LIKE)
    ]

    assert not impure


def test_the_pure_layers_open_no_file(sources):
    forbidden = {"open", "print", "input", "exec", "eval", "__import__"}
    opened = [
        f"{module}: {ast.unparse(node)}"
        for module, tree in sources.items()
        if room(module) in PURE
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in forbidden
    ]

    assert not opened


@pytest.mark.parametrize("module", ["acechat._credentials", "acechat._config"])
def test_of_the_system_only_the_environment_is_read(sources, module):
    used = {
        node.attr
        for node in ast.walk(sources[module])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    assert used == {"environ"}


def test_the_edges_import_public_names_only(own, root):
    edges = {module: names for module, names in own.items() if room(module) in EDGES}
    for path in (root / "benchmarks").rglob("*.py"):
        edges[str(path)] = set(imports_of(ast.parse(path.read_text(encoding="utf-8")), own))
    private = [
        f"{module} imports {name}"
        for module, names in edges.items()
        for name in names
        if name.split(".")[0] == PACKAGE
        and room(name).startswith("_")
        and "." in name
        and room(name) != "_files"  # all files are written there
    ]

    assert private == []


def test_two_layers_use_aiohttp_and_two_use_anyio(imports):
    users = defaultdict(set)
    for module, names in imports.items():
        for name in names:
            users[name.split(".")[0]].add((room(module), module))

    aiohttp = {where for where, module in users["aiohttp"] if module not in FOR_TYPES}
    assert aiohttp == {"_http", "emulator"}
    assert {where for where, _ in users["anyio"]} == {"_sync", "mcp"}


FOR_TYPES = {"acechat._core.client_settings"}
"""They name `aiohttp.ClientSession` in annotations."""


def test_every_asynchronous_module_has_its_blocking_twin(sources):
    modules = defaultdict(set)
    for name in sources:
        if room(name) in {"_async", "_sync"} and name.count(".") == 2:
            modules[room(name)].add(name.rpartition(".")[2])

    assert modules["_async"] - modules["_sync"] <= ONE_SIDED


def test_no_class_name_stands_twice_in_the_core(sources):
    places = defaultdict(list)
    for module, tree in sources.items():
        if LEVEL[room(module)] < LEVEL[PACKAGE] and room(module) != "emulator":
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(module)

    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_modules_are_short_and_folders_small(root):
    paths = sorted((root / PACKAGE).rglob("*.py"))
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for path, name in names.items()
    }
    folders = defaultdict(int)
    for path in paths:
        folders[path.parent] += path.name != "__init__.py"

    assert {name for name, length in lengths.items() if length > MOST_LINES} == LONG
    assert not {folder: number for folder, number in folders.items() if number > MOST_MODULES}
    assert len(list((root / PACKAGE).glob("*.py"))) <= 10


def test_mutation_testing_breaks_the_pure_layers(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    broken = {path for pattern in settings["mutmut"]["only_mutate"] for path in root.glob(pattern)}
    wanted = {path for pattern in PURE_FILES for path in root.glob(f"{pattern}") if path.is_file()}
    spared = {path for path in wanted - broken if path.suffix == ".py"}

    assert broken <= wanted
    assert {path.relative_to(root).as_posix() for path in spared} <= {
        "acechat/_record/__init__.py",
        "acechat/_record/cassette.py",
        "acechat/_tools/__init__.py",
        "acechat/_tools/executor.py",
    }


def test_contributing_draws_the_layers(root):
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = [
        set(re.findall(r"`(\w+)/?`", row))
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    ]

    assert drawn == [names - {"integrations"} for names in reversed(LAYERS)]


@pytest.mark.parametrize("name", sorted(PURE))
def test_each_pure_layer_imports_without_the_network(name):
    modules = [f"acechat.{name}"]
    folder = Path(__file__).parent.parent.parent / PACKAGE / name
    modules += [f"acechat.{name}.{path.stem}" for path in folder.glob("[!_]*.py")]
    code = f"import {', '.join(modules)}, sys; "
    code += "print(sorted({'aiohttp', 'anyio'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"


def test_only_named_modules_import_others_at_run_time(sources):
    """Such an import is a string, which the other laws do not see."""
    found = {
        (module, node.args[0].value)
        for module, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value.startswith(PACKAGE)
    }

    assert found == AT_RUN_TIME
