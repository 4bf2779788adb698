"""How the documentation is built: `nox -s docs`. Warnings are errors."""

from __future__ import annotations

import acechat

project = "acechat"
author = "the acechat authors"
release = version = acechat.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"acechat {release}"
html_static_path = ["_static"]

default_role = "py:obj"  # a name in backticks is a link, where there is something to link to
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = False
# What a class has of a private parent is its own; what it has of these is told there, or by Python.
autodoc_default_options = {"inherited-members": "AceChatError,BaseException,Struct,dict"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_ignore = [r"http://localhost.*", r"https://example\.com.*"]
