"""The SQLite driver: the contract of every driver, and what only a file can do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from driver_contract import DriverContract, Opener
from driver_data import NO_PEAKS, as_set, expected, fingerprints, from_pairs, sha1
from driver_songs import assert_brought_up_to_date

from dejavu.errors import FormatMismatch, Overloaded, StoreUnavailable
from dejavu.model import Fingerprints
from dejavu.store import sqlite_file, sqlite_look_up, sqlite_postings
from dejavu.store.sqlite import SqliteDriver
from dejavu.store.sqlite_postings import PackedRows, buckets_of, packed_rows, unpack
from dejavu.store.sqlite_results import SqliteResults

Reader = Callable[[sqlite3.Connection, list[int]], Iterator[PackedRows]]

EVERYTHING = np.arange(1000, dtype=np.uint32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "not there yet" / "100 % of #1?.db"


class TestSqliteDriver(DriverContract):
    @pytest.fixture
    def opener(self, path: Path) -> Opener:
        return partial(SqliteDriver, path)


def test_a_catalogue_without_tags_is_brought_up_to_date(path: Path) -> None:
    def make_older() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP INDEX song_by_key")
            connection.execute("ALTER TABLE song DROP COLUMN about")
            connection.execute("ALTER TABLE song DROP COLUMN search_key")

    assert_brought_up_to_date(partial(SqliteDriver, path), make_older)


@pytest.fixture
def driver(path: Path) -> Iterator[SqliteDriver]:
    driver = SqliteDriver(path)
    driver.setup()
    yield driver
    driver.close()


def test_songs_on_both_sides_of_a_generation(driver: SqliteDriver, path: Path) -> None:
    last_key = sqlite_postings.SONGS_PER_GENERATION - 3
    _execute(path, f"INSERT INTO sqlite_sequence (name, seq) VALUES ('song', {last_key})")
    stored = {driver.insert(f"{n}", sha1(n), fingerprints(n)).song_id: fingerprints(n) for n in range(4)}
    assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    for song_id in list(stored):
        driver.delete(song_id)
        del stored[song_id]
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    assert _execute(path, "SELECT count(*) FROM postings") == [(0,)]


def test_a_file_that_others_write_to_all_the_time_is_an_overload_and_no_outage(
    driver: SqliteDriver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_SECONDS", 0.05)
    impatient = SqliteDriver(path)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Overloaded):
            impatient.insert("a song", sha1(1), fingerprints(1))
        assert len(impatient.postings(EVERYTHING)) == 0
        holder.execute("ROLLBACK")
    holder.close()
    impatient.insert("a song", sha1(1), fingerprints(1))
    impatient.close()


def test_a_song_deleted_elsewhere_is_not_found_by_who_knew_it(driver: SqliteDriver, path: Path) -> None:
    song = driver.insert("a song", sha1(1), fingerprints(1))
    assert len(driver.postings(EVERYTHING)) == len(fingerprints(1))
    other = SqliteDriver(path)
    other.delete(song.song_id)
    other.insert("another", sha1(2), fingerprints(2))
    other.close()
    assert as_set(driver.postings(EVERYTHING)) == expected({int(sha1(2)[:8], 16): fingerprints(2)}, EVERYTHING)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: _execute(path, "CREATE TABLE somebody_elses (x)"), "made for something else"),
        (lambda path: _set_up(SqliteResults(path)), "made for something else"),
        (lambda path: (_set_up(SqliteDriver(path)), _execute(path, "PRAGMA user_version = 99")), "has layout 99"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "file.db"
    make(path)
    with pytest.raises(FormatMismatch, match=reason):
        SqliteDriver(path).setup()


def test_a_file_that_is_no_database_is_unavailable_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes " * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        SqliteDriver(path).setup()
    assert path.read_text() == "not a database, but somebody's notes " * 100


def test_the_message_does_not_tell_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable) as raised:
        SqliteDriver(tmp_path / "file" / "below.db").setup()
    assert str(tmp_path) not in str(raised.value)


def test_a_deleted_file_is_an_outage_until_it_is_set_up_again(driver: SqliteDriver, path: Path) -> None:
    driver.insert("a song", sha1(1), fingerprints(1))
    assert len(driver.postings(EVERYTHING)) == len(fingerprints(1))
    path.unlink()
    for verb in (driver.counts, lambda: driver.insert("b", sha1(2), fingerprints(2))):
        with pytest.raises(StoreUnavailable):
            verb()
    assert not path.exists()
    driver.setup()
    song = driver.insert("b", sha1(2), fingerprints(2))
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(2)}, EVERYTHING)


def test_a_replaced_file_is_an_outage_until_it_is_set_up(driver: SqliteDriver, path: Path) -> None:
    driver.insert("a song", sha1(1), fingerprints(1))
    other = SqliteDriver(path.with_name("other.db"))
    other.setup()
    song = other.insert("another", sha1(2), fingerprints(2))
    other.close()
    driver.postings(EVERYTHING)
    path.with_name("other.db").replace(path)
    path.with_name(path.name + "-wal").unlink()
    with pytest.raises(StoreUnavailable, match="replaced"):
        driver.postings(EVERYTHING)
    driver.setup()
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(2)}, EVERYTHING)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(driver: SqliteDriver, path: Path) -> None:
    driver.insert("parent's", sha1(1), fingerprints(1))
    child = os.fork()
    if child == 0:
        try:
            driver.insert("child's", sha1(2), fingerprints(2))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    driver.insert("parent's again", sha1(3), fingerprints(3))
    assert driver.counts().songs == 3


def test_closing_leaves_one_file(driver: SqliteDriver, path: Path) -> None:
    driver.insert("a song", sha1(1), fingerprints(1))
    driver.close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_packing_and_unpacking_agree_with_plain_loops() -> None:
    prints = from_pairs(np.random.default_rng(1).integers(0, 300, 500), np.arange(500))
    rows = dict(sqlite_postings.pack(1024 + 5, prints))
    by_bucket: dict[int, bytes] = {}
    for value, offset in zip(prints.hashes.tolist(), prints.offsets.tolist(), strict=True):
        entry = offset.to_bytes(4, "little") + (5 << 6 | value & 63).to_bytes(2, "little")
        by_bucket[1 << 26 | value >> 6] = by_bucket.get(1 << 26 | value >> 6, b"") + entry
    assert rows == by_bucket
    asked = np.array([299, 7, 63, 64, 5000], np.uint32)
    read = [(1 << 26 | bucket, rows[1 << 26 | bucket]) for bucket in (0, 1, 4)]
    found = zip(*(column.tolist() for column in unpack([packed_rows(read)], asked)), strict=True)
    assert set(found) == expected({1024 + 5: prints}, asked)


@pytest.mark.parametrize("read", [sqlite_look_up.together, sqlite_look_up.one_by_one])
def test_both_ways_to_read_rows_find_the_postings(path: Path, driver: SqliteDriver, read: Reader) -> None:
    if read is sqlite_look_up.together and not sqlite_look_up.joins_bytes():
        pytest.skip(f"SQLite {sqlite3.sqlite_version} joins text only")
    asked = np.arange(0, 40_000, 3, dtype=np.uint32)  # of more buckets than are read at once

    def found() -> set[tuple[int, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            columns = unpack(read(connection, buckets_of(asked)), asked)
        return set(zip(*(column.tolist() for column in columns), strict=True))

    assert found() == set()
    songs = {}
    for key in (1, 2, 2048):  # in the first and the third generation; entries are full of zero bytes
        _execute(path, f"INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES (1, 'song', {key - 1})")
        hashes = np.arange(key % 3, 40_000, 7)
        songs[key] = from_pairs(hashes, hashes % 300)
        driver.insert(f"{key}", sha1(key), songs[key])
    assert found() == expected(songs, asked)


def test_a_number_beyond_all_stretches_does_not_lead_to_the_next_song(driver: SqliteDriver) -> None:
    first, second = (driver.insert(f"{n}", sha1(n), fingerprints(n)).song_id for n in range(2))
    assert driver.stretches([(second, 1)])
    assert driver.stretches([(first, 2**21 + 1), (second, 1 - 2**21)]) == {}


def test_nothing_packs_to_nothing() -> None:
    nothing = np.empty(0, np.uint32)
    assert list(sqlite_postings.pack(1, Fingerprints(nothing, nothing, NO_PEAKS))) == []
    assert [column.size for column in unpack([], nothing)] == [0, 0, 0]


def _set_up(store: SqliteDriver | SqliteResults) -> None:
    store.setup()
    store.close()


def _execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    rows = connection.execute(statement).fetchall()
    connection.close()
    return rows
