"""`python -m dejavu rebalance` while a service answers from the same databases."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse import ClickHouseServer
from commands import held, index_of, put, run, start, wait_until_copied, wanted_by
from driver_data import sha1
from fleet import Load, Song, new_songs, section
from mariadb import MariaDB
from redis_server import PASSWORD, PREFIX, USER, RedisServer
from servers import Server

from dejavu.config.database import Database, SqliteDatabase

FILLERS = range(100, 130)
CLIENTS = 2

pytestmark = pytest.mark.server

Databases = list[Database]


@pytest.fixture(params=["sqlite", "every kind"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Three instances."""
    if request.param == "sqlite":
        yield [SqliteDatabase(tmp_path / f"fingerprints-{index}.sqlite") for index in range(3)]
        return
    clickhouse: ClickHouseServer = request.getfixturevalue("clickhouse")
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    name = f"rebalanced {uuid.uuid4().hex}"
    with mariadb.fresh_database() as database:
        yield [clickhouse.database(name), database, SqliteDatabase(tmp_path / "fingerprints.sqlite")]
    clickhouse.drop_database(name)


def service(folder: Path, databases: Databases, redis: RedisServer) -> Server:
    return Server(
        folder,
        instances=[section(database, index) for index, database in enumerate(databases, start=1)],
        redis={"host": "127.0.0.1", "port": redis.port, "user": USER, "password": PASSWORD, "prefix": PREFIX},
    )


@pytest.fixture
def songs(tmp_path: Path, databases: Databases, redis: RedisServer) -> list[Song]:
    """One song for each instance; all are on the first, with others that only fill it."""
    redis.client().flushall()
    found = new_songs({f"instances[{index}]": database for index, database in enumerate(databases)}, itertools.count())
    with service(tmp_path, databases[:1], redis) as server:
        for song in found.values():
            assert server.fingerprint(song.media).status_code == 200
    put(tmp_path / "config.json", 0, *FILLERS, size=3000)
    return list(found.values())


def test_every_song_is_found_all_the_time_also_when_it_is_killed(
    tmp_path: Path, databases: Databases, songs: list[Song], redis: RedisServer
) -> None:
    config = tmp_path / "config.json"
    with service(tmp_path, databases, redis) as server:
        homes = {sha1(seed): [wanted_by(config, seed)] for seed in FILLERS}
        homes |= {song.sha1: [index_of(song.home)] for song in songs}
        moving = sum(home != [0] for home in homes.values())
        assert moves(run(config, "rebalance", "--dry-run"), "to move") == moving
        with Load(server, songs, CLIENTS) as load:
            with start(config, "rebalance", "--yes") as killed:
                wait_until_copied(config, next(seed for seed in FILLERS if homes[sha1(seed)] != [0]))
                killed.kill()
            assert held(config).keys() == homes.keys()
            assert moves(run(config, "rebalance", "--yes"), "moved") == moving
            after = len(load.answers)
            load.wait_for(lambda: len(load.answers) > after + CLIENTS * len(songs))
        assert [answer.unavailable for answer in load.answers if answer.unavailable] == []
        for answer in load.answers:
            answer.assert_right()
        assert held(config) == homes
        assert moves(run(config, "rebalance", "--dry-run"), "to move") == 0
        assert server.songs_held() == len(homes)


def moves(ended: tuple[int, str, str], what: str) -> int:
    """How many songs a command says it moves, or has moved."""
    code, out, err = ended
    assert (code, err) == (0, "")
    pattern = rf"{what}  (?:all instances|instances\[0\] -> instances\[[12]\])  (\d+) songs +\d+ fingerprints"
    lines = [re.fullmatch(pattern, line) for line in out.splitlines()]
    assert lines and all(lines), out
    return sum(int(line[1]) for line in lines if line)


@pytest.mark.parametrize("databases", ["every kind"], indirect=True)
def test_check_tells_what_every_server_is(tmp_path: Path, databases: Databases, redis: RedisServer) -> None:
    with service(tmp_path, databases, redis):
        code, out, err = run(tmp_path / "config.json", "check")
    assert (code, err) == (0, "")
    versions = [re.search(r" ms  (\w+ \d[\w.]*)", line) for line in out.splitlines()]
    products = [version[1].split()[0] for version in versions if version]
    names = {"sqlite": "SQLite", "clickhouse": "ClickHouse", "mysql": "MariaDB"}
    expected = [names[database.type] for database in databases] + ["SQLite"] * 2 + ["Redis"] * (len(databases) + 1)
    assert products == expected
    secrets = [PASSWORD] + [database.password for database in databases if not isinstance(database, SqliteDatabase)]
    assert not any(secret in out for secret in secrets if secret)
