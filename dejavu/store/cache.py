"""A posting cache in front of a driver, which no writer has to know of.

What it must never do is hide a new song or bring back a deleted one, whatever happens: a reader that is slow, a writer
that is killed, one that cannot reach Redis, a Redis that comes back with what it held an hour ago. A counter in Redis
that writers advance cannot do that: who stores a song while Redis is out of his reach leaves others reading old lists,
unless they ask the database. So they ask the database, for its *revision* (`Driver.revision`): a token that changes in
the same instant as its songs do. It costs one tiny query a look-up, and Redis needs no truth of its own.

Every entry is sealed with the revision that it was read at. A look-up

1. asks the database for its revision, R;
2. reads the entries of all hashes by one MGET, and believes those sealed with R;
3. asks the database for the posting lists of the other hashes, and
4. for its revision again. Is it still R, then nothing changed in between, and they are written, sealed with R, when
   there is time. Is it another, then nothing is written, and, so that no song is found by one half of its hashes, the
   database is asked for all of them.

Why that is right: a revision never stands for other songs than it once did, so an entry sealed with R is true whenever
R is the revision, whoever wrote it, however late, and whatever became of Redis meanwhile. An answer from entries is the
answer of the database at step 1; one with fetched lists that of the whole time from 1 to 4. Both lie within the
look-up, so a song that was acknowledged before it began is in it, and one that was deleted before is not. Nobody has
anything to do after a commit, so nobody can be killed before he has done it.

The price: a change to an instance makes all its entries worthless. They are replaced as they are asked for, and expire.
While songs come one after the other, entries would be written for nothing, so the cache is left alone until the
revision has stayed for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from dejavu.config.settings import CACHE_SETTLE_SECONDS
from dejavu.model import Postings, UInt32s
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.driver import Driver


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """How a cache does, for operators. All but the first three count from the start of the process.

    hits, misses : hashes that were looked up and found in it, or fetched from the database.
    damaged : values in Redis that were no entries; each is a miss, too.
    saved_seconds : roughly, what look-ups would have waited for the database to find the hits, less what they waited
        for the cache; None while there was nothing to compare with.
    """

    up: bool
    since: datetime
    reason: str | None
    hits: int
    misses: int
    damaged: int
    saved_seconds: float | None


class CachedDriver:
    """A driver whose `postings` come from a cache where that has them; everything else is the driver's own.

    `clock` (seconds, monotonic) says when a revision has stayed long enough.
    """

    def __init__(self, driver: Driver, entries: RedisEntries, clock: Callable[[], float] = time.monotonic) -> None:
        self.setup, self.check, self.index_songs = driver.setup, driver.check, driver.index_songs
        self.find_song, self.songs, self.list_songs = driver.find_song, driver.songs, driver.list_songs
        self.find_songs, self.count_songs = driver.find_songs, driver.count_songs
        self.insert, self.delete, self.rename = driver.insert, driver.delete, driver.rename
        self.revision, self.counts = driver.revision, driver.counts
        self.fingerprints, self.stretches, self.sweep = driver.fingerprints, driver.stretches, driver.sweep
        self._driver = driver
        self._entries = entries
        self._clock = clock
        self._lock = threading.Lock()
        self._tally = _Tally()
        self._revision: str | None = None
        self._settled_at = clock()

    def postings(self, hashes: UInt32s) -> Postings:
        """Every posting of these hashes (uint32[n], distinct), as of some moment of this call."""
        if not self._entries.availability.up:
            return self._driver.postings(hashes)
        began = time.perf_counter()
        revision = self._driver.revision()
        if not self._is_settled(revision):
            return self._driver.postings(hashes)
        hashes = np.sort(hashes)
        found = self._entries.read(revision, hashes)
        if found is None:
            return self._driver.postings(hashes)
        fetch_began = time.perf_counter()
        fetched = self._driver.postings(found.missing) if found.missing.size else _NOTHING
        fetch_seconds = time.perf_counter() - fetch_began
        if found.missing.size:
            if self._driver.revision() != revision:
                return fetched if found.missing.size == hashes.size else self._driver.postings(hashes)
            self._entries.write(revision, found.missing, fetched)
        with self._lock:
            self._tally.hits += hashes.size - found.missing.size
            self._tally.misses += found.missing.size
            self._tally.damaged += found.damaged
            self._tally.fetch_seconds += fetch_seconds
            self._tally.own_seconds += time.perf_counter() - began - fetch_seconds
        return found.postings.joined(fetched)

    def status(self) -> CacheStatus:
        """How the cache does, as far as known without asking it."""
        available = self._entries.availability
        with self._lock:
            tally = self._tally
            return CacheStatus(
                available.up,
                available.since,
                available.reason,
                tally.hits,
                tally.misses,
                tally.damaged,
                tally.saved_seconds,
            )

    def close(self) -> None:
        """Let go of every connection."""
        self._entries.close()
        self._driver.close()

    def _is_settled(self, revision: str) -> bool:
        """Whether songs have stopped coming and going for a while, as far as this process has seen."""
        with self._lock:
            if self._revision != revision:
                # The first one seen may be as old as the hills.
                pause_seconds = CACHE_SETTLE_SECONDS if self._revision is not None else 0.0
                self._revision, self._settled_at = revision, self._clock() + pause_seconds
            return self._clock() >= self._settled_at


@dataclass(slots=True)
class _Tally:
    hits: int = 0
    misses: int = 0
    damaged: int = 0
    fetch_seconds: float = 0.0
    own_seconds: float = 0.0

    @property
    def saved_seconds(self) -> float | None:
        if not self.misses:
            return None
        return self.hits * self.fetch_seconds / self.misses - self.own_seconds


_NOTHING = Postings(*(np.empty(0, np.uint32) for _ in range(3)))
