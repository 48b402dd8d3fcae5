"""Connections to one ClickHouse database."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clickhouse_driver import Client

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.model import UInt32s
from dejavu.store.clickhouse_arrays import ColumnsResult
from dejavu.store.clickhouse_errors import Busy, as_store_errors

# Every failed connection is logged by the library with a traceback, and raised besides.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)

Row = tuple[Any, ...]

_IDLE_AT_MOST = settings.LANE_THREADS + 3 * settings.WRITE_LANE_THREADS
"""Connections kept open while nobody uses them. The lanes bound how many are used: one for a question, up to three for
an insert."""

_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 0.1


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
        rows: list[Row] = self._ask(statement, values, asked, timeout_seconds)
        return rows

    def packed_rows(
        self,
        statement: str,
        asked: Mapping[str, UInt32s],
        timeout_seconds: float = settings.LOOK_UP_TIMEOUT_SECONDS,
    ) -> list[Row]:
        """The rows that a statement gives, in which every String is bytes and no text."""
        rows: list[Row] = self._ask(statement, {}, asked, timeout_seconds, strings_as_bytes=True)
        return rows

    def columns(
        self,
        statement: str,
        asked: Mapping[str, UInt32s],
        timeout_seconds: float = settings.LOOK_UP_TIMEOUT_SECONDS,
    ) -> list[UInt32s]:
        """The columns that a statement gives, all of UInt32; none at all where there are no rows."""
        columns: list[UInt32s] = self._ask(statement, {}, asked, timeout_seconds, columnar=True)
        return columns

    def _ask(
        self,
        statement: str,
        values: Mapping[str, object],
        asked: Mapping[str, UInt32s] | None,
        timeout_seconds: float,
        *,
        columnar: bool = False,
        **bounds: bool,
    ) -> Any:
        with self._taken(timeout_seconds) as client:
            return client.execute(
                statement,
                values,
                external_tables=_external(asked),
                settings={**_bounds(timeout_seconds), **bounds},
                columnar=columnar,
            )

    def version(self) -> str:
        """The server's name and version."""
        with self._taken(settings.LOOK_UP_TIMEOUT_SECONDS) as client:
            return f"ClickHouse {'.'.join(str(part) for part in client.connection.server_info.version_tuple())}"

    # --- Changing -----------------------------------------------------------------------------------------------------

    def run(self, statement: str, **values: int | str | Sequence[int] | Sequence[str]) -> None:
        """Carry out a statement that gives nothing."""
        with self._taken(settings.INSERT_TIMEOUT_SECONDS) as client:
            client.execute(statement, values)

    def run_outside(self, statement: str) -> None:
        """Carry out a statement that gives nothing, where the database may not be there yet."""
        with as_store_errors(), self._connect(database="") as client:
            _make_ready(client, settings.LOOK_UP_TIMEOUT_SECONDS)
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
            except Busy:
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
            with as_store_errors():
                _make_ready(client, timeout_seconds)
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
            send_receive_timeout=settings.DATABASE_CONNECT_TIMEOUT_SECONDS,
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


def _make_ready(client: Client, timeout_seconds: float) -> None:
    """Connect it where it is not, or no longer; from then on the server may be silent for so long."""
    connection, watch = client.connection, select.poll()
    if connection.connected:
        watch.register(connection.socket, select.POLLIN)
    # All that comes in on an idle connection is its end. A greeting must not take as long as an insert may.
    if not connection.connected or watch.poll(0):
        connection.connect()
    connection.socket.settimeout(timeout_seconds)


def _bounds(timeout_seconds: float) -> dict[str, int]:
    """Settings that make the server stop answering what nobody waits for any more."""
    return {"max_execution_time": max(1, round(timeout_seconds))}


def _external(asked: Mapping[str, UInt32s] | None) -> list[dict[str, object]]:
    """The table `asked`, as the library wants it; it has no limit of size, which a list within a statement has."""
    if not asked:
        return []
    rows = list(zip(*(values.tolist() for values in asked.values()), strict=True))
    return [{"name": "asked", "structure": [(column, "UInt32") for column in asked], "data": rows}]


def _when_asked(rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """A generator, which the library starts only when the server has accepted the statement."""
    yield from rows()
