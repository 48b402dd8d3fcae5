"""The table of songs in a SQLite file: its rows, what they are listed by, and columns that came later."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from dejavu.model import Song, SongQuery
from dejavu.store import about

INDEX = "CREATE INDEX song_by_key ON song (search_key, sha1)"

_ADDED = (
    "ALTER TABLE song ADD COLUMN about TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE song ADD COLUMN search_key TEXT NOT NULL DEFAULT ''",
    INDEX,
)

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


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Give a catalogue of a version that did not read tags the columns it lacks, and its songs what they are found by.

    Such a version may still be adding songs.
    """
    if "search_key" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(song)")}:
        for statement in _ADDED:
            connection.execute(statement)
    songs = connection.execute("SELECT key, name, about FROM song WHERE search_key = ''").fetchall()
    keys = [(about.search_key(name, about.unpack(packed)), key) for key, name, packed in songs]
    connection.executemany("UPDATE song SET search_key = ? WHERE key = ?", keys)


def _values(query: SongQuery) -> dict[str, str | None]:
    return {"words": json.dumps(query.words, ensure_ascii=False), "sha1_start": query.sha1_start}
