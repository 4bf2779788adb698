"""Removal of the token, tracebacks and contexts from errors."""

from __future__ import annotations

import traceback

import pytest

from acechat._credentials import Token, hide_arguments, redact_error, strip_traceback
from acechat.errors import APIError, ProtocolError

SECRET = "a-token-of-some-length"
TOKEN = Token(SECRET)


def test_the_token_is_removed_from_an_api_error():
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


def test_the_token_is_removed_from_a_protocol_error():
    error = ProtocolError(f"{SECRET} is no JSON", body=SECRET.encode())
    error.args = (f"{SECRET} is no JSON", 7)

    redact_error(error, TOKEN)

    assert error.reason == "*** is no JSON"
    assert error.args == ("*** is no JSON", 7)
    assert error.body == b"***"


def test_an_error_without_the_token_is_unchanged():
    error = APIError(529, None, "busy", body=b"busy")

    redact_error(error, TOKEN)

    assert (error.message, error.code, error.trace_id, error.body) == ("busy", None, None, b"busy")


def test_strip_traceback_removes_traceback_and_context():
    with pytest.raises(ProtocolError) as caught:
        raise ProtocolError("no JSON")
    error = caught.value
    error.__context__ = ValueError(SECRET)

    assert strip_traceback(error) is error

    assert error.__context__ is None
    assert error.__traceback__ is None


def test_a_function_that_hides_its_arguments_returns_and_raises_as_before():
    @hide_arguments
    def divide(number: int, by: int = 1) -> float:
        return number / by

    assert divide(4, by=2) == 2
    with pytest.raises(ZeroDivisionError) as caught:
        divide(4, by=0)
    frames = list(traceback.walk_tb(caught.value.__traceback__))
    assert len(frames) == 2  # this one and the wrapper's
    assert not {"args", "kwargs", "number"} & set(frames[1][0].f_locals)


def test_other_secrets_are_redacted_by_an_extended_token():
    extended = TOKEN.extended(["another-secret"])

    assert extended.redact_text(f"{SECRET}, another-secret") == "***, ***"
    assert TOKEN.redact_text("another-secret") == "another-secret"
    assert extended == TOKEN


def test_a_part_of_the_token_at_the_end_of_a_truncated_body_is_removed():
    error = APIError(401, None, f"wrong {SECRET[:-2]}", body=f"wrong {SECRET[:-2]}".encode())

    redact_error(error, TOKEN)

    assert error.message == "wrong ***"
    assert error.body == b"wrong ***"
