"""Answers in a SQLite file, each under its token, to the letter."""

from __future__ import annotations

from pathlib import Path

from dejavu.store.sqlite_file import SqliteFile

_APPLICATION_ID = int.from_bytes(b"TunR", "big")
_SCHEMA_VERSION = 1
_SCHEMA = (
    """CREATE TABLE result (
        token TEXT PRIMARY KEY,
        answer TEXT NOT NULL,
        stored_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) WITHOUT ROWID""",
)


class SqliteResults:
    """One file of answers."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _APPLICATION_ID, _SCHEMA_VERSION)

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the file is something else."""
        with self._file.created(_SCHEMA):
            pass

    def put(self, token: str, answer: str) -> None:
        """Keep the JSON text of an answer under its token."""
        with self._file.writing() as connection:
            connection.execute("INSERT INTO result (token, answer) VALUES (?, ?)", (token, answer))

    def get(self, token: str) -> str | None:
        """The JSON text kept under this token, or None."""
        with self._file.reading() as connection:
            row: tuple[str] | None = connection.execute(
                "SELECT answer FROM result WHERE token = ?", (token,)
            ).fetchone()
        return None if row is None else row[0]

    def check(self) -> str:
        """The version of SQLite, once it is seen that the file can be used."""
        return self._file.check()

    def close(self) -> None:
        """Let go of every connection."""
        self._file.close()
