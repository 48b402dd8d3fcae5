"""From what config.json says of a database to what talks to it: the one place that knows every kind."""

from __future__ import annotations

from collections.abc import Iterable

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
        case _:
            raise ConfigError(_not_in_this_build(database))


def open_entries(config: InstanceConfig, redis: RedisConfig | None) -> RedisEntries | None:
    """Where an instance's posting lists are cached; connects when it is first used. None where they are not."""
    if redis is None or config.redis_db_index is None:
        return None
    return RedisEntries(f"{config.name}-cache", redis, config.redis_db_index)


def open_results(configs: Iterable[ResultsConfig]) -> ResultShards:
    """All results databases as one; connects when they are first used. Raises `ConfigError`."""
    return ResultShards(
        [ResultShard(config.name, config.database.identity, _open_results_store(config.database)) for config in configs]
    )


def _open_results_store(database: Database) -> ResultsStore:
    match database:
        case SqliteDatabase(path=path):
            return SqliteResults(path)
        case ServerDatabase(type="clickhouse"):
            from dejavu.store.clickhouse_results import ClickHouseResults

            return ClickHouseResults(database)
        case _:
            raise ConfigError(_not_in_this_build(database))


def _not_in_this_build(database: Database) -> str:
    return f'database_type: "{database.type}" is not in this build, which has sqlite and clickhouse only.'
