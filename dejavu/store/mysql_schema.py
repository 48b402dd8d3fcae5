"""The tables in a MySQL database: created where they are missing, and recognised where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dejavu.errors import FormatMismatch, NotSetUp
from dejavu.store.mysql_server import Cursor, MysqlServer, quoted

_DATABASE = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"

_COMMENTS = """
    SELECT table_name, table_comment FROM information_schema.tables WHERE table_schema = %s AND table_name IN %s
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """The `tables` (name and columns) of one kind of database.

    `layout` says what they are and how they are laid out. It is their comment, by which one is known that another
    version made, or somebody else.
    """

    layout: str
    tables: Mapping[str, str]

    def create(self, server: MysqlServer) -> None:
        """Create the database and the tables that are missing; raise `FormatMismatch` for those that are others.

        Nothing is created where all is there, so that a user who may not create can use what an administrator did.
        """
        with server.outside() as cursor:
            found = self._found(cursor, server.database)
            if not found and not cursor.execute(_DATABASE, (server.database,)):
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(server.database)} CHARACTER SET utf8mb4")
        with server.statements() as cursor:
            for name, columns in self.tables.items():
                if name not in found:
                    create = f"CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE=InnoDB COMMENT=%s"
                    cursor.execute(create, (self.layout,))

    def check(self, server: MysqlServer) -> str:
        """The server's name and version; raises `NotSetUp` where a table is missing, and `FormatMismatch`."""
        with server.outside() as cursor:
            found = self._found(cursor, server.database)
            cursor.execute("SELECT VERSION()")
            (version,) = cursor.fetchone()
        if len(found) < len(self.tables):
            raise NotSetUp
        return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"

    def _found(self, cursor: Cursor, database: str) -> list[str]:
        """Which of the tables are there, as far as the user may see them."""
        cursor.execute(_COMMENTS, (database, tuple(self.tables)))
        comments = dict(cursor.fetchall())
        for name, comment in comments.items():
            if not comment.startswith("TuneScout "):
                raise FormatMismatch(
                    f"The MySQL database {database} has a table {name} that was made for something else; configure "
                    "another database."
                )
            if comment != self.layout:
                raise FormatMismatch(
                    f"The MySQL database {database} holds {comment} and this version of TuneScout reads {self.layout}; "
                    "use the version that made it, or fill a new database."
                )
        return list(comments)
