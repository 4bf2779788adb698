"""Log each request, without the prompt and without the token.

Shows: the logger "acechat", here on standard output; ``ACECHAT_LOG=debug`` does the same on
standard error without any code.
"""

from __future__ import annotations

import logging
import sys

from acechat import Client


def main() -> None:
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("acechat").setLevel(logging.DEBUG)
    with Client() as client:
        print(client.chat("What is logged?").text)


if __name__ == "__main__":
    main()
