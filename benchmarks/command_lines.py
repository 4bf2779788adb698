"""Compare the command lines of acechat and llm, by running both against the emulator.

    python -m benchmarks.command_lines /path/to/llm > docs/howto/command-line-compared.md

A task counts as possible if its commands, without further packages, have the expected effect.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from acechat.emulator import Service, Step, call, ok

__all__ = ["TASKS", "Place", "possible", "seconds_to_first_character",
           "seconds_to_first_request", "table"]  # fmt: skip

ACECHAT = (sys.executable, "-m", "acechat")
_PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
_FUNCTIONS = 'def weather(city: str) -> str:\n    """Weather."""\n    return f"rain in {city}"\n'
_SERVER = (
    'from mcp.server import MCPServer\nserver = MCPServer("demo")\n@server.tool()\n'
    'def weather(city: str) -> str:\n    """Weather."""\n    return f"rain in {city}"\n'
    'server.run("stdio")\n'
)


class _Listener(Struct):
    """The part of `Service` that `Place.prepare` needs."""

    url: str
    token: str = "token-0123456789"


class Place(Struct):
    """A folder with the files of the tasks, the settings of both programs, and a service."""

    folder: Path
    service: Service | _Listener
    program: tuple[str, ...]
    last: str = ""
    """Output of the last command."""
    errors: str = ""

    def prepare(self) -> None:
        """Write the files."""
        files = {"a.py": "x = 1", "tools.py": _FUNCTIONS, "server.py": _SERVER}
        for name, text in files.items():
            (self.folder / name).write_text(text)
        (self.folder / "dot.png").write_bytes(_PNG)
        (self.folder / "keys.json").write_text(json.dumps({"acedata": self.service.token}))
        (self.folder / "default_model.txt").write_text("claude")
        (self.folder / "extra-openai-models.yaml").write_text(
            f"- model_id: claude\n  model_name: claude-sonnet-4-20250514\n"
            f"  api_base: {self.service.url}/v1\n  api_key_name: acedata\n"
            "  supports_tools: true\n  supports_schema: true\n  vision: true\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of both programs."""
        return os.environ | {
            "ACEDATACLOUD_API_BASE_URL": self.service.url,
            "ACEDATACLOUD_API_TOKEN": self.service.token,
            "ACECHAT_CONFIG": str(self.folder / "config.toml"),
            "ACECHAT_STATE": str(self.folder / "state"),
            "LLM_USER_PATH": str(self.folder),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def run(self, words: Sequence[str], stdin: str = "", *, token: bool = True) -> None:
        """Run one command, with *{id}* replaced by the id of the last conversation of llm."""
        if any("{id}" in word for word in words):
            self.run(["logs", "list", "-n", "1", "--json"])
            number = json.loads(self.last)[0]["conversation_id"]
            words = [word.replace("{id}", number) for word in words]
        environment = self.environment
        if not token:
            del environment["ACEDATACLOUD_API_TOKEN"]
        done = subprocess.run(
            [*self.program, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
            check=False,
            timeout=60,
        )
        self.last, self.errors = done.stdout, done.stderr

    @property
    def sent(self) -> str:
        """The body of the last request, as text."""
        requests = self.service.requests if isinstance(self.service, Service) else ()
        return json.dumps(requests[-1].json, ensure_ascii=False) if requests else ""


class Task(Struct, frozen=True):
    """One thing that people want to do."""

    name: str
    acechat: tuple[tuple[str, ...], ...]
    llm: tuple[tuple[str, ...], ...]
    """Empty: llm has no such option."""
    check: Callable[[Place], Any]
    steps: tuple[Step, ...] = ()
    other_steps: tuple[Step, ...] | None = None
    """Responses to llm, if they differ: it requests structured output in another way."""
    stdin: str = ""
    token: bool = True


def _words(*commands: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(shlex.split(command)) for command in commands)


_DOG = {"name": "Rex", "age": 3}
_TOOL = (call("weather", city="Paris"), ok("Yes, rain."))
_CODE = (ok("Try:\n\n```sh\nls *.txt\n```\n\nDone."),)

TASKS = [
    Task("default command", _words("Hello"), _words("Hello"), lambda p: "You said" in p.last),
    Task("standard input", _words("Summarise"), _words("Summarise"),
         lambda p: "a long text" in p.sent, stdin="a long text"),
    Task("files", _words("Explain -f a.py"), _words("Explain -f a.py"),
         lambda p: "x = 1" in p.sent),
    Task("attachments", _words("Look -a dot.png"), _words("Look -a dot.png"),
         lambda p: "image_url" in p.sent),
    Task("schema", _words("Dog --schema 'name, age int'"), _words("Dog --schema 'name, age int'"),
         lambda p: json.loads(p.last) == _DOG, (call("answer", **_DOG),), (ok(json=_DOG),)),
    Task("tools", _words("Umbrella? --functions tools.py --yes"),
         _words("Umbrella? --functions tools.py"),
         lambda p: "rain in Paris" in p.sent and "Yes, rain." in p.last, _TOOL),
    Task("MCP", ((*_words("Umbrella? --yes --mcp")[0], f"{sys.executable} server.py"),), (),
         lambda p: "rain in Paris" in p.sent, _TOOL),
    Task("extract", _words("List -x"), _words("List -x"),
         lambda p: p.last.strip() == "ls *.txt", _CODE),
    Task("continue by id", _words("'I am Ada.'", "Hi", "-c c1 'And now?'"),
         _words("'I am Ada.'", "--cid {id} 'And now?'"),
         lambda p: "I am Ada." in p.sent and "And now?" in p.sent),
    Task("list and search", _words("'Where is Paris?'", "history search paris"),
         _words("'Where is Paris?'", "logs list -q paris"), lambda p: "Paris" in p.last),
    Task("templates", _words("'Translate: $input' --save-template tr", "-t tr Hi"),
         _words("'Translate: $input' --save tr", "-t tr Hi"), lambda p: "Translate: Hi" in p.sent),
    Task("aliases", _words("models alias best claude-opus-5", "-m best Hi"),
         _words("aliases set best claude", "-m best Hi"), lambda p: "You said" in p.last),
    Task("keys", _words("config set token {token}", "Hi"),
         _words("keys set acedata --value {token}", "Hi"), lambda p: "You said" in p.last,
         token=False),
    Task("usage", _words("Hi --usage"), _words("Hi --usage"),
         lambda p: "token" in p.errors.lower()),
    Task("dry run", _words("Hi --dry-run"), (),
         lambda p: p.last.startswith("curl") and not p.sent),
]  # fmt: skip
"""The tasks of the comparison."""


def possible(task: Task, program: Sequence[str], *, ours: bool) -> bool:
    """Run the commands of *task* with *program*; return whether they have the expected effect."""
    commands = task.acechat if ours else task.llm
    if not commands:
        return False
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        place = Place(Path(folder), service, tuple(program))
        place.prepare()
        steps = task.steps if ours or task.other_steps is None else task.other_steps
        service.script(*steps)
        for words in commands:
            filled = [word.replace("{token}", service.token) for word in words]
            place.run(filled, task.stdin, token=task.token)
        try:
            return bool(task.check(place))
        except (ValueError, KeyError):
            return False


def seconds_to_first_character(program: Sequence[str], rounds: int = 7) -> float:
    """Return the median seconds from the start of the process to the first character."""
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        place = Place(Path(folder), service, tuple(program))
        place.prepare()
        return statistics.median(_seconds(place) for _ in range(rounds))


def _seconds(place: Place) -> float:
    started = time.perf_counter()
    with subprocess.Popen(
        [*place.program, "Hello"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=place.environment,
        cwd=place.folder,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    return seconds


def seconds_to_first_request(program: Sequence[str]) -> float:
    """Return the seconds from the start of the process to the first byte that it sends."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as there:
        host, port = there.getsockname()
        place = Place(Path(folder), _Listener(f"http://{host}:{port}"), tuple(program))
        place.prepare()
        started = time.perf_counter()
        with subprocess.Popen(
            [*place.program, "Hello"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=place.environment,
            cwd=place.folder,
        ) as process:
            there.settimeout(60)
            connection, _ = there.accept()
            with connection:
                connection.recv(1)
                seconds = time.perf_counter() - started
                process.kill()
    return seconds


def table(llm: str, version: str) -> str:
    """Return the page of the documentation."""
    lines = [
        "# acechat and llm",
        "",
        f"Each row was tried with both command lines (`llm` {version}, without plug-ins), against",
        "the same service, by `benchmarks/command_lines.py`. `llm` has MCP and further services as",
        "plug-ins.",
        "",
        "| | acechat | llm | |",
        "|---|---|---|---|",
    ]
    for task in TASKS:
        results = [possible(task, ACECHAT, ours=True), possible(task, [llm], ours=False)]
        marks = " | ".join("yes" if result else "no" for result in results)
        shown = [shlex.join(["acechat", *words]) for words in task.acechat]
        words = "; ".join(shown).replace(sys.executable, "python").replace("'{token}'", "TOKEN")
        lines.append(f"| {task.name} | {marks} | `{words}` |")
    ours, theirs = seconds_to_first_character(ACECHAT), seconds_to_first_character([llm])
    lines += [
        "",
        "From the start of the process to the first character of a response, with an emulator that",
        f"responds at once: acechat {ours:.2f} s, llm {theirs:.2f} s (medians of 7).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    program = sys.argv[1]
    reported = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    sys.stdout.write(table(program, reported.stdout.split()[-1]))
