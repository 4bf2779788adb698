"""Screenshots of the command line: runs in a terminal (tmux), converted to SVG by rich.

``python docs/screenshots.py`` writes them to ``docs/_static``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from acechat.emulator import Service, ok, pace

__all__ = ["make_screenshots"]

STATIC = Path(__file__).parent / "_static"
WIDTH, HEIGHT = 84, 24
RESPONSE = """\
# Event loops

An **event loop** runs one task *until it must wait*, then another:

* no threads, so no locks;
* thousands of waiting connections cost next to nothing.

```python
async with AsyncClient() as client:
    completion = await client.chat("Hello")
```
"""


class _Terminal:
    def __init__(self, folder: str, service: Service) -> None:
        self._settings = {
            "ACECHAT_CONFIG": f"{folder}/config.toml",
            "ACECHAT_STATE": f"{folder}/state",
            "ACEDATACLOUD_API_BASE_URL": service.url,
            "ACEDATACLOUD_API_TOKEN": service.token,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "COLORTERM": "truecolor",
        }
        program = Path(folder) / "acechat"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m acechat "$@"\n')
        program.chmod(0o755)
        self._socket = f"acechat-shots-{os.getpid()}"

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    def shoot(self, command: str, *steps: tuple[str, str]) -> str:
        """Run *command*; for each of *steps* wait for a text, then type a line; return the screen.

        Raises:
            TimeoutError: A text did not appear.
        """
        names = [f"{name}={value}" for name, value in self._settings.items()]
        self._tmux(
            "-f", os.devnull, "-u", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT),
            "env", *names, "sh", "-c", f"echo '$ {command}'; {command}; sleep 60",
        )  # fmt: skip
        try:
            for text, typed in steps:
                self._wait_for(text)
                if typed:
                    time.sleep(0.5)
                    self._tmux("send-keys", "-l", typed)
                    self._tmux("send-keys", "Enter")
            return self._tmux("capture-pane", "-p", "-e").rstrip()
        finally:
            self._tmux("kill-server")
            time.sleep(0.2)  # the next tmux server uses the same socket

    def _wait_for(self, text: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while text not in (screen := self._tmux("capture-pane", "-p")):
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} did not appear on:\n{screen}")
            time.sleep(0.1)


def _write(name: str, title: str, screen: str) -> Path:
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi(screen), highlight=False)
    path = STATIC / f"{name}.svg"
    console.save_svg(str(path), title=title, unique_id=name)
    return path


def make_screenshots() -> list[Path]:
    """Write all screenshots and return their paths; needs tmux."""
    STATIC.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        terminal = _Terminal(folder, service)
        usage = {"prompt_tokens": 14, "completion_tokens": 68, "total_tokens": 82}
        words = RESPONSE.split(" ")
        service.script(pace(0.02, of=ok([f"{word} " for word in words], usage=usage)))
        chat = terminal.shoot('acechat chat "What is an event loop?" --usage', ("tokens in", ""))
        conversation = terminal.shoot(
            "acechat chat",
            ("/help", "My name is Ada."),
            ("(1 message)", "/system Reply in one line."),
            ("system:", "What is my name?"),
            ("(4 messages)", "/undo"),
            ("removed", ""),
        )
        doctor = terminal.shoot("acechat doctor", ("All checks passed", ""))
        help_ = terminal.shoot("acechat --help", ("acechat doctor  ", ""))
    return [
        _write("chat", "acechat chat", chat),
        _write("conversation", "acechat chat", conversation),
        _write("doctor", "acechat doctor", doctor),
        _write("help", "acechat --help", help_),
    ]


if __name__ == "__main__":
    for path in make_screenshots():
        print(path)
