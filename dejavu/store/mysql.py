"""Fingerprints in a MySQL or MariaDB database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeVar

import MySQLdb
from MySQLdb.constants import ER

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import FormatMismatch, NotSetUp, Outdated, StoreError
from dejavu.fingerprint import stretches
from dejavu.model import NOTHING_KNOWN, About, Counts, Fingerprints, Postings, Song, SongQuery, UInt32s
from dejavu.store import mysql_songs
from dejavu.store.mysql_postings import SongRows, to_postings, unpack_hashes
from dejavu.store.mysql_schema import Schema
from dejavu.store.mysql_server import Cursor, MysqlServer

_TABLES = {
    # One row. Its revision is written last in each transaction that adds or deletes a song, and never the same twice.
    "catalogue": """
        one TINYINT NOT NULL PRIMARY KEY,
        version INT NOT NULL,
        digest CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        revision CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
    """,
    "song": mysql_songs.COLUMNS,
    "posting": """
        hash INT UNSIGNED NOT NULL,
        song_id INT UNSIGNED NOT NULL,
        offsets MEDIUMBLOB NOT NULL,
        PRIMARY KEY (hash, song_id)
    """,
    # Which rows of `posting` are a song's. An index on their song_id would need ten times the bytes, and without
    # either all of them would have to be read: seconds for some million songs' hashes, again for every song deleted.
    # Rows in the order of their insertion fill their pages, in that of their songs they would need thrice as many.
    "song_hashes": """
        part BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        song_id INT UNSIGNED NOT NULL,
        hashes BLOB NOT NULL,
        KEY (song_id)
    """,
    "stretch": """
        song_id INT UNSIGNED NOT NULL,
        number INT UNSIGNED NOT NULL,
        packed BLOB NOT NULL,
        PRIMARY KEY (song_id, number)
    """,
}

_SCHEMA = Schema("TuneScout fingerprints, layout 2", _TABLES)

# Left to itself, a planner with stale statistics may take thousands of hashes for most of the table and read all of it.
_LOOK_UP = "SELECT hash, song_id, offsets FROM posting FORCE INDEX (PRIMARY) WHERE hash IN %s"

# Row constructors, `(song_id, number) IN (…)`, make some releases of MariaDB read the whole table.
_STRETCH = "song_id = %s AND number = %s"

_HASHES_PER_LOOK_UP = settings.QUERY_MAX_HASHES
"""Hashes in one IN list. Beyond some ten thousand the server's planner gives up and reads the whole table."""

_STRETCHES_PER_STATEMENT = 256
"""Rows of a kilobyte inserted, or conditions on a row, in one statement: four hours of sound, and clips need few."""

_ATTEMPTS = 3
"""Of several transactions that wait for the same song to be stored, InnoDB may break off one or two."""


_Row = TypeVar("_Row")


class MysqlDriver:
    """One database of songs and their postings; `mysql_postings` says how these are laid out."""

    def __init__(self, database: ServerDatabase) -> None:
        self._server = MysqlServer(database)

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the catalogue was made with other format settings."""
        _SCHEMA.create(self._server)
        with self._server.statements() as cursor:
            if not cursor.execute("SELECT 1 FROM catalogue"):
                ours = (settings.FINGERPRINT_VERSION, settings.format_digest(), uuid.uuid4().hex)
                # IGNORE: another process may have been faster.
                cursor.execute(
                    "INSERT IGNORE INTO catalogue (one, version, digest, revision) VALUES (1, %s, %s, %s)", ours
                )
            _check_format(cursor)
        with self._server.transaction() as cursor:  # adding columns may take longer than a look-up
            if mysql_songs.is_outdated(cursor, self._server.database):
                mysql_songs.add_columns(cursor)

    def index_songs(self) -> int:
        """Give some songs of an earlier version what they are listed by; of how many there were."""
        with self._server.transaction() as cursor:
            return mysql_songs.index_some(cursor)

    def find_song(self, sha1: str) -> Song | None:
        """The song fingerprinted from the file with this SHA-1, or None."""
        with self._server.statements() as cursor:
            return mysql_songs.find(cursor, sha1)

    def songs(self, song_ids: Sequence[int]) -> list[Song]:
        """The songs with these ids; ids nothing is stored under are left out."""
        if not song_ids:
            return []
        with self._server.statements() as cursor:
            return mysql_songs.with_ids(cursor, song_ids)

    def insert(self, name: str, sha1: str, fingerprints: Fingerprints, about: About = NOTHING_KNOWN) -> Song:
        """Store a whole song or nothing; raises `AlreadyFingerprinted`, also when somebody else was faster."""
        rows, packed = SongRows(fingerprints), stretches.pack(fingerprints.peaks)
        song = Song(0, name, sha1, len(fingerprints), about)
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._insert(song, rows, packed)
            except StoreError as exc:
                if not _is_deadlock(exc):
                    raise
        return self._insert(song, rows, packed)

    def _insert(self, song: Song, rows: SongRows, packed: dict[int, bytes]) -> Song:
        with self._server.transaction() as cursor:
            # The song first: who stores or deletes the same one waits here, and never with postings in hand.
            song = mysql_songs.add(cursor, song)
            for hashes in rows.packed_hashes():
                cursor.execute("INSERT INTO song_hashes (song_id, hashes) VALUES (%s, %s)", (song.song_id, hashes))
            for some in _batches(list(packed.items()), _STRETCHES_PER_STATEMENT):
                values = [value for number, part in some for value in (song.song_id, number, part)]
                cursor.execute(_insert_rows("stretch (song_id, number, packed)", len(some)), values)
            for batch in rows.batches():
                values = [value for hash_, offsets in batch for value in (hash_, song.song_id, offsets)]
                cursor.execute(_insert_rows("posting (hash, song_id, offsets)", len(batch)), values)
            _revise(cursor)
        return song

    def delete(self, song_id: int) -> None:
        """Forget a song and all its fingerprints; an unknown id is no error."""
        with self._server.transaction() as cursor:
            if cursor.execute("DELETE FROM song WHERE song_id = %s", (song_id,)):
                for hashes in _song_hashes(cursor, song_id):
                    cursor.execute("DELETE FROM posting WHERE hash IN %s AND song_id = %s", (hashes, song_id))
                cursor.execute("DELETE FROM song_hashes WHERE song_id = %s", (song_id,))
                cursor.execute("DELETE FROM stretch WHERE song_id = %s", (song_id,))
                _revise(cursor)

    def postings(self, hashes: UInt32s) -> Postings:
        """Every posting of these hashes (uint32[n], distinct)."""
        rows: list[tuple[int, int, bytes]] = []
        starts = range(0, hashes.size, _HASHES_PER_LOOK_UP)
        with self._server.statements(consistent=len(starts) > 1) as cursor:
            for start in starts:
                asked = hashes[start : start + _HASHES_PER_LOOK_UP]
                cursor.execute(_LOOK_UP, (asked,))
                rows += cursor.fetchall()
        return to_postings(rows)

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The packed peaks of these pairs of song id and number of a stretch; what is not stored is left out."""
        rows: list[tuple[int, int, bytes]] = []
        with self._server.statements() as cursor:
            for some in _batches(wanted, _STRETCHES_PER_STATEMENT):
                either = " OR ".join([_STRETCH] * len(some))
                select = f"SELECT song_id, number, packed FROM stretch FORCE INDEX (PRIMARY) WHERE {either}"  # noqa: S608
                cursor.execute(select, [value for pair in some for value in pair])
                rows += cursor.fetchall()
        return {(song_id, number): packed for song_id, number, packed in rows}

    def revision(self) -> str:
        """A token of what `postings` answers from: another one as soon as a song is visible or gone."""
        with self._server.statements() as cursor:
            cursor.execute("SELECT revision FROM catalogue")
            (revision,) = cursor.fetchone()
        return str(revision)

    def counts(self) -> Counts:
        """How many songs and fingerprints there are."""
        with self._server.statements() as cursor:
            cursor.execute("SELECT COUNT(*), COALESCE(SUM(total_hashes), 0) FROM song")
            songs, fingerprints = cursor.fetchone()
        return Counts(songs, int(fingerprints))

    def close(self) -> None:
        """Let go of every connection."""
        self._server.close()

    # --- Looking after a catalogue ------------------------------------------------------------------------------------

    def check(self) -> str:
        """The name and version of the server, once it is seen that the catalogue can be used."""
        version = _SCHEMA.check(self._server)
        with self._server.statements() as cursor:
            _check_format(cursor)
            if mysql_songs.is_outdated(cursor, self._server.database):
                raise Outdated
        return version

    def list_songs(self, after: int, limit: int) -> list[Song]:
        """The first `limit` songs with ids above `after`, by ascending id; -1 begins."""
        with self._server.statements() as cursor:
            return mysql_songs.page_by_id(cursor, after, limit)

    def find_songs(self, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
        """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair."""
        with self._server.statements() as cursor:
            return mysql_songs.page_by_key(cursor, query, after, limit)

    def count_songs(self, query: SongQuery) -> int:
        """How many songs a query is for."""
        with self._server.statements() as cursor:
            return mysql_songs.count(cursor, query)

    def rename(self, song_id: int, name: str) -> None:
        """Give a song another name; an unknown id is no error."""
        with self._server.transaction() as cursor:
            mysql_songs.rename(cursor, song_id, name)

    def fingerprints(self, song_ids: Sequence[int]) -> dict[int, Fingerprints]:
        """Whole songs, each under its id, by looking up their own hashes."""
        with self._server.statements(consistent=True) as cursor:
            whole = {song_id: _whole_song(cursor, song_id) for song_id in song_ids}
        return {song_id: fingerprints for song_id, fingerprints in whole.items() if len(fingerprints)}

    def sweep(self) -> int:
        """Nothing: a song comes and goes with its fingerprints, in one transaction, so none are ever left over."""
        return 0


@cache
def _insert_rows(columns: str, rows: int) -> str:
    values = ", ".join(["(%s, %s, %s)"] * rows)
    return f"INSERT INTO {columns} VALUES {values}"  # noqa: S608 - names of this program, and placeholders


def _batches(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _check_format(cursor: Cursor) -> None:
    ours = (settings.FINGERPRINT_VERSION, settings.format_digest())
    cursor.execute("SELECT version, digest FROM catalogue")
    stored = cursor.fetchone()
    if stored is None:
        raise NotSetUp
    if stored != ours:
        raise FormatMismatch(
            f"This catalogue was made with fingerprint format {stored[0]} ({stored[1]}) and this version of "
            f"TuneScout uses {ours[0]} ({ours[1]}); use the version that made it, or upload the files anew "
            "into an empty database."
        )


def _revise(cursor: Cursor) -> None:
    """Change the revision. Others who add or delete songs wait from here to the commit, so this comes last."""
    cursor.execute("UPDATE catalogue SET revision = %s", (uuid.uuid4().hex,))


def _song_hashes(cursor: Cursor, song_id: int) -> Iterator[UInt32s]:
    """The distinct hashes of a song, a statement's worth at a time, ascending."""
    cursor.execute("SELECT hashes FROM song_hashes WHERE song_id = %s ORDER BY part", (song_id,))
    return (unpack_hashes(packed) for (packed,) in cursor.fetchall())


def _whole_song(cursor: Cursor, song_id: int) -> Fingerprints:
    """All fingerprints of a song; none where it is not there."""
    rows: list[tuple[int, int, bytes]] = []
    for hashes in _song_hashes(cursor, song_id):
        cursor.execute(
            "SELECT hash, song_id, offsets FROM posting WHERE hash IN %s AND song_id = %s ORDER BY hash",
            (hashes, song_id),
        )
        rows += cursor.fetchall()
    postings = to_postings(rows)
    cursor.execute("SELECT number, packed FROM stretch WHERE song_id = %s", (song_id,))
    return Fingerprints(postings.hashes, postings.offsets, stretches.join(dict(cursor.fetchall())))


def _is_deadlock(exc: StoreError) -> bool:
    cause = exc.__cause__
    return isinstance(cause, MySQLdb.Error) and cause.args[:1] == (ER.LOCK_DEADLOCK,)
