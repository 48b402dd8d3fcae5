"""Private database servers, as the tests start them, and services over them."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmarks.report import PROJECT
from dejavu.config.database import Database, SqliteDatabase

sys.path.append(str(PROJECT / "tests"))  # the tests' servers are the real ones, so there is one way to start them

from clickhouse import ClickHouseServer
from fleet import Killable, Silence, killed
from mariadb import MariaDB
from redis_server import RedisServer
from servers import Server

__all__ = [
    "ClickHouseServer",
    "Killable",
    "MariaDB",
    "RedisServer",
    "Silence",
    "killed",
    "private_clickhouse",
    "private_mariadb",
    "private_redis",
    "service",
]

# While a server starts, each attempt to reach it would be logged with a traceback.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)

BUFFER_POOL = "512M"
"""InnoDB's cache, as small as an operator would have it for a catalogue of some size."""

_Private = TypeVar("_Private", bound=AbstractContextManager[Any])


def private_clickhouse() -> AbstractContextManager[ClickHouseServer]:
    """A ClickHouse server with nothing in it, whose profile is as the README asks for."""
    return _private(ClickHouseServer)


def private_mariadb() -> AbstractContextManager[MariaDB]:
    """A MariaDB server with nothing in it. Each commit is on the disk when it returns, which is the default."""
    return _private(partial(MariaDB, innodb_buffer_pool_size=BUFFER_POOL))


def private_redis() -> AbstractContextManager[RedisServer]:
    """A Redis server with nothing in it."""
    return _private(RedisServer)


@contextmanager
def _private(make: Callable[[Path], _Private]) -> Iterator[_Private]:
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder, ExitStack() as opened:
        server = make(Path(folder) / "server")
        try:
            opened.enter_context(server)
        except (pytest.skip.Exception, pytest.fail.Exception) as exc:
            raise SystemExit(f"This needs a server: {exc}") from exc
        yield server


@contextmanager
def service(
    databases: Sequence[Database], redis: RedisServer | None = None, results: Sequence[Database] = ()
) -> Iterator[Server]:
    """The real service over these instances, with results in SQLite if not elsewhere; `redis` caches each instance."""
    changes: dict[str, Any] = {
        "instances": [
            {**_section(database), "redis_db_index": index} for index, database in enumerate(databases, start=1)
        ]
    }
    if results:
        changes["results"] = [_section(database) for database in results]
    if redis is not None:
        said = redis.config()
        changes["redis"] = {name: getattr(said, name) for name in ("host", "port", "user", "password", "prefix")}
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder, Server(Path(folder), **changes) as server:
        yield server


def _section(database: Database) -> Mapping[str, Any]:
    if isinstance(database, SqliteDatabase):
        place: dict[str, Any] = {"path": str(database.path)}
    else:
        place = {name: getattr(database, name) for name in ("host", "port", "user", "password", "database")}
    return {"database_type": database.type, "database": place}
