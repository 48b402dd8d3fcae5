"""Connections to one ClickHouse database, and how its trouble is told."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clickhouse_driver import Client
from clickhouse_driver import errors as library

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import StoreError, StoreUnavailable
from dejavu.model import UInt32s
from dejavu.store.clickhouse_arrays import ColumnsResult

# Every failed connection is logged by the library with a traceback, and raised besides.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)

Row = tuple[Any, ...]

_IDLE_AT_MOST = settings.LANE_THREADS + 3 * settings.WRITE_LANE_THREADS
"""Connections kept open while nobody uses them. The lanes bound how many are used: one for a question, up to three for
an insert."""

_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 0.1

_Code = library.ErrorCodes

_REFUSED = (_Code.UNKNOWN_USER, _Code.WRONG_PASSWORD, _Code.REQUIRED_PASSWORD, 516)  # 516: AUTHENTICATION_FAILED

_FORBIDDEN = (_Code.READONLY, _Code.DATABASE_ACCESS_DENIED, _Code.QUERY_IS_PROHIBITED, 497)  # 497: ACCESS_DENIED

_SENTENCES = {
    _Code.UNKNOWN_DATABASE: "The ClickHouse server does not have the database of the configuration.",
    _Code.UNKNOWN_TABLE: "A table is missing in the ClickHouse database; a restart creates it.",
    _Code.TIMEOUT_EXCEEDED: "The ClickHouse server did not answer in time.",
    _Code.TOO_MANY_SIMULTANEOUS_QUERIES: "The ClickHouse server has too many queries to answer.",
    _Code.MEMORY_LIMIT_EXCEEDED: "The ClickHouse server may not use as much memory as this needs.",
    _Code.NOT_ENOUGH_SPACE: "The disk of the ClickHouse server is full.",
    _Code.TOO_MANY_PARTS: "The ClickHouse server has more rows to merge than it can; it will take more later.",
    **dict.fromkeys(_REFUSED, "The ClickHouse server refuses the user or the password of the configuration."),
    **dict.fromkeys(_FORBIDDEN, "The ClickHouse server does not allow its user to do this."),
}
"""What an operator can act on, by the server's error code."""

_UNKNOWN_SETTING = (_Code.BAD_ARGUMENTS, _Code.UNKNOWN_SETTING)

_OUR_MISTAKES = (
    _Code.CANNOT_PARSE_TEXT,
    _Code.NO_SUCH_COLUMN_IN_TABLE,
    _Code.NUMBER_OF_COLUMNS_DOESNT_MATCH,
    _Code.NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
    _Code.ILLEGAL_TYPE_OF_ARGUMENT,
    _Code.UNKNOWN_FUNCTION,
    _Code.UNKNOWN_IDENTIFIER,
    _Code.UNKNOWN_TYPE,
    _Code.TYPE_MISMATCH,
    _Code.SYNTAX_ERROR,
    _Code.ALIAS_REQUIRED,
    _Code.ILLEGAL_PREWHERE,
)
"""A statement or a value that is wrong on every attempt is a bug, and no reason to leave the server alone."""


class UnknownDatabase(StoreUnavailable):
    """The server has no database of this name."""


class NotAllowed(StoreUnavailable):
    """The server's user has no right to do this."""


class UnknownSetting(StoreError):
    """The server is too old for a setting."""


class _Busy(StoreUnavailable):
    """Somebody else's query has this id."""


class ClickHouse:
    """One database of one server, connected to as often as it is used at the same time.

    Safe for several threads, also after a fork. Connections are kept open; one that broke is not used again, and
    the next use opens another.
    """

    def __init__(self, database: ServerDatabase) -> None:
        self.name = database.database
        self._database = database
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._idle: list[Client] = []
        self._inherited: list[Client] = []
        self._closed = False

    # --- Asking -------------------------------------------------------------------------------------------------------

    def rows(
        self,
        statement: str,
        asked: Mapping[str, UInt32s] | None = None,
        timeout_seconds: float = settings.LOOK_UP_TIMEOUT_SECONDS,
        **values: str | int | tuple[str, ...],
    ) -> list[Row]:
        """The rows that a statement gives; to it, the columns of `asked` are a table of that name."""
        with self._taken(timeout_seconds) as client:
            rows: list[Row] = client.execute(
                statement, values, external_tables=_external(asked), settings=_bounds(timeout_seconds)
            )
        return rows

    def columns(
        self,
        statement: str,
        asked: Mapping[str, UInt32s],
        timeout_seconds: float = settings.LOOK_UP_TIMEOUT_SECONDS,
    ) -> list[UInt32s]:
        """The columns that a statement gives, all of UInt32; none at all where there are no rows."""
        with self._taken(timeout_seconds) as client:
            columns: list[UInt32s] = client.execute(
                statement, {}, external_tables=_external(asked), settings=_bounds(timeout_seconds), columnar=True
            )
        return columns

    def version(self) -> str:
        """The server's name and version."""
        with self._taken(settings.LOOK_UP_TIMEOUT_SECONDS) as client:
            return f"ClickHouse {'.'.join(str(part) for part in client.connection.server_info.version_tuple())}"

    # --- Changing -----------------------------------------------------------------------------------------------------

    def run(self, statement: str, **values: int | str) -> None:
        """Carry out a statement that gives nothing."""
        with self._taken(settings.INSERT_TIMEOUT_SECONDS) as client:
            client.execute(statement, values)

    def run_outside(self, statement: str) -> None:
        """Carry out a statement that gives nothing, where the database may not be there yet."""
        with _as_store_errors(), self._connect(database="") as client:
            client.execute(statement)

    def insert(self, statement: str, *columns: UInt32s) -> None:
        """Insert rows, given as columns of the same length; all of them or none."""
        with self._taken(settings.INSERT_TIMEOUT_SECONDS) as client:
            client.execute(statement, [column.tolist() for column in columns], columnar=True)

    def insert_rows(self, statement: str, rows: Sequence[Row]) -> None:
        """Insert rows; all of them or none."""
        with self._taken(settings.INSERT_TIMEOUT_SECONDS) as client:
            client.execute(statement, list(rows))

    def insert_alone(self, statement: str, key: str, rows: Callable[[], Iterable[Row]]) -> None:
        """Insert what `rows` gives, and let nobody else on the server do so for the same key meanwhile.

        A server runs no two queries with the same id: this INSERT is open, and its id taken, from before `rows` is
        called to when its rows are stored. Whoever dies in between lets go of the id, and has inserted nothing.
        Waits for its turn; raises `StoreUnavailable` where it does not come.
        """
        query_id = f"tunescout {self.name} {key}"
        deadline = time.monotonic() + settings.INSERT_TIMEOUT_SECONDS
        pause_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                with self._taken(settings.INSERT_TIMEOUT_SECONDS) as client:
                    client.execute(statement, _when_asked(rows), query_id=query_id)
                return
            except _Busy:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """Close every connection: idle ones now, others when they are given back."""
        with self._lock:
            self._closed = True
            self._disown_inherited()
            while self._idle:
                self._idle.pop().disconnect()

    # --- Connections --------------------------------------------------------------------------------------------------

    @contextmanager
    def _taken(self, timeout_seconds: float) -> Iterator[Client]:
        """A connection, for as long as nothing goes wrong on it; `timeout_seconds` is how long it may stay silent."""
        with self._lock:
            self._disown_inherited()
            client = self._idle.pop() if self._idle else self._connect(self.name)
        try:
            with _as_store_errors():
                # The server's greeting must not take as long as an insert may: the time is set after it.
                if not client.connection.connected:
                    client.connection.connect()
                client.connection.socket.settimeout(timeout_seconds)
                yield client
        except BaseException:
            client.disconnect()
            raise
        self._give_back(client)

    def _give_back(self, client: Client) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_AT_MOST:
                self._idle.append(client)
                return
        client.disconnect()

    def _disown_inherited(self) -> None:
        """After a fork the child must not use the parent's connections, and closing them would end them for both."""
        if self._pid != os.getpid():
            self._inherited += self._idle
            self._idle, self._pid = [], os.getpid()

    def _connect(self, database: str) -> Client:
        """A client of its own; it connects when it is first used."""
        client = Client(
            self._database.host,
            port=self._database.port,
            database=database,
            user=self._database.user or "default",
            password=self._database.password or "",
            client_name="tunescout",
            connect_timeout=settings.DATABASE_CONNECT_TIMEOUT_SECONDS,
            send_receive_timeout=settings.LOOK_UP_TIMEOUT_SECONDS,
            sync_request_timeout=settings.DATABASE_CONNECT_TIMEOUT_SECONDS,
            compression="lz4",
            settings=_SETTINGS,
        )
        client.query_result_cls = ColumnsResult
        return client


_SETTINGS = {
    # Today's servers gather inserts for a while first; ours are whole songs, and somebody waits for each.
    "async_insert": 0,
    # From 25.3 to 25.7 it remembers what one table of asked hashes did not find, and believes that of the next.
    "use_query_condition_cache": 0,
}
"""For every statement; servers that do not know one of them pass over it."""


def _bounds(timeout_seconds: float) -> dict[str, int]:
    """Settings that make the server stop answering what nobody waits for any more."""
    return {"max_execution_time": max(1, round(timeout_seconds))}


def _external(asked: Mapping[str, UInt32s] | None) -> list[dict[str, object]]:
    """The table `asked`, as the library wants it; it has no limit of size, which a list within a statement has."""
    return [
        {"name": "asked", "structure": [(column, "UInt32")], "data": list(zip(values.tolist(), strict=True))}
        for column, values in (asked or {}).items()
    ]


def _when_asked(rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """A generator, which the library starts only when the server has accepted the statement."""
    yield from rows()


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except library.ServerException as exc:
        raise _from_server(exc) from exc
    except (library.TypeMismatchError, library.LogicalError, library.UnknownTypeError) as exc:
        raise StoreError("The ClickHouse client was given something that it cannot send.") from exc
    except library.SocketTimeoutError as exc:
        raise StoreUnavailable("The ClickHouse server did not answer in time.") from exc
    except TimeoutError as exc:
        raise StoreUnavailable("The ClickHouse server did not answer in time.") from exc
    except (library.Error, EOFError, OSError) as exc:
        # Without the address that str(exc) may hold: the sentence may be shown to clients.
        raise StoreUnavailable("The ClickHouse server cannot be reached.") from exc


def _from_server(exc: library.ServerException) -> StoreError:
    code = exc.code
    if code in _UNKNOWN_SETTING:
        return UnknownSetting(f"The ClickHouse server does not know a setting (error {code}).")
    if code in _OUR_MISTAKES:
        return StoreError(f"The ClickHouse server does not understand a statement (error {code}).")
    if code == _Code.QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING:
        return _Busy("Somebody else is storing or deleting this song; try again.")
    sentence = _SENTENCES.get(code, f"The ClickHouse server cannot do this at the moment (error {code}).")
    if code == _Code.UNKNOWN_DATABASE:
        return UnknownDatabase(sentence)
    return (NotAllowed if code in _FORBIDDEN else StoreUnavailable)(sentence)
