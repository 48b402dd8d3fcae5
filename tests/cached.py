"""Cached drivers whose entries are written at once, and for whom everything was long ago."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dejavu.config import settings
from dejavu.config.deployment import RedisConfig
from dejavu.config.settings import CACHE_SETTLE_SECONDS
from dejavu.model import Postings, UInt32s
from dejavu.store.cache import CachedDriver
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.sqlite import SqliteDriver

INDEX = 3
EVERYTHING = np.arange(1000, dtype=np.uint32)


class HastyClock:
    """A clock by which everything was long ago."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10 * CACHE_SETTLE_SECONDS
        return self.now


class PromptEntries(RedisEntries):
    """Entries that are there when the look-up is done."""

    def write(self, revision: str, hashes: UInt32s, postings: Postings) -> None:
        super().write(revision, hashes, postings)
        self._writer.submit(lambda: None).result()


def open_cached(path: Path, redis: RedisConfig) -> CachedDriver:
    with patience():
        return CachedDriver(SqliteDriver(path), PromptEntries("a cache", redis, INDEX), HastyClock())


@contextmanager
def patience() -> Iterator[None]:
    """What is opened here waits for Redis on a busy machine, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "REDIS_TIMEOUT_SECONDS", 20.0)
        yield
