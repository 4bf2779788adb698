"""Names of models: the default is marked, the list is filtered, unknown names are refused."""

from __future__ import annotations

import json
import time

import pytest


@pytest.fixture
def listed(run, environment):
    """The service has reported its models."""
    assert run("models").returncode == 0


def test_the_default_is_marked_and_credits_are_explained(terminal, environment):
    terminal.open("models", width=100, height=50)
    lines = terminal.end().splitlines()

    (marked,) = [line for line in lines if line.startswith("claude") and " * " in line]
    assert marked.startswith("claude-sonnet-4-20250514 * ")
    assert any("* default model" in line for line in lines)
    assert any("credits are bought at https://platform.acedata.cloud" in line for line in lines)


def test_the_default_of_the_settings_is_in_json(run, environment):
    offers = json.loads(run("models", "--json", env={"ACECHAT_MODEL": "claude-opus-5"}).stdout)

    assert [offer["id"] for offer in offers if offer["default"]] == ["claude-opus-5"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["opus", "4-1"], ["claude-opus-4-1-20250805"]), (["HAIKU-4"], ["claude-haiku-4-5-20251001"])],
)
def test_words_filter_the_list(run, environment, words, expected):
    assert run("models", *words).stdout.split() == expected
    assert run("models", "--base-url", environment.url, *words).stdout.split() == expected


def test_a_filter_without_a_match_is_an_error(run, environment):
    done = run("models", "gpt", "4")

    assert done.returncode == 2
    assert done.stderr == "acechat: no model contains 'gpt' and '4'\n"


@pytest.mark.parametrize(
    "command",
    [["chat", "Hi", "-m", "claude-opus-4-7x"], ["config", "set", "model", "claude-opus-4-7x"]],
)
def test_an_unknown_name_is_refused_where_the_list_is_known(run, environment, listed, command):
    done = run(*command)
    forced = run(*command, "--any-model")

    assert done.returncode == 2
    assert "did you mean 'claude-opus-4-7'" in done.stderr
    assert "--any-model" in done.stderr
    assert forced.returncode == 0
    assert [
        request.json["model"] for request in environment.requests if request.path != "/v1/models"
    ] == (["claude-opus-4-7x"] if command[0] == "chat" else [])


def test_an_unknown_name_is_refused_in_a_conversation(terminal, environment, listed):
    terminal.open("chat", width=120)
    terminal.wait_for("/help lists the commands")
    time.sleep(0.3)

    terminal.enter("/model claude-opus-4-7x")
    terminal.wait_for("did you mean 'claude-opus-4-7'")
    terminal.enter("/model")
    terminal.wait_for("model: claude-sonnet-4-20250514")
    terminal.enter("/model claude-opus-4-7x --any-model")
    terminal.wait_for("model: claude-opus-4-7x")


def test_known_names_and_aliases_are_accepted(run, environment, listed):
    for name in ("claude-opus-5", "opus", "claude-opus-5-thinking"):
        assert run("chat", "Hi", "-m", name).returncode == 0
    assert run("config", "set", "model", "haiku").returncode == 0
    assert run("chat", "Hi").returncode == 0

    assert environment.requests[-1].json["model"] == "claude-haiku-4-5-20251001"


def test_an_old_list_and_that_of_another_service_do_not_count(run, environment, listed, home):
    path = home / "state" / "models.json"
    value = json.loads(path.read_text())
    for changed in ({"time": time.time() - 8 * 24 * 3600}, {"base_url": "http://other"}):
        path.write_text(json.dumps(value | changed))
        assert run("chat", "Hi", "-m", "claude-new").returncode == 0
    path.write_text("{")
    assert run("chat", "Hi", "-m", "claude-new").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
