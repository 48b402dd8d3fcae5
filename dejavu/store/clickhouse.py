"""Fingerprints in a ClickHouse database.

There are no transactions and no unique keys. A song is in the catalogue once its row is, which is written last, and
fingerprints without one are ignored. Who stores or deletes a song has its id to himself meanwhile
(`ClickHouse.insert_alone`), so that no song is stored twice and no two get the same id.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import AlreadyFingerprinted, FormatMismatch, NotSetUp, StoreError, StoreUnavailable
from dejavu.fingerprint import stretches
from dejavu.model import NOTHING_KNOWN, About, Counts, Fingerprints, Postings, Song, SongQuery, UInt32s
from dejavu.store import about as about_column
from dejavu.store import clickhouse_sql as sql
from dejavu.store.about import search_key
from dejavu.store.clickhouse_client import ClickHouse, Row
from dejavu.store.clickhouse_tables import create_missing, require_all
from dejavu.store.song_ids import possible_song_ids

_TABLES = (sql.FORMAT, sql.SONG, sql.BEGUN, sql.STRETCH, sql.FINGERPRINT)

_ROWS_AT_ONCE = 1 << 20
"""Fingerprints sent at a time, ten hours of sound: one part of the table, and some 100 MB as Python's integers."""

_INDEXED_AT_ONCE = 500
"""Songs given their keys by one statement, which the server takes 256 kB of at most."""

_FIRST_LOOK_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2
"""How often the server is asked whether it has carried out a change."""


class ClickHouseDriver:
    """One database of songs and their fingerprints."""

    def __init__(self, database: ServerDatabase) -> None:
        self._clickhouse = ClickHouse(database)

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the catalogue was made with other format settings."""
        create_missing(self._clickhouse, [sql.FORMAT])
        self._has_our_format()  # before tables that others have not are added to theirs
        create_missing(self._clickhouse, _TABLES)
        self._clickhouse.insert_alone(sql.WRITE_FORMAT, "format", self._format_to_write)

    def _format_to_write(self) -> list[Row]:
        return [] if self._has_our_format() else [(settings.FINGERPRINT_VERSION, settings.format_digest())]

    def index_songs(self) -> int:
        """Give some songs of an earlier version what they are listed by; of how many there were."""
        rows = self._clickhouse.rows(sql.WITHOUT_KEY, limit=_INDEXED_AT_ONCE)
        if rows:
            song_ids = [int(song_id) for song_id, _, _ in rows]
            keys = [search_key(name, about_column.unpack(packed)) for _, name, packed in rows]
            self._change(sql.SONG, sql.SET_KEYS, song_ids=tuple(song_ids), from_ids=song_ids, keys=keys)
        return len(rows)

    def _has_our_format(self) -> bool:
        """Whether it says what format the catalogue is made with; raises `FormatMismatch` where it is not ours."""
        ours = (settings.FINGERPRINT_VERSION, settings.format_digest())
        stored = self._clickhouse.rows(sql.READ_FORMAT)
        for version, digest in stored:
            if (version, digest) != ours:
                raise FormatMismatch(
                    f"This catalogue was made with fingerprint format {version} ({digest}) and this version of "
                    f"TuneScout uses {ours[0]} ({ours[1]}); use the version that made it, or upload the files anew "
                    "into an empty database."
                )
        return bool(stored)

    # --- Asking -------------------------------------------------------------------------------------------------------

    def find_song(self, sha1: str) -> Song | None:
        """The song fingerprinted from the file with this SHA-1, or None."""
        try:
            song_ids = possible_song_ids(sha1)
        except ValueError:
            return None  # not a SHA-1
        rows = self._clickhouse.rows(sql.FIND_SONG, {"song_id": np.array(song_ids, np.uint32)}, sha1=sha1)
        return _song(rows[0]) if rows else None

    def songs(self, song_ids: Sequence[int]) -> list[Song]:
        """The songs with these ids; ids nothing is stored under are left out."""
        rows = self._clickhouse.rows(sql.SONGS, {"song_id": np.array(song_ids, np.uint32)})
        return [_song(row) for row in rows]

    def postings(self, hashes: UInt32s) -> Postings:
        """Every posting of these hashes (uint32[n], distinct)."""
        columns = self._clickhouse.columns(sql.POSTINGS, {"hash": hashes})
        return Postings(*columns or (np.empty(0, np.uint32) for _ in range(3)))

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The packed peaks of these pairs of song id and number of a stretch; what is not stored is left out."""
        song_ids, numbers = np.array(wanted, np.uint32).reshape(-1, 2).T
        rows = self._clickhouse.packed_rows(sql.STRETCHES, {"song_id": song_ids, "number": numbers})
        return {(int(song_id), int(number)): packed for song_id, number, packed in rows}

    def revision(self) -> str:
        """A token of what `postings` answers from: another one as soon as a song is visible or gone."""
        ((songs, editions),) = self._clickhouse.rows(sql.REVISION)
        return f"{songs}-{editions:x}"

    def counts(self) -> Counts:
        """How many songs and fingerprints there are."""
        ((songs, fingerprints),) = self._clickhouse.rows(sql.COUNTS)
        return Counts(songs, fingerprints)

    # --- Changing -----------------------------------------------------------------------------------------------------

    def insert(self, name: str, sha1: str, fingerprints: Fingerprints, about: About = NOTHING_KNOWN) -> Song:
        """Store a whole song or nothing; raises `AlreadyFingerprinted`, also when somebody else was faster."""
        if fingerprints.hashes.shape != fingerprints.offsets.shape:
            raise ValueError("The hashes and the offsets of a song differ in shape.")
        song_ids = list(dict.fromkeys(possible_song_ids(sha1)))
        song = Song(0, name, sha1, len(fingerprints), about)
        return self._insert(song, fingerprints, stretches.pack(fingerprints.peaks), song_ids)

    def _insert(
        self, song: Song, fingerprints: Fingerprints, packed: dict[int, bytes], song_ids: Sequence[int]
    ) -> Song:
        """Store it under the first of `song_ids` that is free, keeping the ids before that from others meanwhile."""
        song_id, *others = song_ids
        stored: list[Song] = []

        def store() -> list[Row]:
            known = self.find_song(song.sha1)
            if known is not None:
                raise AlreadyFingerprinted(known)
            if not self.songs([song_id]):
                self._write_fingerprints(song_id, fingerprints, packed)
                stored.append(replace(song, song_id=song_id))
                return [_row(stored[0])]
            if not others:
                raise StoreError("Other songs have every id this file could get; add it to another instance.")
            stored.append(self._insert(song, fingerprints, packed, others))
            return []

        self._alone_with(song_id, store)
        return stored[0]

    def _write_fingerprints(self, song_id: int, fingerprints: Fingerprints, packed: dict[int, bytes]) -> None:
        if self._is_begun(song_id):
            # Somebody was killed at this, perhaps with another decoder that made them a little different.
            self._change(sql.FINGERPRINT, sql.DELETE_FINGERPRINTS, song_id=song_id)
            self._change(sql.STRETCH, sql.DELETE_STRETCHES, song_id=song_id)
        else:
            self._clickhouse.insert(sql.WRITE_BEGUN, np.array([song_id], np.uint32))
        if packed:
            rows = [(song_id, number, part) for number, part in packed.items()]
            self._clickhouse.insert_rows(sql.WRITE_STRETCHES, rows)
        for start in range(0, len(fingerprints), _ROWS_AT_ONCE):
            hashes = fingerprints.hashes[start : start + _ROWS_AT_ONCE]
            offsets = fingerprints.offsets[start : start + _ROWS_AT_ONCE]
            song_ids = np.full(hashes.size, song_id, np.uint32)
            self._clickhouse.insert(sql.WRITE_FINGERPRINTS, hashes, song_ids, offsets)

    def delete(self, song_id: int) -> None:
        """Forget a song, at once, and all its fingerprints; an unknown id is no error."""

        def forget() -> list[Row]:
            self._change(sql.SONG, sql.DELETE_SONG, song_id=song_id)
            if self._is_begun(song_id):
                self._delete_fingerprints(song_id)
            return []

        self._alone_with(song_id, forget)

    def close(self) -> None:
        """Let go of every connection."""
        self._clickhouse.close()

    # --- Looking after a catalogue ------------------------------------------------------------------------------------

    def check(self) -> str:
        """The server's name and version, once it is seen that the catalogue can be used."""
        require_all(self._clickhouse, [sql.FORMAT])
        if not self._has_our_format():
            raise NotSetUp
        require_all(self._clickhouse, _TABLES)
        return self._clickhouse.version()

    def list_songs(self, after: int, limit: int) -> list[Song]:
        """The first `limit` songs with ids above `after`, by ascending id; -1 begins."""
        return [_song(row) for row in self._clickhouse.rows(sql.LIST_SONGS, first=after + 1, limit=limit)]

    def find_songs(self, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
        """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair."""
        key, sha1 = after
        return [
            _song(row)
            for row in self._clickhouse.rows(sql.FIND_SONGS, None, key=key, sha1=sha1, limit=limit, **_values(query))
        ]

    def count_songs(self, query: SongQuery) -> int:
        """How many songs a query is for."""
        ((found,),) = self._clickhouse.rows(sql.COUNT_SONGS, None, **_values(query))
        return int(found)

    def rename(self, song_id: int, name: str) -> None:
        """Give a song another name; an unknown id is no error."""

        def rename() -> list[Row]:
            for song in self.songs([song_id]):
                key = search_key(name, song.about)
                self._change(sql.SONG, sql.RENAME_SONG, song_id=song_id, name=name, key=key)
            return []

        self._alone_with(song_id, rename)

    def fingerprints(self, song_ids: Sequence[int]) -> dict[int, Fingerprints]:
        """Whole songs, each under its id, reading the whole catalogue once."""
        asked = {"song_id": np.array(song_ids, np.uint32)}
        # Peaks first: what is deleted in between is then missing among the hashes, which say what songs there are.
        packed: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        for song_id, number, part in self._clickhouse.packed_rows(
            sql.WHOLE_STRETCHES, asked, settings.INSERT_TIMEOUT_SECONDS
        ):
            packed[int(song_id)][int(number)] = part
        columns = self._clickhouse.columns(sql.WHOLE_SONGS, asked, settings.INSERT_TIMEOUT_SECONDS)
        if not columns:
            return {}
        found, starts = np.unique(columns[0], return_index=True)
        hashes, offsets = (np.split(column, starts[1:]) for column in columns[1:])
        songs = zip(found.tolist(), hashes, offsets, strict=True)
        return {id_: Fingerprints(own, places, stretches.join(packed[id_])) for id_, own, places in songs}

    def sweep(self) -> int:
        """Remove what was left behind by those who were killed while they stored or deleted a song; of how many songs.

        What somebody is storing meanwhile is waited for and then left alone.
        """
        leftovers = self._clickhouse.rows(sql.LEFTOVERS, timeout_seconds=settings.INSERT_TIMEOUT_SECONDS)
        return sum(self._sweep(int(song_id)) for (song_id,) in leftovers)

    def _sweep(self, song_id: int) -> bool:
        swept = False

        def sweep() -> list[Row]:
            nonlocal swept
            if not self.songs([song_id]):
                self._delete_fingerprints(song_id)
                swept = True
            return []

        self._alone_with(song_id, sweep)
        return swept

    # --- Steps, each with the song's id to itself ---------------------------------------------------------------------

    def _alone_with(self, song_id: int, change: Callable[[], Iterable[Row]]) -> None:
        """Make a change to one song that nobody else changes meanwhile; ends with adding the song rows it returns."""
        self._clickhouse.insert_alone(sql.WRITE_SONG, f"{song_id:08x}", change)

    def _is_begun(self, song_id: int) -> bool:
        return self._clickhouse.rows(sql.IS_BEGUN, song_id=song_id) != [(0,)]

    def _delete_fingerprints(self, song_id: int) -> None:
        """Delete a song's fingerprints, and only then what says that there may be some."""
        self._change(sql.FINGERPRINT, sql.DELETE_FINGERPRINTS, song_id=song_id)
        self._change(sql.STRETCH, sql.DELETE_STRETCHES, song_id=song_id)
        self._change(sql.BEGUN, sql.DELETE_BEGUN, song_id=song_id)

    def _change(self, table: sql.Table, statement: str, **values: int | str | Sequence[int] | Sequence[str]) -> None:
        """Change or delete rows, and wait until the server has done so, for which it takes its own time."""
        self._clickhouse.run(statement, **values)
        deadline = time.monotonic() + settings.INSERT_TIMEOUT_SECONDS
        pause_seconds = _FIRST_LOOK_SECONDS
        while self._clickhouse.rows(sql.UNFINISHED_CHANGES, table=table.name) != [(0,)]:
            if time.monotonic() >= deadline:
                raise StoreUnavailable("The ClickHouse server did not change a song in time; it may do so yet.")
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _song(row: Row) -> Song:
    song_id, name, sha1, total_hashes, packed = row
    return about_column.song(int(song_id), name, sha1, int(total_hashes), packed)


def _row(song: Song) -> Row:
    """What is stored of a song, with a number that no other has."""
    known = about_column.pack(song.about), search_key(song.name, song.about)
    return (song.song_id, song.name, song.sha1, song.total_hashes, secrets.randbits(64), *known)


def _values(query: SongQuery) -> dict[str, Any]:
    words = [*query.words, *[""] * settings.SEARCH_MAX_WORDS][: settings.SEARCH_MAX_WORDS]
    return {
        "sha1_start": query.sha1_start or "",
        **{f"word_{number}": word for number, word in enumerate(words)},
    }
