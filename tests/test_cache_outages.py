"""A Redis that is away, slow, full, emptied or full of rubbish: answers stay right, and soon cost nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cached import EVERYTHING, INDEX, HastyClock, PromptEntries, open_cached
from driver_data import as_set, expected, fingerprints, sha1
from processes import eventually
from redis_server import PREFIX, RedisServer

from dejavu.config.deployment import RedisConfig
from dejavu.config.settings import REDIS_TIMEOUT_SECONDS
from dejavu.store import redis_client
from dejavu.store.cache import CachedDriver
from dejavu.store.sqlite import SqliteDriver
from dejavu.web.rate_limit_counters import SharedCounters

Opener = Callable[[RedisConfig], CachedDriver]
Check = Callable[[CachedDriver], None]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to be ill-treated."""
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    opened = []

    def open_driver(redis: RedisConfig) -> CachedDriver:
        opened.append(open_cached(tmp_path / "fingerprints.db", redis))
        opened[-1].setup()
        return opened[-1]

    yield open_driver
    for driver in opened:
        driver.close()


@pytest.fixture
def driver(opener: Opener, redis: RedisServer) -> CachedDriver:
    """A driver with three songs, looked up before."""
    driver = opener(redis.config())
    for seed in range(3):
        driver.insert(f"song {seed}", sha1(seed), fingerprints(seed))
    driver.postings(EVERYTHING)
    return driver


@pytest.fixture
def impatient(tmp_path: Path, driver: CachedDriver, redis: RedisServer) -> Iterator[CachedDriver]:
    """The same with the time-outs of the service."""
    entries = PromptEntries("a cache", redis.config(), INDEX)
    impatient = CachedDriver(SqliteDriver(tmp_path / "fingerprints.db"), entries, HastyClock())
    yield impatient
    impatient.close()


@pytest.fixture
def stays_right(driver: CachedDriver) -> Check:
    """Look up everything, as it is, with a song more, and with one less."""
    stored = {int(sha1(seed)[:8], 16): fingerprints(seed) for seed in range(3)}
    seeds = iter(range(3, 100))

    def check(driver: CachedDriver) -> None:
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        seed = next(seeds)
        stored[driver.insert(f"song {seed}", sha1(seed), fingerprints(seed)).song_id] = fingerprints(seed)
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        gone = next(iter(stored))
        driver.delete(gone)
        del stored[gone]
        for _ in range(2):
            assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)

    return check


def test_redis_dies_and_returns(driver: CachedDriver, redis: RedisServer, stays_right: Check) -> None:
    redis.kill()
    stays_right(driver)
    assert not driver.status().up
    assert driver.status().reason == "Redis cannot be reached."
    redis.start()
    eventually(lambda: driver.status().up)
    hits = driver.status().hits
    stays_right(driver)
    assert driver.status().hits > hits


def test_redis_is_away_from_the_start(opener: Opener, driver: CachedDriver, redis: RedisServer) -> None:
    redis.kill()
    other = opener(redis.config())
    assert as_set(other.postings(EVERYTHING)) == as_set(driver.postings(EVERYTHING))
    redis.start()
    eventually(lambda: other.status().up)


def test_a_stalled_redis_costs_one_look_up_a_moment_and_the_others_nothing(
    impatient: CachedDriver, redis: RedisServer, stays_right: Check
) -> None:
    redis.stall()
    try:
        began = time.monotonic()
        impatient.postings(EVERYTHING)
        assert time.monotonic() - began >= REDIS_TIMEOUT_SECONDS
        assert impatient.status().reason == "Redis did not answer in time."
        began = time.monotonic()
        for _ in range(10):
            impatient.postings(EVERYTHING)
        assert time.monotonic() - began < 5 * REDIS_TIMEOUT_SECONDS
        stays_right(impatient)
    finally:
        redis.resume()
    eventually(lambda: impatient.status().up)
    stays_right(impatient)


def test_redis_comes_back_from_a_stall_with_old_entries(
    impatient: CachedDriver, redis: RedisServer, stays_right: Check
) -> None:
    for _ in range(3):
        redis.stall()
        try:
            impatient.postings(EVERYTHING)
            stays_right(impatient)
        finally:
            redis.resume()
        eventually(lambda: impatient.status().up)
        stays_right(impatient)


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_redis_is_full(
    driver: CachedDriver, redis: RedisServer, stays_right: Check, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.client(INDEX) as client:
        kept = client.dbsize()
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", "1")
        for _ in range(3):
            stays_right(driver)
        assert driver.status().up, "what it has can still be read"
        assert client.dbsize() <= kept
        assert ("cache takes no entries" in caplog.text) == (policy == "noeviction" or client.dbsize() == 0)
        client.config_set("maxmemory", "0")
        client.flushall()

        def is_kept() -> bool:
            driver.postings(EVERYTHING)
            return bool(client.dbsize() == EVERYTHING.size)

        eventually(is_kept)


def test_redis_is_emptied(driver: CachedDriver, redis: RedisServer, stays_right: Check) -> None:
    with redis.client() as client:
        client.flushall()
        stays_right(driver)
        client.flushall()
        stays_right(driver)


def test_entries_that_are_put_back_are_told_from_new_ones(
    driver: CachedDriver, redis: RedisServer, stays_right: Check
) -> None:
    with redis.client(INDEX) as client:
        old = {key: client.get(key) for key in client.keys("*")}
        stays_right(driver)
        client.mset(old)
        stays_right(driver)


@pytest.mark.parametrize("password", ["wrong", None])
def test_redis_refuses_the_password(
    opener: Opener, driver: CachedDriver, redis: RedisServer, stays_right: Check, password: str | None
) -> None:
    other = opener(redis.config(password=password))
    stays_right(other)
    assert not other.status().up
    assert other.status().reason == "Redis does not accept the configured user and password."
    assert other.status().hits == 0


def test_redis_has_no_database_of_that_number(redis: RedisServer, driver: CachedDriver, tmp_path: Path) -> None:
    other = CachedDriver(
        SqliteDriver(tmp_path / "fingerprints.db"), PromptEntries("a cache", redis.config(), 99), HastyClock()
    )
    assert as_set(other.postings(EVERYTHING)) == as_set(driver.postings(EVERYTHING))
    assert not other.status().up
    other.close()


def test_redis_is_a_replica_that_takes_no_entries(
    driver: CachedDriver, redis: RedisServer, stays_right: Check, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.client() as client:
        client.replicaof("127.0.0.1", 1)
        stays_right(driver)
        assert driver.status().up
        assert "cache takes no entries" in caplog.text
        client.replicaof("NO", "ONE")
    stays_right(driver)


def test_what_is_no_entry_is_a_miss_and_is_counted_and_mended(
    driver: CachedDriver, redis: RedisServer, stays_right: Check, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(1)
    with redis.client(INDEX) as client:
        keys = sorted(client.keys("*"))
        for number, key in enumerate(keys):
            value = client.get(key)
            match number % 5:
                case 0:
                    client.set(key, random.bytes(int(random.integers(0, 64))))
                case 1:
                    client.set(key, value[:-1] + bytes([value[-1] ^ 1]))
                case 2:
                    client.set(key, client.get(keys[(number + 1) % len(keys)]))
                case 3:
                    client.append(key, bytes(8))
                case 4:
                    client.delete(key)
                    client.lpush(key, value)
    before = driver.status()
    stored = {int(sha1(seed)[:8], 16): fingerprints(seed) for seed in range(3)}
    assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    after = driver.status()
    assert after.damaged - before.damaged == 800
    assert after.misses - before.misses == 1000
    assert "cache entries damaged name=a cache entries=800" in caplog.text
    driver.postings(EVERYTHING)
    assert driver.status().hits - after.hits == 1000
    stays_right(driver)


def test_a_user_with_the_documented_rights_suffices(
    opener: Opener, driver: CachedDriver, redis: RedisServer, stays_right: Check
) -> None:
    rights = {"categories": ["+@read", "+@write", "+@connection", "+@scripting"], "commands": ["+info"]}
    with redis.client() as client:
        client.acl_setuser(
            "modest", enabled=True, passwords=["+secret"], keys=[PREFIX.replace(" ", "?") + "*"], **rights
        )
    config = replace(redis.config(password="secret"), user="modest")
    other = opener(config)
    other.postings(EVERYTHING)
    other.postings(EVERYTHING)
    stays_right(other)
    assert other.status().up
    assert other.status().hits >= EVERYTHING.size
    assert SharedCounters("", config=config, index=INDEX).check()
    with redis_client.connect(config, INDEX) as client:
        assert redis_client.check(client, config.prefix).startswith("Redis ")


def test_neither_log_nor_status_tells_the_password_or_the_address(
    driver: CachedDriver, redis: RedisServer, opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    other = opener(redis.config(password="a wrong secret"))
    other.postings(EVERYTHING)
    redis.kill()
    driver.postings(EVERYTHING)
    for secret in ("a wrong secret", PREFIX, str(redis.port)):
        assert secret not in f"{caplog.text}{other.status()}{driver.status()}"
