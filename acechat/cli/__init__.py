"""``acechat``, the command."""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = {"click", "markdown_it", "platformdirs", "prompt_toolkit", "rich"}


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0; 1 the service or the network refused; 2 wrong usage; 130 Ctrl-C, 143 SIGTERM, 129
    a terminal that was closed.
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
