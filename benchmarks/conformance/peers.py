"""The peers, and where they are installed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchmarks.conformance.driver import DRIVERS
from benchmarks.conformance.environments import make
from benchmarks.conformance.run import OURS, Peer

__all__ = ["PEERS", "install"]

PEERS: tuple[str, ...] = tuple(sorted(DRIVERS.keys() - set(OURS)))
"""Who can be driven."""


def install(requirements: Iterable[str]) -> tuple[list[Peer], dict[str, str]]:
    """Make an environment for each of *requirements*, such as ``openai`` or ``openai==3.54.0``.

    Returns:
        The peers, and why those are missing that cannot be installed.

    Raises:
        ValueError: One is not in `PEERS`.
    """
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        if name not in PEERS:
            raise ValueError(f"no peer {name!r}; there are {', '.join(PEERS)}")
        try:
            peers.append(Peer.of(name, make(name, [requirement])))
        except (OSError, RuntimeError) as error:
            missing[name] = " ".join(str(error).split())
    return peers, missing
