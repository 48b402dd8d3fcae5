"""Entries of a posting cache in Redis: read with one MGET, and left alone while Redis does not do as it should."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import redis

from dejavu.config import settings
from dejavu.config.deployment import RedisConfig
from dejavu.model import Postings, UInt32s
from dejavu.store import cache_entries, redis_client
from dejavu.store.availability import Availability
from dejavu.store.breaker import Breaker
from dejavu.store.cache_entries import Found

_log = logging.getLogger(__name__)

# As one command a thousand entries cost a fifth of what they cost as commands of their own; MSET knows no expiry. The
# user in Redis may run scripts in any case, since the rate limits need that.
_SET_ALL = "for i = 1, #KEYS do redis.call('SETEX', KEYS[i], ARGV[1], ARGV[i + 1]) end"


class RedisEntries:
    """Entries of one instance, in one database of a Redis server. Safe for several threads, also after a fork.

    Nothing is raised: what Redis does not give is missing, and what it does not take is not kept. After a failure it is
    left alone until a probe in the background finds it well, so that it costs a look-up nothing while it is away. A
    Redis that answers but takes no entries, because it is full or a replica, is read from and offered fewer of them.

    Entries are written by a thread of their own, one look-up's at a time, and those of others are dropped meanwhile:
    no request waits for it, and it never takes more than a share of the CPU.
    """

    def __init__(self, name: str, config: RedisConfig, index: int) -> None:
        """`name` is what the log calls it."""
        self._name = name
        self._prefix = config.prefix.encode() + b"postings:"
        self._redis = redis_client.connect(config, index)
        self.availability = Availability(name, self._probe)
        self._writing = Breaker()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._writer_free = threading.Semaphore()

    def read(self, revision: str, hashes: UInt32s) -> Found | None:
        """What is kept for these hashes (uint32[n], ascending) at this revision; None where Redis does not say."""
        keys = self._keys(hashes)
        try:
            values = cast(list[bytes | None], self._redis.mget(keys)) if keys else []
        except redis.RedisError as exc:
            self._failed(exc)
            return None
        found = cache_entries.unpack(cache_entries.seal_of(revision), hashes, values)
        if found.damaged:
            _log.warning("cache entries damaged name=%s entries=%d", self._name, found.damaged)
        return found

    def write(self, revision: str, hashes: UInt32s, postings: Postings) -> None:
        """Begin to keep the posting lists of these hashes (uint32[n], ascending), read while this was the revision."""
        if not self._writing.closed and self._writing.seconds_to_probe > 0:
            return
        if self._writer_free.acquire(blocking=False):
            self._writer.submit(self._write, revision, hashes, postings)

    def _write(self, revision: str, hashes: UInt32s, postings: Postings) -> None:
        try:
            self._set(hashes, cache_entries.pack(cache_entries.seal_of(revision), hashes, postings))
        except redis.ResponseError as exc:
            self._refused(exc)
        except redis.RedisError as exc:
            self._failed(exc)
        else:
            self._writing.close()
        finally:
            self._writer_free.release()

    def _set(self, hashes: UInt32s, entries: list[bytes]) -> None:
        keys, step = self._keys(hashes), settings.CACHE_ENTRIES_AT_ONCE
        for start in range(0, len(keys), step):
            some, values = keys[start : start + step], entries[start : start + step]
            self._redis.eval(_SET_ALL, len(some), *some, settings.CACHE_TTL_SECONDS, *values)

    def close(self) -> None:
        """Finish writing, stop probing, and let go of every connection."""
        self._writer.shutdown()
        self.availability.close()
        self._redis.close()

    def _keys(self, hashes: UInt32s) -> list[bytes]:
        prefix = self._prefix
        return [b"%b%08x" % (prefix, value) for value in hashes.tolist()]

    def _probe(self) -> None:
        """What a look-up does, of one key."""
        try:
            self._redis.mget([self._prefix])
        except redis.RedisError as exc:
            raise redis_client.unavailable(exc) from exc

    def _failed(self, failure: redis.RedisError) -> None:
        self.availability.failed(redis_client.unavailable(failure))

    def _refused(self, refusal: redis.ResponseError) -> None:
        if self._writing.trip(str(refusal)):
            _log.warning("cache takes no entries name=%s reason=%s", self._name, refusal)
        else:
            self._writing.probe_failed(str(refusal))
