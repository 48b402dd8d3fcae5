"""Answers in a MySQL or MariaDB database, each under its token, to the letter."""

from __future__ import annotations

from dejavu.config.database import ServerDatabase
from dejavu.store.mysql_schema import Schema
from dejavu.store.mysql_server import MysqlServer

_TABLES = {
    # Bytes, because to MySQL text that ends in spaces equals text that does not.
    "result": """
        token VARBINARY(80) NOT NULL PRIMARY KEY,
        answer MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        stored_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    """,
}

_SCHEMA = Schema("TuneScout results, layout 1", _TABLES)


class MysqlResults:
    """One database of answers."""

    def __init__(self, database: ServerDatabase) -> None:
        self._server = MysqlServer(database)

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the table is something else."""
        _SCHEMA.create(self._server)

    def put(self, token: str, answer: str) -> None:
        """Keep the JSON text of an answer under its token."""
        with self._server.statements() as cursor:
            cursor.execute("INSERT INTO result (token, answer) VALUES (%s, %s)", (token.encode(), answer))

    def get(self, token: str) -> str | None:
        """The JSON text kept under this token, or None."""
        with self._server.statements() as cursor:
            cursor.execute("SELECT answer FROM result WHERE token = %s", (token.encode(),))
            row: tuple[str] | None = cursor.fetchone()
        return None if row is None else row[0]

    def check(self) -> str:
        """The name and version of the server, once it is seen that the table can be used."""
        return _SCHEMA.check(self._server)

    def close(self) -> None:
        """Let go of every connection."""
        self._server.close()
