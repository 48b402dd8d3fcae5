"""How often one client may ask: counted in memory, or in Redis where there is one."""

from __future__ import annotations

import math
import time
from urllib.parse import quote

from flask import Flask, request
from flask_limiter import Limiter

from dejavu.config.deployment import Deployment, RedisConfig
from dejavu.web.access import client_address, rate_limit_key

_REDIS_TIMEOUT_SECONDS = 1
"""Counting is never worth a wait: past this the limits are kept in memory until Redis is back."""


def create_limiter(app: Flask, deployment: Deployment) -> Limiter:
    """The limiter of `app`, which counts per client address."""

    def key() -> str:
        address = client_address(
            request.remote_addr, request.headers.get("X-Forwarded-For", ""), deployment.server.trusted_proxies
        )
        return rate_limit_key(address)

    if deployment.redis is None:
        return Limiter(key, app=app, storage_uri="memory://")
    return Limiter(
        key,
        app=app,
        storage_uri=_redis_uri(deployment.redis, deployment.rate_limit.redis_db_index),
        storage_options={
            "socket_connect_timeout": _REDIS_TIMEOUT_SECONDS,
            "socket_timeout": _REDIS_TIMEOUT_SECONDS,
            "key_prefix": f"{deployment.redis.prefix}limits",
        },
        in_memory_fallback_enabled=True,
    )


def seconds_until_reset(limiter: Limiter) -> int:
    """How long the client of this request has to wait for the limit it has passed; at least 1."""
    current = limiter.current_limit
    return max(1, math.ceil(current.window.reset_time - time.time())) if current else 1


def _redis_uri(redis: RedisConfig, index: int) -> str:
    login = f"{quote(redis.user or '', safe='')}:{quote(redis.password, safe='')}@" if redis.password else ""
    host = f"[{redis.host}]" if ":" in redis.host else redis.host
    return f"redis://{login}{host}:{redis.port}/{index}"
