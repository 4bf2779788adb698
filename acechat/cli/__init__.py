"""The ``acechat`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = {"click", "markdown_it", "platformdirs", "prompt_toolkit", "rich"}


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0 success; 1 an error of the service, the network or the system; 2 wrong usage or
    configuration; 3 a response that ended at its token limit; 130 Ctrl-C; 143 SIGTERM; 129 SIGHUP
    (the terminal was closed).
    """
    try:
        from acechat.cli.app import run

        code = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.exit(
            f"acechat: the command line needs {error.name}: python -m pip install 'acechat[cli]'"
        )
    sys.exit(code)
