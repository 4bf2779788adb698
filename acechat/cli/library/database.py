"""The file of the history: opened, created and explained if it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from acechat._files import make_folder

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Database", "HistoryError"]

_VERSION = 1
_WAIT = 5.0
"""Seconds to wait for another process that writes."""

_SCHEMA = """
CREATE TABLE conversations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  revision INTEGER NOT NULL,
  created REAL NOT NULL,
  changed REAL NOT NULL,
  interactive INTEGER NOT NULL,
  title TEXT NOT NULL,
  model TEXT,
  system TEXT,
  messages TEXT NOT NULL
);
CREATE INDEX by_change ON conversations (changed);
CREATE TABLE imported (name TEXT PRIMARY KEY);
CREATE VIRTUAL TABLE search USING fts5 (title, body, tokenize = "unicode61 remove_diacritics 2");
"""


class HistoryError(OSError):
    """The database cannot be used; one line with the reason and the next step."""


class Database:
    """The file of the database, in a folder that only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.db"
        self._old = folder / "conversations"

    @property
    def _exists(self) -> bool:
        return self._path.exists() or self._old.is_dir()

    @contextmanager
    def _open(self, *, write: bool = False) -> Generator[Connection]:
        import sqlite3

        make_folder(self._path.parent)
        try:
            # SQLite would create it with the mode of the umask; its other files get the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None)
            try:
                connection.execute("PRAGMA secure_delete = ON")
                self._prepare(connection)
                with self._transaction(connection, write=write):
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            failure = self._explained(error)
        else:
            return
        raise failure

    @contextmanager
    def _transaction(self, connection: Connection, *, write: bool) -> Generator[None]:
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _prepare(self, connection: Connection) -> None:
        """Create the tables, and import earlier files."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise HistoryError(
                f"{self._path} was written by a newer version of acechat. "
                "Next: python -m pip install --upgrade 'acechat[cli]'"
            )
        if not version:
            with self._transaction(connection, write=True):
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if not version:  # no other process was faster
                    for statement in _SCHEMA.split(";\n"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
        if self._old.is_dir():
            self._import(connection)

    def _import(self, connection: Connection) -> None:
        """Import the files of earlier versions of acechat."""

    def _explained(self, error: Exception) -> HistoryError:
        reason = str(error)
        if any(words in reason for words in ("malformed", "not a database", "no such")):
            return HistoryError(
                f"the history {self._path} is damaged ({reason}). Next: move it away: "
                f"mv '{self._path}' '{self._path}.damaged'"
            )
        return HistoryError(f"cannot use the history {self._path}: {reason}")
