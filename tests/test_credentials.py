"""What is taken out of an error before somebody may read it."""

from __future__ import annotations

import pytest

from acechat._credentials import Token, redact_error, strip_traceback
from acechat.errors import APIError, ProtocolError

SECRET = "a-token-of-some-length"
TOKEN = Token(SECRET)


def test_what_a_service_echoed_into_its_refusal_is_gone():
    error = APIError(
        401,
        f"invalid {SECRET}",
        f"no such token: {SECRET}",
        trace_id=f"trace {SECRET}",
        body=f'{{"you": "{SECRET}"}}'.encode(),
    )

    redact_error(error, TOKEN)

    assert error.message == "no such token: ***"
    assert error.code == "invalid ***"
    assert error.trace_id == "trace ***"
    assert error.body == b'{"you": "***"}'
    assert error.status == 401
    assert SECRET not in repr((error, error.args, error.__dict__))


def test_what_cannot_be_read_is_told_without_the_token():
    error = ProtocolError(f"{SECRET} is no JSON", body=SECRET.encode())
    error.args = (f"{SECRET} is no JSON", 7)

    redact_error(error, TOKEN)

    assert error.reason == "*** is no JSON"
    assert error.args == ("*** is no JSON", 7)
    assert error.body == b"***"


def test_an_error_without_the_token_stays_as_it_is():
    error = APIError(529, None, "busy", body=b"busy")

    redact_error(error, TOKEN)

    assert (error.message, error.code, error.trace_id, error.body) == ("busy", None, None, b"busy")


def test_an_error_is_bare_of_frames_and_of_those_before_it():
    with pytest.raises(ProtocolError) as caught:
        raise ProtocolError("no JSON")
    error = caught.value
    error.__context__ = ValueError(SECRET)

    assert strip_traceback(error) is error

    assert error.__context__ is None
    assert error.__traceback__ is None
