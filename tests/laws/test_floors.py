"""Law 1: imports only go down, and the lower floors know no network, clock or dice."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib

import pytest

FLOORS = [
    {"_config", "_environment", "_events", "_limits", "_version", "errors", "types"},
    {
        "_accumulator",
        "_acecast",
        "_catalog",
        "_codec",
        "_docstring",
        "_exchange",
        "_limiter",
        "_partial_json",
        "_recorder",
        "_redaction",
        "_refusals",
        "_retry",
        "_salvage",
        "_schema",
        "_signature",
        "_sse",
        "_told",
        "_tool",
        "_tries",
    },
    {
        "_counting",
        "_draft",
        "_output",
        "_partial_output",
        "_protocol",
        "_request",
        "_retelling",
        "_terms",
        "_views",
    },
    {"_cassette", "_image", "_lookups", "_transport", "emulator"},
    {
        "_call",
        "_caller",
        "_client",
        "_conversation",
        "_gate",
        "_hooks",
        "_middleware",
        "_money",
        "_observers",
        "_output_call",
        "_prepared",
        "_reading",
        "_relay",
        "_run",
        "_run_stream",
        "_stream",
        "_thread",
        "_toolbox",
    },
    {"_blocking", "_loops", "_portal"},
    {"__main__", "_pytest_plugin", "cli", "conformance", "mcp", "testing"},
]
ROOF = "acechat"
EDGES = {"emulator", "testing", "cli", "conformance", "mcp", "_pytest_plugin", "__main__"}
USERS = EDGES - {"emulator"}
"""They use acechat as anybody does, by its public names."""

SANS_IO = FLOORS[0] | FLOORS[1] | FLOORS[2]

PURE = {
    "__future__",
    "calendar",
    "collections",
    "contextlib",
    "decimal",
    "difflib",
    "email.utils",
    "functools",
    "http",
    "inspect",
    "io",
    "math",
    "msgspec",
    "re",
    "sys",
    "types",
    "typing",
    "urllib.parse",
    "weakref",
}
"""What the floors 0 to 2 may import: it computes, and does nothing else."""

READS_ENVIRONMENT = "acechat._environment"


def room(module):
    """Return the name on the plan: ``acechat.types.chunk`` lives in ``types``."""
    return module.split(".")[1] if "." in module else ROOF


def floor(module):
    name = room(module)
    if name == ROOF:
        return len(FLOORS)
    return next((number for number, rooms in enumerate(FLOORS) if name in rooms), None)


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree):
    """Walk over *tree*, function bodies included, but for what only type checkers see."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if is_for_type_checkers(node) and child in node.body:
                continue
            waiting.append(child)


def imports_of(tree, sources):
    """Yield the modules that *tree* imports: modules of acechat by their full name."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "acechat imports by full names"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in sources else node.module


def own_imports_of(tree, sources):
    return {name for name in imports_of(tree, sources) if name.split(".")[0] == ROOF}


def test_every_module_has_a_floor(sources):
    homeless = [name for name in sources if floor(name) is None]

    assert not homeless, f"put {homeless} on a floor, here and in CONTRIBUTING.md"


def test_imports_only_go_down(sources):
    upwards = [
        f"{module} (floor {floor(module)}) imports {imported} (floor {floor(imported)})"
        for module, tree in sources.items()
        for imported in own_imports_of(tree, sources)
        if floor(imported) > floor(module) and not (imported == ROOF and room(module) in USERS)
    ]

    assert not upwards


def test_no_module_imports_itself_by_way_of_others(sources):
    imported = {module: own_imports_of(tree, sources) for module, tree in sources.items()}

    def walk(module, way):
        assert module not in way, f"a circle: {' → '.join([*way, module])}"
        for below in imported[module] - {ROOF}:
            if below not in sound:
                walk(below, [*way, module])
        sound.add(module)

    sound = set()
    for module in sorted(sources):
        walk(module, [])


def test_only_the_roof_and_the_edges_know_the_edges(sources):
    known = [
        f"{module} imports {imported}"
        for module, tree in sources.items()
        if room(module) not in EDGES
        for imported in own_imports_of(tree, sources)
        if room(imported) in EDGES
    ]

    assert not known


def test_the_lower_floors_import_no_network_clock_or_dice(sources):
    impure = []
    for module, tree in sources.items():
        if room(module) not in SANS_IO:
            continue
        for name in imports_of(tree, sources):
            pure = name in PURE or name.split(".")[0] in {ROOF, "msgspec", "collections"}
            if not pure and not (name == "os" and module == READS_ENVIRONMENT):
                impure.append(f"{module} imports {name}")

    assert not impure


def test_the_lower_floors_are_what_mutation_testing_breaks(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "mutmut"
    ]
    broken = {path.split("/")[1].removesuffix(".py") for path in settings["only_mutate"]}

    assert broken == SANS_IO - {"_version"}


def test_the_lower_floors_open_no_file(sources):
    opened = [
        f"{module}: {ast.unparse(node)}"
        for module, tree in sources.items()
        if room(module) in SANS_IO
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input", "exec", "eval", "__import__"}
    ]

    assert not opened


def test_one_module_reads_of_the_system_nothing_but_the_environment(sources):
    used = {
        node.attr
        for node in ast.walk(sources[READS_ENVIRONMENT])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    assert used == {"environ"}


def test_the_transport_is_the_clients_only_aiohttp(sources):
    users = {
        room(module)
        for module, tree in sources.items()
        if "aiohttp" in {name.split(".")[0] for name in imports_of(tree, sources)}
    }

    assert users == {"_transport", "emulator"}


@pytest.mark.parametrize("package", sorted(SANS_IO - {"_version"}))
def test_each_lower_module_imports_alone(package):
    code = (
        f"import acechat.{package}, sys; print(sorted({{'aiohttp', 'anyio'}} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"
