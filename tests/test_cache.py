"""The posting cache: the contract of every driver holds through it, and no order of events makes it tell old tales."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from cached import EVERYTHING, INDEX, PromptEntries, open_cached, patience
from driver_contract import DriverContract, Opener, processes
from driver_data import as_set, expected, fingerprints, sha1
from processes import eventually
from redis_server import PREFIX, RedisServer

from dejavu.config.settings import CACHE_SETTLE_SECONDS, CACHE_TTL_SECONDS
from dejavu.model import Fingerprints
from dejavu.store.cache import CachedDriver
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.sqlite import SqliteDriver


class Clock:
    """A monotonic clock that moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fingerprints.db"


@pytest.fixture
def opener(path: Path, redis: RedisServer) -> Opener:
    with redis.client() as client:
        client.flushall()
    return partial(open_cached, path, redis.config())


@pytest.fixture
def driver(opener: Opener) -> Iterator[CachedDriver]:
    driver = opener()
    driver.setup()
    yield driver
    driver.close()


class TestCachedDriver(DriverContract):
    """What every driver has to do; here most look-ups are made twice, so that they hit."""

    @pytest.fixture
    def opener(self, opener: Opener) -> Opener:
        return opener


# --- What is kept -----------------------------------------------------------------------------------------------------


def test_what_was_looked_up_once_is_not_asked_again(driver: CachedDriver) -> None:
    song = driver.insert("a song", sha1(1), fingerprints(1))
    truth = expected({song.song_id: fingerprints(1)}, EVERYTHING)
    assert as_set(driver.postings(EVERYTHING[:600])) == {row for row in truth if row[0] < 600}
    assert as_set(driver.postings(EVERYTHING)) == truth
    assert as_set(driver.postings(EVERYTHING[::-1])) == truth
    status = driver.status()
    assert (status.hits, status.misses, status.damaged) == (600 + 1000, 600 + 400, 0)
    assert status.saved_seconds is not None


def test_a_look_up_is_one_mget_and_every_key_has_the_prefix_and_an_end(
    driver: CachedDriver, redis: RedisServer
) -> None:
    driver.postings(EVERYTHING)
    with redis.client(INDEX) as client:
        client.config_resetstat()
        driver.postings(EVERYTHING)
        commands = client.info("commandstats")
        assert commands["cmdstat_mget"]["calls"] == 1
        assert not {"cmdstat_eval", "cmdstat_setex", "cmdstat_set"} & commands.keys()
        keys = client.keys("*")
        assert len(keys) == EVERYTHING.size
        assert all(key.startswith(PREFIX.encode()) for key in keys)
        assert all(0 < client.ttl(key) <= CACHE_TTL_SECONDS for key in keys)


def test_entries_are_written_after_the_answer(path: Path, redis: RedisServer, opener: Opener) -> None:
    driver = CachedDriver(SqliteDriver(path), RedisEntries("a cache", redis.config(), INDEX))
    driver.setup()

    def hits() -> bool:
        driver.postings(EVERYTHING)
        return driver.status().hits >= EVERYTHING.size

    eventually(hits)
    driver.close()


def test_nothing_is_kept_while_songs_come_one_after_the_other(path: Path, redis: RedisServer, opener: Opener) -> None:
    clock = Clock()
    with patience():
        driver = CachedDriver(SqliteDriver(path), PromptEntries("a cache", redis.config(), INDEX), clock)
    driver.setup()
    stored: dict[int, Fingerprints] = {}
    driver.postings(EVERYTHING)
    assert driver.status().misses == 1000  # a revision seen at the start may be old
    for seed in range(3):
        stored[driver.insert(f"{seed}", sha1(seed), fingerprints(seed)).song_id] = fingerprints(seed)
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        clock.now += 0.9 * CACHE_SETTLE_SECONDS
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        assert driver.status().misses == 1000
    clock.now += 0.2 * CACHE_SETTLE_SECONDS
    for _ in range(2):
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    assert (driver.status().hits, driver.status().misses) == (1000, 2000)
    driver.close()


# --- Several processes, killed ones among them ------------------------------------------------------------------------


class Elsewhere:
    """A process of its own with the same database and the same cache."""

    def __init__(self, opener: Opener) -> None:
        self._connection, end = processes.Pipe()
        self.process = processes.Process(target=_work, args=(opener, end))
        self.process.start()

    def do(self, verb: str, *arguments: object) -> Any:
        self._connection.send((verb, arguments))
        return self._connection.recv()

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL


def _work(opener: Opener, connection: Connection) -> None:
    driver = opener()
    driver.setup()
    while True:
        verb, arguments = connection.recv()
        connection.send(getattr(driver, verb)(*arguments))


@pytest.fixture
def elsewhere(opener: Opener) -> Iterator[Elsewhere]:
    elsewhere = Elsewhere(opener)
    yield elsewhere
    if elsewhere.process.is_alive():
        elsewhere.kill()


def test_another_process_finds_a_new_song_at_once_although_its_hashes_were_cached(
    driver: CachedDriver, elsewhere: Elsewhere
) -> None:
    for _ in range(2):
        assert as_set(elsewhere.do("postings", EVERYTHING)) == set()
    song = driver.insert("a song", sha1(1), fingerprints(1))
    for _ in range(2):
        assert as_set(elsewhere.do("postings", EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)
    assert elsewhere.do("status").hits == 2000
    assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)
    assert driver.status().hits == 1000, "what one process kept serves the other"
    driver.delete(song.song_id)
    assert as_set(elsewhere.do("postings", EVERYTHING)) == set()


@pytest.mark.parametrize("change", ["insert", "delete"])
def test_a_writer_that_cannot_reach_redis_and_is_killed_leaves_nothing_stale(
    driver: CachedDriver, elsewhere: Elsewhere, redis: RedisServer, change: str
) -> None:
    stored = {driver.insert("first", sha1(1), fingerprints(1)).song_id: fingerprints(1)}
    for _ in range(2):
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    redis.stall()
    try:
        if change == "insert":
            stored[elsewhere.do("insert", "second", sha1(2), fingerprints(2)).song_id] = fingerprints(2)
        else:
            elsewhere.do("delete", stored.popitem()[0])
        elsewhere.kill()
    finally:
        redis.resume()
    for _ in range(2):
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    assert driver.status().up
    assert driver.status().hits == 2000


def test_a_database_restored_from_a_backup_finds_none_of_what_came_after(
    driver: CachedDriver, path: Path, opener: Opener
) -> None:
    driver.insert("first", sha1(1), fingerprints(1))
    driver.close()
    backup = path.read_bytes()
    for seed in (2, 3):  # what happened, and what happens instead
        path.write_bytes(backup)
        again = opener()
        again.setup()
        song = again.insert("second", sha1(seed), fingerprints(seed))
        stored = {int(sha1(1)[:8], 16): fingerprints(1), song.song_id: fingerprints(seed)}
        for _ in range(2):
            assert as_set(again.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        assert again.status().hits == 1000
        again.close()
