"""Redis full, flushed, stalled, locked or filled with garbage: answers stay right, and it is used again after it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from fleet import Fleet, Load, ask
from processes import eventually
from redis_server import PASSWORD, PREFIX, USER, RedisServer

pytestmark = pytest.mark.server

ANSWERS = 20


def caches(fleet: Fleet) -> list[dict[str, Any]]:
    return [instance["cache"] for instance in fleet.service.get("/api/health").json()["instances"]]


def answers_from_cache(fleet: Fleet) -> bool:
    """Whether every instance's cache knew something of the songs that are asked for now."""
    before = [cache["hits"] for cache in caches(fleet)]
    for song in fleet.songs.values():
        answer = ask(fleet.service, song)
        answer.assert_right()
        assert answer.unavailable == []
    return all(cache["hits"] > hits for cache, hits in zip(caches(fleet), before, strict=True))


@contextmanager
def full(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.flushall()
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def flushed(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.flushall()
        yield
        client.flushall()


@contextmanager
def stalled(redis: RedisServer) -> Iterator[None]:
    redis.stall()
    try:
        yield
    finally:
        redis.resume()


@contextmanager
def locked(redis: RedisServer) -> Iterator[None]:
    """With another password than the service's, for connections that are open as well."""
    with redis.client() as client:
        client.acl_setuser(USER, enabled=True, reset_passwords=True, passwords=["+another"])
        client.client_kill_filter(user=USER, skipme=True)
        try:
            yield
        finally:
            client.acl_setuser(USER, enabled=True, reset_passwords=True, passwords=[f"+{PASSWORD}"])


@contextmanager
def read_only(redis: RedisServer) -> Iterator[None]:
    """A replica, which answers and takes nothing."""
    with redis.client() as client:
        client.replicaof("127.0.0.1", redis.port)
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextmanager
def garbled(redis: RedisServer) -> Iterator[None]:
    """With every entry damaged in one way or another, and nothing of its own."""
    rng = random.Random(20)
    for index in (1, 2, 3):
        with redis.client(index) as client:
            keys = list(client.scan_iter(match=f"{PREFIX}*", count=10_000))
            values = client.mget(keys) if keys else []
            assert keys, "there is nothing to damage"
            pipe = client.pipeline(transaction=False)
            for key, value, damage in zip(keys, values, itertools.cycle(DAMAGES), strict=False):
                pipe.delete(key)
                damage(pipe, key, value or b"", rng)
            pipe.execute()
    yield


Damage = Callable[[Any, bytes, bytes, random.Random], object]

DAMAGES: tuple[Damage, ...] = (
    lambda pipe, key, value, rng: pipe.set(key, rng.randbytes(len(value))),
    lambda pipe, key, value, rng: pipe.set(key, value[:-1]),
    lambda pipe, key, value, rng: pipe.set(key, value + rng.randbytes(8)),
    lambda pipe, key, value, rng: pipe.set(key, b""),
    lambda pipe, key, value, rng: pipe.set(key, b"\x80\x04N."),
    lambda pipe, key, value, rng: pipe.rpush(key, value),
    lambda pipe, key, value, rng: pipe.hset(key, "field", value),
)


@pytest.mark.parametrize("trouble", [full, flushed, stalled, locked, read_only, garbled])
def test_whatever_redis_does_answers_stay_right(
    fleet: Fleet, trouble: Callable[[RedisServer], AbstractContextManager[None]]
) -> None:
    eventually(lambda: answers_from_cache(fleet))
    with Load(fleet.service, list(fleet.songs.values()), clients=4) as load:
        with trouble(fleet.redis):
            load.wait_for_answers(ANSWERS)
        load.wait_for_answers(4)
    for answer in load.answers:
        answer.assert_right()
        assert answer.unavailable == []
    eventually(lambda: answers_from_cache(fleet))


def test_damaged_entries_are_counted(fleet: Fleet) -> None:
    eventually(lambda: answers_from_cache(fleet))
    with garbled(fleet.redis):
        before = [cache["damaged"] for cache in caches(fleet)]
        answers_from_cache(fleet)
    assert all(cache["damaged"] > damaged for cache, damaged in zip(caches(fleet), before, strict=True))
