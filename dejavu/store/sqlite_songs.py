"""The table of songs in a SQLite file: its rows, what they are listed by, and columns that came later."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from dejavu.model import Song, SongQuery
from dejavu.store import about

_LATER = ("about TEXT NOT NULL DEFAULT ''", "search_key TEXT NOT NULL DEFAULT ''")
"""Columns that tables of earlier versions lack."""

_INDEX = "CREATE INDEX song_by_key ON song (search_key, sha1)"

SCHEMA = (
    # AUTOINCREMENT: a key is never given again, so what a process remembers about one stays true.
    f"""CREATE TABLE song (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        song_id INTEGER NOT NULL UNIQUE,
        sha1 TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        total_hashes INTEGER NOT NULL,
        {", ".join(_LATER)}
    )""",
    _INDEX,
)

_INDEXED_AT_ONCE = 1000
"""Songs given their keys in one transaction: some tens of milliseconds, in which nobody else writes."""

_SONG = "SELECT song_id, name, sha1, total_hashes, about FROM song"

_INSERT = "INSERT INTO song (song_id, name, sha1, total_hashes, about, search_key) VALUES (?, ?, ?, ?, ?, ?)"

_WANTED = """
    (NOT EXISTS (SELECT 1 FROM json_each(:words) WHERE instr(search_key, value) = 0)
    OR (:sha1_start IS NOT NULL AND substr(sha1, 1, length(:sha1_start)) = :sha1_start))
"""


def find(connection: sqlite3.Connection, sha1: str) -> Song | None:
    """The song made from the file with this SHA-1, or None."""
    row = connection.execute(f"{_SONG} WHERE sha1 = ?", (sha1,)).fetchone()
    return None if row is None else about.song(*row)


def with_ids(connection: sqlite3.Connection, song_ids: Sequence[int]) -> list[Song]:
    """The songs with these ids."""
    statement = f"{_SONG} WHERE song_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - a constant
    return [about.song(*row) for row in connection.execute(statement, (json.dumps(list(song_ids)),))]


def page_by_id(connection: sqlite3.Connection, after: int, limit: int) -> list[Song]:
    """The first `limit` songs with ids above `after`."""
    statement = f"{_SONG} WHERE song_id > ? ORDER BY song_id LIMIT ?"
    return [about.song(*row) for row in connection.execute(statement, (after, limit))]


def page_by_key(connection: sqlite3.Connection, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
    """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair."""
    statement = f"{_SONG} WHERE (search_key, sha1) > (:key, :sha1) AND {_WANTED} ORDER BY search_key, sha1 LIMIT :limit"
    values = {**_values(query), "key": after[0], "sha1": after[1], "limit": limit}
    return [about.song(*row) for row in connection.execute(statement, values)]


def count(connection: sqlite3.Connection, query: SongQuery) -> int:
    """How many songs a query is for."""
    statement = f"SELECT count(*) FROM song WHERE {_WANTED}"  # noqa: S608 - a constant
    (found,) = connection.execute(statement, _values(query)).fetchone()
    return int(found)


def add(connection: sqlite3.Connection, song: Song) -> int:
    """Store a song, and give its key."""
    known = about.pack(song.about), about.search_key(song.name, song.about)
    key = connection.execute(_INSERT, (song.song_id, song.name, song.sha1, song.total_hashes, *known)).lastrowid
    assert key is not None  # noqa: S101 - an INSERT of a row always gives one
    return key


def rename(connection: sqlite3.Connection, song_id: int, name: str) -> None:
    """Give a song another name; an unknown id is no error."""
    for song in with_ids(connection, [song_id]):
        key = about.search_key(name, song.about)
        connection.execute("UPDATE song SET name = ?, search_key = ? WHERE song_id = ?", (name, key, song_id))


def is_outdated(connection: sqlite3.Connection) -> bool:
    """Whether the table is that of an earlier version."""
    return "search_key" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(song)")}


def add_columns(connection: sqlite3.Connection) -> None:
    """Give the table of an earlier version the columns it lacks; that version goes on reading and writing it."""
    for column in _LATER:
        connection.execute(f"ALTER TABLE song ADD COLUMN {column}")
    connection.execute(_INDEX)


def index_some(connection: sqlite3.Connection) -> int:
    """Give some songs that have none their keys; of how many there were."""
    statement = "SELECT key, name, about FROM song WHERE search_key = '' LIMIT ?"
    songs = connection.execute(statement, (_INDEXED_AT_ONCE,)).fetchall()
    keys = [(about.search_key(name, about.unpack(packed)), key) for key, name, packed in songs]
    connection.executemany("UPDATE song SET search_key = ? WHERE key = ?", keys)
    return len(songs)


def _values(query: SongQuery) -> dict[str, str | None]:
    return {"words": json.dumps(query.words, ensure_ascii=False), "sha1_start": query.sha1_start}
