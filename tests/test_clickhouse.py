"""The ClickHouse driver on real servers: the contract of every driver, and what only ClickHouse can do wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from clickhouse import HOST, READER, ClickHouseServer
from driver_contract import EVERYTHING, DriverContract, Opener
from driver_data import as_set, assert_same_peaks, expected, fingerprints, sha1, stored_peaks
from driver_songs import assert_brought_up_to_date
from processes import freeze
from servers import PROJECT

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import FormatMismatch, StoreError, StoreUnavailable
from dejavu.fingerprint.stretches import pack
from dejavu.model import Counts
from dejavu.store import clickhouse as module
from dejavu.store import clickhouse_sql as sql
from dejavu.store.clickhouse import ClickHouseDriver
from dejavu.store.clickhouse_client import ClickHouse, Row
from dejavu.store.clickhouse_tables import create_missing

pytestmark = pytest.mark.server

ID = int(sha1(1)[:8], 16)


class TestClickHouseDriver(DriverContract):
    @pytest.fixture
    def opener(self, clickhouse: ClickHouseServer, clickhouse_database: str) -> Opener:
        return partial(ClickHouseDriver, clickhouse.database(clickhouse_database))


def test_a_catalogue_without_tags_is_brought_up_to_date(clickhouse: ClickHouseServer, clickhouse_database: str) -> None:
    def make_older() -> None:
        for column in sql.SONG.added:
            clickhouse.execute(f"ALTER TABLE song DROP COLUMN {column}", clickhouse_database)

    assert_brought_up_to_date(partial(ClickHouseDriver, clickhouse.database(clickhouse_database)), make_older)


@pytest.fixture
def driver(clickhouse: ClickHouseServer, clickhouse_database: str) -> Iterator[ClickHouseDriver]:
    driver = ClickHouseDriver(clickhouse.database(clickhouse_database))
    driver.setup()
    yield driver
    driver.close()


@pytest.fixture
def client(clickhouse: ClickHouseServer, clickhouse_database: str, driver: ClickHouseDriver) -> Iterator[ClickHouse]:
    """The driver's database, to do to it what the driver would not."""
    client = ClickHouse(clickhouse.database(clickhouse_database))
    yield client
    client.close()


def test_a_catalogue_made_before_there_were_peaks_is_refused_and_left_as_it_is(
    clickhouse: ClickHouseServer, clickhouse_database: str
) -> None:
    database = clickhouse.database(clickhouse_database)
    former = ClickHouse(database)
    create_missing(former, (sql.FORMAT, sql.SONG, sql.BEGUN, sql.FINGERPRINT))
    former.insert_rows(sql.WRITE_FORMAT, [(1, "0123456789ab")])
    tables = former.rows("SHOW TABLES")
    driver = ClickHouseDriver(database)
    for verb in (driver.setup, driver.check):
        with pytest.raises(FormatMismatch, match="was made with fingerprint format 1 "):
            verb()
    assert former.rows("SHOW TABLES") == tables
    former.close()
    driver.close()


# --- Servers that go away ---------------------------------------------------------------------------------------------


def test_a_killed_server_is_an_outage_and_used_again_once_it_is_back(own_clickhouse: ClickHouseServer) -> None:
    driver = ClickHouseDriver(own_clickhouse.database("catalogue"))
    driver.setup()
    song = driver.insert("a song", sha1(1), fingerprints(1))
    answered, failures = threading.Semaphore(0), []

    def ask_until_it_fails(_: int) -> None:
        try:
            while True:
                assert len(driver.postings(EVERYTHING)) == song.total_hashes
                answered.release()
        except StoreUnavailable as exc:
            failures.append(str(exc))

    with ThreadPoolExecutor(6) as pool:
        asking = pool.map(ask_until_it_fails, range(6))
        for _ in range(50):
            answered.acquire()
        own_clickhouse.kill()
        list(asking)
    assert failures == ["The ClickHouse server cannot be reached."] * 6
    for verb in (driver.counts, driver.setup, lambda: driver.insert("b", sha1(2), fingerprints(2))):
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            verb()
    own_clickhouse.start()
    assert driver.find_song(sha1(1)) == song
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)
    driver.close()


def test_connections_that_broke_while_nobody_used_them_are_replaced(own_clickhouse: ClickHouseServer) -> None:
    driver = ClickHouseDriver(own_clickhouse.database("catalogue"))
    driver.setup()
    song = driver.insert("a song", sha1(1), fingerprints(1))
    own_clickhouse.kill()
    own_clickhouse.start()
    assert driver.find_song(sha1(1)) == song
    driver.delete(song.song_id)
    assert driver.counts() == Counts(0, 0)
    driver.close()


def test_a_server_that_does_not_answer_is_given_up(
    own_clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LOOK_UP_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(settings, "DATABASE_CONNECT_TIMEOUT_SECONDS", 0.3)
    driver = ClickHouseDriver(own_clickhouse.database("catalogue"))
    driver.setup()
    song = driver.insert("a song", sha1(1), fingerprints(1))
    freeze(own_clickhouse.process.pid)
    for verb in (driver.counts, driver.counts, lambda: driver.insert("b", sha1(2), fingerprints(2))):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            verb()
        assert time.monotonic() - began < 2
    own_clickhouse.process.send_signal(signal.SIGCONT)
    assert driver.find_song(sha1(1)) == song
    driver.close()


def test_an_address_that_swallows_everything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_CONNECT_TIMEOUT_SECONDS", 0.3)
    with socket.create_server((HOST, 0)) as silent:
        driver = ClickHouseDriver(ServerDatabase("clickhouse", HOST, silent.getsockname()[1], "catalogue"))
        for verb in (driver.setup, lambda: driver.postings(EVERYTHING)):
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                verb()
        driver.close()


def test_what_speaks_another_protocol_is_an_outage() -> None:
    with socket.create_server((HOST, 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        driver = ClickHouseDriver(ServerDatabase("clickhouse", HOST, other.getsockname()[1], "catalogue"))
        with pytest.raises(StoreUnavailable):
            driver.setup()
        answering.join()
        driver.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(driver: ClickHouseDriver) -> None:
    driver.insert("parent's", sha1(1), fingerprints(1))
    child = os.fork()
    if child == 0:
        try:
            driver.insert("child's", sha1(2), fingerprints(2))
            driver.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    driver.insert("parent's again", sha1(3), fingerprints(3))
    assert driver.counts().songs == 3


# --- What is left behind ----------------------------------------------------------------------------------------------


def _leave_half_a_song(client: ClickHouse, seed: int, *, begun: bool = True) -> None:
    prints = fingerprints(seed)
    if begun:
        client.insert(sql.WRITE_BEGUN, np.array([ID], np.uint32))
    client.insert_rows(sql.WRITE_STRETCHES, [(ID, number, packed) for number, packed in pack(prints.peaks).items()])
    client.insert(sql.WRITE_FINGERPRINTS, prints.hashes, np.full(len(prints), ID, np.uint32), prints.offsets)


@pytest.mark.parametrize("begun", [True, False])
def test_half_a_song_is_never_seen_and_swept(driver: ClickHouseDriver, client: ClickHouse, begun: bool) -> None:
    whole = driver.insert("whole", sha1(2), fingerprints(2))
    _leave_half_a_song(client, 1, begun=begun)
    for swept in (1, 0):
        assert driver.find_song(sha1(1)) is None
        assert driver.counts() == Counts(1, whole.total_hashes)
        assert as_set(driver.postings(EVERYTHING)) == expected({whole.song_id: fingerprints(2)}, EVERYTHING)
        assert driver.fingerprints([ID]) == {}
        assert driver.stretches([(ID, 0), (ID, 1)]) == {}
        assert driver.sweep() == swept
    assert client.rows("SELECT count() FROM fingerprint") == [(whole.total_hashes,)]
    assert client.rows("SELECT song_id FROM begun") == [(whole.song_id,)]
    assert client.rows("SELECT song_id FROM stretch GROUP BY song_id") == [(whole.song_id,)]


@pytest.mark.parametrize("seed", [1, 99], ids=["the same", "made otherwise"])
def test_half_a_song_does_not_get_into_the_whole_one(driver: ClickHouseDriver, client: ClickHouse, seed: int) -> None:
    _leave_half_a_song(client, seed)
    song = driver.insert("whole", sha1(1), fingerprints(1))
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)
    assert_same_peaks(driver.fingerprints([ID])[ID].peaks, stored_peaks(fingerprints(1).peaks))


def test_a_song_that_got_its_rows_twice_is_the_same(driver: ClickHouseDriver, client: ClickHouse) -> None:
    driver.insert("a song", sha1(1), fingerprints(1))
    wanted = [(ID, number) for number in range(4)]
    once, packed = driver.fingerprints([ID])[ID], driver.stretches(wanted)
    _leave_half_a_song(client, 1, begun=False)  # by somebody cut off, whose rows came late
    assert driver.stretches(wanted) == packed
    twice = driver.fingerprints([ID])[ID]
    assert_same_peaks(twice.peaks, once.peaks)
    assert len(twice) == len(once)


def test_sweeping_waits_for_who_is_storing_and_takes_nothing_from_him(
    driver: ClickHouseDriver, client: ClickHouse
) -> None:
    sweeping: list[Future[int]] = []

    def store() -> list[Row]:
        _leave_half_a_song(client, 1)
        sweeping.append(pool.submit(driver.sweep))
        with pytest.raises(TimeoutError):
            sweeping[0].result(timeout=0.3)
        return [(ID, "a song", sha1(1), len(fingerprints(1)), 1, "", "a song")]

    with ThreadPoolExecutor(1) as pool:
        client.insert_alone(sql.WRITE_SONG, f"{ID:08x}", store)
    assert sweeping[0].result() == 0
    assert as_set(driver.postings(EVERYTHING)) == expected({ID: fingerprints(1)}, EVERYTHING)


def test_a_turn_that_does_not_come_is_an_outage(
    driver: ClickHouseDriver, client: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_to_delete() -> list[Row]:
        monkeypatch.setattr(settings, "INSERT_TIMEOUT_SECONDS", 0.1)
        with pytest.raises(StoreUnavailable, match="Somebody else is storing or deleting this song"):
            driver.delete(ID)
        return []

    client.insert_alone(sql.WRITE_SONG, f"{ID:08x}", try_to_delete)


# --- What there is no unique key against ------------------------------------------------------------------------------


def test_files_that_begin_alike_and_are_stored_at_once_get_ids_of_their_own(
    driver: ClickHouseDriver, clickhouse: ClickHouseServer, clickhouse_database: str
) -> None:
    other = ClickHouseDriver(clickhouse.database(clickhouse_database))
    files = [f"aaaaaaaabbbbbbbb{number:02x}{'00' * 11}" for number in range(6)]
    together = threading.Barrier(len(files))

    def store(number: int) -> int:
        together.wait()
        return [driver, other][number % 2].insert(f"{number}", files[number], fingerprints(number)).song_id

    with ThreadPoolExecutor(len(files)) as pool:
        song_ids = list(pool.map(store, range(len(files))))
    other.close()
    assert len(set(song_ids)) == len(files)
    stored = {song_id: fingerprints(number) for number, song_id in enumerate(song_ids)}
    assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)


def test_a_file_whose_every_id_is_taken_is_refused(driver: ClickHouseDriver) -> None:
    driver.insert("first", "ab" * 20, fingerprints(1))
    with pytest.raises(StoreError, match="add it to another instance") as raised:
        driver.insert("second", "ab" * 16 + "AB" * 4, fingerprints(2))
    assert not isinstance(raised.value, StoreUnavailable)


def test_a_recording_longer_than_is_sent_at_once(driver: ClickHouseDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 150)
    song = driver.insert("long", sha1(1), fingerprints(1))
    assert song.total_hashes > 2 * 150
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)


# --- What an operator is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("tunescout", "wrong-secret", "refuses the user or the password"),
        ("nobody-here", None, "refuses the user or the password"),
        (READER, None, "does not exist and the user may not create it; create it, or let"),
    ],
)
def test_who_may_not_come_in_is_told_so(
    clickhouse: ClickHouseServer, clickhouse_database: str, user: str, password: str | None, told: str
) -> None:
    driver = ClickHouseDriver(clickhouse.database(clickhouse_database, user, password))
    with pytest.raises(StoreUnavailable, match=told) as raised:
        driver.setup()
    assert "secret" not in str(raised.value)
    driver.close()


def test_who_may_not_create_tables_is_told_which(clickhouse: ClickHouseServer, driver: ClickHouseDriver) -> None:
    name = driver._clickhouse.name
    reader = ClickHouseDriver(clickhouse.database(name, READER, None))
    reader.check()
    assert reader.counts() == Counts(0, 0)
    clickhouse.execute("DROP TABLE song", name)
    with pytest.raises(StoreUnavailable, match=r"table song is missing .* the user may not create it"):
        reader.setup()
    with pytest.raises(StoreUnavailable, match="A table is missing in the ClickHouse database; a restart creates it"):
        driver.counts()
    reader.close()


def test_a_statement_of_ours_that_is_wrong_is_no_outage(client: ClickHouse) -> None:
    for statement in ("SELECT nothing_of_this_name FROM song", "SELEC 1", "SELECT no_such_function(1)"):
        with pytest.raises(StoreError) as raised:
            client.rows(statement)
        assert not isinstance(raised.value, StoreUnavailable)
    with pytest.raises(StoreError) as raised:
        client.insert_rows(sql.WRITE_BEGUN, [("no number",)])
    assert not isinstance(raised.value, StoreUnavailable)
    assert client.rows("SELECT 1") == [(1,)]


def test_somebody_elses_table_is_refused(clickhouse: ClickHouseServer, driver: ClickHouseDriver) -> None:
    name = driver._clickhouse.name
    clickhouse.execute("ALTER TABLE song ADD COLUMN artist String", name)
    for verb in (driver.setup, driver.check):
        with pytest.raises(FormatMismatch, match="table song of this ClickHouse database is laid out otherwise"):
            verb()


def test_a_server_with_usual_blocks_is_set_up_and_the_operator_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ClickHouseServer(tmp_path / "clickhouse", small_blocks=False) as usual:
        driver = ClickHouseDriver(usual.database("catalogue"))
        driver.setup()
        driver.close()
    assert [record.message for record in caplog.records if "max_compress_block_size = 8192" in record.message]


def test_the_library_is_not_loaded_for_who_has_no_such_server() -> None:
    program = "import sys, dejavu.store.open; sys.exit('clickhouse_driver' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)
