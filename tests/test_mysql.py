"""The MySQL driver on a real MariaDB server: the contract of every driver, and what only this one can do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from driver_contract import DriverContract, Opener
from driver_data import EVERYTHING, NO_PEAKS, as_set, expected, fingerprints, from_pairs, sha1
from driver_songs import assert_brought_up_to_date
from mariadb import MariaDB
from processes import eventually

from dejavu.config.database import ServerDatabase
from dejavu.errors import AlreadyFingerprinted, FormatMismatch, Overloaded, StoreError, StoreUnavailable
from dejavu.model import Fingerprints
from dejavu.store import mysql_server
from dejavu.store.mysql import MysqlDriver
from dejavu.store.mysql_postings import HASHES_PER_STATEMENT, SongRows, pack_hashes, to_postings, unpack_hashes

pytestmark = pytest.mark.server


class TestMysqlDriver(DriverContract):
    @pytest.fixture
    def opener(self, mysql_database: ServerDatabase) -> Opener:
        return partial(MysqlDriver, mysql_database)


def test_a_catalogue_without_tags_is_brought_up_to_date(mysql_database: ServerDatabase, mariadb: MariaDB) -> None:
    def make_older() -> None:
        table = f"{mysql_server.quoted(mysql_database.database)}.song"
        mariadb.execute(f"ALTER TABLE {table} DROP KEY song_by_key, DROP COLUMN about, DROP COLUMN search_key")

    assert_brought_up_to_date(partial(MysqlDriver, mysql_database), make_older)


@pytest.fixture
def driver(mysql_database: ServerDatabase) -> Iterator[MysqlDriver]:
    driver = MysqlDriver(mysql_database)
    driver.setup()
    yield driver
    driver.close()


# --- Rows ------------------------------------------------------------------------------------------------------------


def test_rows_hold_what_plain_loops_put_there() -> None:
    prints = fingerprints(1, size=9000, hash_values=5000)
    offsets: dict[int, bytes] = {}
    for value, offset in zip(prints.hashes.tolist(), prints.offsets.tolist(), strict=True):
        offsets[value] = offsets.get(value, b"") + offset.to_bytes(4, "little")
    batches = list(SongRows(prints).batches())
    assert max(map(len, batches)) == HASHES_PER_STATEMENT
    rows = [row for batch in batches for row in batch]
    assert len(rows) == len(offsets)
    assert dict(rows) == offsets
    found = to_postings([(value, 7, packed) for value, packed in rows])
    assert as_set(found) == expected({7: prints}, prints.hashes)


def test_packed_hashes_come_out_as_they_went_in() -> None:
    hashes = np.unique(np.append(np.random.default_rng(1).integers(0, 2**32, 5000), [0, 2**32 - 1])).astype(np.uint32)
    assert np.array_equal(unpack_hashes(pack_hashes(hashes)), hashes)
    parts = SongRows(Fingerprints(hashes, np.zeros_like(hashes), NO_PEAKS)).packed_hashes()
    assert np.array_equal(np.concatenate([unpack_hashes(part) for part in parts]), hashes)


def test_nothing_makes_no_rows() -> None:
    nothing = np.empty(0, np.uint32)
    rows = SongRows(Fingerprints(nothing, nothing, NO_PEAKS))
    assert [*rows.batches(), *rows.packed_hashes()] == []
    assert len(to_postings([])) == 0


def test_a_hash_may_recur_all_day_long(driver: MysqlDriver) -> None:
    prints = from_pairs(np.full(300_000, 5), np.arange(300_000))
    song = driver.insert("a test tone", sha1(1), prints)
    assert np.array_equal(driver.postings(np.array([5], np.uint32)).offsets, prints.offsets)
    driver.delete(song.song_id)
    assert len(driver.postings(EVERYTHING)) == 0


def test_deleting_leaves_no_row_behind(driver: MysqlDriver, mariadb: MariaDB, mysql_database: ServerDatabase) -> None:
    driver.delete(driver.insert("a song", sha1(1), fingerprints(1, size=9000, hash_values=6000)).song_id)
    for table in ("song", "posting", "song_hashes", "stretch"):
        assert mariadb.execute(f"SELECT COUNT(*) FROM {mariadb.quoted(mysql_database)}.{table}") == [(0,)]


# --- Names -----------------------------------------------------------------------------------------------------------


def test_the_longest_name_fits_and_a_longer_one_is_refused_and_never_cut(driver: MysqlDriver) -> None:
    assert driver.insert("🎵" * 500, sha1(1), fingerprints(1)).name == "🎵" * 500
    assert driver.find_song(sha1(1)) == driver.songs([int(sha1(1)[:8], 16)])[0]
    with pytest.raises(StoreError) as raised:
        driver.insert("🎵" * 501, sha1(2), fingerprints(2))
    assert not isinstance(raised.value, StoreUnavailable), "a bad value is no outage"
    assert driver.find_song(sha1(2)) is None
    assert driver.counts().songs == 1


# --- Several at once -------------------------------------------------------------------------------------------------


def test_who_waits_too_long_for_the_same_file_is_told_to_try_again(
    mariadb: MariaDB, mysql_database: ServerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_server, "_LOCK_WAIT_SECONDS", 1)
    driver = MysqlDriver(mysql_database)
    driver.setup()
    with mariadb.storing(mysql_database, sha1(1)), pytest.raises(Overloaded, match="try again"):
        driver.insert("a song", sha1(1), fingerprints(1))
    assert driver.insert("a song", sha1(1), fingerprints(1)) == driver.find_song(sha1(1))
    driver.close()


def test_of_two_that_wait_for_a_third_to_give_up_one_stores_the_file(
    driver: MysqlDriver, mariadb: MariaDB, mysql_database: ServerDatabase
) -> None:
    def insert(_: int) -> str:
        try:
            return type(driver.insert("a song", sha1(1), fingerprints(1))).__name__
        except AlreadyFingerprinted as exc:
            return type(exc).__name__

    waiting = "SHOW STATUS LIKE 'Innodb_row_lock_current_waits'"
    with ThreadPoolExecutor(2) as pool:
        with mariadb.storing(mysql_database, sha1(1)):
            outcomes = pool.map(insert, range(2))
            eventually(lambda: mariadb.execute(waiting)[0][1] == "2")
        assert sorted(outcomes) == ["AlreadyFingerprinted", "Song"]
    assert as_set(driver.postings(EVERYTHING)) == expected({int(sha1(1)[:8], 16): fingerprints(1)}, EVERYTHING)


def test_connections_are_kept_and_bounded(
    driver: MysqlDriver, mariadb: MariaDB, mysql_database: ServerDatabase
) -> None:
    driver.insert("a song", sha1(1), fingerprints(1))
    for _ in range(20):
        driver.find_song(sha1(1))
    assert len(mariadb.sessions(mysql_database)) == 2, "one for statements, one for transactions"
    with ThreadPoolExecutor(30) as pool:
        assert len(set(pool.map(lambda _: driver.counts(), range(300)))) == 1
    assert 2 <= len(mariadb.sessions(mysql_database)) <= 9
    driver.close()
    eventually(lambda: mariadb.sessions(mysql_database) == set())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(
    driver: MysqlDriver, mariadb: MariaDB, mysql_database: ServerDatabase
) -> None:
    driver.insert("parent's", sha1(1), fingerprints(1))
    assert driver.counts().songs == 1
    parents = mariadb.sessions(mysql_database)
    child = os.fork()
    if child == 0:
        try:
            driver.insert("child's", sha1(2), fingerprints(2))
            driver.close()
            os._exit(0 if driver.counts().songs == 2 else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: mariadb.sessions(mysql_database) == parents)
    driver.insert("parent's again", sha1(3), fingerprints(3))
    assert driver.counts().songs == 3
    assert mariadb.sessions(mysql_database) == parents, "the child must not end its parent's sessions"


# --- Tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DROP TABLE {0}.song", None),
        ("DROP TABLE {0}.song; CREATE TABLE {0}.song (x INT)", "a table song that was made for something else"),
        ("ALTER TABLE {0}.posting COMMENT = 'TuneScout fingerprints, layout 99'", "holds TuneScout .* 99 and this"),
    ],
)
def test_other_tables_are_refused_and_missing_ones_made(
    driver: MysqlDriver, mariadb: MariaDB, mysql_database: ServerDatabase, change: str, reason: str | None
) -> None:
    for statement in change.format(mariadb.quoted(mysql_database)).split("; "):
        mariadb.execute(statement)
    if reason is None:
        driver.setup()
        driver.check()
        return
    for verb in (driver.setup, driver.check):
        with pytest.raises(FormatMismatch, match=reason):
            verb()
