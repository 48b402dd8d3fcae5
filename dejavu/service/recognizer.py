"""The use case of recognising a clip: fingerprint it, ask every instance, judge, keep the answer."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from dejavu.config import settings
from dejavu.errors import UnknownToken
from dejavu.model import Recognition, Timings
from dejavu.service.instance import Instance
from dejavu.service.kept import Kept
from dejavu.service.search import search
from dejavu.service.turnstile import Turnstile
from dejavu.service.workers import WorkerPool, default_size
from dejavu.store.results import ResultShards

_TOKEN_LETTERS = string.ascii_letters + string.digits
_TOKEN_LENGTH = 20


def clip_places() -> tuple[int, int]:
    """How many clips are worked on at a time, and how many more may wait."""
    workers = default_size()
    return workers, workers * settings.CLIPS_WAITING_PER_WORKER


class Recognizer:
    """Answers what is playing in a clip. Safe for several threads; `max_duration_seconds` of None means no limit."""

    def __init__(
        self,
        pool: WorkerPool,
        instances: Sequence[Instance],
        results: ResultShards,
        max_duration_seconds: float | None = None,
        max_speed_change_percent: int = settings.MAX_SPEED_CHANGE_PERCENT,
    ) -> None:
        self._pool = pool
        self._turnstile = Turnstile(*clip_places())
        self.require_room = self._turnstile.require_room
        self._instances = instances
        self._results = results
        self._max_duration_seconds = max_duration_seconds
        self._max_speed_change_percent = max_speed_change_percent

    def recognize(
        self, file: BinaryIO, start_seconds: float = 0.0, duration_seconds: float | None = None
    ) -> Recognition:
        """Recognise `duration_seconds` of an open media file, from `start_seconds` on, and keep the answer.

        A `duration_seconds` of None is all of it; the configured maximum holds in any case. Raises `MediaError`,
        `Overloaded`, and `InstancesUnavailable` where no instance, or no results database, can be asked.
        """
        with self._turnstile.entered() as waited:
            return self._recognize(file, start_seconds, duration_seconds, waited)

    def _recognize(
        self, file: BinaryIO, start_seconds: float, duration_seconds: float | None, waited: float
    ) -> Recognition:
        began = time.perf_counter()
        query = self._pool.query(file, start_seconds, self._shortened(duration_seconds))
        fingerprinted = time.perf_counter()
        found = search(self._instances, query, self._max_speed_change_percent)
        searched = time.perf_counter()
        timings = Timings(
            wait=waited,
            fingerprint=fingerprinted - began,
            look_up=found.look_up_seconds,
            align=found.align_seconds,
            store=0.0,
            asked_hashes=found.asked_hashes,
        )
        recognition = Recognition(_new_token(), found.ranking.matches, found.unavailable, timings)
        self._results.put(recognition.token, Kept.of(recognition.to_json(), query.peaks).to_text())
        return replace(recognition, timings=replace(timings, store=time.perf_counter() - searched))

    @property
    def waiting(self) -> int:
        """How many clips wait for their turn."""
        return self._turnstile.waiting

    def fetch(self, token: str) -> str:
        """The JSON text that was answered under this token; raises `UnknownToken`."""
        return self.kept(token).answer

    def kept(self, token: str) -> Kept:
        """All that is kept under this token; raises `UnknownToken`."""
        if len(token) != _TOKEN_LENGTH or not set(token) <= set(_TOKEN_LETTERS):
            raise UnknownToken("A token is 20 letters and digits, as the answer to a recognition gave it.")
        return Kept.from_text(self._results.get(token))

    def _shortened(self, duration_seconds: float | None) -> float | None:
        limits = [limit for limit in (duration_seconds, self._max_duration_seconds) if limit is not None]
        return min(limits, default=None)


def _new_token() -> str:
    return "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(_TOKEN_LENGTH))
