"""An MCP server without the official package, which does what the JSON in $RAW asks for.

``tools``, and ``results`` by their names; ``greeting`` is printed first; ``silent`` is a method
that gets no response, ``crash`` one at which the process ends, ``half`` one at which it ends in the
middle of a line; ``cursor`` is ``"same"`` or ``"counting"``; ``pid`` is a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

raw = json.loads(os.environ["RAW"])
pages = 0


def list_tools() -> dict[str, object]:
    global pages  # noqa: PLW0603 - a script
    pages += 1
    tools = raw.get("tools", [])
    if "cursor" not in raw:
        return {"tools": tools}
    tools = [{**one, "name": f"{one['name']}{pages}"} for one in tools]
    return {"tools": tools, "nextCursor": "x" if raw["cursor"] == "same" else str(pages)}


def respond(method: str, params: dict[str, str]) -> dict[str, object]:
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "raw", "version": "1"},
        }
    if method == "tools/list":
        return list_tools()
    if method == "tools/call":
        text = json.dumps(params.get("arguments"))
        default = {"content": [{"type": "text", "text": f"{params['name']} {text}"}]}
        return raw.get("results", {}).get(params["name"], default)
    raise LookupError(method)


def write(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def main() -> None:
    if "pid" in raw:
        Path(raw["pid"]).write_text(str(os.getpid()), encoding="utf-8")
    if "greeting" in raw:
        write(raw["greeting"])
    for line in sys.stdin:
        message = json.loads(line)
        method = message["method"]
        if "id" not in message:
            continue
        if method == raw.get("silent"):
            time.sleep(600)
        if method == raw.get("crash"):
            os._exit(1)
        if method == raw.get("half"):
            write('{"jsonrpc": "2.0", "id"', end="")
            os._exit(1)
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            reply["result"] = respond(method, message.get("params", {}))
            if "error" in reply["result"]:
                reply["error"] = reply.pop("result")["error"]
        except LookupError:
            reply["error"] = {"code": -32601, "message": f"no {method}"}
        write(json.dumps(reply))


main()
