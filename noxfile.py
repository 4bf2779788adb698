"""Checks and tests: `nox` runs the tests, `nox -s all` everything else, `nox -s NAME` one session.

With `nox[uv]` the environments are made by uv, whose cache downloads each package once.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import nox
from nox.command import CommandFailed

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
VERSIONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
SOURCES = ["acechat", "tests", "examples", "benchmarks", "docs", "noxfile.py"]

IN_PARALLEL = ["-q", "-n", "4", "--dist", "loadgroup"]
"""Four workers for two cores: tests spend half of their time waiting for time-outs."""
SLOW = {
    "benchmarks": "starts processes that measure acechat beside other clients",
    "interop": "installs and starts servers and clients of others",
    "web": "opens a page in a real browser",
    "docs": "runs each program and command of the documentation in a process, and installs peers",
    "integrations": "starts servers of web frameworks",
    "test_search.py": "builds the documentation",
    "fuzz": "tries random inputs",
    "test_soak.py": "makes thousands of calls, and watches their memory",
    "batch/test_bars.py": "measures time and memory of bulk runs",
    "behaviour/test_linear_cost.py": "measures each kind of stream, and its double",
    "behaviour/test_linear_files.py": "measures each kind of file, and its double",
    "cli/test_bounded_drawing.py": "measures each kind of text, and its double",
    "tools/test_find_output.py::test_the_cost_is_linear": "measures texts, and their doubles",
    "tools/test_partial_json.py::test_the_cost_is_linear": "measures texts, and their doubles",
    "cli/test_cli_costs.py": "measures the time of the command line",
    "cli/test_comparison.py": "tries each task of a page of the documentation",
    "laws/test_import_time.py": "measures the time of imports",
    "test_costs.py": "measures calls and streams in bytecodes and seconds",
}
"""Tests of `nox -s slow`, with the reason; `nox` runs all others. CI runs both."""

SLOW_PATHS = [f"tests/{name}" for name in SLOW]
NOT_SLOW = [f"--{'deselect' if '::' in path else 'ignore'}={path}" for path in SLOW_PATHS]

ONCE = [
    "interop",
    "web",
    "cli",
    "docs/test_readme.py",
    "benchmarks/test_benchmarks.py",
    "benchmarks/test_at_scale.py",
    "benchmarks/test_conformance.py",
    "docs/test_docs.py",
    "docs/test_migration.py",
    "docs/test_reference.py",
    "test_search.py",
    "docs/test_ten_tasks.py",
]
"""Slow tests that do not depend on the version of Python."""

ONCE_PATHS = [f"tests/{name}" for name in ONCE]
THE_REST = ["tests", *[f"--ignore={path}" for path in ONCE_PATHS]]

SLOWED = [
    "laws/test_import_time.py",
    "cli/test_cli_costs.py",
    "test_costs.py",
    "benchmarks/test_benchmarks.py",
]
"""Tests of costs, which coverage would change."""

LONG = ["interop", "fuzz", "behaviour/test_case_table.py", "test_leaks.py", "docs/test_readme.py",
        "test_soak.py"]  # fmt: skip
"""Slow tests that cover no code of their own."""

MEASURED = ["tests", *[f"--ignore=tests/{name}" for name in (*LONG, *SLOWED)]]
MEASURED += ["-k", "not is_linear and not cost_as_much and not costs_as_much"]

NEIGHBOURS = ["openai", "anthropic", "trio", "sniffio", "uvloop", "gevent", "nest_asyncio"]
NEIGHBOURS += ["pytest-asyncio", "litellm"]
"""Packages that users install with acechat and that change threads and event loops."""

BESIDE = ["hints", "behaviour/test_neighbours.py", "behaviour/test_blocking.py",
          "behaviour/test_lifecycle.py", "behaviour/test_streams.py", "behaviour/test_timeouts.py",
          "sync/test_event_loop.py", "test_pytest_plugin.py",
          "test_cassette_mark.py", "test_notebook.py", "cli"]  # fmt: skip
"""Tests that these packages may affect."""

INTEGRATIONS = [
    "opentelemetry-sdk",
    "opentelemetry-distro",
    "opentelemetry-semantic-conventions",
    "opentelemetry-instrumentation-aiohttp-client",
    "opentelemetry-exporter-otlp-proto-http",
    "langchain-tests",
    "langchain",
]
"""Libraries that the tests of acechat/integrations/ use, beside those of the extras."""

COLLECTOR = "rotel>=0.0.1a15; python_version < '3.14'"
"""A collector of OpenTelemetry data; its wheels are for Linux on x86-64."""

FRAMEWORKS = ["pydantic-ai-slim[openai]", "instructor", "dspy", "haystack-ai"]
"""Frameworks with a recipe in docs/howto/frameworks.md."""

DATAFRAMES = ["daft"]
"""Libraries with a recipe in docs/howto/ray.md, beside Ray Data."""

WEB = ["django", "flask", "flask-compress", "litestar", "waitress"]
"""Web frameworks and servers that relay a stream."""

TOKENIZER = "bpe-openai"
"""OpenAI's tokenizers, with which the emulator's counts are compared; 75 MB."""

APART = "llama-index-llms-openai-like"
"""A framework whose newest version the others do not allow."""

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"  # a missing Python is not tested
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def works(python: str) -> bool:
    """Return whether *python* runs: it may be a shim of pyenv for an inactive version."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def find_others() -> list[str]:
    """Return the other installed versions; add those of pyenv to the PATH."""
    found: list[str] = []
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in VERSIONS:
        kept = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
        if version == HERE:
            continue
        if (there := shutil.which(f"python{version}")) and works(there):
            found.append(version)
        elif kept:
            os.environ["PATH"] = f"{kept[-1].parent}{os.pathsep}{os.environ['PATH']}"
            found.append(version)
    return found


OTHERS = find_others()

# The tests start hundreds of programs. Without bytecode each would compile its imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def install_group(session: nox.Session, group: str, *more: str) -> None:
    session.install(*nox.project.dependency_groups(PROJECT, group), *more)


def run_tests(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run pytest in parallel; run tests that fail once more alone, since some measure time.

    The cache is cleared first: if no test has failed, but their collection, the second run fails.
    """
    try:
        session.run("pytest", *IN_PARALLEL, "--cache-clear", *arguments, env=env)
    except CommandFailed:
        session.warn("the failed tests are run once more, alone")
        session.run(
            "pytest", "-q", *arguments, "--last-failed", "--last-failed-no-failures=none", env=env
        )


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, with a reason for each rule that is off."""
    install_group(session, "lint")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Check with mypy and pyright, both strict; every public name has a type."""
    install_group(
        session, "types", ".[cli,jupyter,otel,langchain,llm]"
    )  # as a package: verifytypes needs its py.typed
    session.run("mypy")
    python = shutil.which("python", path=session.bin) or "python"
    session.run("pyright", "--pythonpath", python)
    with session.chdir(session.create_tmp()):  # outside of the checkout
        session.run(
            "pyright", "--pythonpath", python, "--ignoreexternal", "--verifytypes", "acechat"
        )


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests but SLOW, on the Python that runs nox; `-- tests/wire/test_sse.py` for some."""
    install_group(session, "tests", "-e", ".[cli]")
    run_tests(session, *(session.posargs or NOT_SLOW))


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take long: those of costs, and those with browsers and real servers."""
    install_group(session, "tests", "-e", ".[cli]")
    run_tests(session, *(session.posargs or SLOW_PATHS))


@nox.session(name="all")
def everything(session: nox.Session) -> None:
    """Run all checks, and the tests in other environments; `nox` runs the tests."""
    names = ["slow", "lint", "types", "build", "docs", "examples", "neighbours", "interop"]
    names += ["integrations", "ray", "lowest", "speed"]
    for name in [*names, *(f"pythons-{version}" for version in OTHERS)]:
        session.notify(name, posargs=())
    if missing := sorted({*VERSIONS} - {*OTHERS, HERE}):
        session.warn(f"not found, and not tested: Python {', '.join(missing)}")


@nox.session(python=OTHERS)
def pythons(session: nox.Session) -> None:
    """Run the tests of the client on each other installed Python."""
    install_group(session, "tests", "-e", ".[cli]")
    run_tests(session, *(session.posargs or THE_REST))


@nox.session
def neighbours(session: nox.Session) -> None:
    """Run the affected tests with the newest neighbours installed; each test has 30 s."""
    install_group(session, "tests", "-e", ".[cli]")
    there = list(NEIGHBOURS)
    try:
        session.install("--upgrade", *NEIGHBOURS)
    except CommandFailed:
        for package in NEIGHBOURS:
            try:
                session.install("--upgrade", package)
            except CommandFailed:
                there.remove(package)
                session.warn(f"{package} cannot be installed: the tests run without it")
    versions = "import sys; from importlib.metadata import version; "
    versions += "print(*(f'{name} {version(name)}' for name in sys.argv[1:]), sep=', ')"
    session.run("python", "-c", versions, *there)
    run_tests(
        session,
        "--timeout=30",
        "--override-ini=asyncio_default_fixture_loop_scope=function",  # of pytest-asyncio
        "--ignore=tests/cli/test_cli_costs.py",  # it measures time, which four workers distort
        *(session.posargs or [f"tests/{name}" for name in BESIDE]),
        env={"ACECHAT_NEIGHBOURS": ",".join(there)},  # their tests must not be skipped
    )


@nox.session
def interop(session: nox.Session) -> None:
    """Test the client against a local model server; downloads 218 MB."""
    install_group(session, "tests", "-e", ".[cli]")
    run_tests(
        session,
        *(session.posargs or ["tests/interop/test_mlx.py"]),
        env={"ACECHAT_INTEROP_MLX": "1"},
    )


@nox.session
def integrations(session: nox.Session) -> None:
    """Test the integrations with the newest version of each library, and check their types."""
    install_group(session, "types", "-e", ".[cli,jupyter,otel,langchain,llm]")
    session.install("--upgrade", *INTEGRATIONS, *FRAMEWORKS, *WEB, TOKENIZER)
    if sys.platform == "linux" and platform.machine() == "x86_64":
        session.install("--upgrade", COLLECTOR)
    ray = set(Path("acechat/integrations").glob("*ray*.py"))  # checked by the session of Ray
    modules = sorted(map(str, {*Path("acechat/integrations").glob("*.py")} - ray))
    session.run("mypy", *modules)
    python = shutil.which("python", path=session.bin) or "python"
    session.run("pyright", "--pythonpath", python, *modules)
    pytest = ["pytest", "-q", "--override-ini=asyncio_default_fixture_loop_scope=function"]
    wanted = session.posargs or [
        "tests/integrations",
        "tests/docs/test_examples.py",
        "tests/emulator/test_usage.py",
    ]
    session.run(*pytest, *IN_PARALLEL, *wanted)
    if not session.posargs:
        pages = "telemetry or lang or llm or pydantic or fragment"
        session.run(*pytest, "tests/docs/test_docs.py", "-k", pages)
        session.run(*pytest, "tests/docs/test_migration.py", "-k", "langchain")
        others = {"LLM_COMMAND": shutil.which("llm", path=session.bin)}
        beside = ["tests/cli/test_comparison.py", "tests/docs/test_type_checkers.py"]
        session.run(*pytest, *IN_PARALLEL, *beside, env=others)
        session.run("python", "-m", "benchmarks.overhead")
        session.install("--upgrade", APART)
        session.run(*pytest, "tests/integrations/test_frameworks.py", "-k", "LlamaIndex")


@nox.session
def ray(session: nox.Session) -> None:
    """Run jobs on a real Ray cluster of worker processes, which are killed, and check the types."""
    install_group(session, "types", "-e", ".[cli]")
    try:
        session.install("-e", ".[ray]", *DATAFRAMES)
    except CommandFailed:
        session.skip("Ray cannot be installed on this Python: nothing was tested")
    # Ray gives its own processes 15 s to start, which is too little without their bytecode.
    compiles = "import compileall, ray; compileall.compile_dir(ray.__path__[0], quiet=2, workers=0)"
    session.run("python", "-c", f"{compiles}; import ray.data")
    modules = sorted(map(str, Path("acechat/integrations").glob("*ray*.py")))
    session.run("mypy", *modules)
    python = shutil.which("python", path=session.bin) or "python"
    session.run("pyright", "--pythonpath", python, *modules)
    tests = session.posargs or ["tests/integrations/test_ray.py"]
    try:
        session.run("pytest", "-q", "--cache-clear", *tests)
    except CommandFailed:
        session.warn("the failed tests are run once more: some measure time")
        session.run("pytest", "-q", *tests, "--last-failed", "--last-failed-no-failures=none")
    if not session.posargs:
        session.run("pytest", "-q", "tests/docs/test_docs.py", "-k", "ray-")


@nox.session
def speed(session: nox.Session) -> None:
    """Run the tests of behaviour with uvloop for the blocking client."""
    install_group(session, "tests", "-e", ".[cli,speed]")
    session.run("python", "-c", "import uvloop")
    run_tests(
        session,
        *(session.posargs or ["tests/behaviour", "tests/sync/test_event_loop.py"]),
    )


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests of the client with the lowest allowed dependencies."""
    install_group(session, "tests")
    optional = PROJECT["project"]["optional-dependencies"]
    extras = (optional[name] for name in ("cli", "mcp", "speed"))
    oldest = [
        spec.replace(">=", "==") for spec in chain(PROJECT["project"]["dependencies"], *extras)
    ]
    session.install("-e", ".[cli,mcp]", *oldest)
    left_out = {"tests/laws", "tests/cli/test_cli_costs.py"} | (set(ONCE_PATHS) - {"tests/cli"})
    run_tests(session, "tests", *[f"--ignore={path}" for path in sorted(left_out)])


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure lines and branches, subprocesses included; the pure layers need 100 %."""
    install_group(session, "tests", "-e", ".[cli]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *IN_PARALLEL, *MEASURED)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--fail-under=97")
    lower = "import sys; sys.path.insert(0, 'tests/laws'); import test_layers as law; "
    lower += "print(*law.PURE_FILES, sep=',')"
    include = session.run("python", "-c", lower, silent=True)
    session.run("coverage", "report", "--fail-under=100", f"--include={str(include).strip()}")


@nox.session
def mutation(session: nox.Session) -> None:
    """Run mutation tests of the pure layers; `-- "acechat._wire*"` selects some."""
    install_group(session, "tests", "-e", ".[cli]", "mutmut>=3.8")
    shutil.rmtree("mutants", ignore_errors=True)
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session
def audit(session: nox.Session) -> None:
    """Check the dependencies for known vulnerabilities; mirrors of PyPI do not know them."""
    session.install("pip-audit")
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = Path(session.create_tmp()) / "requirements.txt"
    wanted.write_text("\n".join([*PROJECT["project"]["dependencies"], *chain(*extras)]))
    session.run("pip-audit", "--strict", "--requirement", str(wanted))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz with a million inputs; `-- --inputs 5000 --seed 7` for others."""
    session.install(".")
    session.run("python", "tests/fuzz", *(session.posargs or ["--inputs", "1000000"]))


@nox.session
def examples(session: nox.Session) -> None:
    """Run each example against the emulator."""
    install_group(session, "tests", "-e", ".[cli]")
    session.run("pytest", "-q", "tests/docs/test_examples.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, with warnings as errors; `-- linkcheck` checks links, too."""
    install_group(session, "docs", "-e", ".[cli]")
    strict = ["-q", "-W", "--keep-going"]
    if shutil.which("tmux"):
        session.run("python", "docs/screenshots.py")
    else:
        session.warn("without tmux, the documentation has no screenshots")
        strict += ["-D", "suppress_warnings=image.not_readable"]
    for builder in ["html", *session.posargs]:
        session.run("sphinx-build", *strict, "-b", builder, "docs", f"docs/_build/{builder}")
    install_group(session, "tests")
    session.run("pytest", "-q", "tests/test_search.py")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure acechat and peers, each in its own environment."""
    session.install(".")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Make 50,000 async and 50,000 sync calls with faults; check results, memory and files."""
    session.install("-e", ".")
    # The stacks of 200 threads reach their full size only after some 40,000 calls.
    for client, warm_up in (("async", 0), ("blocking", 50_000)):
        options = ["--client", client, "--warm-up", str(warm_up), *session.posargs]
        session.run("python", "tests/soak.py", *options)
    # Ctrl-C at random moments, by real signals.
    session.run("python", "tests/soak_signals.py", "--seconds", "120")


@nox.session
def build(session: nox.Session) -> None:
    """Build, check and use the distributions; leave them with a bill of materials in dist/.

    ``-- --tag v1.2.3`` also checks that the tag fits the version and the changelog.
    """
    install_group(session, "build")
    out, again = Path("dist"), Path(session.create_tmp()) / "again"
    for folder in (out, again):
        shutil.rmtree(folder, ignore_errors=True)
    if session.posargs[:1] == ["--tag"]:
        session.run("python", "tests/release/check.py", "tag", *session.posargs[1:])
    session.run("python", "-m", "build", "--outdir", str(out))
    sdist, wheel = next(out.glob("*.tar.gz")), next(out.glob("*.whl"))
    # The sources in another folder and with other dates give the same bytes.
    shutil.unpack_archive(sdist, again)
    session.run("python", "-m", "build", "--outdir", str(again), str(again / sdist.name[:-7]))
    session.run("python", "tests/release/check.py", "same", str(out), str(again))
    session.run("python", "tests/release/check.py", "contents", str(out))
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("check-wheel-contents", str(wheel))
    # A project of a user: the wheel in an environment without anything else.
    project = Path(session.create_tmp()).resolve() / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree("tests/release/user_project", project)
    session.run("python", "-m", "venv", str(project / ".venv"))
    python = str(project / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    bill = f"{out}/{wheel.name.split('-py3')[0]}.cdx.json"
    session.run("cyclonedx-py", "environment", "--output-reproducible", "-o", bill, python)
    session.run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", external=True)
    with session.chdir(project):
        session.run("mypy", "--python-executable", python)
        session.run("pyright", "--pythonpath", python)
        session.run("basedpyright", "--pythonpath", python)
        ty = ["ty", "check", "--python", str(project / ".venv")]
        session.run(*ty, "--no-respect-ignore-files", "src")  # which ignore .nox
        session.run(python, "src/weather_service", external=True)
        session.run(python, "-c", "import acechat; acechat.AsyncClient('token')", external=True)
    session.run("zizmor", "--offline", ".github/workflows")
