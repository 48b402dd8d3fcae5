"""Two services over the same databases and the same Redis, as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import catalogue
import pytest
from processes import eventually
from redis_server import HOST, PASSWORD, PREFIX, USER, RedisServer
from servers import UNLIMITED, Server

from dejavu.store.sqlite import SqliteDriver

pytestmark = pytest.mark.server

FETCHES = 5


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to be killed."""
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "fingerprints.db"


@pytest.fixture
def services(tmp_path: Path, database: Path, own_redis: RedisServer) -> Iterator[list[Server]]:
    redis = {"host": HOST, "port": own_redis.port, "user": USER, "password": PASSWORD, "prefix": PREFIX}
    instances = [{"database_type": "sqlite", "database": {"path": str(database)}, "redis_db_index": 1}]
    results = [{"database_type": "sqlite", "database": {"path": str(tmp_path / "results.db")}}]
    limits = {"recognizing": UNLIMITED, "fingerprinting": UNLIMITED, "fetching_results": f"{FETCHES} per day"}
    with ExitStack() as opened:
        running = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            server = Server(tmp_path / name, instances=instances, results=results, redis=redis, rate_limit=limits)
            running.append(opened.enter_context(server))
        yield running


def heard(server: Server, seed: int) -> list[str]:
    """The names of what the service takes a clip of this song for."""
    answer = server.recognize(catalogue.clip(seed, 4, 6))
    assert answer.status_code == 200, answer.text
    return [result["song_name"] for result in answer.json()["results"]]


def cache_of(server: Server) -> dict[str, object]:
    (instance,) = server.get("/api/health").json()["instances"]
    assert isinstance(instance["cache"], dict)
    return instance["cache"]


def test_songs_come_and_go_at_once_for_a_service_that_had_their_hashes_cached(
    services: list[Server], database: Path, own_redis: RedisServer
) -> None:
    one, other = services
    assert one.fingerprint(catalogue.song(1), song_name="first").status_code == 200

    def is_cached() -> bool:
        assert heard(other, 1) == ["first"]
        assert heard(other, 5) == []
        return bool(cache_of(other)["hits"])

    eventually(is_cached)
    answer = one.fingerprint(catalogue.song(5), song_name="second").json()
    assert heard(other, 5) == ["second"]
    with closing(SqliteDriver(database)) as driver:
        driver.delete(answer["song_id"])
    assert heard(other, 5) == []
    own_redis.kill()

    def is_down() -> bool:
        assert heard(other, 1) == ["first"]
        return cache_of(other)["state"] == "down"

    eventually(is_down)
    assert cache_of(other)["reason"] == "Redis cannot be reached."
    own_redis.start()
    eventually(lambda: cache_of(other)["state"] == "up")
    assert heard(other, 1) == ["first"]


def test_services_count_requests_together_and_while_redis_is_away_for_themselves(
    services: list[Server], own_redis: RedisServer
) -> None:
    def fetch(server: Server) -> int:
        return server.get("/api/fetch/" + 20 * "x").status_code

    statuses = [fetch(server) for _ in range(FETCHES) for server in services]
    assert statuses == [404] * FETCHES + [429] * FETCHES
    own_redis.kill()
    for server in services:
        assert [fetch(server) for _ in range(FETCHES + 1)] == [404] * FETCHES + [429]
        assert server.get("/api/health").json()["redis"] == {"state": "down"}
    own_redis.start()
    for server in services:
        eventually(lambda server=server: server.get("/api/health").json()["redis"] == {"state": "up"})
    assert fetch(services[0]) == 404
