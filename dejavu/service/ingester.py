"""The use case of adding a song: is it there already, fingerprint it, place it, store it."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from dejavu.errors import AlreadyFingerprinted, InstancesUnavailable, StoreUnavailable, UnknownSong
from dejavu.model import Recording, Song
from dejavu.service.fan_out import Answers, ask_all
from dejavu.service.instance import Instance
from dejavu.service.song_names import check_song_name
from dejavu.service.workers import WorkerPool
from dejavu.store.placement import by_preference

_log = logging.getLogger(__name__)

_SHA1 = re.compile(r"[0-9a-f]{40}")

_HASHED_AT_ONCE_BYTES = 1 << 20


class Ingester:
    """Adds songs to the catalogue and finds them by their file. Safe for several threads."""

    def __init__(self, pool: WorkerPool, instances: Sequence[Instance]) -> None:
        self._pool = pool
        self._instances = {instance.identity: instance for instance in instances}
        self._turns = _Turns()

    def fingerprint(self, file: BinaryIO, song_name: str) -> Song:
        """Add an open media file to the catalogue; the name is kept to the letter.

        When this returns, every process finds the song. Raises `InvalidField` for a name that cannot be kept,
        `AlreadyFingerprinted`, `MediaError`, `Overloaded` and `InstancesUnavailable`.

        An instance that is down may hold the file already. The song is added all the same, since a database that never
        comes back must not close the catalogue; the copy is merged by its SHA-1 whenever it is found.
        """
        check_song_name(song_name)
        sha1 = _sha1_of(file)
        # One at a time: who waits here finds the song afterwards, instead of decoding it again for nothing.
        with self._turns.taken(sha1):
            song = _first(self._ask(sha1))
            if song is not None:
                raise AlreadyFingerprinted(song)
            return self._place(song_name, sha1, self._pool.fingerprint(file))

    def find(self, sha1: str) -> Song:
        """The song made from the file with this SHA-1; raises `UnknownSong` and `InstancesUnavailable`."""
        sha1 = sha1.lower()
        if not _SHA1.fullmatch(sha1):
            raise UnknownSong("A SHA-1 is 40 hexadecimal digits.")
        answers = self._ask(sha1)
        song = _first(answers)
        if song is None:
            missing = ", ".join(instance.name for instance in answers.unavailable)
            doubt = f" as far as can be told without {missing}" if missing else ""
            raise UnknownSong(f"No song of the catalogue was made from this file{doubt}.")
        return song

    def _ask(self, sha1: str) -> Answers[Song | None]:
        return ask_all(self._instances.values(), lambda instance: instance.find_song(sha1))

    def _place(self, name: str, sha1: str, recording: Recording) -> Song:
        """Store the song on the first instance of its order of preference that can be written to."""
        for identity in by_preference(sha1, list(self._instances)):
            instance = self._instances[identity]
            try:
                song = instance.insert(name, sha1, recording.fingerprints, recording.about)
            except StoreUnavailable:
                continue
            _log.info(
                "song added sha1=%s song_id=%d hashes=%d to=%s", sha1, song.song_id, song.total_hashes, instance.name
            )
            return song
        raise InstancesUnavailable(
            "No fingerprint database can store a song at the moment; try again in a few seconds."
        )


class _Turns:
    """One lock for each key that somebody holds or waits for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._interested: Counter[str] = Counter()

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Wait until nobody else has this key, and hold it."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
            self._interested[key] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._interested[key] -= 1
                if not self._interested[key]:
                    del self._locks[key], self._interested[key]


def _sha1_of(file: BinaryIO) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    file.seek(0)
    while block := file.read(_HASHED_AT_ONCE_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _first(answers: Answers[Song | None]) -> Song | None:
    return next((song for song in answers.by_instance.values() if song is not None), None)
