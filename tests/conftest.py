"""What tests of several files share."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import media
import pytest
from clickhouse import ClickHouseServer
from fleet import Fleet
from mariadb import MariaDB
from redis_server import RedisServer
from servers import PROJECT, Server

from dejavu.config.database import ServerDatabase

# A shell lets what it runs in the background ignore Ctrl-C, and so does everything that is started from there.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def audio_folder() -> Path:
    """The folder with real music and its manifest."""
    folder = Path(os.environ.get("TUNESCOUT_AUDIO") or PROJECT.parent / "shared" / "audio")
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no manifest.csv in {folder}; TUNESCOUT_AUDIO names the folder with the test music")
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running service that limits sizes, but no rates."""
    limits = {"max_file_size_mb": 2}
    with Server(
        tmp_path_factory.mktemp("server"),
        recognizing=limits,
        fingerprinting={"token": "a-token-for-tests"} | limits,
        allowed_origin=["https://player.example"],
    ) as running:
        yield running


@pytest.fixture(scope="session")
def tune() -> media.Samples:
    """Twenty seconds of a tune."""
    return media.music(20.0, seed=11)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis server; each test empties it first and leaves it running."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A running ClickHouse server; each test has databases of its own on it and leaves it running."""
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture
def clickhouse_database(clickhouse: ClickHouseServer) -> Iterator[str]:
    """The name of a database that is not there yet, awkward to quote."""
    name = f"test `of\\ {uuid.uuid4().hex}"
    yield name
    clickhouse.drop_database(name)


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A running ClickHouse server that the test may stop and kill."""
    with ClickHouseServer(tmp_path / "clickhouse") as running:
        yield running


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A running MariaDB server; each test has databases of its own on it and leaves it running."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as running:
        yield running


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory, clickhouse: ClickHouseServer, mariadb: MariaDB) -> Iterator[Fleet]:
    """A running service over servers of every kind, which tests may kill and start again."""
    with Fleet(tmp_path_factory.mktemp("fleet"), clickhouse, mariadb) as running:
        yield running


@pytest.fixture
def own_mariadb(tmp_path: Path) -> Iterator[MariaDB]:
    """A MariaDB server of the test's own, to be stopped and killed."""
    with MariaDB(tmp_path / "mariadb") as running:
        yield running


@pytest.fixture
def mysql_database(mariadb: MariaDB) -> Iterator[ServerDatabase]:
    """A MySQL database that is not there yet."""
    with mariadb.fresh_database() as database:
        yield database
