"""``@pytest.mark.acechat_cassette``, as other projects use it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from acechat import Client
from acechat._record.cassette import Cassette
from acechat.emulator import ok

pytest_plugins = ["pytester"]

SUITE = """
import asyncio
import pytest

pytestmark = pytest.mark.acechat_cassette("cassettes/hello.acecast")

def test_blocking(acechat_blocking_client):
    assert acechat_blocking_client.chat("Hello").text == "Recorded"

def test_async(acechat_client, acechat_service):
    async def talk():
        async with acechat_client as client:
            return await client.chat("Hello")

    assert asyncio.run(talk()).text == "Recorded"
    assert len(acechat_service.requests) == 1
"""

STRICT = ("-q", "--strict-markers", "-W", "error", "-p", "no:cacheprovider")
if find_spec("pytest_asyncio"):  # it warns without this
    STRICT += ("--override-ini=asyncio_default_fixture_loop_scope=function",)


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(SUITE)
    return pytester


@pytest.fixture
def cassette(pytester):
    return pytester.path / "cassettes" / "hello.acecast"


def test_a_missing_cassette_fails_and_says_how_to_record_it(suite):
    done = suite.runpytest_subprocess(*STRICT)

    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["*there is no cassette *hello.acecast: record it with pytest*"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_a_missing_cassette_is_recorded_when_asked_for_and_played_from_then_on(
    suite, cassette, environment
):
    environment.script(ok("Recorded"))

    done = suite.runpytest_subprocess(*STRICT, "--acechat-record", environment.url)
    done.assert_outcomes(passed=2)
    assert len(environment.requests) == 1, "the second test had a cassette"
    assert environment.token.encode() not in cassette.read_bytes()

    environment.stop()
    suite.runpytest_subprocess(*STRICT).assert_outcomes(passed=2)


def test_a_cassette_that_an_error_saved_can_be_a_test(suite, cassette, environment):
    environment.script(ok("Recorded"))
    with Client(environment.token, base_url=environment.url) as client:
        client.chat("Hello")
        cassette.parent.mkdir()
        client.save_cassette(cassette)

    suite.runpytest_subprocess(*STRICT).assert_outcomes(passed=2)
    assert len(Cassette.load(cassette).exchanges) == 1


def test_the_option_and_the_marker_are_documented(pytester):
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(["*--acechat-record=URL*"])
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.acechat_cassette(name, speed=inf): *"]
    )
