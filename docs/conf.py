"""Configuration of Sphinx. `nox -s docs` builds the documentation; warnings are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import acechat
from acechat.types import ChatOptions

project = "acechat"
author = "the acechat authors"
release = version = acechat.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"acechat {release}"
html_static_path = ["_static"]
html_search_scorer = str(Path(__file__).parent / "scorer.js")

default_role = "py:obj"  # a name in backticks is a link, where there is something to link to
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = False
# Members of private base classes are documented; those of these classes are documented there.
autodoc_default_options = {"inherited-members": "AceChatError,BaseException,Struct,dict"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_ignore = [r"http://localhost.*", r"https://example\.com.*"]


def expand_options(
    _: Sphinx, what: str, name: str, __: object, ___: Any, lines: list[str]
) -> None:  # before napoleon converts the docstring
    """Replace ``**options`` of `Client.chat` by one entry for each field of `ChatOptions`."""
    if what != "method" or not name.endswith("Client.chat"):
        return
    start = next(n for n, line in enumerate(lines) if line.lstrip().startswith("**options:"))
    end = lines.index("", start)
    docs = ModuleAnalyzer.for_module(ChatOptions.__module__).find_attr_docs()
    lines[start:end] = [
        f"    {field}: {' '.join(docs[ChatOptions.__name__, field]).strip()}"
        for field in ChatOptions.__annotations__
    ]


def setup(app: Sphinx) -> None:
    """Register the extension of this file."""
    app.connect("autodoc-process-docstring", expand_options, priority=400)
