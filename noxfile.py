"""What is checked, and how: `nox` runs the default sessions, `nox -s NAME` one of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nox

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
VERSIONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
SOURCES = ["acechat", "tests", "examples", "benchmarks", "noxfile.py"]

IN_PARALLEL = ["-q", "-n", "2", "--dist", "loadgroup"]
WITHOUT_INSTALLING = ["tests", "--ignore", "tests/interop", "--ignore", "tests/test_readme.py"]

nox.options.sessions = ["lint", "types", "tests", "lowest", "examples", "build"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


def works(python: str) -> bool:
    """Whether *python* runs: a shim of pyenv may stand for a version that is not chosen."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def find_pythons() -> list[str]:
    """Return the versions that are found, and put those that only pyenv has on the PATH."""
    found: list[str] = []
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in VERSIONS:
        kept = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
        if (here := shutil.which(f"python{version}")) and works(here):
            found.append(version)
        elif kept:
            os.environ["PATH"] = f"{kept[-1].parent}{os.pathsep}{os.environ['PATH']}"
            found.append(version)
    return found


PYTHONS = find_pythons()


def install_group(session: nox.Session, group: str, *more: str) -> None:
    session.install(*nox.project.dependency_groups(PROJECT, group), *more)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, with a reason for each rule that is off."""
    install_group(session, "lint")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Check with mypy and pyright, both strict; every public name has a type."""
    install_group(session, "types", ".[cli]")  # as a package: verifytypes looks for its py.typed
    session.run("mypy")
    python = shutil.which("python", path=session.bin) or "python"
    session.run("pyright", "--pythonpath", python)
    with session.chdir(session.create_tmp()):  # far from the source
        session.run(
            "pyright", "--pythonpath", python, "--ignoreexternal", "--verifytypes", "acechat"
        )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests; those that install other people's servers on the oldest Python alone."""
    install_group(session, "tests", "-e", ".[cli]")
    where = [] if session.python == PYTHONS[0] else WITHOUT_INSTALLING
    session.run("pytest", *IN_PARALLEL, *(session.posargs or where))


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests of the client on the oldest dependencies that are allowed."""
    install_group(session, "tests")
    oldest = [spec.replace(">=", "==") for spec in PROJECT["project"]["dependencies"]]
    oldest += [
        spec.replace(">=", "==") for spec in PROJECT["project"]["optional-dependencies"]["cli"]
    ]
    session.install("-e", ".[cli]", *oldest)
    session.run("pytest", *IN_PARALLEL, *WITHOUT_INSTALLING, "--ignore", "tests/laws")


@nox.session
def examples(session: nox.Session) -> None:
    """Each example, against the service on localhost."""
    install_group(session, "tests", "-e", ".[cli]")
    session.run("pytest", "-q", "tests/test_examples.py")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure; ratios in one run."""
    session.install(".")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build, check, and import what was built, far from the source."""
    install_group(session, "build")
    out = Path(session.create_tmp()) / "dist"
    shutil.rmtree(out, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(out))
    session.run("twine", "check", "--strict", *map(str, out.iterdir()))
    for archive in sorted(out.iterdir()):
        session.install("--force-reinstall", "--no-deps", str(archive))
        session.install(*PROJECT["project"]["dependencies"])
        with session.chdir(session.create_tmp()):
            session.run("python", "-c", "import acechat; print(acechat.AsyncClient('token'))")
