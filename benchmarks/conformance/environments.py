"""One environment for each peer, so that dependencies cannot conflict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FOLDER", "make"]

FOLDER = Path(os.environ.get("ACECHAT_PEERS", ".acechat-peers")).absolute()
"""The folder of the environments. They are kept between runs."""


def make(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment with *requirements*; create it if it is missing.

    Raises:
        RuntimeError: It cannot be created; the message is pip's.
    """
    folder = FOLDER / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    wanted = "\n".join(requirements)
    if complete.exists() and complete.read_text() == wanted:
        return python
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--upgrade", *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"cannot create an environment for {name}: {done.stderr.strip()[-500:]}"
            )
    complete.write_text(wanted)
    return python
