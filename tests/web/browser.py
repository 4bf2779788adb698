"""A real browser, headless, driven over its DevTools protocol by aiohttp.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), " ": (32, " ")}
_PATIENCE = 20.0


def find():
    """Return the path of a browser; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """Runs *command* with a profile in *folder*, which nobody has used before."""

    def __init__(self, command, folder: Path) -> None:
        flags = "--headless=new --disable-gpu --disable-dev-shm-usage --no-first-run --mute-audio"
        flags += " --disable-background-networking --remote-debugging-port=0 --window-size=900,700"
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags += " --no-sandbox"  # which root cannot have
        self._process = subprocess.Popen(
            [command, *flags.split(), f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._numbers = itertools.count(1)
        self._waiting = {}
        self.events = []
        port, path = self._wait_for_port(folder / "DevToolsActivePort")
        self.run(self._connect(f"ws://127.0.0.1:{port}{path}"))

    def _wait_for_port(self, file):
        until = time.monotonic() + 2 * _PATIENCE
        while not (file.exists() and file.read_text().count("\n")):
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < until, "the browser did not start"
            time.sleep(0.05)
        return file.read_text().split()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    async def _connect(self, url):
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self):
        async for message in self._socket:
            told = message.json()
            if "method" in told:
                self.events.append(told)
            waiting = self._waiting.pop(told.get("id"), None)
            if waiting is not None:
                waiting.set_result(told)

    async def _call(self, method, session, parameters):
        number = next(self._numbers)
        waiting = self._waiting[number] = self._loop.create_future()
        call = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(call | ({"sessionId": session} if session else {}))
        return await waiting

    def call(self, method, session=None, **parameters):
        told = self.run(self._call(method, session, parameters))
        assert "error" not in told, told
        return told["result"]

    def open(self, url):
        return Page(self, url)

    def close(self):
        with suppress(Exception):
            self.call("Browser.close")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self.run(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Page:
    """One tab."""

    def __init__(self, browser, url):
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.protocol !== 'about:'")

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def events(self, *methods):
        """Return the parameters of the events of this tab so far, of these methods."""
        return [
            event["params"]
            for event in self._browser.events
            if event["method"] in methods and event.get("sessionId") == self._session
        ]

    def evaluate(self, expression):
        """Return what *expression* is; what it throws is an error here."""
        told = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait_for(self, expression, seconds=10.0):
        """Wait until *expression* is true; return it."""
        until = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < until, f"never: {expression}"
            time.sleep(0.02)
        return value

    def press(self, key, *, shift=False):
        code, text = KEYS[key]
        facts = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": code,
            "modifiers": 8 * shift,
        }
        down = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text):
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector):
        """Click with the mouse on the middle of the first element that *selector* finds."""
        place = self.evaluate(
            f"(r => ({{x: r.x + r.width / 2, y: r.y + r.height / 2}}))"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place, button="left", clickCount=1)

    def colours(self, scheme):
        """Prefer ``"light"`` or ``"dark"``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        self._browser.call("Target.closeTarget", targetId=self._target)
