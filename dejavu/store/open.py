"""From what config.json says of a database to what talks to it: the one place that knows every kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from dejavu.config.database import Database, ServerDatabase, SqliteDatabase
from dejavu.config.deployment import InstanceConfig, RedisConfig, ResultsConfig
from dejavu.errors import ConfigError
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.driver import Driver
from dejavu.store.results import ResultShard, ResultShards, ResultsStore
from dejavu.store.sqlite import SqliteDriver
from dejavu.store.sqlite_results import SqliteResults


def open_driver(database: Database) -> Driver:
    """What talks to a fingerprint database; connects when it is first used. Raises `ConfigError`."""
    match database:
        case SqliteDatabase(path=path):
            return SqliteDriver(path)
        case ServerDatabase(type="clickhouse"):
            from dejavu.store.clickhouse import ClickHouseDriver  # loads its library only for who has such a server

            return ClickHouseDriver(database)
        case ServerDatabase():
            with _mysqlclient():
                from dejavu.store.mysql import MysqlDriver

            return MysqlDriver(database)


def open_entries(config: InstanceConfig, redis: RedisConfig | None) -> RedisEntries | None:
    """Where an instance's posting lists are cached; connects when it is first used. None where they are not."""
    if redis is None or config.redis_db_index is None:
        return None
    return RedisEntries(f"{config.name}-cache", redis, config.redis_db_index)


def open_results(configs: Iterable[ResultsConfig]) -> ResultShards:
    """All results databases as one; connects when they are first used. Raises `ConfigError`."""
    return ResultShards(
        [ResultShard(config.name, config.database.identity, open_results_store(config.database)) for config in configs]
    )


def open_results_store(database: Database) -> ResultsStore:
    """What talks to a results database; connects when it is first used. Raises `ConfigError`."""
    match database:
        case SqliteDatabase(path=path):
            return SqliteResults(path)
        case ServerDatabase(type="clickhouse"):
            from dejavu.store.clickhouse_results import ClickHouseResults

            return ClickHouseResults(database)
        case ServerDatabase():
            with _mysqlclient():
                from dejavu.store.mysql_results import MysqlResults

            return MysqlResults(database)


@contextmanager
def _mysqlclient() -> Iterator[None]:
    """Say how to install mysqlclient where it is missing: it has to be compiled, so that only who needs it has it."""
    try:
        yield
    except ImportError as exc:
        raise ConfigError(
            'database_type: "mysql" needs mysqlclient: `make run` installs it, as does `pip install -r '
            "requirements-mysql.txt` where there are a compiler and the headers of MySQL or MariaDB."
        ) from exc
