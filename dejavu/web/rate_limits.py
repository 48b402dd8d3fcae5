"""How often one client may ask: counted in memory, or in Redis where there is one."""

from __future__ import annotations

import math
import time
from typing import Any

from flask import Flask, g
from flask_limiter import Limiter

from dejavu.config.deployment import Deployment
from dejavu.web.access import rate_limit_key
from dejavu.web.rate_limit_counters import SCHEME


def create_limiter(app: Flask, deployment: Deployment) -> Limiter:
    """The limiter of `app`, which counts per client address as `request_log` has found it."""
    if deployment.redis is None:
        return Limiter(_key, app=app, storage_uri="memory://")
    options: dict[str, Any] = {"config": deployment.redis, "index": deployment.rate_limit.redis_db_index}
    return Limiter(_key, app=app, storage_uri=f"{SCHEME}://", storage_options=options)


def _key() -> str:
    return rate_limit_key(g.client)


def seconds_until_reset(limiter: Limiter) -> int:
    """How long the client of this request has to wait for the limit it has passed; at least 1."""
    current = limiter.current_limit
    return max(1, math.ceil(current.window.reset_time - time.time())) if current else 1
