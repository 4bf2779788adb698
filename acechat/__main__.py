"""``python -m acechat`` is the command ``acechat``."""

from acechat.cli import main

main()
