"""Growth of the cost."""

from __future__ import annotations

from functools import partial

from benchmarks.driver import Benchmark, Case

_US, _NAIVE, _OPENAI = ["floor", "acechat"], "aiohttp + json", "openai"
_ALL = [*_US, _NAIVE, _OPENAI]
_SHOWN = {"cpu": "µs of CPU per chunk"}
_case = partial(Case, work="streams", rounds=3, one_round=(_OPENAI,), shown=_SHOWN)
_KIB, _MIB = 2**10, 2**20

_LENGTHS = [
    _case(
        name=f"length-{length}",
        title=f"a stream of {length} chunks",
        path=f"events/{length}",
        options={"total": max(10_000 // length, 1)},
        subjects=_ALL[: 4 if length <= 10**5 else 2],
        group="length of a stream, in chunks",
        at=f"{length:,}",
    )
    for length in (10**2, 10**3, 10**4, 10**5, 10**6)
]

_SIZES = [
    _case(
        name=f"size-{size}",
        title=f"events with {size} characters",
        path=f"events,size={size}/{count}",
        subjects=_ALL,
        group="characters in each event",
        at=f"{size:,}",
    )
    for size, count in [
        (50, 5000),
        (512, 5000),
        (4 * _KIB, 1000),
        (32 * _KIB, 200),
        (256 * _KIB, 30),
        (_MIB, 10),
    ]
]

_SPLITS = [
    _case(
        name=f"split-{split}",
        title=f"HTTP chunks of {split} bytes",
        path=f"events,split={split}/500",
        subjects=_ALL,
        group="bytes in each HTTP chunk of a backlog",
        at=f"{split:,}",
    )
    for split in (1000, 100, 10, 1)
]

_STREAMS = [
    _case(
        name=f"streams-{number}",
        title=f"{number} streams at once",
        path="events/100",
        options={"at_once": number, "total": max(100, number)},
        subjects=_ALL[: 4 if number <= 500 else 3 if number <= 2000 else 2],
        group="streams at once, of 100 chunks each, opening included",
        at=f"{number:,}",
    )
    for number in (1, 10, 100, 500, 1000, 2000, 5000)
]

_request = partial(
    Case,
    path="plain/40",
    work="sized",
    subjects=["acechat", "aiohttp + msgspec", _OPENAI],
    rounds=3,
    shown={"cpu": "µs of CPU per call"},
)

_TOOLS = [
    _request(
        name=f"tools-{number}",
        title=f"a call with {number} tools",
        options={"total": 20, "tools": number},
        group="tools of a call, described in JSON",
        at=f"{number:,}",
    )
    for number in (1, 10, 100, 1000)
]

_MESSAGES = [
    _request(
        name=f"messages-{number}",
        title=f"a call with {number} messages",
        options={"total": 20 if number <= 1000 else 5, "messages": number},
        group="messages of a call, of 40 characters each",
        at=f"{number:,}",
    )
    for number in (1, 10, 100, 1000, 10_000)
]

# The service accepts 32 MiB, and acechat refuses to send more.
_REQUESTS = [
    _request(
        name=f"request-{size}",
        title=f"a call with one message of {size} KiB",
        options={"total": max(20 // size, 3), "size": size * _KIB},
        group="KiB in the message of a call",
        at=f"{size:,}",
    )
    for size in (1, 64, 1024, 8 * 1024, 31 * 1024)
]

# One write for each byte, or for each KiB: the worst case of a slow network.
_SMALL_WRITES = [
    _case(
        name=f"bytes-{size}",
        title=f"an event with {size} characters, byte by byte, one write each",
        path=f"paced,size={size},split=1,every=100/4",
        subjects=_ALL,
        group="characters in an event that arrives byte by byte; µs of CPU per event",
        at=f"{size:,}",
    )
    for size in (64, 4 * _KIB)
] + [
    _case(
        name=f"huge-{size // _MIB}",
        title=f"one event of {size // _MIB} MiB in writes of 1 KiB",
        path=f"paced,size={size},split=1024,every=50/1",
        subjects=_ALL,
        group="MiB in one event that arrives in writes of 1 KiB; µs of CPU per event",
        at=f"{size // _MIB}",
    )
    for size in (_MIB, 8 * _MIB)
]

BENCHMARK = Benchmark(
    "growth",
    "Growth of the cost",
    [
        *_LENGTHS,
        *_SIZES,
        *_SPLITS,
        *_STREAMS,
        *_TOOLS,
        *_MESSAGES,
        *_REQUESTS,
        *_SMALL_WRITES,
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["growth"])
