"""One fingerprint database as the service sees it: its driver, its lanes, and whether it can be asked just now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np

from dejavu.config import settings
from dejavu.errors import FormatMismatch, Overloaded, StoreError, StoreUnavailable
from dejavu.matching.align import align
from dejavu.model import NOTHING_KNOWN, About, Candidate, Counts, Fingerprints, Postings, Song, SongQuery, UInt32s
from dejavu.service.lane import Lane, LaneFull, LaneTimeout, Pending
from dejavu.service.probe import Probe
from dejavu.service.verification import verified
from dejavu.store.availability import Availability
from dejavu.store.cache import CachedDriver, CacheStatus
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.driver import Driver

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one instance makes of a probe.

    candidates : the songs that agree with it best, each looked at closely.
    postings : what the database said, and `asked` the hashes it was asked about, so that a further step fetches only
        what is new.
    """

    candidates: tuple[Candidate, ...]
    postings: Postings
    asked: UInt32s
    look_up_seconds: float
    align_seconds: float


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """Whether an instance can be asked, since when, and why not; for operators.

    songs, fingerprints : how many it holds, as of the last count; None where it could not be asked yet.
    cache : how the cache in front of it does; None where it has none.
    outages : how often it went down.
    """

    name: str
    up: bool
    since: datetime
    songs: int | None
    reason: str | None
    cache: CacheStatus | None
    fingerprints: int | None = None
    outages: int = 0


class Instance:
    """A driver, asked on bounded lanes and skipped while its database is down.

    Questions run on one lane and inserts on another. What is started asks first whether the database is up, and
    `answer` alone learns from failures. `name` is public; `identity` decides what is placed here.
    """

    def __init__(self, name: str, identity: str, driver: Driver, entries: RedisEntries | None = None) -> None:
        """With `entries`, posting lists are cached in them."""
        self.name = name
        self.identity = identity
        self._cache = CachedDriver(driver, entries) if entries else None
        self._driver: Driver = self._cache or driver
        self._availability = Availability(name, self._probe)
        self._questions = Lane(f"{name}-ask", settings.LANE_THREADS, settings.LANE_WAITING)
        self._inserts = Lane(f"{name}-insert", settings.WRITE_LANE_THREADS, settings.WRITE_LANE_WAITING)
        self._indexing = Lane(f"{name}-index", 1, 1)  # of its own, so that no song is refused for it
        self._counts: Counts | None = None
        self._counted_at = 0.0

    @property
    def up(self) -> bool:
        """Whether the database may be asked now."""
        return self._availability.up

    @property
    def songs_held(self) -> int:
        """How many songs there are, as of the last count; 0 before the first."""
        return self._counts.songs if self._counts else 0

    @property
    def fingerprints_held(self) -> int:
        """How many fingerprints there are, likewise."""
        return self._counts.fingerprints if self._counts else 0

    def status(self) -> InstanceStatus:
        """How the database is, as far as known without asking it."""
        available = self._availability
        songs, fingerprints = (self._counts.songs, self._counts.fingerprints) if self._counts else (None, None)
        cache = self._cache.status() if self._cache else None
        return InstanceStatus(
            *(self.name, available.up, available.since, songs, available.reason, cache),
            fingerprints=fingerprints,
            outages=available.outages,
        )

    # --- Asking, from any thread -------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Instance], Answer]) -> Pending[Answer]:
        """Start `question` on the lane; `answer` waits for it. Raises `StoreUnavailable` where that is known."""
        self._require_up()
        try:
            return self._questions.start(lambda: question(self), settings.LOOK_UP_TIMEOUT_SECONDS)
        except LaneFull as exc:
            raise StoreUnavailable(f"{self.name} has too many questions waiting.") from exc

    def answer(self, pending: Pending[Answer]) -> Answer:
        """Wait for the answer; where there is none, raise `StoreUnavailable` and leave the database alone for now.

        A question that never came to be asked says nothing against the database.
        """
        try:
            return self._await(pending)
        except LaneFull as exc:
            raise StoreUnavailable(f"{self.name} has too many questions waiting.") from exc

    def _await(self, pending: Pending[Answer]) -> Answer:
        try:
            return pending.result()
        except LaneTimeout as exc:
            failure = StoreUnavailable(f"{self.name} did not answer in time.")
            self._availability.failed(failure)
            raise failure from exc
        except StoreUnavailable as exc:
            self._availability.failed(exc)
            raise

    def insert(self, name: str, sha1: str, fingerprints: Fingerprints, about: About = NOTHING_KNOWN) -> Song:
        """Store a whole song or nothing.

        Raises `AlreadyFingerprinted`, `StoreUnavailable`, and `Overloaded` where too many songs wait to be stored:
        the database is well then, and the song belongs in it and not in the next.
        """
        return self._changed(lambda: self._driver.insert(name, sha1, fingerprints, about))

    def rename(self, sha1: str, name: str) -> Song | None:
        """Give the song another name, and say what it is then; None where it is not here. Raises like `insert`."""
        return self._changed(lambda: self._rename(sha1, name))

    def delete(self, sha1: str) -> Song | None:
        """Forget the song, and say what it was; None where it is not here. Raises like `insert`."""
        return self._changed(lambda: self._delete(sha1))

    def _rename(self, sha1: str, name: str) -> Song | None:
        song = self._driver.find_song(sha1)
        if song is None:
            return None
        self._driver.rename(song.song_id, name)
        return self._driver.find_song(sha1)

    def _delete(self, sha1: str) -> Song | None:
        song = self._driver.find_song(sha1)
        if song is not None:
            self._driver.delete(song.song_id)
        return song

    def _changed(self, change: Callable[[], Answer]) -> Answer:
        self._require_up()
        try:
            answer = self._await(self._inserts.start(change, settings.INSERT_TIMEOUT_SECONDS))
        except LaneFull as exc:
            raise Overloaded("Too many songs are waiting to be stored; try again.", retry_after_seconds=5) from exc
        self._counted_at = 0.0
        return answer

    def _require_up(self) -> None:
        if not self.up:
            raise StoreUnavailable(f"{self.name} is down.")

    # --- Questions, run on the lane ----------------------------------------------------------------------------------

    def match(self, probe: Probe, earlier: Sighting | None = None) -> Sighting:
        """Look up the hashes of a probe, align what they hit, and compare the best songs' own peaks.

        With the `earlier` sighting of a part of it, only the hashes that were not asked then are looked up, and all are
        aligned together.
        """
        began = time.perf_counter()
        wanted = np.unique(probe.hashes)
        postings = self._postings(wanted, earlier)
        looked_up = time.perf_counter()
        alignments = align(postings, probe.hashes, probe.offsets, probe.candidates, probe.variants)
        aligned = time.perf_counter()
        found = verified(self._driver, alignments, probe)
        song_ids = [one.alignment.song_id for one in found]
        songs = {song.song_id: song for song in (self._driver.songs(song_ids) if song_ids else ())}
        candidates = tuple(
            one.candidate(songs[one.alignment.song_id], probe.landmarks)
            for one in found
            if one.alignment.song_id in songs
        )
        self.count(settings.COUNTS_MAX_AGE_SECONDS)
        align_seconds = aligned - looked_up
        return Sighting(candidates, postings, wanted, time.perf_counter() - began - align_seconds, align_seconds)

    def _postings(self, wanted: UInt32s, earlier: Sighting | None) -> Postings:
        if earlier is None:
            return self._driver.postings(wanted)
        fresh = np.setdiff1d(wanted, earlier.asked, assume_unique=True)
        return earlier.postings.joined(self._driver.postings(fresh)) if fresh.size else earlier.postings

    def find_song(self, sha1: str) -> Song | None:
        """The song fingerprinted from the file with this SHA-1, or None."""
        return self._driver.find_song(sha1)

    def find_songs(self, query: SongQuery, after: tuple[str, str], limit: int) -> tuple[list[Song], int]:
        """A page of the songs that a query is for (`Driver.find_songs`), and how many there are in all."""
        return self._driver.find_songs(query, after, limit), self._driver.count_songs(query)

    def stretches(self, sha1: str, numbers: Iterable[int]) -> dict[int, bytes] | None:
        """The packed peaks of these stretches of a song, by number; None where it is not here."""
        song = self._driver.find_song(sha1)
        if song is None:
            return None
        packed = self._driver.stretches([(song.song_id, number) for number in numbers])
        return {number: part for (_, number), part in packed.items()}

    def count(self, max_age_seconds: float = 0.0) -> None:
        """Count the songs anew where the last count is older than `max_age_seconds`."""
        now = time.monotonic()
        if self._counts is None or now - self._counted_at >= max_age_seconds:
            self._counted_at = now
            self._counts = self._driver.counts()

    def set_up(self) -> None:
        """Create what is missing and count what is there; raises `FormatMismatch` for a catalogue made otherwise."""
        try:
            self._driver.setup()
        except FormatMismatch as exc:
            raise FormatMismatch(f"{self.name}: {exc}") from exc
        self.count()
        self._start_indexing()

    def _start_indexing(self) -> None:
        """Have songs of an earlier version indexed, some at a time beside what else is written."""
        with suppress(LaneFull, RuntimeError):  # the next time, or in another process
            self._indexing.start(self._index_some, settings.INSERT_TIMEOUT_SECONDS)

    def _index_some(self) -> None:
        try:
            indexed = self._driver.index_songs()
        except StoreError as exc:
            _log.warning("songs not indexed, so that some are not listed name=%s reason=%s", self.name, exc)
            return
        if indexed:
            _log.info("songs indexed name=%s songs=%d", self.name, indexed)
            self._start_indexing()

    # --- Coming and going ---------------------------------------------------------------------------------------------

    def probe(self) -> bool:
        """Try whether a database that was down can be used again, and from then on use it."""
        return self._availability.probe()

    def _probe(self) -> None:
        """Raise `StoreError` while the database is not well.

        One that was down at the start is set up now. One that was set up is not set up anew: a catalogue whose disk is
        not mounted must stay down, and not come back empty.
        """
        if self._counts is None:
            self.set_up()
        else:
            self.count()
            self._start_indexing()

    def close(self) -> None:
        """Finish what is running and let go of the database."""
        self._questions.close()
        self._inserts.close()
        self._indexing.close()
        self._availability.close()
        self._driver.close()
