"""Secrets are found in all encodings in which a service may echo them, at linear cost."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat._redaction.private import is_private, private_values, public_url
from acechat._redaction.redactor import Redactor

SECRET = "sk/abcDEF/0123456789+xyz=="
REDACTOR = Redactor([SECRET])


def each(template):
    return "".join(template.format(ord(char)) for char in SECRET)


def twice(function):
    return function(function(SECRET))


ESCAPED = {
    "plain": SECRET,
    "json": SECRET.replace("/", "\\/"),
    "json in json": SECRET.replace("/", "\\\\\\/"),
    "one character as \\u": SECRET.replace("/", "\\u002f"),
    "upper case": SECRET.replace("/", "\\u002F"),
    "all characters as \\u": each("\\u{:04x}"),
    "\\u in json": each("\\\\u{:04x}"),
    "python bytes": each("\\x{:02x}"),
    "percent": quote(SECRET, safe=""),
    "percent, lower case": quote(SECRET, safe="").replace("%2F", "%2f"),
    "percent twice": twice(lambda text: quote(text, safe="")),
    "all characters as percent": each("%{:02x}"),
    "html": html.escape(SECRET).replace("/", "&#x2F;").replace("+", "&#43;"),
    "html names": SECRET.replace("/", "&sol;").replace("=", "&equals;"),
    "html, all": each("&#{};"),
    "html in html": html.escape(each("&#x{:x};")),
    "hex": SECRET.encode().hex(),
    "HEX": SECRET.encode().hex().upper(),
}
BASE64 = {
    f"{encode.__name__} of {before!r} … {after!r}": encode(f"{before}{SECRET}{after}".encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode)
    for before in ("", "a", "ab", "Bearer ", "user:")
    for after in ("", "!", "!!", "!!!")
}
FORMS = ESCAPED | {name: form.decode() for name, form in BASE64.items()}
FORMS |= {f"{name}, no padding": form.decode().rstrip("=") for name, form in BASE64.items()}
FORMS |= {f"{name}, percent": quote(form.decode(), safe="") for name, form in BASE64.items()}
FORMS |= {
    f"{name}, json": form.decode().replace("/", "\\/")
    for name, form in BASE64.items()
    if b"/" in form
}


def known_part(form):
    """The part of *form* that reveals the secret: base64 has characters before and after it."""
    return form if len(form) < 12 else form[10:-10]


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_redacted_and_masked(name):
    form = FORMS[name]
    text = f'{{"a\\n": "50 % of \\"{form}\\" &amp; more"}}'

    redacted = REDACTOR.redact_text(text)

    assert "***" in redacted
    assert known_part(form) not in redacted
    assert redacted.startswith('{"a\\n": "50 % of \\"')
    assert redacted.endswith('\\" &amp; more"}')
    assert REDACTOR.redact(text.encode()).decode() == redacted
    masked = REDACTOR.mask(text.encode()).decode()
    assert len(masked) == len(text)
    assert known_part(form) not in masked
    json.loads(redacted)
    json.loads(masked)


@pytest.mark.parametrize("name", FORMS)
def test_a_truncated_form_is_redacted_wherever_it_is_cut(name):
    form = FORMS[name]
    for size in range(len(form) // 2, len(form)):
        text = f"no such token: {form[:size]}"
        redacted = REDACTOR.redact(text.encode(), truncated=True).decode()
        masked = REDACTOR.mask(text.encode()).decode()
        assert "***" in redacted, text
        assert redacted.startswith("no such token: ")
        assert len(masked) == len(text)
        # The base64 of "Bearer " has 10 characters.
        parts = [form[start : start + 8] for start in range(10, min(size, len(form) - 10) - 7)]
        assert not [part for part in parts if part in redacted or part in masked]


@pytest.mark.parametrize("name", ESCAPED)
def test_the_end_of_a_form_is_masked_at_the_start_of_a_block(name):
    form = ESCAPED[name]
    masked = REDACTOR.mask(form[len(form) // 2 :].encode() + b" and more")
    assert b"***" in masked
    assert masked.endswith(b" and more")
    assert SECRET[-6:].encode() not in masked


def test_a_short_part_at_the_end_is_kept_unless_it_may_be_the_secret():
    assert REDACTOR.redact(b"it is sk/abc", truncated=True) == b"it is sk/abc"
    assert REDACTOR.redact(b"it is sk/abcDE", truncated=True) == b"it is ***"
    assert Redactor(["tok-1234"]).redact(b"a tok-1", truncated=True) == b"a ***"


@given(st.binary(max_size=60), st.sampled_from(sorted(FORMS)), st.binary(max_size=60))
def test_a_form_is_redacted_in_any_data(before, name, after):
    form = known_part(FORMS[name])
    result = REDACTOR.redact(before + b" " + FORMS[name].encode() + b" " + after)
    assert form.encode() not in result


@given(st.text(max_size=80))
def test_other_text_is_unchanged(text):
    assert REDACTOR.redact_text(text) is text
    data = text.encode()
    assert REDACTOR.redact(data) is data


def test_surrogates_and_other_characters_survive():
    assert REDACTOR.redact_text(f"\ud800é {SECRET} 漢") == "\ud800é *** 漢"


def test_several_secrets_are_redacted():
    redactor = Redactor(["first-secret"]).extended(["second-secret", "short"])
    assert redactor.redact_text("first-secret, second-secret, short") == "***, ***, short"


def test_a_backslash_of_a_secret_may_be_doubled():
    redactor = Redactor(["back\\slash-token"])
    assert redactor.redact_text(json.dumps("a back\\slash-token")) == '"a ***"'


def test_headers_are_redacted_only_if_one_holds_a_secret():
    headers = {"a": "1", "b": "2"}
    assert REDACTOR.redact_headers(headers) is headers
    assert REDACTOR.redact_headers(headers | {"b": f"Bearer {SECRET}"})["b"] == "Bearer ***"
    assert Redactor([]).redact_headers(headers) is headers


HOSTILE = [
    b"x", b"\\", b"\\\\u00", b"\\/", b"%", b"%25", b"%2", b"&", b"&amp;", b"&#x", b"&#000",
    SECRET[:-1].encode(),
    SECRET.encode(), SECRET.encode().hex().encode(), b"\\u0073", b"c2sv",
    base64.b64encode(SECRET.encode()),
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("method", ["redact", "mask"])
def test_the_cost_is_linear(data, method):
    """A quadratic search would take 16 times as long for 4 times the data."""

    def seconds(size):
        block = data * (size // len(data))
        began = time.thread_time()
        if method == "mask":
            REDACTOR.mask(block)
        else:
            REDACTOR.redact(block, truncated=True)
        return time.thread_time() - began

    ratios = []
    for _ in range(8):
        small, large = (min(seconds(size) for _ in range(3)) for size in (32_768, 131_072))
        ratios.append(large / max(small, 0.0002))
        if ratios[-1] < 6:
            break
    assert min(ratios) < 6


def test_data_without_a_secret_is_not_copied():
    data = b'{"content": "hello \\n \\"world\\""}' * 10_000
    assert REDACTOR.redact(data) is data
    assert REDACTOR.mask(data) is data


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("Authorization", True), ("Proxy-Authorization", True), ("Cookie", True),
        ("Set-Cookie", True), ("X-Api-Key", True), ("api-key", True), ("apikey", True),
        ("X-Amz-Signature", True), ("sig", True), ("key", True), ("access_token", True),
        ("client_secret", True), ("X-Goog-Api-Key", True), ("password", True),
        ("X-RateLimit-Tokens", False), ("max_tokens", False), ("keyboard", False),
        ("Content-Type", False), ("monkey", False), ("design", False),
    ],
)  # fmt: skip
def test_names_of_private_values(name, private):
    assert is_private(name) is private


def test_private_values_are_redacted_with_their_parts():
    basic = base64.b64encode(b"user:the-password").decode()
    values = set(
        private_values(
            {
                "proxy-authorization": f"Basic {basic}",
                "cookie": "session=abc-session; theme=dark",
                "x-api-key": "a-key",
                "accept": "text/plain",
                "authorization": "Basic !",
            }
        )
    )
    assert {basic, "the-password", "abc-session", "a-key"} <= values
    assert "text/plain" not in values


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/v1/chat?model=m", "/v1/chat?model=m"),
        ("/v1/chat?key=abc&model=m&sig=1#top", "/v1/chat?key=***&model=m&sig=***#top"),
        ("/@scope/x", "/@scope/x"),
        ("https://user:pass@host:1/x", "https://host:1/x"),
        ("https://user:pa/ss@host/x", "https://host/x"),
        ("user:pass@host", "host"),
        ("https://host/x", "https://host/x"),
        ("/x?flag&token=", "/x?flag&token=***"),
    ],
)
def test_public_url(url, shown):
    assert public_url(url) == shown
