"""Connections to the Redis server of config.json, and its trouble in sentences."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dejavu.config import settings
from dejavu.config.deployment import RedisConfig
from dejavu.errors import StoreUnavailable


def connect(config: RedisConfig, index: int) -> redis.Redis:
    """A client of one database of the server, by its index; connects when it is first used."""
    # With its defaults the library tries a dead server again and again, for seconds.
    return redis.Redis(
        host=config.host,
        port=config.port,
        db=index,
        username=config.user,
        password=config.password,
        protocol=2,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
        socket_timeout=settings.REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def check(client: redis.Redis, prefix: str) -> str:
    """See whether keys with this prefix could be read; the server's name and version. Raises `StoreUnavailable`."""
    try:
        client.mget([prefix])
        return f"Redis {client.info('server')['redis_version']}"
    except redis.RedisError as exc:
        raise unavailable(exc) from exc


def unavailable(failure: redis.RedisError) -> StoreUnavailable:
    """The failure in a sentence that tells clients no address."""
    match failure:
        case redis.AuthenticationError():
            return StoreUnavailable("Redis does not accept the configured user and password.")
        case redis.TimeoutError():
            return StoreUnavailable("Redis did not answer in time.")
        case redis.ResponseError():
            return StoreUnavailable(f"Redis refused to answer: {failure}.")
        case _:
            return StoreUnavailable("Redis cannot be reached.")
