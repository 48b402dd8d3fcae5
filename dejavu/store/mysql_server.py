"""One database of a MySQL or MariaDB server: sessions on it, transactions, and how its trouble is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import MySQLdb
import numpy as np
from MySQLdb.constants import CR, ER
from MySQLdb.converters import conversions

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import Overloaded, StoreError, StoreUnavailable, TuneScoutError
from dejavu.model import UInt32s
from dejavu.store.mysql_pool import Connection, ConnectionPool

Cursor = Any
"""A `MySQLdb.cursors.Cursor`; the library has no types."""

Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]

PRIVILEGES = "ALTER, CREATE, SELECT, INSERT, UPDATE, DELETE"
"""What the user of config.json needs on the database."""

_CONNECTIONS = 8
"""Connections that one process has for statements, and for transactions, at most: more than the lanes of an instance
have threads. A results database is asked by every request's own thread, for a millisecond."""

_LOCK_WAIT_SECONDS = 60
"""How long the transaction that stores a file waits for another one that is storing the same."""

_SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
"""Whatever the server's own mode: what does not fit is refused and never cut, quotes mean what they usually do."""

_SENTENCES = {
    CR.CONNECTION_ERROR: "cannot be reached; is it running, and are host and port right",
    CR.CONN_HOST_ERROR: "cannot be reached; is it running, and are host and port right",
    CR.UNKNOWN_HOST: "cannot be found; is its host name right",
    CR.SERVER_GONE_ERROR: "closed the connection",
    CR.SERVER_LOST: "closed the connection or did not answer in time",
    ER.ACCESS_DENIED_ERROR: "refuses the user or the password of the configuration",
    ER.ACCESS_DENIED_NO_PASSWORD_ERROR: "refuses the user of the configuration",
    ER.HOST_NOT_PRIVILEGED: "does not let this machine connect",
    ER.HOST_IS_BLOCKED: "blocks this machine; FLUSH HOSTS lets it in again",
    ER.CON_COUNT_ERROR: "has too many connections; raise its max_connections",
    ER.TOO_MANY_USER_CONNECTIONS: "allows its user no more connections",
    ER.USER_LIMIT_REACHED: "allows its user no more of this; its limits for this user are too low",
    ER.NO_SUCH_TABLE: "misses a table that was there; a restart creates it anew, and empty",
    ER.RECORD_FILE_FULL: "has no room left; its disk or table is full",
    ER.OPTION_PREVENTS_STATEMENT: "is read-only",
    ER.READ_ONLY_MODE: "is read-only",
    ER.NET_PACKET_TOO_LARGE: "takes too small packets; raise its max_allowed_packet",
    ER.SERVER_SHUTDOWN: "is shutting down",
    ER.BINLOG_STMT_MODE_AND_ROW_ENGINE: "cannot work with binlog_format = STATEMENT; set ROW or MIXED",
}
"""What an operator can act on, by error code: `The MySQL server … (error n).`"""

_NOT_ALLOWED = (
    ER.BAD_DB_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
)

_OUR_MISTAKES = (MySQLdb.ProgrammingError, MySQLdb.DataError, MySQLdb.IntegrityError, MySQLdb.NotSupportedError)
"""What is wrong with a statement or a value stays wrong on every attempt: a bug, and no reason to leave the server
alone. The library sorts errors by code; one it does not know is an `OperationalError`."""


class MysqlServer:
    """Sessions on one database, kept open between uses. Safe for several threads, also after a fork.

    Whatever goes wrong is raised as `StoreUnavailable`, or as `StoreError` where the server is well and a statement is
    not.
    """

    def __init__(self, database: ServerDatabase) -> None:
        self.database = database.database
        self._settings = database
        look_up, insert = settings.LOOK_UP_TIMEOUT_SECONDS, settings.INSERT_TIMEOUT_SECONDS
        # Statements in a row see one state of the tables with REPEATABLE READ, where they ask for it. It would make
        # transactions lock the gaps between rows, and so wait for each other.
        self._reads = self._pool(look_up, "REPEATABLE READ")
        self._writes = self._pool(insert, "READ COMMITTED")

    @contextmanager
    def statements(self, *, consistent: bool = False) -> Iterator[Cursor]:
        """A cursor whose statements are transactions of their own; `consistent`: all read the same state."""
        with self._telling(), self._reads.taken() as connection:
            cursor = connection.cursor()
            if consistent:
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            yield cursor
            if consistent:
                cursor.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor; everything done with it is stored when this ends, and nothing where it raises."""
        with self._telling(), self._writes.taken() as connection:
            cursor = connection.cursor()
            cursor.execute("START TRANSACTION")
            yield cursor
            cursor.execute("COMMIT")

    @contextmanager
    def outside(self) -> Iterator[Cursor]:
        """A cursor that works where the database is not there yet, on a connection of its own."""
        with self._telling():
            connection = _connect(self._settings, "", settings.LOOK_UP_TIMEOUT_SECONDS, "READ COMMITTED")
            try:
                yield connection.cursor()
            finally:
                connection.close()

    def close(self) -> None:
        """Close every connection: idle ones now, others when they are no longer used."""
        self._reads.close()
        self._writes.close()

    def _pool(self, timeout_seconds: float, isolation: Isolation) -> ConnectionPool:
        connect = partial(_connect, self._settings, self.database, timeout_seconds, isolation)
        return ConnectionPool(connect, _CONNECTIONS, settings.LOOK_UP_TIMEOUT_SECONDS)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except MySQLdb.Error as exc:
            raise _store_error(exc, self.database) from exc


def _connect(database: ServerDatabase, name: str, timeout_seconds: float, isolation: Isolation) -> Connection:
    known = {"user": database.user, "password": database.password}
    connection = MySQLdb.connect(
        # The library takes "localhost" for a Unix socket, and would never look at the port.
        host="127.0.0.1" if database.host.lower() == "localhost" else database.host,
        port=database.port,
        **{key: value for key, value in known.items() if value is not None},
        database=name,
        charset="utf8mb4",
        autocommit=True,
        sql_mode=_SQL_MODE,
        connect_timeout=math.ceil(settings.DATABASE_CONNECT_TIMEOUT_SECONDS),
        read_timeout=math.ceil(timeout_seconds),
        write_timeout=math.ceil(timeout_seconds),
        multi_statements=False,
        local_infile=False,
        binary_prefix=True,
        conv={**conversions, np.ndarray: _array_literal},
    )
    try:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
        # Where this machine vanishes in a transaction, the server keeps its locks for `wait_timeout`: 8 h by default.
        cursor.execute(
            "SET SESSION innodb_lock_wait_timeout = %s, SESSION wait_timeout = %s",
            (_LOCK_WAIT_SECONDS, math.ceil(settings.INSERT_TIMEOUT_SECONDS)),
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _array_literal(numbers: UInt32s, _: object) -> str:
    """An array of integers as a parameter: what `IN %s` takes. For a list the library does it too, ten times slower."""
    return f"({','.join(map(str, numbers.tolist()))})"


def quoted(identifier: str) -> str:
    """An identifier, which no parameter can stand for."""
    return f"`{identifier.replace('`', '``')}`"


def _store_error(exc: MySQLdb.Error, database: str) -> TuneScoutError:
    """What an error of the library means here. The server's own words are not in it: they name users and hosts."""
    code = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
    if code == ER.LOCK_WAIT_TIMEOUT:
        return Overloaded(
            "This song is being stored or deleted by somebody else; try again.", settings.OUTAGE_RETRY_SECONDS
        )
    if code in _NOT_ALLOWED:
        return StoreUnavailable(
            f"The MySQL database {database} is missing or its user may not do this (error {code}): "
            f"CREATE DATABASE {quoted(database)}, and GRANT {PRIVILEGES} ON {quoted(database)}.* to the user."
        )
    if code in _SENTENCES:
        return StoreUnavailable(f"The MySQL server {_SENTENCES[code]} (error {code}).")
    if isinstance(exc, _OUR_MISTAKES):
        return StoreError(f"The MySQL server does not take what it was asked (error {code}).")
    return StoreUnavailable(f"The MySQL server cannot do what it was asked (error {code}).")
