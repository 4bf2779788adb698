"""In a real Jupyter kernel, whose event loop runs already: both colours work."""

from __future__ import annotations

import sys

import pytest

CELLS = [
    "from acechat import AsyncClient, Client\nclient = Client()\nclient.chat('Hello').text",
    "''.join(map(str, client.stream('one two')))",
    "asynchronous = AsyncClient()\n(await asynchronous.chat('Hello')).text",
    "''.join([str(delta) async for delta in asynchronous.stream('one two')])",
    "client.chat('Hello')",
    "await asynchronous.aclose()\nclient.close()\n'closed'",
]


@pytest.fixture
def notebook(environment, tmp_path, monkeypatch):
    import nbformat

    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernel / "kernel.json").write_text(f'{{"argv": {command}, "display_name": "this"}}')
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.leaves("sockets")  # of the kernel's channels
@pytest.mark.filterwarnings("ignore")  # other people's, of Jupyter's own machinery
def test_both_colours_work_in_a_notebook(notebook):
    import nbclient  # not above: it takes 3 s, and every worker imports every test

    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

    shown = [cell.outputs[-1]["data"] for cell in notebook.cells]
    told = [data["text/plain"] for data in shown]
    hello, words = "'You said: \"Hello\" (1 message)'", "'You said: \"one two\" (1 message)'"
    assert told[:4] == [hello, words, hello, words]
    assert shown[4]["text/markdown"] == 'You said: "Hello" (1 message)'
    assert told[5] == "'closed'"
