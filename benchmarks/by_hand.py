"""One statement by hand for each thing that the service asks its databases: what a driver cannot be faster than.

Straight through the client library of each database, with what is asked written into the statement or bound to it
beforehand, and without what makes answers right whatever happens: no join with the songs that are whole, no pool, no
check of a connection, no arrays of what comes back.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import MySQLdb
from clickhouse_driver import Client as ClickHouseClient

from benchmarks.floors import Work
from dejavu.config.database import Database, ServerDatabase, SqliteDatabase
from dejavu.model import UInt32s
from dejavu.store.clickhouse_arrays import ColumnsResult
from dejavu.store.sqlite_postings import BUCKET_BITS, KEY_BITS, buckets_of

_STRETCH_BITS = 21
"""Of a stretch's id in SQLite, for its number (`dejavu/store/sqlite.py`)."""


class ByHand(Protocol):
    """A database of fingerprints or of results, with a connection of its own."""

    def look_up(self, hashes: UInt32s) -> Work:
        """Fetch all postings of these hashes."""

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> Work:
        """Fetch the packed peaks of these pairs of song id and number."""

    def songs(self, song_ids: Sequence[int]) -> Work:
        """Fetch the rows of these songs."""

    def keep(self, answer: str) -> Work:
        """Insert an answer under a new token."""

    def close(self) -> None:
        """Let go of the connection."""


def by_hand(database: Database) -> ByHand:
    """A connection to a database that the service has set up."""
    if isinstance(database, SqliteDatabase):
        return _Sqlite(database)
    return _ClickHouse(database) if database.type == "clickhouse" else _Mysql(database)


class _Sqlite:
    def __init__(self, database: SqliteDatabase) -> None:
        self._connection = sqlite3.connect(database.path, isolation_level=None)
        # As the service has it: a page cache of 8 MB, and commits that are on the disk.
        self._connection.execute("PRAGMA cache_size = -8192")
        self._connection.execute("PRAGMA synchronous = FULL")

    def look_up(self, hashes: UInt32s) -> Work:
        (last_key,) = self._connection.execute("SELECT ifnull(max(key), 0) FROM song").fetchone()
        generations = range((last_key >> KEY_BITS) + 1)
        ids = [(number << BUCKET_BITS) + bucket for number in generations for bucket in buckets_of(hashes)]
        select = "SELECT postings.id, entries FROM json_each(?) CROSS JOIN postings ON postings.id = value"
        return self._fetch(select, json.dumps(ids))

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> Work:
        asked = json.dumps([song_id for song_id, _ in wanted])
        find = "SELECT song_id, key FROM song WHERE song_id IN (SELECT value FROM json_each(?))"
        keys = dict(self._connection.execute(find, (asked,)).fetchall())
        ids = [(keys[song_id] << _STRETCH_BITS) + number for song_id, number in wanted if song_id in keys]
        select = "SELECT stretch.id, packed FROM json_each(?) CROSS JOIN stretch ON stretch.id = value"
        return self._fetch(select, json.dumps(ids))

    def songs(self, song_ids: Sequence[int]) -> Work:
        select = "SELECT song_id, name, sha1, total_hashes FROM song WHERE song_id IN (SELECT value FROM json_each(?))"
        return self._fetch(select, json.dumps(list(song_ids)))

    def keep(self, answer: str) -> Work:
        row = secrets.token_hex(10), answer
        return lambda: self._connection.execute("INSERT INTO result (token, answer) VALUES (?, ?)", row)

    def close(self) -> None:
        self._connection.close()

    def _fetch(self, select: str, asked: str) -> Work:
        return lambda: self._connection.execute(select, (asked,)).fetchall()


class _ClickHouse:
    """What is asked travels as a table, and numbers come back as arrays.

    A list within the statement takes the server several times as long to read, and the integers that the library makes
    of numbers otherwise would be no floor either.
    """

    def __init__(self, database: ServerDatabase) -> None:
        self._client = ClickHouseClient(
            database.host,
            port=database.port,
            database=database.database,
            user=database.user or "default",
            password=database.password or "",
            compression="lz4",
            settings={"async_insert": 0, "use_query_condition_cache": 0},
        )
        self._client.query_result_cls = ColumnsResult

    def look_up(self, hashes: UInt32s) -> Work:
        select = "SELECT hash, song_id, offset FROM fingerprint PREWHERE hash IN (SELECT hash FROM asked)"
        asked = _asked(["hash"], list(zip(hashes.tolist(), strict=True)))
        return lambda: self._client.execute(select, external_tables=asked, columnar=True)

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> Work:
        either = "(song_id, number) IN (SELECT song_id, number FROM asked)"
        select = f"SELECT song_id, number, packed FROM stretch WHERE {either}"  # noqa: S608
        asked = _asked(["song_id", "number"], wanted)
        return lambda: self._client.execute(select, external_tables=asked, settings={"strings_as_bytes": True})

    def songs(self, song_ids: Sequence[int]) -> Work:
        select = f"SELECT song_id, name, sha1, total_hashes FROM song WHERE song_id IN ({_listed(song_ids)})"  # noqa: S608
        return lambda: self._client.execute(select)

    def keep(self, answer: str) -> Work:
        row = secrets.token_hex(10), answer
        return lambda: self._client.execute("INSERT INTO result (token, answer) VALUES", [row])

    def close(self) -> None:
        self._client.disconnect()


def _asked(columns: Sequence[str], rows: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    return [{"name": "asked", "structure": [(column, "UInt32") for column in columns], "data": list(rows)}]


class _Mysql:
    def __init__(self, database: ServerDatabase) -> None:
        self._connection = MySQLdb.connect(
            host=database.host,
            port=database.port,
            database=database.database,
            user=database.user,
            password=database.password,
            charset="utf8mb4",
            autocommit=True,
        )

    def look_up(self, hashes: UInt32s) -> Work:
        # FORCE INDEX as the service has it, since the planner else may read the whole table.
        posting = "posting FORCE INDEX (PRIMARY)"
        return self._fetch(f"SELECT hash, song_id, offsets FROM {posting} WHERE hash IN ({_listed(hashes.tolist())})")  # noqa: S608

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> Work:
        either = " OR ".join(f"song_id = {song_id} AND number = {number}" for song_id, number in wanted)
        return self._fetch(f"SELECT song_id, number, packed FROM stretch FORCE INDEX (PRIMARY) WHERE {either}")  # noqa: S608

    def songs(self, song_ids: Sequence[int]) -> Work:
        return self._fetch(
            f"SELECT song_id, name, sha1, total_hashes FROM song WHERE song_id IN ({_listed(song_ids)})"  # noqa: S608
        )

    def keep(self, answer: str) -> Work:
        row = secrets.token_hex(10), answer
        return lambda: self._connection.cursor().execute("INSERT INTO result (token, answer) VALUES (%s, %s)", row)

    def close(self) -> None:
        self._connection.close()

    def _fetch(self, select: str) -> Work:
        def work() -> Any:
            cursor = self._connection.cursor()  # one that is used again frees what it has fetched before
            cursor.execute(select)
            return cursor.fetchall()

        return work


def _listed(values: Iterable[object]) -> str:
    """Numbers, and pairs of them, as SQL lists them."""
    return ", ".join(map(str, values))
