"""Answers in a ClickHouse database, each under its token, to the letter."""

from __future__ import annotations

from dejavu.config.database import ServerDatabase
from dejavu.store import clickhouse_sql as sql
from dejavu.store.clickhouse_client import ClickHouse
from dejavu.store.clickhouse_tables import create_missing, require_all


class ClickHouseResults:
    """One table of answers."""

    def __init__(self, database: ServerDatabase) -> None:
        self._clickhouse = ClickHouse(database)

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the table is laid out otherwise."""
        create_missing(self._clickhouse, [sql.RESULT])

    def put(self, token: str, answer: str) -> None:
        """Keep the JSON text of an answer under its token."""
        self._clickhouse.insert_rows(sql.WRITE_RESULT, [(token, answer)])

    def get(self, token: str) -> str | None:
        """The JSON text kept under this token, or None."""
        rows = self._clickhouse.rows(sql.READ_RESULT, token=token)
        return str(rows[0][0]) if rows else None

    def check(self) -> str:
        """The server's name and version, once it is seen that the table can be used."""
        require_all(self._clickhouse, [sql.RESULT])
        return self._clickhouse.version()

    def close(self) -> None:
        """Let go of every connection."""
        self._clickhouse.close()
