"""The database of conversations: SQLite, with full-text search."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from acechat.cli.library.database import Database
from acechat.cli.library.texts import excerpt, text_of, title_of

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Conflict", "Entry", "Store"]

_COLUMNS = "id, revision, created, changed, title, model, system, messages"


class Conflict(Exception):  # noqa: N818 - an outcome that the caller handles
    """Another process has changed or deleted the conversation."""


class Entry(Struct, frozen=True):
    """One conversation."""

    id: int
    revision: int
    created: float
    changed: float
    title: str
    model: str | None
    system: str | None
    messages: list[dict[str, Any]]
    excerpt: str = ""
    """The words around the first match of a search."""

    @property
    def name(self) -> str:
        """The id as commands accept it."""
        return f"c{self.id}"


class Store(Database):
    """The conversations in one folder. Each method opens the database and closes it."""

    def _import(self, connection: Connection) -> None:
        """Import the files of earlier versions of acechat, and delete them."""
        paths = sorted(self._old.glob("*.json"), key=_modified)
        done: list[Path] = []
        with self._transaction(connection, write=True):
            for path in paths:
                with suppress(OSError, ValueError, TypeError, KeyError):
                    saved = json.loads(path.read_text("utf-8"))
                    messages = [dict(message) for message in saved["messages"]]
                    known = connection.execute(
                        "SELECT 1 FROM imported WHERE name = ?", [path.name]
                    ).fetchone()
                    if not known and messages:
                        connection.execute("INSERT INTO imported VALUES (?)", [path.name])
                        changed = path.stat().st_mtime
                        model, system = saved.get("model"), saved.get("system")
                        self._insert(
                            connection, messages, model, system, now=changed, interactive=True
                        )
                    done.append(path)
        for path in done:
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self._old.rmdir()  # not if a file could not be read

    def save(
        self,
        messages: list[dict[str, Any]],
        *,
        model: str | None = None,
        system: str | None = None,
        interactive: bool = True,
        known: tuple[int, int] | None = None,
    ) -> tuple[int, int]:
        """Write a conversation; return its id and revision.

        Args:
            messages: As the API's JSON.
            model: A model; None for the default one.
            system: The system prompt.
            interactive: A person was at the terminal; used for a new conversation.
            known: Id and revision of an earlier save; None for a new conversation.

        Raises:
            Conflict: It was changed since *known*.
            HistoryError: The database cannot be written.
        """
        now = time.time()
        with self._open(write=True) as connection:
            if known is None:
                new = self._insert(
                    connection, messages, model, system, interactive=interactive, now=now
                )
                return new, 1
            number, revision = known
            changed = connection.execute(
                "UPDATE conversations SET revision = revision + 1, changed = ?, title = ?,"
                " model = ?, system = ?, messages = ? WHERE id = ? AND revision = ?",
                [now, title_of(messages), model, system, _encoded(messages), number, revision],
            )
            if not changed.rowcount:
                raise Conflict
            self._index(connection, number, messages)
            return number, revision + 1

    def _insert(
        self,
        connection: Connection,
        messages: list[dict[str, Any]],
        model: str | None,
        system: str | None,
        *,
        interactive: bool,
        now: float,
    ) -> int:
        row = connection.execute(
            "INSERT INTO conversations"
            " (revision, created, changed, interactive, title, model, system, messages)"
            " VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            [now, now, interactive, title_of(messages), model, system, _encoded(messages)],
        )
        number = cast("int", row.lastrowid)
        self._index(connection, number, messages)
        return number

    def _index(self, connection: Connection, number: int, messages: list[dict[str, Any]]) -> None:
        connection.execute("DELETE FROM search WHERE rowid = ?", [number])
        connection.execute(
            "INSERT INTO search (rowid, title, body) VALUES (?, ?, ?)",
            [number, title_of(messages), text_of(messages)],
        )

    def latest(self, limit: int = 1, *, interactive: bool = False) -> list[Entry]:
        """Return the conversations that were changed last, the newest first.

        Args:
            limit: Maximum number; -1 for all.
            interactive: Only those of a person at a terminal.
        """
        return self._select(
            "WHERE interactive >= ? ORDER BY changed DESC, id DESC LIMIT ?",
            [int(interactive), limit],
        )

    def get(self, number: int) -> Entry | None:
        """Return one conversation, or None."""
        return next(iter(self._select("WHERE id = ?", [number])), None)

    def _select(self, rest: str, values: Sequence[object]) -> list[Entry]:
        if not self._exists:
            return []
        with self._open() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM conversations {rest}", values)  # noqa: S608 - constants
            return [_entry(row) for row in rows]

    def search(self, words: Iterable[str], limit: int = 20) -> list[Entry]:
        """Return the conversations that contain all *words*, the best match first.

        A word matches the beginning of a word; one that is not of Latin letters, any part of the
        text, because scripts such as Chinese have no spaces.
        """
        texts = [word for part in words for word in part.split()]
        if not texts:
            return []
        indexed = [word for word in texts if word.isascii() and word.isalnum()]
        conditions, values = list[str](), list[object]()
        if indexed:
            conditions.append("search MATCH ?")
            values.append(" ".join(f'"{word}"*' for word in indexed))
        for word in texts:
            if word not in indexed:
                conditions.append("(search.title || char(10) || body) LIKE ? ESCAPE '\\'")
                values.append(f"%{word.translate(_LIKE)}%")
        order = "bm25(search, 4.0, 1.0)" if indexed else "changed DESC"
        columns = ", ".join(f"conversations.{name.strip()}" for name in _COLUMNS.split(","))
        query = (
            f"SELECT {columns}, body FROM search JOIN conversations"  # noqa: S608 - constants
            f" ON conversations.id = search.rowid WHERE {' AND '.join(conditions)}"
            f" ORDER BY {order} LIMIT ?"
        )
        if not self._exists:
            return []
        with self._open() as connection:
            rows = connection.execute(query, [*values, limit]).fetchall()
        return [_entry(row[:-1], excerpt(row[-1], texts)) for row in rows]

    def delete(self, numbers: Iterable[int] | None) -> int:
        """Delete conversations, all for None; return their number."""
        count = 0
        with self._open(write=True) as connection:
            if numbers is None:
                rows = connection.execute("SELECT id FROM conversations").fetchall()
                numbers = [row[0] for row in rows]
            for number in numbers:
                connection.execute("DELETE FROM search WHERE rowid = ?", [number])
                done = connection.execute("DELETE FROM conversations WHERE id = ?", [number])
                count += done.rowcount
            # The index would keep the words until it is merged.
            connection.execute("INSERT INTO search (search) VALUES ('optimize')")
        return count


_LIKE = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\"})


def _encoded(messages: list[dict[str, Any]]) -> str:
    return json.dumps(messages, ensure_ascii=True)  # a lone surrogate cannot be stored as text


def _entry(row: Sequence[Any], found: str = "") -> Entry:
    number, revision, created, changed, title, model, system, messages = row
    return Entry(
        number, revision, created, changed, title, model, system, json.loads(messages), found
    )


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # deleted by another process
        return 0
