"""Cassettes: files of what went over the wire."""

from __future__ import annotations

import os
from typing import Self

from msgspec import Struct

from acechat._acecast import FIRST_LINE, as_lines, read_lines
from acechat._exchange import Exchange
from acechat.errors import ConfigurationError

__all__ = ["Cassette"]


class Cassette(Struct, frozen=True, repr_omit_defaults=True):
    """What went over the wire, in the order of its requests; docs/cassettes.md has the format."""

    exchanges: tuple[Exchange, ...]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that only its owner may read; a crash leaves the old file or this."""
        from pathlib import Path  # it takes 4 ms to import

        target = Path(path)
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            draft.touch(mode=0o600)
            draft.write_bytes(FIRST_LINE + as_lines(self.exchanges))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigurationError: The file holds no cassette.
            OSError: It cannot be read.
        """
        from pathlib import Path

        try:
            return cls(read_lines(Path(path).read_bytes()))
        except ValueError as error:
            raise ConfigurationError(f"{str(path)!r} holds no cassette: {error}") from None

    def __repr__(self) -> str:
        return f"Cassette({len(self.exchanges)} exchanges)"
