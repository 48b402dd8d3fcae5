"""How often one client may ask: counted in memory, or in Redis where there is one."""

from __future__ import annotations

import math
import time
from urllib.parse import quote

from flask import Flask, g
from flask_limiter import Limiter

from dejavu.config.deployment import Deployment, RedisConfig
from dejavu.web.access import rate_limit_key

_REDIS_TIMEOUT_SECONDS = 1
"""Counting is never worth a wait: past this the limits are kept in memory until Redis is back."""


def create_limiter(app: Flask, deployment: Deployment) -> Limiter:
    """The limiter of `app`, which counts per client address as `request_log` has found it."""
    if deployment.redis is None:
        return Limiter(_key, app=app, storage_uri="memory://")
    return Limiter(
        _key,
        app=app,
        storage_uri=_redis_uri(deployment.redis, deployment.rate_limit.redis_db_index),
        storage_options={
            "socket_connect_timeout": _REDIS_TIMEOUT_SECONDS,
            "socket_timeout": _REDIS_TIMEOUT_SECONDS,
            "key_prefix": f"{deployment.redis.prefix}limits",
        },
        in_memory_fallback_enabled=True,
    )


def _key() -> str:
    return rate_limit_key(g.client)


def seconds_until_reset(limiter: Limiter) -> int:
    """How long the client of this request has to wait for the limit it has passed; at least 1."""
    current = limiter.current_limit
    return max(1, math.ceil(current.window.reset_time - time.time())) if current else 1


def _redis_uri(redis: RedisConfig, index: int) -> str:
    login = f"{quote(redis.user or '', safe='')}:{quote(redis.password, safe='')}@" if redis.password else ""
    host = f"[{redis.host}]" if ":" in redis.host else redis.host
    return f"redis://{login}{host}:{redis.port}/{index}"
