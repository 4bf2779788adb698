"""The service on localhost: the responses of docs/api.md byte for byte, and faults on demand.

>>> from acechat.emulator import Service, cut, fail, ok
>>> with Service() as service:
...     service.script(fail(503), cut(after=3), ok("Hello!"))

A request without a scripted step gets an echo, which describes the request. Equal requests get
equal completions, plain or streamed.
"""

from __future__ import annotations

from acechat.emulator.app import create_app
from acechat.emulator.completion import ChatRequest
from acechat.emulator.faults import (
    cut,
    drop,
    error_event,
    heartbeats,
    malformed,
    pace,
    split,
    stall,
)
from acechat.emulator.routes import MODELS
from acechat.emulator.script_file import read_script
from acechat.emulator.service import Service, ServiceOptions, serve
from acechat.emulator.state import DEFAULT_TOKEN, ReceivedRequest, ServiceState
from acechat.emulator.steps import Step, call, fail, ok, raw

__all__ = [
    "DEFAULT_TOKEN",
    "MODELS",
    "ChatRequest",
    "ReceivedRequest",
    "Service",
    "ServiceOptions",
    "ServiceState",
    "Step",
    "call",
    "create_app",
    "cut",
    "drop",
    "error_event",
    "fail",
    "heartbeats",
    "malformed",
    "ok",
    "pace",
    "raw",
    "read_script",
    "serve",
    "split",
    "stall",
]
