"""The use case of recognising a clip: fingerprint it, ask every instance, judge, keep the answer."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from dejavu.config import settings
from dejavu.errors import UnknownToken
from dejavu.matching.rank import Ranking, rank
from dejavu.model import Query, Recognition, Timings
from dejavu.service.fan_out import ask_all
from dejavu.service.instance import Instance, Sighting
from dejavu.service.workers import WorkerPool
from dejavu.store.results import ResultShards

_TOKEN_LETTERS = string.ascii_letters + string.digits
_TOKEN_LENGTH = 20


@dataclass(frozen=True, slots=True)
class _Search:
    """What the instances made of a query. The seconds are those of the slowest instance of each step."""

    ranking: Ranking
    unavailable: tuple[str, ...]
    asked_hashes: int
    look_up_seconds: float
    align_seconds: float


class Recognizer:
    """Answers what is playing in a clip. Safe for several threads; `max_duration_seconds` of None means no limit."""

    def __init__(
        self,
        pool: WorkerPool,
        instances: Sequence[Instance],
        results: ResultShards,
        max_duration_seconds: float | None = None,
    ) -> None:
        self._pool = pool
        self._instances = instances
        self._results = results
        self._max_duration_seconds = max_duration_seconds

    def recognize(
        self, file: BinaryIO, start_seconds: float = 0.0, duration_seconds: float | None = None
    ) -> Recognition:
        """Recognise `duration_seconds` of an open media file, from `start_seconds` on, and keep the answer.

        A `duration_seconds` of None is all of it; the configured maximum holds in any case. Raises `MediaError`,
        `Overloaded`, and `InstancesUnavailable` where no instance, or no results database, can be asked.
        """
        began = time.perf_counter()
        query = self._pool.query(file, start_seconds, self._shortened(duration_seconds))
        fingerprinted = time.perf_counter()
        search = self._search(query)
        searched = time.perf_counter()
        timings = Timings(
            fingerprint=fingerprinted - began,
            look_up=search.look_up_seconds,
            align=search.align_seconds,
            store=0.0,
            asked_hashes=search.asked_hashes,
        )
        recognition = Recognition(_new_token(), search.ranking.matches, search.unavailable, timings)
        self._results.put(recognition.token, recognition.to_json())
        return replace(recognition, timings=replace(timings, store=time.perf_counter() - searched))

    def fetch(self, token: str) -> str:
        """The JSON text that was answered under this token; raises `UnknownToken`."""
        if len(token) != _TOKEN_LENGTH or not set(token) <= set(_TOKEN_LETTERS):
            raise UnknownToken("A token is 20 letters and digits, as the answer to a recognition gave it.")
        return self._results.get(token)

    def _shortened(self, duration_seconds: float | None) -> float | None:
        limits = [limit for limit in (duration_seconds, self._max_duration_seconds) if limit is not None]
        return min(limits, default=None)

    def _search(self, query: Query) -> _Search:
        """Ask the most telling hashes first and the rest only where that leaves a doubt.

        An instance that drops out between the steps counts as not asked: its candidates were counted on fewer hashes
        than those of the others.
        """
        asked = min(settings.FIRST_ASK_HASHES, len(query))
        first = ask_all(self._instances, lambda instance: instance.match(query, asked))
        search = _judged(first.by_instance, first.unavailable, asked)
        if search.ranking.certain or asked == len(query):
            return search
        second = ask_all(
            first.by_instance, lambda instance: instance.match(query, len(query), first.by_instance[instance])
        )
        whole = _judged(second.by_instance, (*first.unavailable, *second.unavailable), len(query))
        return replace(
            whole,
            look_up_seconds=search.look_up_seconds + whole.look_up_seconds,
            align_seconds=search.align_seconds + whole.align_seconds,
        )


def _judged(sightings: dict[Instance, Sighting], unavailable: Sequence[Instance], asked_hashes: int) -> _Search:
    candidates = [candidate for sighting in sightings.values() for candidate in sighting.candidates]
    # Counts may be some seconds old, so there can be more songs in hand than were counted.
    songs_held = max(sum(instance.songs_held for instance in sightings), len(candidates))
    slowest = max(sightings.values(), key=lambda sighting: sighting.look_up_seconds + sighting.align_seconds)
    return _Search(
        ranking=rank(candidates, asked_hashes, songs_held),
        unavailable=tuple(sorted(instance.name for instance in unavailable)),
        asked_hashes=asked_hashes,
        look_up_seconds=slowest.look_up_seconds,
        align_seconds=slowest.align_seconds,
    )


def _new_token() -> str:
    return "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(_TOKEN_LENGTH))
