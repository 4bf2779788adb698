"""`acechat chat`: schema, extraction, files, attachments, templates, aliases, dry run."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from acechat.cli.calls.extract import last_code_block
from acechat.cli.calls.schema import read_schema
from acechat.emulator import call, ok

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def content(environment, number=-1):
    return environment.requests[number].json["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("description", "properties"),
    [
        ("name", {"name": {"type": "string"}}),
        ("name, age int", {"name": {"type": "string"}, "age": {"type": "integer"}}),
        (
            "name: the full name, ok bool, x float",
            {
                "name": {"type": "string", "description": "the full name"},
                "ok": {"type": "boolean"},
                "x": {"type": "number"},
            },
        ),
        ("a int\nb: one, two\n", {"a": {"type": "integer"},
                                  "b": {"type": "string", "description": "one, two"}}),
        ("tags str[]", {"tags": {"type": "array", "items": {"type": "string"}}}),
    ],
)  # fmt: skip
def test_fields_describe_a_schema(description, properties):
    assert read_schema(description) == {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "no field"),
        ("name, name", "twice"),
        ("age integr", "unknown type 'integr'"),
        ("a b c", "cannot read the field"),
        ("missing.json", "no file"),
        ("{", "not JSON"),
        ('{"type": "strin"}', "unknown type 'strin'"),
        ('{"$ref": "#/$defs/X"}', "refers to nothing"),
        ('{"type": "string", "pattern": "("}', "invalid pattern"),
    ],
)
def test_a_wrong_schema_is_refused_before_the_call(run, environment, source, reason):
    done = run("chat", "A dog", "--schema", source or " ")

    assert (done.returncode, environment.requests) == (2, [])
    assert reason in done.stderr


def test_the_response_is_json_that_fits_the_schema(run, environment):
    environment.script(call("answer", name="Rex", age=3))

    done = run("chat", "A dog", "--schema", "name, age int")

    assert json.loads(done.stdout) == {"name": "Rex", "age": 3}
    parameters = environment.requests[0].json["tools"][0]["function"]["parameters"]
    assert parameters["required"] == ["name", "age"]


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"$defs": {"P": PERSON}, "$ref": "#/$defs/P"},
        {"definitions": {"P": PERSON}, "anyOf": [{"$ref": "#/definitions/P"}]},
    ],
)
def test_schemas_of_files_may_have_definitions(run, environment, tmp_path, schema):
    file = tmp_path / "person.json"
    file.write_text(json.dumps(schema))
    value = {"name": "Ada", "age": 36}
    wrapped = schema is not PERSON
    environment.script(call("answer", **({"value": value} if wrapped else value)))

    done = run("chat", "Ada", "--schema", str(file))

    assert (done.stderr, json.loads(done.stdout or "null")) == ("", value)


def test_a_list_at_the_top_is_possible(run, environment):
    environment.script(call("answer", value=[1, 2]))

    done = run("chat", "Two", "--schema", '{"type": "array", "items": {"type": "integer"}}')

    assert done.stdout == "[1,2]\n"


def test_a_response_that_does_not_fit_is_requested_once_more(run, environment):
    environment.script(call("answer", name="Rex"), call("answer", name="Rex", age=3))

    done = run("chat", "A dog", "--schema", "name, age int")

    assert json.loads(done.stdout) == {"name": "Rex", "age": 3}
    assert "missing field 'age'" in json.dumps(environment.requests[1].json)


def test_a_response_that_never_fits_is_an_error(run, environment):
    environment.script(call("answer", name="Rex"), call("answer", name="Rex"))

    done = run("chat", "A dog", "--schema", "name, age int")

    assert (done.returncode, done.stdout) == (1, "")
    assert "missing field 'age'" in done.stderr


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("no code", None),
        ("a\n```py\nx = 1\n```\nb\n~~~\ny\n~~~\nc", "y"),
        ("```\nopen\nto the end\n", "open\nto the end"),
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("1. one\n   ```sh\n   ls\n     -l\n   ```", "ls\n  -l"),
        ("```a`b\nx\n", None),
        ("```\n```", ""),
        ("```x\r\n\n```\n", ""),
    ],
)
def test_the_last_code_block_is_found(text, block):
    found = last_code_block(text)
    assert (found if found is None else found.strip("\n")) == block


def test_only_the_code_is_printed(run, environment):
    environment.script(
        ok("First:\n```\nold\n```\nBetter:\n```sh\nls *.txt\n```\nDone."), ok("none")
    )

    code, text = run("chat", "List", "-x"), run("chat", "List", "--extract")

    assert (code.stdout, code.stderr) == ("ls *.txt\n", "")
    assert (text.stdout, text.stderr) == (
        "none\n",
        "the response has no code block; here is all of it\n",
    )


def test_text_files_precede_the_prompt(run, environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b.py", "[1].txt"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.py").write_bytes("é".encode("utf-16"))

    run("chat", "Explain", "-f", "*.py", "-f", "[1].txt", "--file", "sub/**", "-f", "a.py")

    assert [part["text"] for part in content(environment)] == [
        '<file path="a.py">\n# a.py\n</file>',
        '<file path="b.py">\n# b.py\n</file>',
        '<file path="[1].txt">\n# [1].txt\n</file>',
        '<file path="sub/c.py">\né\n</file>',
        "Explain",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-f", "missing.txt"], "cannot read 'missing.txt': No such file"),
        (["-f", "*.missing"], "no file matches"),
        (["-f", "."], "is a folder"),
        (["-f", "DOT"], "is not text"),
        (["-a", "missing.png"], "cannot read"),
        (["-a", "BINARY"], "neither an image"),
        (["-a", "-"], "is empty"),
        (["-p", "a=b"], "add -t NAME"),
        (["-t", "missing"], "there is no template 'missing'"),
        (["-t", "../x"], "invalid name"),
        (["--max-tokens", "0"], "not in the range"),
        (["--tool", "nothing", "--yes"], "expected MODULE:FUNCTION"),
        (["--tool", "nothing:f", "--yes"], "cannot import 'nothing'"),
        (["--tool", "json:dump_s", "--yes"], "did you mean 'dumps'?"),
        (["--functions", "missing.py", "--yes"], "cannot read 'missing.py'"),
        (["--functions", "missing.txt", "--yes"], "is not a Python file"),
        (["--mcp", "'", "--yes"], "No closing quotation"),
        (["--tool", "json:dumps"], "approve all calls with --yes"),
        (["--schema", "a", "-x"], "cannot be combined"),
    ],
)
def test_wrong_input_is_refused_before_the_call(run, environment, dot, tmp_path, arguments, reason):
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    names = {"DOT": dot, "BINARY": str(tmp_path / "binary")}

    done = run("chat", "Hi", *[names.get(word, word) for word in arguments])

    assert (done.returncode, environment.requests) == (2, [])
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_attachments_are_sent_by_their_content(run, environment, dot, tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes")
    image = Path(dot).read_bytes()

    run("chat", "Look", "-a", dot, "-a", "https://img.example/x.png", "--attach", str(notes),
        "-a", "-", stdin=image, text=False)  # fmt: skip

    prompt, first, url, text, piped = content(environment)
    assert prompt["text"] == "Look"
    assert first["image_url"]["url"].startswith("data:image/png;base64,")
    assert piped == first
    assert url["image_url"]["url"] == "https://img.example/x.png"
    assert "# Notes" in text["text"]


def test_pdf_documents_are_attached(run, environment, tmp_path):
    file = tmp_path / "report"
    file.write_bytes(b"%PDF-1.4\n1 0 obj")

    run("chat", "Sum", "-a", str(file), "-a", "https://x.example/a.pdf?v=1", "-m", "claude-opus-5")

    prompt, first, second = content(environment)
    assert prompt["text"] == "Sum"
    assert first["image_url"]["url"].startswith("data:application/pdf;base64,")
    assert second["image_url"]["url"] == "https://x.example/a.pdf?v=1"


def test_a_template_keeps_prompt_and_options(run, environment, home):
    words = ["chat", "Translate into $language: $input", "-m", "claude-x", "-o", "stop=END"]
    saved = run(
        *words, "-p", "language=French", "--max-tokens", "50", "--save-template", "translate"
    )
    assert (saved.returncode, environment.requests) == (0, [])

    run("chat", "-t", "translate", "Good morning")
    run("chat", "-t", "translate", "-p", "language=Latin", "-m", "claude-y", stdin="Good night")

    first, second = (request.json for request in environment.requests)
    assert first["messages"][-1]["content"] == "Translate into French: Good morning"
    assert (first["model"], first["stop"], first["max_tokens"]) == ("claude-x", "END", 50)
    assert second["messages"][-1]["content"] == "Translate into Latin: Good night"
    assert second["model"] == "claude-y"
    (file,) = (home / "templates").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_variables_of_a_template_are_checked(run, environment):
    run("chat", "-s", "Use $tone words", "--save-template", "tone")

    missing, unknown = (
        run("chat", "-t", "tone", "Hi"),
        run("chat", "-t", "tone", "-p", "tune=a", "Hi"),
    )
    known = run("chat", "-t", "tone", "-p", "tone=kind", "Hi")

    assert "needs a value for tone. Next: -p tone=VALUE" in missing.stderr
    assert unknown.returncode == 2
    assert known.returncode == 0
    assert environment.requests[0].json["messages"][0]["content"] == "Use kind words"


def test_templates_are_listed_shown_and_deleted(run, home):
    run("chat", "-s", "Line one\nline two", "--save-template", "two")

    assert run("templates").stdout == "two  Line one line two\n"
    assert run("templates", "show", "two").stdout == "system = '''\nLine one\nline two'''\n"
    assert run("templates", "path", "two").stdout == f"{home / 'templates' / 'two.toml'}\n"
    assert run("templates", "delete", "two").stdout == "deleted two\n"
    assert "there is no template" in run("templates").stderr
    assert run("templates", "show", "two").returncode == 2


def test_nothing_is_no_template(run):
    assert "nothing to save" in run("chat", "--save-template", "empty").stderr


def test_aliases_name_models(run, environment):
    assert run("models", "alias", "best", "claude-opus-5").returncode == 0
    assert "best  claude-opus-5" in run("models", "alias").stdout

    for name in ("sonnet", "best", "claude-z"):
        run("chat", "Hi", "-m", name)
    removed = run("models", "alias", "best", "--remove")

    models = [request.json["model"] for request in environment.requests]
    assert models == ["claude-sonnet-5", "claude-opus-5", "claude-z"]
    assert removed.stdout == "removed best\n"
    assert run("models", "alias", "best", "--remove").returncode == 2


def test_a_dry_run_sends_nothing(run, environment, dot):
    arguments = (
        "chat",
        "It's $5",
        "-a",
        dot,
        "--schema",
        "name",
        "-o",
        "temperature=0",
        "--dry-run",
    )

    curl, body = run(*arguments), run(*arguments, "--json")

    assert environment.requests == []
    assert curl.stdout.startswith(f"curl {environment.url}/v1/chat/completions \\\n")
    assert environment.token not in curl.stdout
    assert json.loads(body.stdout)["temperature"] == 0
    assert json.loads(body.stdout)["tools"][0]["function"]["name"] == "answer"
    words = subprocess.run(
        ["bash", "-c", curl.stdout.replace("curl", "printf '%s\\n'", 1)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(words.stdout.splitlines()[-1]) == json.loads(body.stdout)


def test_a_dry_run_needs_no_token(run):
    done = run("chat", "no token", "--dry-run", "--json")

    assert done.returncode == 0
    body = json.loads(done.stdout)
    assert body["messages"] == [{"role": "user", "content": "no token"}]
    assert body["stream"] is True


def test_the_request_of_a_dry_run_is_the_one_that_is_sent(run, environment):
    shown = json.loads(run("chat", "Hi", "-n", "2", "--dry-run", "--json").stdout)
    run("chat", "Hi", "-n", "2")

    assert environment.requests[0].json == shown


def test_truncation_has_its_own_exit_code(run, environment):
    done = run("chat", "Hello", "--max-tokens", "3")

    assert (done.stdout, done.returncode) == ("You said:\n", 3)
    assert done.stderr.endswith("Next: --max-tokens N\n")
    assert environment.requests[0].json["max_tokens"] == 3


def test_the_emulator_ignores_own_aliases(run, environment):
    run("models", "alias", "sonnet", "claude-mine")
    shown = run("chat", "Hi", "-m", "sonnet", "--emulator", "--dry-run", "--json")

    assert json.loads(shown.stdout)["model"] == "claude-sonnet-5"
