"""Which requests the servers of acechat respond to, and how large their examples become."""

from __future__ import annotations

import json
import socket
import time

import pytest

from acechat import Client
from acechat.emulator import Service, ok
from acechat.emulator.content.example import example_of

CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})


@pytest.fixture
def cassette(tmp_path):
    path = tmp_path / "a.acecast"
    with Service() as service, Client(service.token, base_url=service.url, proxy="") as client:
        service.script(ok("the launch code is 1234"))
        client.chat("what is the launch code?")
        client.save_cassette(path)
        client.catalog()
    return path


def ask(url, *headers, path="/v1/chat/completions", body=CHAT, version="1.1", method="POST"):
    """Send a request with exactly these headers; return the response."""
    port = int(url.rpartition(":")[2])
    lines = [f"{method} {path} HTTP/{version}", *headers, f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head.encode() + body.encode())
        received = b""
        while data := connection.recv(65536):
            received += data
    return received.decode()


@pytest.fixture(params=["emulator", "replay", "record"])
def options(request, cassette, tmp_path):
    """The options of each kind of server, with an upstream that counts."""
    with Service() as upstream:
        yield {
            "emulator": {},
            "replay": {"replay": cassette},
            "record": {"record": tmp_path / "b.acecast", "upstream": upstream.url},
        }[request.param]


REFUSED = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
           "evil.example.", "localhost@evil.example", "[evil", "0x7f000001", "2130706433", "",
           "evil.localhost.example"]  # fmt: skip
ACCEPTED = ["localhost", "LOCALHOST:1234", "localhost.:80", "127.0.0.1", "127.0.0.1:9", "[::1]",
            "[::1]:8000", "192.168.1.7:8000", "10.0.0.1"]  # fmt: skip


def test_names_of_other_computers_are_refused(options):
    with Service(**options) as service:
        token = f"Authorization: Bearer {service.token}"
        for host in REFUSED:
            response = ask(service.url, f"Host: {host}", token)
            assert response.split()[1] in {"421", "400"}, host
            assert "1234" not in response
            assert "launch" not in response
        for host in ACCEPTED:
            response = ask(service.url, f"Host: {host}", token)
            assert "host_not_allowed" not in response, host
        assert "host_not_allowed" not in ask(service.url, token, version="1.0")
        both = ask(service.url, "Host: localhost", "Host: evil.example", token)
        assert both.split()[1] in {"421", "400"}


def test_names_are_accepted_if_they_are_allowed(options):
    with Service(**options, hosts=["Emulator", "other."]) as service:
        for host in ("emulator:8000", "other", "OTHER."):
            assert "host_not_allowed" not in ask(service.url, f"Host: {host}")
        assert "host_not_allowed" in ask(service.url, "Host: evil.example")
    with Service(**options, hosts="*") as service:
        assert "host_not_allowed" not in ask(service.url, "Host: evil.example")


def test_the_name_that_is_listened_on_is_accepted(options, monkeypatch):
    before = socket.getaddrinfo

    def look_up(host, *rest, **more):
        return before("127.0.0.1" if host == "my.name" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Service(**options, host="my.name") as service:
        assert "host_not_allowed" not in ask(service.url, "Host: my.name")
        assert "host_not_allowed" in ask(service.url, "Host: other.name")


CREDENTIALS = {
    "authorization": ("Authorization: Bearer abc-token", ""),
    "x-api-key": ("X-Api-Key: abc-token", ""),
    "key": ("Accept: */*", "?key=abc-token"),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_replay_requires_credentials(cassette, kind):
    header, query = CREDENTIALS[kind]
    path = f"/v1/chat/completions{query}"
    with Service(replay=cassette) as service:
        refused = ask(service.url, "Host: localhost")
        assert refused.split()[1] == "400"
        assert "no_token" in refused
        assert "launch" not in refused
        for header_without in ("Authorization: Bearer ", "Authorization: Bearer", "Cookie: a=b"):
            assert "no_token" in ask(service.url, "Host: localhost", header_without)
        known = ask(service.url, "Host: localhost", header, path=path)
        assert "cassette_mismatch" in known
    with Service(replay=cassette, token="wanted-token") as service:
        assert ask(service.url, "Host: localhost", header, path=path).split()[1] == "401"
    with Service(replay=cassette, token="abc-token") as service:
        assert "cassette_mismatch" in ask(service.url, "Host: localhost", header, path=path)


def test_a_replay_of_a_public_path_needs_no_credentials(cassette):
    with Service(replay=cassette) as service:
        path = "/api/v1/models/catalog/"
        assert "no_token" not in ask(service.url, "Host: a", path=path, method="GET", body="")
        response = ask(service.url, "Host: localhost", path=path, method="GET", body="")
        assert "cassette_mismatch" in response


def tree(width, key="properties"):
    """A schema that refers to itself *width* times."""
    names = [f"p{number}" for number in range(width)]
    return {"type": "object", key: {name: {"$ref": "#"} for name in names}, "required": names}


def nested(kind, depth, inner):
    for _ in range(depth):
        inner = {kind: [inner]}
    return inner


SCHEMAS = {
    "itself": {"$ref": "#"},
    "tree": tree(5),
    "wide tree": tree(1000),
    "many items": {"type": "array", "minItems": 10**9, "items": {"type": "string"}},
    "many items of many": {
        "type": "array", "minItems": 10**9, "items": {"$ref": "#"},
    },
    "infinite items": {"type": "array", "minItems": float("inf"), "items": {}},
    "negative items": {"type": "array", "minItems": -5},
    "items as text": {"type": "array", "minItems": "7"},
    "items are false": {"type": "array", "minItems": 3, "items": False},
    "long text": {"type": "string", "minLength": 10**12},
    "long texts": {
        "type": "array", "minItems": 10**6, "items": {"type": "string", "minLength": 10**6},
    },
    "pattern": {"type": "string", "pattern": "(a+)+$" * 1000, "minLength": 5},
    "deep allOf": nested("allOf", 400, {"type": "string"}),
    "deep anyOf": nested("anyOf", 400, {"type": "string"}),
    "constants": {"type": "array", "minItems": 10**6, "items": {"const": "x" * 10_000}},
    "long constant": {"const": ["x" * 1000] * 1000},
    "enum": {"type": "array", "minItems": 10**6, "items": {"enum": [list(range(1000))]}},
    "many names": {"type": "object", "required": ["n" * 1000] * 1000 + ["n"] * 9999},
    "names that are none": {
        "type": "array", "minItems": 10**6, "items": {"type": "object", "required": [1] * 10_000},
    },
    "long references": {
        "type": "array", "minItems": 10**6, "items": {"$ref": "#/" + "x/" * 10_000},
    },
    "references in a circle": {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
        "$ref": "#/$defs/a",
    },
    "wrong types": {"type": 7, "properties": [], "required": 3, "enum": {}, "anyOf": 5},
    "no types": {"type": [], "enum": [], "allOf": []},
    "bounds": {"type": "integer", "minimum": "a", "maximum": None, "exclusiveMinimum": True},
    "huge bounds": {"type": "number", "minimum": 10**400, "exclusiveMaximum": -(10**400)},
    "infinite bounds": {"type": "number", "minimum": float("inf")},
    "boolean": {"type": "object", "required": ["a"], "properties": {"a": True}},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}] * 100_000},
    "tuple of booleans": {"type": "array", "prefixItems": [True, False], "minItems": 4},
    "reference to a list": {"$ref": "#/allOf/0", "allOf": [{"type": "string"}]},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_example_of_any_schema_is_small_and_made_quickly(name):
    began = time.thread_time()
    example = example_of(SCHEMAS[name])
    assert time.thread_time() - began < 0.5
    assert len(json.dumps(example)) < 200_000


@pytest.mark.parametrize("depth", [100, 400, 900, 5000])
def test_a_deep_schema_is_answered_or_refused(depth):
    with Service() as service:
        schema = '{"allOf":[' * depth + "{}" + "]}" * depth
        body = CHAT[:-1] + (
            ', "tool_choice": "required", "tools": [{"type": "function", '
            f'"function": {{"name": "f", "parameters": {schema}}}}}]}}'
        )
        token = f"Authorization: Bearer {service.token}"
        response = ask(service.url, "Host: localhost", token, body=body)
    assert response.split()[1] in {"200", "400"}
    assert depth > 500 or response.split()[1] == "200"
