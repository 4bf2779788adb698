"""``acechat models``: a table on a terminal, names in a pipe, or JSON."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from acechat.cli.options import Limits, limits_of
from acechat.emulator import MODELS

CATALOG = "/api/v1/models/catalog/?modality=chat"


def paths(service):
    return [request.path for request in service.requests]


@pytest.fixture
def without_catalog():
    """Run a service that lists a model with control characters and has no catalog."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            listed = self.path == "/v1/models"
            name = "claude-sonnet-4-20250514" if listed else "no_such_page"
            body = json.dumps({"data": [{"id": name}, {"id": "odd\x1b]0;pwned\x07"}]}).encode()
            self.send_response(200 if listed else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pipe_gets_names_only_and_no_prices_are_requested(run, environment):
    done = run("models")

    names = done.stdout.splitlines()
    assert "claude-opus-4-20250514" in names
    assert names == sorted(name.split()[0] for name in names)
    assert paths(environment) == ["/v1/models"]


def test_a_terminal_shows_limits_and_prices(terminal, environment):
    terminal.open("models", width=80, height=40)
    screen = terminal.end()

    head, *rows = screen.splitlines()
    assert head.split() == ["model", "context", "output", "in", "out", "per"]
    row = next(row for row in rows if row.startswith("claude-opus-4-20250514 "))
    assert row.split() == [
        "claude-opus-4-20250514", "200,000", "32,000", "31.54", "157.69", "1M", "tokens",
    ]  # fmt: skip
    assert "context and output: maximum tokens; in and out: credits" in screen


@pytest.mark.parametrize(("width", "columns"), [(60, 3), (46, 3), (45, 1), (20, 1)])
def test_a_narrow_terminal_shows_the_columns_that_fit(terminal, environment, width, columns):
    terminal.open("models", width=width, height=40)
    head, *rows, _ = terminal.end().split("exit code")[0].splitlines()

    assert head.split() == ["model", "context", "output"][:columns]
    names = [row for row in rows if row.startswith("claude-sonnet-4-2")]
    assert [len(row.replace(" * ", " ").rstrip("* ").split()) for row in names][:1] == [columns]
    assert "credits" not in " ".join(rows)


def test_json_has_all_known_fields(run, environment):
    done = run("models", "--json")

    (found,) = [
        model for model in json.loads(done.stdout) if model["id"] == "claude-sonnet-4-20250514"
    ]
    assert found["context_tokens"] == 200_000
    assert found["max_output_tokens"] == 64_000
    assert found["pricing"] == {"input_credits": "6.308571", "output_credits": "31.537143"}
    assert found["unit"] == "1M tokens"
    assert found["owned_by"]
    assert sorted(paths(environment)) == sorted(["/v1/models", CATALOG])


def test_the_emulator_has_models_and_prices_without_a_token(run):
    names = run("models", "--emulator")
    priced = run("models", "--emulator", "--json")

    assert names.stdout.splitlines() == sorted(MODELS)
    assert any(model["pricing"] for model in json.loads(priced.stdout))
    assert (names.stderr, priced.stderr) == ("", "")


def test_every_model_of_the_service_has_limits(run, environment):
    found = json.loads(run("models", "--json").stdout)

    assert len(found) == 20
    assert all(model["context_tokens"] > model["max_output_tokens"] > 0 for model in found)


def test_without_the_catalog_one_line_reports_the_missing_prices(run, without_catalog):
    done = run(
        "models", "--json", "--base-url", without_catalog, env={"ACEDATACLOUD_API_TOKEN": "t"}
    )

    assert done.returncode == 0
    assert re.fullmatch(r"acechat: cannot get the prices: .*404.*\n", done.stderr)
    known, odd = sorted(json.loads(done.stdout), key=lambda model: model["id"])
    assert (known["context_tokens"], known["pricing"]) == (200_000, None)
    assert (odd["context_tokens"], odd["pricing"], odd["unit"]) == (None, None, None)


def test_a_table_without_prices_marks_unknown_values_and_has_no_control_characters(
    terminal, without_catalog
):
    terminal.open(
        "models", "--base-url", without_catalog, width=100, env={"ACEDATACLOUD_API_TOKEN": "t"}
    )
    screen = terminal.end()

    assert re.search(
        r"^claude-sonnet-4-20250514 \* +200,000 +64,000 +\? +\?$", screen, re.MULTILINE
    )
    assert re.search(r"^odd\]0;pwned +\? +\? +\? +\?$", screen, re.MULTILINE)
    assert "acechat: cannot get the prices: " in screen


def test_every_known_model_has_limits():
    assert [model for model in MODELS if limits_of(model) == Limits()] == []
