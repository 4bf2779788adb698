"""Interrupts a blocking client with real signals: `python tests/soak_signals.py --seconds 60`.

A timer's signal raises KeyboardInterrupt in the main thread, as Ctrl-C does, at random moments of
calls, streams, runs and close(). After each, the same client must still serve, within a time limit.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import signal
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

from acechat import Client, ClientClosedError
from acechat.emulator import Service

LIMIT = 20.0
"""Seconds after which a round counts as a hang: the process prints its stacks and exits with 1."""

ARMED = SimpleNamespace(on=False)
"""Whether the signal interrupts: not between two rounds."""


def weather(city: str) -> str:
    return f"rain in {city}"


def act(client: Client, number: int) -> None:
    if number % 4 == 0:
        client.run("Umbrella in Paris?", tools=[weather], tool_choice="required")
    elif number % 4 == 1:
        for _ in client.stream("word " * 20):
            pass
    else:
        client.chat("Hello")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="duration (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    random_source = random.Random(options.seed)
    until = time.monotonic() + options.seconds
    rounds = interrupts = 0
    with Service() as service:
        client = Client(service.token, base_url=service.url, proxy="", timeout=10)
        while time.monotonic() < until:
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            rounds += 1
            closing = rounds % 25 == 0
            try:
                try:
                    ARMED.on = True
                    signal.setitimer(signal.ITIMER_REAL, random_source.uniform(1e-5, 8e-3))
                    client.close() if closing else act(client, rounds)
                finally:
                    ARMED.on = False
            except KeyboardInterrupt:
                interrupts += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            if closing:
                client.close()
                with suppress(ClientClosedError):
                    client.chat("Hello")
                    raise AssertionError("a closed client served a call")
                client = Client(service.token, base_url=service.url, proxy="", timeout=10)
            assert client.chat("Hello").text.startswith("You said")
        faulthandler.cancel_dump_traceback_later()
        client.close()
    print(f"{rounds} rounds, {interrupts} interrupts, nothing hung (seed {options.seed})")
    return 0 if interrupts else 1


def interrupt(number: int, frame: object) -> None:
    if ARMED.on:
        raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, interrupt)
    sys.exit(main())
