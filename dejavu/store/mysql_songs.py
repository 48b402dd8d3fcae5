"""The table of songs in a MySQL database: its rows, what they are searched by, and columns that came later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import MySQLdb
from MySQLdb.constants import ER

from dejavu.errors import AlreadyFingerprinted, StoreError
from dejavu.model import Song, SongQuery
from dejavu.store import about
from dejavu.store.mysql_server import Cursor
from dejavu.store.song_ids import possible_song_ids

_COLUMN = """
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = %s AND table_name = 'song' AND column_name = 'search_key'
"""

_LATER = (
    "about VARBINARY(8000) NOT NULL DEFAULT ''",
    "search_key VARBINARY(1000) NOT NULL DEFAULT ''",
    "KEY song_by_key (search_key, sha1)",
)
"""What tables of earlier versions lack."""

COLUMNS = f"""
    song_id INT UNSIGNED NOT NULL PRIMARY KEY,
    sha1 CHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    name VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    total_hashes INT UNSIGNED NOT NULL,
    {", ".join(_LATER)}
"""

_SONG = "SELECT song_id, name, sha1, total_hashes, about FROM song"

_SHA1 = re.compile("[0-9a-f]{40}")

_INSERT = """
    INSERT INTO song (song_id, name, sha1, total_hashes, about, search_key) VALUES (%s, %s, %s, %s, %s, %s)
"""

_ADD_COLUMNS = f"ALTER TABLE song {', '.join(f'ADD {column}' for column in _LATER)}"

_INDEXED_AT_ONCE = 1000


def find(cursor: Cursor, sha1: str) -> Song | None:
    """The song made from the file with this SHA-1, or None."""
    # MySQL would compare anything, and finds text equal that ends in more spaces.
    if not _SHA1.fullmatch(sha1):
        return None
    cursor.execute(f"{_SONG} WHERE sha1 = %s", (sha1,))
    return next(iter(_songs(cursor)), None)


def with_ids(cursor: Cursor, song_ids: Sequence[int]) -> list[Song]:
    """The songs with these ids, of which there is at least one."""
    cursor.execute(f"{_SONG} WHERE song_id IN %s", (tuple(song_ids),))
    return _songs(cursor)


def page_by_id(cursor: Cursor, after: int, limit: int) -> list[Song]:
    """The first `limit` songs with ids above `after`."""
    cursor.execute(f"{_SONG} WHERE song_id > %s ORDER BY song_id LIMIT %s", (after, limit))
    return _songs(cursor)


def page_by_key(cursor: Cursor, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
    """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair."""
    wanted, values = _condition(query)
    key, sha1 = after[0].encode(), after[1]
    beyond = "(search_key > %s OR (search_key = %s AND sha1 > %s))"
    statement = f"{_SONG} WHERE {beyond} AND {wanted} ORDER BY search_key, sha1 LIMIT %s"
    cursor.execute(statement, (key, key, sha1, *values, limit))
    return _songs(cursor)


def count(cursor: Cursor, query: SongQuery) -> int:
    """How many songs a query is for."""
    wanted, values = _condition(query)
    cursor.execute(f"SELECT COUNT(*) FROM song WHERE {wanted}", values)  # noqa: S608 - placeholders only
    (found,) = cursor.fetchone()
    return int(found)


def add(cursor: Cursor, song: Song) -> Song:
    """Store a song under the first id that is free, and give it with that; raises `AlreadyFingerprinted`."""
    known = about.pack(song.about).encode(), about.search_key(song.name, song.about).encode()
    for song_id in possible_song_ids(song.sha1):
        if (stored := find(cursor, song.sha1)) is not None:
            raise AlreadyFingerprinted(stored)
        try:
            cursor.execute(_INSERT, (song_id, song.name, song.sha1, song.total_hashes, *known))
        except MySQLdb.IntegrityError:
            continue  # the id is another song's; or the file has been stored since, which is then found
        return replace(song, song_id=song_id)
    raise StoreError("Other songs have every id this file could get; add it to another instance.")


def rename(cursor: Cursor, song_id: int, name: str) -> None:
    """Give a song another name; an unknown id is no error."""
    if cursor.execute(f"{_SONG} WHERE song_id = %s FOR UPDATE", (song_id,)):
        (song,) = _songs(cursor)
        key = about.search_key(name, song.about).encode()
        cursor.execute("UPDATE song SET name = %s, search_key = %s WHERE song_id = %s", (name, key, song_id))


def _songs(cursor: Cursor) -> list[Song]:
    return [about.song(id_, name, sha1, total, packed.decode()) for id_, name, sha1, total, packed in cursor.fetchall()]


def _condition(query: SongQuery) -> tuple[str, list[bytes | str]]:
    """What comes after WHERE for the songs that a query is for, and its values."""
    conditions = ["LOCATE(%s, search_key) > 0"] * len(query.words) or ["TRUE"]
    values: list[bytes | str] = [word.encode() for word in query.words]
    wanted = " AND ".join(conditions)
    if query.sha1_start is None:
        return f"({wanted})", values
    return f"(({wanted}) OR sha1 LIKE CONCAT(%s, '%%'))", [*values, query.sha1_start]


def is_outdated(cursor: Cursor, database: str) -> bool:
    """Whether the table is that of an earlier version."""
    return not cursor.execute(_COLUMN, (database,))


def add_columns(cursor: Cursor) -> None:
    """Give the table of an earlier version the columns it lacks; that version goes on reading and writing it."""
    try:
        cursor.execute(_ADD_COLUMNS)
    except MySQLdb.OperationalError as exc:
        if exc.args[0] != ER.DUP_FIELDNAME:  # another service has been faster
            raise


def index_some(cursor: Cursor) -> int:
    """Give some songs that have none their keys; of how many there were."""
    cursor.execute("SELECT song_id, name, about FROM song WHERE search_key = '' LIMIT %s", (_INDEXED_AT_ONCE,))
    songs = cursor.fetchall()
    for song_id, name, packed in songs:
        key = about.search_key(name, about.unpack(packed.decode())).encode()
        cursor.execute("UPDATE song SET search_key = %s WHERE song_id = %s", (key, song_id))
    return len(songs)
