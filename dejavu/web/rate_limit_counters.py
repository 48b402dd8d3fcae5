"""Where rate limits are counted: in Redis for all services together, in this process while Redis is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import redis
from limits.storage import MemoryStorage, RedisStorage, Storage

from dejavu.config.deployment import RedisConfig
from dejavu.errors import StoreUnavailable
from dejavu.store import redis_client
from dejavu.store.availability import Availability

Answer = TypeVar("Answer")

SCHEME = "redis-or-memory"
"""By which the library `limits` finds the counters."""

_PROBE_SECONDS = 1


class SharedCounters(Storage):
    """Counters for the library `limits`. Safe for several threads.

    The library has a way of its own to fall back to memory. It asks a Redis that is away again and again while requests
    wait for that, and notices its return up to half a minute late; here a probe in the background does both.
    """

    STORAGE_SCHEME: list[str] | None = [SCHEME]  # noqa: RUF012 - the library declares it so

    def __init__(self, uri: str, *, config: RedisConfig, index: int, wrap_exceptions: bool = False) -> None:
        super().__init__(uri, wrap_exceptions)
        pool = redis_client.connect(config, index).connection_pool
        self._shared = RedisStorage("redis://", connection_pool=pool, key_prefix=f"{config.prefix}limits")
        self._own = MemoryStorage()
        self._availability = Availability("rate-limits", self._probe)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the library may take for trouble with the storage."""
        return redis.RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, for so many seconds from the first count on."""
        return self._counted(lambda counters: counters.incr(key, expiry, amount))

    def get(self, key: str) -> int:
        """How much was counted."""
        return self._counted(lambda counters: counters.get(key))

    def get_expiry(self, key: str) -> float:
        """When the count is forgotten, in seconds since 1970."""
        return self._counted(lambda counters: counters.get_expiry(key))

    def check(self) -> bool:
        """Whether counts are shared at the moment; asks Redis, unless it is known to be away."""
        if self._availability.up:
            try:
                self._probe()
            except StoreUnavailable as exc:
                self._availability.failed(exc)
        return self._availability.up

    def reset(self) -> int | None:
        """Forget all counts."""
        return self._counted(lambda counters: counters.reset())

    def clear(self, key: str) -> None:
        """Forget one count."""
        self._counted(lambda counters: counters.clear(key))

    def _counted(self, count: Callable[[Storage], Answer]) -> Answer:
        if self._availability.up:
            try:
                return count(self._shared)
            except redis.RedisError as exc:
                self._availability.failed(redis_client.unavailable(exc))
        return count(self._own)

    def _probe(self) -> None:
        """Count something: a Redis that is full, or a replica, answers and does not count."""
        try:
            self._shared.incr("probe", _PROBE_SECONDS)
        except redis.RedisError as exc:
            raise redis_client.unavailable(exc) from exc
