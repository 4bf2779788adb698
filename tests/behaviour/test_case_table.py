"""Every case of the table has a test, async and sync where both are affected.

A test is bound to a case by ``@pytest.mark.case("retry-429", ...)``, or by a parameter of that id.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLE = json.loads((HERE.parent / "data" / "client_cases.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in TABLE["cases"]}

ONE_MODE = {
    "life-cancel": "only a task can be cancelled; Ctrl-C is its twin, in test_blocking.py",
    "life-break": "the asyncio half of life-break-sync",
    "life-break-sync": "the blocking half of life-break",
    "life-two-loops": "the blocking client has one loop, of its own",
    "life-threads": "an asyncio client belongs to the threads of its loops",
    "life-in-loop": "an asyncio client is always in a running loop",
}

DIFFERENT = {
    "retry-stale-keepalive": "a reset may follow a request that was read: a lost attempt, reported",
    "retry-stale-fin": "replaced for free only if nothing of the request was acknowledged",
    "retry-after-huge": "the cap is 120 s, and whatever does not fit into Timeout.total",
    "to-body": "a plain answer that stops is the idle limit's, not a read time-out's",
    "redir-307-same": "not followed, though the table would accept it",
    "net-cl-short": "an error that is retryable, but not retried: it was answered (design.md, 4)",
    "net-chunked-cut": "as net-cl-short",
    "body-json-instead-of-stream": "a whole answer is streamed; the table would accept an error",
    "body-dup-keys": "the last one wins",
    "body-wrong-types": "a wrong `created` loses no answer (design.md, 4)",
    "body-huge-int": "read as null; the table asks for an error",
    "stream-bad-utf8": "U+FFFD; the table would accept an error",
    "stream-only-done": "an error: a success has content; the table asks for an empty stream",
    "body-nan": "read as null; the table asks for an error",
    "body-bad-utf8": "U+FFFD; the table asks for an error",
    "body-lone-surrogate": "U+FFFD in a response, an error in a request",
    "stream-surrogate": "U+FFFD; the table asks for an error",
    "stream-null-choices": "an event like any other, of no content",
    "sec-newline": "taken off; the table would accept a refusal",
    "sec-repr": "a client pickles without its token; the table would accept a refusal",
}
"""Cases in which the table leaves a choice, or the design deviates: the behaviour of acechat."""

MODES = {"AsyncClient": "async", "Client": "blocking"}

COLLECT = """
import functools, inspect, json, pathlib, re, sys, pytest
getsource = functools.cache(inspect.getsource)
class Told:
    def pytest_collection_finish(self, session):
        told = []
        for item in session.items:
            call = getattr(item, "callspec", None)
            told.append({
                "test": item.nodeid,
                "marks": [id for mark in item.iter_markers("case") for id in mark.args],
                "parameters": call._idlist if call else [],
                "mode": call and call.params.get("mode"),
                "kinds": [kind for kind in ("AsyncClient", "Client")
                          if re.search(rf"\\b{kind}\\(", getsource(item.function))
                          or call and kind in [getattr(one, "__name__", one)
                                               for one in call.params.values()]],
            })
        pathlib.Path(sys.argv[1]).write_text(json.dumps(told))
sys.exit(pytest.main(
    ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", sys.argv[2]],
    plugins=[Told()],
))
"""


# All tests are collected, once: in one worker.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    """Return the modes (async, blocking) of the tests of each case."""
    told = tmp_path_factory.mktemp("cases") / "told.json"
    subprocess.run(
        [sys.executable, "-c", COLLECT, told, HERE],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=HERE.parent.parent,
    )
    tests = defaultdict(set)
    for test in json.loads(told.read_text()):
        parameters = [one for given in test["parameters"] for one in given.split(",")]
        # a test that creates a client has a fixed mode; the others use that of `ask`
        modes = {MODES[kind] for kind in test["kinds"]} or {test["mode"]}
        for case in {*test["marks"], *CASES.keys() & {*parameters}}:
            tests[case] |= modes
    return tests


def test_every_case_has_a_test(bound):
    unbound = sorted(CASES.keys() - bound.keys())
    assert not unbound, unbound


def test_no_test_names_an_unknown_case(bound):
    unknown = sorted(bound.keys() - CASES.keys())
    assert not unknown, unknown


def test_every_case_is_tested_async_and_sync(bound):
    lacking = {
        case: sorted(filter(None, bound[case]))
        for case in CASES
        if not bound[case] >= {"async", "blocking"} and case not in ONE_MODE
    }
    assert not lacking, sorted(lacking.items())


def test_exceptions_refer_to_known_cases():
    assert {*ONE_MODE, *DIFFERENT} <= CASES.keys()


def test_the_copy_equals_the_table(root):
    original = root.parent / "shared" / "design" / "client_cases.json"
    if not original.exists():
        pytest.skip(f"{original} is not here")
    assert json.loads(original.read_text(encoding="utf-8")) == TABLE
