"""Short tracebacks, as IPython asks for them."""

from __future__ import annotations

import pytest

from acechat import AceChatError, AuthenticationError, Client, ConfigurationError
from acechat.emulator import fail


def caught(function):
    with pytest.raises(AceChatError) as info:
        function()
    return info.value


def test_it_has_the_caller_s_frames_and_the_text(acechat_service):
    acechat_service.script(fail(401))

    def ask():
        with Client(acechat_service.token, base_url=acechat_service.url, retries=1) as client:
            client.chat("Hello")

    error = caught(ask)
    lines = error._render_traceback_()

    assert isinstance(error, AuthenticationError)
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File")] == [
        line for line in lines if __file__ in line
    ]
    assert '    client.chat("Hello")' in lines
    assert lines[-1].startswith("acechat.errors.AuthenticationError: ")
    assert str(error).splitlines()[-1] in lines[-1]
    assert len(lines) <= 8


def test_a_cell_is_no_file():
    code = compile("raise error", "/tmp/ipykernel_1/2.py", "exec")
    error = caught(lambda: exec(code, {"error": ConfigurationError("no token")}))

    lines = error._render_traceback_()

    assert "  cell, line 1" in lines
    assert lines[-1] == "acechat.errors.ConfigurationError: no token"


def test_an_error_that_was_not_raised_has_its_text_only():
    assert ConfigurationError("no token")._render_traceback_() == [
        "acechat.errors.ConfigurationError: no token"
    ]


def test_deep_recursions_are_bounded():
    def deeper(levels):
        if not levels:
            raise ConfigurationError("the end")
        deeper(levels - 1)

    assert len(caught(lambda: deeper(100))._render_traceback_()) == 42


def test_notes_are_included_and_control_characters_are_not():
    error = ConfigurationError("\x1b[31mred\x07")
    error.add_note("a note")

    assert error._render_traceback_() == [
        "acechat.errors.ConfigurationError: \\x1b[31mred\\x07",
        "a note",
    ]
