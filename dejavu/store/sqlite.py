"""Fingerprints in a SQLite file: the embedded database, with nothing to start and nothing to administer."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.errors import AlreadyFingerprinted, FormatMismatch, Outdated, Overloaded, StoreError
from dejavu.fingerprint import stretches
from dejavu.model import NOTHING_KNOWN, About, Counts, Fingerprints, Peaks, Postings, Song, SongQuery, UInt32s
from dejavu.store import sqlite_look_up, sqlite_postings, sqlite_songs
from dejavu.store.song_ids import possible_song_ids
from dejavu.store.sqlite_file import FileBusy, SqliteFile

_APPLICATION_ID = int.from_bytes(b"TunF", "big")
_SCHEMA_VERSION = 2
_SCHEMA = (
    "CREATE TABLE format (version INTEGER NOT NULL, digest TEXT NOT NULL)",
    *sqlite_songs.SCHEMA,
    "CREATE TABLE postings (id INTEGER PRIMARY KEY, entries BLOB NOT NULL)",
    # By song key and number in one integer: a song's stretches stand side by side, and new ones at the end.
    "CREATE TABLE stretch (id INTEGER PRIMARY KEY, packed BLOB NOT NULL)",
)

# A key never gets another song and the sum of ids tells a file from its backup that went other ways: other songs with
# equal sums would have to meet by chance.
_REVISION = """
    SELECT count(*), ifnull(sum(key), 0), ifnull(sum(song_id), 0), ifnull(sum(total_hashes), 0) FROM song
"""

_KEYS = "SELECT key, song_id FROM song WHERE song_id IN (SELECT value FROM json_each(?))"

_GENERATION = "SELECT id, entries FROM postings WHERE id BETWEEN ? AND ?"

# `||` makes text of its operands, byte for byte; the CAST makes it a BLOB again.
_APPEND = """
    INSERT INTO postings (id, entries) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET entries = CAST(entries || excluded.entries AS BLOB)
"""

_STRETCH_BITS = 21
"""Bits of a stretch's id for its number: as many as the frames of 32 bits can make stretches."""

_STRETCHES = f"""
    WITH wanted (song_id, number) AS (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
    )
    SELECT song.song_id, wanted.number, stretch.packed
    FROM wanted CROSS JOIN song ON song.song_id = wanted.song_id
    CROSS JOIN stretch ON stretch.id = (song.key << {_STRETCH_BITS}) + wanted.number
    WHERE wanted.number >> {_STRETCH_BITS} = 0
"""  # noqa: S608 - the number is a constant of this program

_BUSY_RETRY_SECONDS = 30

_ROWS_PER_STEP = 4096
"""Rows of postings held in memory at a time while songs are deleted or taken out: a few megabytes."""


class SqliteDriver:
    """One file of songs and their postings; `sqlite_postings` says how these are laid out."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _APPLICATION_ID, _SCHEMA_VERSION)
        self._song_ids = _SongIds()

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the catalogue was made with other format settings."""
        self._song_ids = _SongIds()  # it may be another file than before
        with self._file.created(_SCHEMA) as connection:
            if connection.execute("SELECT 1 FROM format").fetchone() is None:
                ours = (settings.FINGERPRINT_VERSION, settings.format_digest())
                connection.execute("INSERT INTO format (version, digest) VALUES (?, ?)", ours)
            _check_format(connection)
            if sqlite_songs.is_outdated(connection):
                sqlite_songs.add_columns(connection)

    def index_songs(self) -> int:
        """Give some songs of an earlier version what they are listed by; of how many there were."""
        with self._file.writing() as connection:
            return sqlite_songs.index_some(connection)

    def find_song(self, sha1: str) -> Song | None:
        """The song fingerprinted from the file with this SHA-1, or None."""
        with self._file.reading() as connection:
            return sqlite_songs.find(connection, sha1)

    def songs(self, song_ids: Sequence[int]) -> list[Song]:
        """The songs with these ids; ids nothing is stored under are left out."""
        with self._file.reading() as connection:
            return sqlite_songs.with_ids(connection, song_ids)

    def insert(self, name: str, sha1: str, fingerprints: Fingerprints, about: About = NOTHING_KNOWN) -> Song:
        """Store a whole song or nothing; raises `AlreadyFingerprinted`, also when somebody else was faster."""
        packed = stretches.pack(fingerprints.peaks)
        with _busy_as_overloaded(), self._file.writing() as connection:
            known = sqlite_songs.find(connection, sha1)
            if known is not None:
                raise AlreadyFingerprinted(known)
            song = Song(_free_song_id(connection, sha1), name, sha1, len(fingerprints), about)
            key = sqlite_songs.add(connection, song)
            connection.executemany(_APPEND, sqlite_postings.pack(key, fingerprints))
            rows = [(_stretch_ids(key)[0] + number, part) for number, part in packed.items()]
            connection.executemany("INSERT INTO stretch (id, packed) VALUES (?, ?)", rows)
        return song

    def delete(self, song_id: int) -> None:
        """Forget a song and all its fingerprints, reading the postings of its generation; an unknown id is no error."""
        with self._file.writing() as connection:
            found = connection.execute("SELECT key FROM song WHERE song_id = ?", (song_id,)).fetchone()
            if found is not None:
                connection.execute("DELETE FROM song WHERE key = ?", found)
                connection.execute("DELETE FROM stretch WHERE id BETWEEN ? AND ?", _stretch_ids(*found))
                _delete_postings(connection, *found)

    def postings(self, hashes: UInt32s) -> Postings:
        """Every posting of these hashes (uint32[n], distinct)."""
        buckets = sqlite_postings.buckets_of(hashes)
        with self._file.reading() as connection:
            found, keys, offsets = sqlite_postings.unpack(sqlite_look_up.rows_of(connection, buckets), hashes)
            song_ids = self._song_ids.of(keys, connection)
        present = song_ids >= 0  # a song deleted since the look-up has no id any more
        return Postings(found[present], song_ids[present].astype(np.uint32), offsets[present])

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The packed peaks of these pairs of song id and number of a stretch; what is not stored is left out."""
        with self._file.reading() as connection:
            rows = connection.execute(_STRETCHES, (json.dumps(list(wanted)),)).fetchall()
        return {(song_id, number): packed for song_id, number, packed in rows}

    def revision(self) -> str:
        """A token of what `postings` answers from: another one as soon as a song is visible or gone."""
        with self._file.reading() as connection:
            return "-".join(map(str, connection.execute(_REVISION).fetchone()))

    def counts(self) -> Counts:
        """How many songs and fingerprints there are."""
        with self._file.reading() as connection:
            return Counts(*connection.execute("SELECT count(*), ifnull(sum(total_hashes), 0) FROM song").fetchone())

    def close(self) -> None:
        """Let go of every connection."""
        self._file.close()

    # --- Looking after a catalogue ------------------------------------------------------------------------------------

    def check(self) -> str:
        """The version of SQLite, once it is seen that the catalogue can be used."""
        version = self._file.check()
        with self._file.reading() as connection:
            _check_format(connection)
            if sqlite_songs.is_outdated(connection):
                raise Outdated
        return version

    def list_songs(self, after: int, limit: int) -> list[Song]:
        """The first `limit` songs with ids above `after`, by ascending id; -1 begins."""
        with self._file.reading() as connection:
            return sqlite_songs.page_by_id(connection, after, limit)

    def find_songs(self, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
        """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair."""
        with self._file.reading() as connection:
            return sqlite_songs.page_by_key(connection, query, after, limit)

    def count_songs(self, query: SongQuery) -> int:
        """How many songs a query is for."""
        with self._file.reading() as connection:
            return sqlite_songs.count(connection, query)

    def rename(self, song_id: int, name: str) -> None:
        """Give a song another name; an unknown id is no error."""
        with self._file.writing() as connection:
            sqlite_songs.rename(connection, song_id, name)

    def fingerprints(self, song_ids: Sequence[int]) -> dict[int, Fingerprints]:
        """Whole songs, each under its id, reading the postings of their generations once."""
        whole = {}
        with self._file.snapshot() as connection:
            songs = dict(connection.execute(_KEYS, (json.dumps(list(song_ids)),)).fetchall())
            for keys in sqlite_postings.by_generation(songs):
                rows = connection.execute(_GENERATION, sqlite_postings.generation_rows(keys[0]))
                found = sqlite_postings.unpack_songs(_batches(rows), keys)
                for key, (hashes, offsets) in found.items():
                    whole[songs[key]] = Fingerprints(hashes, offsets, _peaks(connection, key))
        return whole

    def sweep(self) -> int:
        """Nothing: a song comes and goes with its fingerprints, in one transaction, so none are ever left over."""
        return 0


class _SongIds:
    """Which song id goes with which key, remembered: keys are only added and never get another id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key = np.full(1, -1, np.int64)

    def of(self, keys: NDArray[np.int64], connection: sqlite3.Connection) -> NDArray[np.int64]:
        """The song id of each key, -1 where there is no song with it."""
        with self._lock:
            if int(keys.max(initial=0)) >= self._by_key.size:
                self._by_key = self._extended(connection)
            by_key = self._by_key
        song_ids = np.full(keys.size, -1, np.int64)
        known = keys < by_key.size
        song_ids[known] = by_key[keys[known]]
        return song_ids

    def _extended(self, connection: sqlite3.Connection) -> NDArray[np.int64]:
        size = self._by_key.size
        rows = connection.execute("SELECT key, song_id FROM song WHERE key >= ? ORDER BY key", (size,)).fetchall()
        if not rows:
            return self._by_key
        fresh = np.array(rows, np.int64)
        extended = np.full(int(fresh[-1, 0]) + 1, -1, np.int64)
        extended[:size] = self._by_key
        extended[fresh[:, 0]] = fresh[:, 1]
        return extended


def _check_format(connection: sqlite3.Connection) -> None:
    ours = (settings.FINGERPRINT_VERSION, settings.format_digest())
    stored = connection.execute("SELECT version, digest FROM format").fetchone()
    if stored != ours:
        raise FormatMismatch(
            f"This catalogue was made with fingerprint format {stored[0]} ({stored[1]}) and this version of "
            f"TuneScout uses {ours[0]} ({ours[1]}); use the version that made it, or upload the files anew "
            "into an empty database."
        )


@contextmanager
def _busy_as_overloaded() -> Iterator[None]:
    """A file that others write to is well, and must not be left alone by who reads from it."""
    try:
        yield
    except FileBusy as exc:
        raise Overloaded(str(exc), _BUSY_RETRY_SECONDS) from exc


def _free_song_id(connection: sqlite3.Connection, sha1: str) -> int:
    for song_id in possible_song_ids(sha1):
        if connection.execute("SELECT 1 FROM song WHERE song_id = ?", (song_id,)).fetchone() is None:
            return song_id
    raise StoreError("Other songs have every id this file could get; add it to another instance.")


def _stretch_ids(key: int) -> tuple[int, int]:
    """The first and the last id that a stretch of the song with this key may have."""
    return key << _STRETCH_BITS, (key + 1 << _STRETCH_BITS) - 1


def _peaks(connection: sqlite3.Connection, key: int) -> Peaks:
    first, last = _stretch_ids(key)
    select = "SELECT id - ?, packed FROM stretch WHERE id BETWEEN ? AND ?"
    return stretches.join(dict(connection.execute(select, (first, first, last)).fetchall()))


def _batches(cursor: sqlite3.Cursor) -> Iterator[list[sqlite_postings.Row]]:
    while rows := cursor.fetchmany(_ROWS_PER_STEP):
        yield rows


def _delete_postings(connection: sqlite3.Connection, key: int) -> None:
    next_row, last_row = sqlite_postings.generation_rows(key)
    while rows := connection.execute(
        "SELECT id, entries FROM postings WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (next_row, last_row, _ROWS_PER_STEP),
    ).fetchall():
        changed = list(sqlite_postings.without_song(rows, key))
        kept = [(entries, row_id) for row_id, entries in changed if entries]
        connection.executemany("UPDATE postings SET entries = ? WHERE id = ?", kept)
        connection.executemany("DELETE FROM postings WHERE id = ?", [(id_,) for id_, entries in changed if not entries])
        next_row = rows[-1][0] + 1
