"""``python -m acechat`` imports nothing from the working directory."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIST = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
RUN = """
import sys
from acechat.cli.app import run
run(["--emulator", "Hello"])
run(["config"])
"""


def modules(code, *options):
    done = subprocess.run(
        [sys.executable, *options, "-c", f"{code}\n{LIST}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def shadowed(tmp_path_factory):
    """A folder with a file for each module that the command imports, but Python itself does not."""
    folder = tmp_path_factory.mktemp("downloads")
    # Python imports these to find acechat; only -P prevents that they come from this folder.
    of_python = modules("import runpy, pkgutil, importlib.util")
    for name in modules(RUN) - of_python - {"acechat"}:
        (folder / f"{name}.py").write_text(f"open({str(folder / name)!r} + '.ran', 'w').close()\n")
    return folder


@pytest.mark.parametrize("options", [["-m"], ["-Bm"], ["-W", "ignore", "-m"], ["-P", "-m"]])
@pytest.mark.parametrize("arguments", [["--emulator", "Hello"], ["--version"]])
def test_nothing_is_imported_from_the_working_directory(shadowed, options, arguments):
    assert {"json.py", "msgspec.py", "aiohttp.py", "__future__.py"} <= {
        path.name for path in shadowed.iterdir()
    }
    done = subprocess.run(
        [sys.executable, *options, "acechat", *arguments],
        cwd=shadowed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(shadowed.glob("*.ran"))


def test_a_program_of_the_working_directory_keeps_it(tmp_path):
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "acechat_user").mkdir()
    (tmp_path / "acechat_user" / "__init__.py").write_text("import acechat")
    (tmp_path / "acechat_user" / "__main__.py").write_text("import helper; print('kept')")
    (tmp_path / "script.py").write_text("import acechat, helper; print('kept')")
    for command in (["-m", "acechat_user", "acechat"], ["script.py"], ["-m", "script", "-m"],
                    ["-c", "import acechat, helper; print('kept')"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stdout == "kept\n", done.stderr
