"""Settings of a client: limits, retries, token, base URL, headers."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import msgspec
import pytest

from acechat._config import DEFAULT_MODEL, Config, as_models, check_headers, read_api_root
from acechat._credentials import Token, read_token
from acechat._policy.values import RetryPolicy, Timeout, as_retries, as_timeout
from acechat.errors import ConfigurationError

SECRET = "sk-0123456789abcdef0123456789abcdef"
ORIGIN = "https://api.acedata.cloud"
NO_NUMBERS = [0, -1, -0.5, float("nan"), float("inf"), True, False, "5", b"5", [], Fraction(1, 2)]


def config(**settings):
    return Config(**{"token": Token(SECRET), "api_root": f"{ORIGIN}/v1", **settings})


def test_default_limits():
    assert Timeout() == Timeout(total=None, connect=10.0, first_token=600.0, idle=120.0)


@pytest.mark.parametrize("limit", NO_NUMBERS)
@pytest.mark.parametrize("name", ["total", "connect", "first_token", "idle"])
def test_a_limit_is_a_positive_number_or_none(name, limit):
    with pytest.raises(ConfigurationError, match=rf"Timeout\.{name} must be a positive number"):
        Timeout(**{name: limit})


@pytest.mark.parametrize("limit", [None, 1, 0.001, 1e9])
def test_positive_limits_and_none_are_accepted(limit):
    assert Timeout(limit, limit, limit, limit).idle == limit


def test_a_number_as_timeout_sets_the_total():
    default = Timeout(connect=3, idle=4)

    assert as_timeout(None, default) is default
    assert as_timeout(30, default) == Timeout(total=30, connect=3, idle=4)
    assert as_timeout(Timeout(idle=5), default) == Timeout(idle=5)


@pytest.mark.parametrize("timeout", NO_NUMBERS)
def test_an_invalid_timeout_is_an_error(timeout):
    with pytest.raises(ConfigurationError, match="positive number of seconds"):
        as_timeout(timeout, Timeout())


def test_default_retries():
    policy = RetryPolicy()

    assert (policy.max_attempts, policy.base_delay, policy.max_delay) == (3, 0.5, 8.0)
    assert policy.retry_timeouts is False


@pytest.mark.parametrize("attempts", [0, -1, True, False, 1.0, 2.5, "3", None, float("nan")])
def test_max_attempts_is_a_positive_integer(attempts):
    with pytest.raises(ConfigurationError, match="counts the first attempt"):
        RetryPolicy(max_attempts=attempts)


@pytest.mark.parametrize("retries", [0, -1, True, 1.0, "3"])
def test_invalid_retries_are_an_error(retries):
    with pytest.raises(ConfigurationError, match="max_attempts must be an integer"):
        as_retries(retries, RetryPolicy())


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "1", None])
@pytest.mark.parametrize("name", ["base_delay", "max_delay"])
def test_delays_are_finite_and_not_negative(name, delay):
    with pytest.raises(ConfigurationError, match=f"{name} must be 0 or more seconds"):
        RetryPolicy(**{name: delay})


def test_an_int_as_retries_sets_max_attempts():
    default = RetryPolicy(base_delay=0)

    assert as_retries(None, default) is default
    assert as_retries(1, default) == RetryPolicy(max_attempts=1, base_delay=0)
    assert as_retries(RetryPolicy(max_delay=1), default) == RetryPolicy(max_delay=1)


@pytest.mark.parametrize(
    "given",
    [
        SECRET,
        f"{SECRET}\n",
        f" \t{SECRET}\r\n",
        f"Bearer {SECRET}",
        f"bearer   {SECRET} ",
        f"\nBEARER {SECRET}\n",
    ],
)
def test_white_space_and_bearer_are_removed_from_a_token(given):
    assert read_token(given).reveal() == SECRET


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("Bearer", "empty"),
        (" bearer \n", "empty"),
        (f"{SECRET}\r\nX-Evil: 1", "characters"),
        (f"{SECRET}\n{SECRET}", "characters"),
        (f"{SECRET} {SECRET}", "characters"),
        (f"{SECRET}\0", "characters"),
        (f"{SECRET}\x7f", "characters"),
        (f"{SECRET}é", "characters"),
        (f"{SECRET}\N{ZERO WIDTH SPACE}", "characters"),
        (f"{SECRET}\ud83d", "characters"),
        ("platform-v1-0123456789abcdef", "platform token"),
        ("Bearer platform-v1-0123456789abcdef", "platform token"),
    ],
)
def test_the_error_for_an_invalid_token_does_not_contain_it(given, problem):
    with pytest.raises(ConfigurationError, match=problem) as caught:
        read_token(given)

    assert SECRET not in repr(caught.value) + str(caught.value)
    assert "0123456789abcdef" not in repr(caught.value)


@pytest.mark.parametrize("given", [123, b"sk-0123456789abcdef", ["sk"], object(), True])
def test_a_token_of_another_type_is_an_error(given):
    with pytest.raises((TypeError, ConfigurationError), match="token"):
        read_token(given)


def test_the_error_for_a_missing_token_names_the_variable():
    with pytest.raises(ConfigurationError, match="set ACEDATACLOUD_API_TOKEN"):
        read_token(None)


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({"ACEDATACLOUD_API_TOKEN": "t-1"}, "t-1"),
        ({"ACEDATACLOUD_API_KEY": "t-2"}, "t-2"),
        ({"ACEDATA_API_KEY": "t-3"}, "t-3"),
        ({"ACEDATACLOUD_API_TOKEN": "t-1", "ACEDATACLOUD_API_KEY": "t-2"}, "t-1"),
        ({"ACEDATACLOUD_API_KEY": "t-2", "ACEDATA_API_KEY": "t-3"}, "t-2"),
        ({"ACEDATACLOUD_API_TOKEN": "", "ACEDATA_API_KEY": "t-3"}, "t-3"),
        ({"ACEDATACLOUD_API_TOKEN": "Bearer t-1\n"}, "t-1"),
    ],
)
def test_the_token_is_read_from_the_environment(monkeypatch, environment, token):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert read_token(None).reveal() == token
    assert read_token("given").reveal() == "given"


@pytest.mark.parametrize(
    ("secret", "shown"), [("t-1", "***"), ("x" * 15, "***"), (SECRET, "***cdef")]
)
def test_the_repr_of_a_token_shows_at_most_four_characters(secret, shown):
    token = Token(secret)

    assert repr(token) == str(token) == f"{token}" == shown


def test_tokens_are_compared_by_value():
    assert Token("a") == Token("a")
    assert Token("a") != Token("b")
    assert Token("a") != "a"
    assert len({Token("a"), Token("a"), Token("b")}) == 2


def test_redact_removes_the_token():
    token = Token(SECRET)

    assert token.redact(f"token {SECRET} is wrong".encode()) == b"token *** is wrong"
    assert token.redact_text(f"{SECRET}{SECRET}") == "******"
    assert token.redact(b"nothing here") == b"nothing here"
    assert token.redact_text("nothing here") == "nothing here"


def test_a_config_is_pickled_without_its_token(monkeypatch):
    pickled = pickle.dumps(config(model="m"))
    assert SECRET.encode() not in pickled

    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "t-there")
    again = pickle.loads(pickled)

    assert again.token == Token("t-there")
    assert again.model == "m"
    assert msgspec.structs.replace(again, token=Token(SECRET)) == config(model="m")


def test_unpickling_a_config_needs_a_token_in_the_environment():
    pickled = pickle.dumps(config())

    with pytest.raises(ConfigurationError, match="no API token"):
        pickle.loads(pickled)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_config_keeps_its_token(monkeypatch, duplicate):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "t-of-another-user")

    again = duplicate(config())

    assert again == config()


def test_the_repr_of_a_config_hides_the_token():
    shown = f"{config()!r} {config()} {msgspec.structs.asdict(config())!r}"

    assert SECRET not in shown
    assert "cdef" in shown


def test_configs_are_compared_by_value():
    assert config() == config()
    assert config(model="other") != config()
    assert config().model == DEFAULT_MODEL == "claude-sonnet-4-20250514"
    assert (config().max_event_bytes, config().max_response_bytes) == (16 * 2**20, 64 * 2**20)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "9", float("inf")])
@pytest.mark.parametrize("name", ["max_concurrency", "max_event_bytes", "max_response_bytes"])
def test_counts_are_positive_integers(name, limit):
    with pytest.raises(ConfigurationError, match=f"{name} must be an integer of at least 1"):
        config(**{name: limit})


@pytest.mark.parametrize("name", ["max_event_bytes", "max_response_bytes"])
def test_memory_limits_cannot_be_none(name):
    with pytest.raises(ConfigurationError, match=f"{name} must be an integer"):
        config(**{name: None})


def test_max_concurrency_may_be_none():
    assert config(max_concurrency=None).max_concurrency is None


def test_an_empty_model_is_an_error():
    with pytest.raises(ConfigurationError, match="model is empty"):
        config(model="")


@pytest.mark.parametrize(
    ("given", "root"),
    [
        (None, f"{ORIGIN}/v1"),
        ("", f"{ORIGIN}/v1"),
        (ORIGIN, f"{ORIGIN}/v1"),
        (f"{ORIGIN}/", f"{ORIGIN}/v1"),
        (f" {ORIGIN}\n", f"{ORIGIN}/v1"),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1"),
        (f"{ORIGIN}/v1/", f"{ORIGIN}/v1"),
        (f"{ORIGIN}/openai", f"{ORIGIN}/openai"),
        (f"{ORIGIN}/a/b/", f"{ORIGIN}/a/b"),
        ("http://localhost:8080", "http://localhost:8080/v1"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("HTTPS://api.acedata.cloud", f"{ORIGIN}/v1"),
    ],
)
def test_v1_is_appended_to_a_base_url_without_a_path(given, root):
    assert read_api_root(given) == root


def test_the_base_url_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", "http://localhost:1")

    assert read_api_root(None) == "http://localhost:1/v1"
    assert read_api_root("http://localhost:2") == "http://localhost:2/v1"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("api.acedata.cloud", "must begin with https://"),
        ("ftp://api.acedata.cloud", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://", "name a host"),
        ("https:///v1", "name a host"),
        ("http://localhost:port", "is invalid: "),
        ("http://localhost:99999", "is invalid: "),
        ("http://[::1", "is invalid: "),
        (f"{ORIGIN}/v1?a=1", "not contain a user name, '\\?' or '#'"),
        (f"{ORIGIN}/v1#a", "not contain a user name, '\\?' or '#'"),
        ("https://user@host", "the token goes into api_token="),
        (f"{ORIGIN}/v1/chat/completions", "must end before /chat/completions"),
        (f"{ORIGIN}/v1/chat/completions/", "must end before /chat/completions"),
    ],
)
def test_an_invalid_base_url_is_an_error(given, problem):
    with pytest.raises(ConfigurationError, match=problem):
        read_api_root(given)


@pytest.mark.parametrize("given", [f"https://user:{SECRET}@host/v1", f"https://{SECRET}@host"])
def test_the_error_for_a_base_url_with_a_secret_does_not_contain_it(given):
    with pytest.raises(ConfigurationError) as caught:
        read_api_root(given)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("given", ["https://h h/v1", "https://h/a b", "https://h/\x01"])
def test_a_base_url_with_white_space_is_an_error(given):
    with pytest.raises(ConfigurationError, match="base URL"):
        read_api_root(given)


@pytest.mark.parametrize("given", [5, b"https://host", object()])
def test_a_base_url_of_another_type_is_an_error(given):
    with pytest.raises((TypeError, ConfigurationError), match="base URL"):
        read_api_root(given)


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Title": "Ace"}, {"anthropic-beta": "a,b"}, {"x_y": ""}, {"Content-Type": "x"}],
)
def test_valid_headers_are_accepted(headers):
    check_headers(headers)


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Authorization": "Bearer x"}, "sets the header 'Authorization' itself"),
        ({"AUTHORIZATION": "x"}, "itself"),
        ({"Host": "x"}, "itself"),
        ({"Content-Length": "1"}, "itself"),
        ({"transfer-encoding": "chunked"}, "itself"),
        ({"Connection": "close"}, "itself"),
        ({"": "x"}, "invalid header name"),
        ({"a b": "x"}, "invalid header name"),
        ({"a\r\nb": "x"}, "invalid header name"),
        ({"a:b": "x"}, "invalid header name"),
        ({"é": "x"}, "invalid header name"),
        ({"X": "a\r\nX-Evil: 1"}, "without line breaks"),
        ({"X": "a\nb"}, "without line breaks"),
        ({"X": "a\0b"}, "without line breaks"),
        ({"X": 5}, "must be a str"),
        ({"X": None}, "must be a str"),
        ({"X": b"x"}, "must be a str"),
    ],
)
def test_headers_that_change_the_framing_are_an_error(headers, problem):
    with pytest.raises(ConfigurationError, match=problem):
        check_headers(headers)
    with pytest.raises(ConfigurationError, match=problem):
        config(headers=headers)


@pytest.mark.parametrize("headers", [{1: "x"}, {None: "x"}, {b"X": "x"}, [("X", "x")]])
def test_headers_of_another_type_are_an_error(headers):
    with pytest.raises((TypeError, ConfigurationError), match="header"):
        check_headers(headers)


def test_the_error_for_a_header_does_not_contain_its_value():
    with pytest.raises(ConfigurationError) as caught:
        check_headers({"X-Key": f"{SECRET}\n"})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("redact", [Token.redact, Token.mask])
def test_a_token_shorter_than_eight_characters_is_not_redacted(redact):
    token = Token("t-1")

    assert redact(token, b"a t-1 in a text") == b"a t-1 in a text"
    assert token.redact_text("a t-1 in a text") == "a t-1 in a text"


def test_a_mask_has_the_length_of_the_token():
    masked = Token(SECRET).mask(f"a {SECRET} b {SECRET}".encode())

    assert masked == b"a " + b"*" * len(SECRET) + b" b " + b"*" * len(SECRET)


@pytest.mark.parametrize("part", [8, 20, len(SECRET) - 1])
def test_a_part_of_a_token_at_the_edge_is_masked(part):
    token = Token(SECRET)

    assert token.mask(f"it is {SECRET[:part]}".encode()) == b"it is " + b"*" * part
    assert token.mask(f"{SECRET[-part:]} it is".encode()) == b"*" * part + b" it is"


@pytest.mark.parametrize("streaming", ["", "Stream", "sse", None, 1])
def test_streaming_has_three_values(streaming):
    with pytest.raises(ConfigurationError, match="must be 'auto', 'always' or 'never'"):
        config(streaming=streaming)


@pytest.mark.parametrize("models", ["m", ["m", 1], [None]])
def test_fallback_models_are_a_list_of_names(models):
    with pytest.raises(ConfigurationError, match="must be a list of model names, not"):
        as_models(models)


def test_fallback_models_keep_their_order():
    assert as_models(iter(["b", "a"])) == ("b", "a")
    assert as_models([]) == ()


@pytest.mark.parametrize("models", [("",), ("m", "")])
def test_an_empty_fallback_model_is_an_error(models):
    with pytest.raises(ConfigurationError, match="model is empty"):
        config(fallback_models=models)


@pytest.mark.parametrize("size", [0, 1024, 2**30])
def test_max_record_bytes_is_0_or_at_least_1024(size):
    assert config(max_record_bytes=size).max_record_bytes == size


def test_a_token_of_eight_characters_is_redacted():
    token = Token("12345678")

    assert token.redact(b"a 12345678 b") == b"a *** b"
    assert token.redact_text("a 12345678 b") == "a *** b"
    assert token.mask(b"a 12345678 b") == b"a ******** b"


def test_a_part_of_three_characters_is_not_masked():
    assert Token(SECRET).mask(f"is {SECRET[:3]}".encode()) == f"is {SECRET[:3]}".encode()
    assert Token(SECRET).mask(f"is {SECRET[:4]}".encode()) == b"is ****"


def test_the_repr_of_a_token_of_sixteen_characters_shows_its_end():
    assert repr(Token("0123456789abcdef")) == "***cdef"


def test_equal_tokens_have_equal_hashes():
    assert hash(Token("a")) == hash(Token("a"))
    assert hash(Token("a")) != hash(Token("b"))


@pytest.mark.parametrize("name", ["max_concurrency", "max_event_bytes", "max_response_bytes"])
def test_the_smallest_limit_is_one(name):
    assert getattr(config(**{name: 1}), name) == 1


def test_the_path_of_a_base_url_may_have_upper_case_letters():
    assert read_api_root("http://localhost/MAX/") == "http://localhost/MAX"


@pytest.mark.parametrize("name", ["-", "_", "-_-"])
def test_a_header_name_has_a_letter_or_digit(name):
    with pytest.raises(ConfigurationError, match="invalid header name"):
        check_headers({name: "x"})


def test_a_header_value_may_be_any_text_of_one_line():
    check_headers({"X-Title": "XX, x-y_z: 1"})


@pytest.mark.parametrize(
    ("wrong", "kind"), [(lambda: read_token(5), "int"), (lambda: read_api_root(b"x"), "bytes"),
                        (lambda: check_headers([]), "list")]
)  # fmt: skip
def test_the_error_for_a_wrong_type_names_the_type(wrong, kind):
    with pytest.raises(ConfigurationError, match=f"not {kind}$"):
        wrong()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_token_is_the_token(duplicate):
    token = Token(SECRET)

    assert duplicate(token) is token
