"""Each pair of the migration pages runs: the other client's code and acechat's print the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64decode
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent

import pytest

from acechat import DEFAULT_MODEL
from acechat.emulator import Service, ok
from acechat.emulator.completion import ChoiceContent
from acechat.emulator.content.usage import count_prompt, count_usage
from benchmarks.conformance.environments import make

ROOT = Path(__file__).parent.parent.parent
TASKS = {
    "openai": 20,
    "anthropic": 20,
    "requests": 20,
    "acedatacloud": 8,
    "langchain-acedatacloud": 6,
}
"""The pages, and how many pairs each has."""

PEERS = list(TASKS)
CELL = re.compile(r"^  - ```python\n(.*?)^    ```", re.MULTILINE | re.DOTALL)
PACKAGES = ["openai", "anthropic", "requests", "pydantic", "acedatacloud", "langchain-acedatacloud"]

DIFFERENT = {("anthropic", "Limit the length"): "end_turn"}
"""Pairs whose outputs differ because names differ, with the output of the other client."""

REDIRECTED = """
import httpx

class Redirected(httpx.HTTPTransport):
    def handle_request(self, request):
        request.url = httpx.URL("ROOT/chat/completions")
        request.headers["Host"] = request.url.netloc.decode()
        return super().handle_request(request)

http = httpx.Client(transport=Redirected())
"""
"""An HTTP client for packages that cannot be given the address of the emulator."""

RUN = """
import contextlib, io, json, sys, traceback

prelude, cells = json.load(sys.stdin)
outputs = {}
for task, code in cells.items():
    names = {"__name__": "__main__"}
    printed = io.StringIO()
    try:
        exec(prelude, names)
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        outputs[task] = [True, printed.getvalue()]
    except BaseException:
        outputs[task] = [False, traceback.format_exc()]
print(json.dumps(outputs))
"""


@cache
def read_pairs(peer: str) -> dict[str, tuple[str, str]]:
    """Return the code of both columns, by task."""
    page = (ROOT / "docs" / "howto" / f"migrate-{peer}.md").read_text()
    rows = page.split("\n* - ")[2:]
    pairs = {}
    for row in rows:
        theirs, ours = (dedent(code) for code in CELL.findall(row))
        pairs[row.partition("\n")[0]] = (theirs, ours)
    return pairs


def run_cells(python, prelude: str, cells: dict[str, str], env: dict[str, str]) -> dict[str, list]:
    done = subprocess.run(
        [str(python), "-c", RUN],
        cwd=ROOT,
        env=os.environ | env,
        input=json.dumps([prelude, cells]),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def peers_python():
    """The interpreter of an environment with the other clients."""
    try:
        return make("migrate", PACKAGES)
    except RuntimeError as error:
        pytest.skip(f"the other clients cannot be installed: {error}")


class MessagesAPI(BaseHTTPRequestHandler):
    """Anthropic's Messages API as far as the page uses it: it echoes like the emulator."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        models = [{"id": "claude-fable-5-1", "type": "model"}]
        self._send({"data": models, "has_more": False, "first_id": None, "last_id": None})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer k-1":
            self._send({"type": "error", "error": {"type": "authentication_error"}}, 401)
        elif self.path.endswith("/count_tokens"):
            self._send({"input_tokens": self._count(body)})
        elif body.get("temperature", 1) > 1:
            self._send({"type": "error", "error": {"type": "invalid_request_error"}}, 400)
        else:
            self._respond(body)

    def _count(self, body):
        return count_prompt(body)

    def _respond(self, body):
        content = body["messages"][-1]["content"]
        parts = [content] if isinstance(content, str) else content
        text = next(p if isinstance(p, str) else p["text"] for p in parts if p != "image")
        images = [part["source"] for part in parts if isinstance(part, dict) and "source" in part]
        block = {"type": "text", "text": echo(body, text, images)}
        if body.get("tools"):
            tool = {"name": body["tools"][0]["name"], "input": {"city": "Paris"}}
            block = {"type": "tool_use", "id": "toolu_1"} | tool
        content = ChoiceContent(text=(block.get("text", ""),))
        counted = count_usage(body, [content])
        usage = {
            "input_tokens": counted["prompt_tokens"],
            "output_tokens": counted["completion_tokens"],
        }
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [block]}
        message |= {"model": body["model"], "stop_reason": "end_turn", "usage": usage}
        if not body.get("stream"):
            self._send(message)
            return
        start = message | {"content": [], "stop_reason": None}
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
        end = {
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": usage["output_tokens"]},
        }
        self._send_events(
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta"} | end,
            {"type": "message_stop"},
        )

    def _send_events(self, *events):
        data = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
        self._write(data.encode(), 200, "text/event-stream")

    def _send(self, value, status=200):
        self._write(json.dumps(value).encode(), status, "application/json")

    def _write(self, data, status, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def echo(body, text, images):
    """Return the text of the emulator's echo of an Anthropic request."""
    count = len(body["messages"]) + ("system" in body)
    options = [f"{count} message{'s' * (count > 1)}"]
    options += [f"{name}={body[name]}" for name in ("temperature", "top_k") if name in body]
    shown = ""
    for source in images:
        data = f"{source.get('media_type')}, {len(b64decode(source.get('data', '')))} bytes"
        shown += f" with {source.get('url', data)}"
    return f'You said: "{text}"{shown} ({", ".join(options)})'


@pytest.fixture(scope="module")
def messages_api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), MessagesAPI)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def outputs(peers_python, messages_api):
    """The outputs of both columns of a page, by task."""

    @cache
    def of(peer):
        pairs = read_pairs(peer)
        theirs = {task: code for task, (code, _) in pairs.items()}
        ours = {task: code for task, (_, code) in pairs.items()}
        with Service(token="k-1") as service:
            root = f"{service.url}/v1"
            redirected = REDIRECTED.replace("ROOT", root)
            preludes = {
                "openai": "from openai import OpenAI\nclient = OpenAI()",
                "anthropic": "from anthropic import Anthropic\nclient = Anthropic()",
                "acedatacloud": redirected
                + "from acedatacloud import AceDataCloud\n"
                + "client = AceDataCloud(max_retries=0)\nclient._transport._client = http",
                "langchain-acedatacloud": redirected
                + "from langchain_acedatacloud import ChatAceDataCloud\n"
                + f"model = ChatAceDataCloud(model={DEFAULT_MODEL!r}, http_client=http)",
                "requests": theirs.get("Create a client", "").replace(
                    "https://api.acedata.cloud/v1", root
                ),
            }
            env = {
                "OPENAI_API_KEY": "k-1",
                "OPENAI_BASE_URL": root,
                "ANTHROPIC_AUTH_TOKEN": "k-1",
                "ANTHROPIC_BASE_URL": messages_api,
                "ACEDATACLOUD_API_TOKEN": "k-1",
                "ACEDATACLOUD_API_BASE_URL": service.url,
            }
            prelude = "from acechat import Client\nclient = Client()"
            if peer.startswith("langchain"):
                prelude = "from acechat.integrations.langchain import ChatAceData\n"
                prelude += f"model = ChatAceData(model={DEFAULT_MODEL!r})"
            return (
                run_cells(peers_python, preludes[peer], theirs, env),
                run_cells(sys.executable, prelude, ours, env),
            )

    return of


@pytest.mark.parametrize("peer", PEERS)
def test_a_page_has_all_its_tasks(peer):
    assert len(read_pairs(peer)) == TASKS[peer]


@pytest.mark.timeout(300, func_only=True)  # the first one installs the other clients
@pytest.mark.parametrize(("peer", "task"), [(p, t) for p in PEERS for t in read_pairs(p)])
def test_both_columns_print_the_same(peer, task, outputs):
    if peer.startswith("langchain"):
        pytest.importorskip("langchain_core", reason="needs langchain-core")
    (theirs_ran, theirs), (ours_ran, ours) = (side[task] for side in outputs(peer))

    assert ours_ran, ours
    assert theirs_ran, theirs
    assert theirs.strip() == DIFFERENT.get((peer, task), ours.strip())


@pytest.mark.timeout(300, func_only=True)
def test_a_response_format_fails_where_it_is_ignored(peers_python):
    """The models of the service ignore the field, which the emulator fills."""
    task = "Structured output"
    code, _ = read_pairs("openai")[task]
    with Service(token="k-1") as service:
        service.script(ok("A picnic, of course."))
        env = {"OPENAI_API_KEY": "k-1", "OPENAI_BASE_URL": f"{service.url}/v1"}
        prelude = "from openai import OpenAI\nclient = OpenAI()"
        ran, printed = run_cells(peers_python, prelude, {task: code}, env)[task]

    assert not ran
    assert "ValidationError" in printed


def test_pairs_that_differ_exist():
    named = [*DIFFERENT]

    assert [pair for pair in named if pair[1] not in read_pairs(pair[0])] == []
