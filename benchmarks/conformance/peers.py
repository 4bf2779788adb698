"""The peers and their installation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchmarks.conformance.driver import DRIVERS
from benchmarks.conformance.environments import make
from benchmarks.conformance.run import OURS, Peer

__all__ = ["PEERS", "install"]

PEERS: tuple[str, ...] = tuple(sorted(DRIVERS.keys() - set(OURS)))
"""The names of the peers."""


def install(requirements: Iterable[str]) -> tuple[list[Peer], dict[str, str]]:
    """Create an environment for each of *requirements*, such as ``openai`` or ``openai==3.54.0``.

    Returns:
        The installed peers, and the reason for each that cannot be installed.

    Raises:
        ValueError: A name is not in `PEERS`.
    """
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        if name not in PEERS:
            raise ValueError(f"unknown peer {name!r}; choose from {', '.join(PEERS)}")
        try:
            peers.append(Peer.of(name, make(name, [requirement])))
        except (OSError, RuntimeError) as error:
            missing[name] = " ".join(str(error).split())
    return peers, missing
