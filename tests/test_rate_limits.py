"""Rate limits counted in a real Redis: by several services together, and by each for itself while it is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from limits import parse
from limits.strategies import FixedWindowRateLimiter
from processes import eventually
from redis_server import PREFIX, RedisServer

from dejavu.config.settings import REDIS_TIMEOUT_SECONDS
from dejavu.web.rate_limit_counters import SharedCounters

INDEX = 5
LIMIT = parse("3 per day")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to be ill-treated."""
    with RedisServer(tmp_path / "redis") as running:
        yield running


def service(redis: RedisServer, password: str | None = None) -> tuple[SharedCounters, FixedWindowRateLimiter]:
    config = redis.config(password=password) if password else redis.config()
    counters = SharedCounters("", config=config, index=INDEX)
    return counters, FixedWindowRateLimiter(counters)


def test_services_count_together(own_redis: RedisServer) -> None:
    (_, one), (_, other) = service(own_redis), service(own_redis)
    assert [limiter.hit(LIMIT, "a client") for limiter in (one, other, one, other, one)] == [True] * 3 + [False] * 2
    assert other.hit(LIMIT, "another client")
    assert other.get_window_stats(LIMIT, "a client").remaining == 0
    assert 86_000 < one.get_window_stats(LIMIT, "a client").reset_time - time.time() <= 86_400
    with own_redis.client(INDEX) as client:
        assert all(key.startswith(f"{PREFIX}limits:".encode()) for key in client.keys("*"))
    one.clear(LIMIT, "a client")
    assert other.hit(LIMIT, "a client")


def test_while_redis_is_away_each_service_counts_for_itself(own_redis: RedisServer) -> None:
    (counters, one), (_, other) = service(own_redis), service(own_redis)
    assert one.hit(LIMIT, "a client")
    own_redis.kill()
    for limiter in (one, other):
        assert [limiter.hit(LIMIT, "a client") for _ in range(4)] == [True] * 3 + [False]
    assert not counters.check()
    own_redis.start()
    eventually(counters.check)
    assert one.hit(LIMIT, "a client")


def test_a_stalled_redis_costs_one_request_a_moment_and_the_others_nothing(own_redis: RedisServer) -> None:
    counters, limiter = service(own_redis)
    assert limiter.hit(LIMIT, "a client")
    own_redis.stall()
    try:
        began = time.monotonic()
        assert limiter.hit(LIMIT, "a client")
        assert time.monotonic() - began >= REDIS_TIMEOUT_SECONDS
        began = time.monotonic()
        assert [limiter.hit(LIMIT, "a client") for _ in range(10)] == [True] * 2 + [False] * 8
        assert not counters.check()
        assert time.monotonic() - began < 5 * REDIS_TIMEOUT_SECONDS
    finally:
        own_redis.resume()
    eventually(counters.check)


def test_a_redis_that_is_full_does_not_count(own_redis: RedisServer) -> None:
    counters, limiter = service(own_redis)
    with own_redis.client() as client:
        client.config_set("maxmemory", "1")
        assert not counters.check()
        assert [limiter.hit(LIMIT, "a client") for _ in range(4)] == [True] * 3 + [False]
        client.config_set("maxmemory", "0")
    eventually(counters.check)
    assert limiter.hit(LIMIT, "a client")


def test_a_wrong_password_leaves_each_service_to_itself(own_redis: RedisServer) -> None:
    counters, limiter = service(own_redis, password="wrong")
    assert [limiter.hit(LIMIT, "a client") for _ in range(4)] == [True] * 3 + [False]
    assert not counters.check()


def test_an_idle_service_notices_by_being_asked(own_redis: RedisServer) -> None:
    counters, _ = service(own_redis)
    assert counters.check()
    own_redis.kill()
    assert not counters.check()
