"""Synthetic tracks into fingerprint databases: made while they are stored, and continued where it was broken off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from benchmarks.surrogates import Source, make_track
from dejavu.config.settings import PAGE_SONGS
from dejavu.errors import AlreadyFingerprinted
from dejavu.model import Fingerprints
from dejavu.store.driver import Driver

THREADS = 4
"""Tracks stored at a time. While a database stores one, the next are made."""

_BATCH = 1000
"""Tracks that threads are given at a time."""


def make_tracks(source: Source, seed: int, numbers: Sequence[int]) -> Iterator[Fingerprints]:
    """The tracks with these numbers, one after the other, while a bar shows how many are made."""
    for number in tqdm(numbers, desc="making synthetic tracks", unit="track"):
        yield make_track(source, seed, number)


def name_of(seed: int, number: int) -> str:
    """What a synthetic track is called."""
    return f"synthetic {seed}-{number:06}"


def sha1_of(source: Source, seed: int, number: int) -> str:
    """What stands for the SHA-1 of a synthetic track's file: another one for every track and source."""
    return hashlib.sha1(f"{source.digest} {seed} {number}".encode(), usedforsecurity=False).hexdigest()


def fill(driver: Driver, source: Source, seed: int, numbers: Iterable[int], threads: int = THREADS) -> int:
    """Store the tracks with these numbers, except those that are stored already; how many it has stored.

    driver : of a database that is set up; errors of its are raised as they are, and what was stored until then stays.
    numbers : a part of the set for each database where a catalogue has several, as `range(0, 1000, 2)` is.
    """
    known = stored_sha1s(driver)
    missing = [number for number in numbers if sha1_of(source, seed, number) not in known]

    def store(number: int) -> bool:
        try:
            driver.insert(name_of(seed, number), sha1_of(source, seed, number), make_track(source, seed, number))
        except AlreadyFingerprinted:
            return False  # somebody else fills the same database
        return True

    stored = 0
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(desc="storing synthetic tracks", total=len(missing), unit="track") as bar,
    ):
        for start in range(0, len(missing), _BATCH):
            for is_new in pool.map(store, missing[start : start + _BATCH]):
                stored += is_new
                bar.update()
    return stored


def stored_sha1s(driver: Driver) -> set[str]:
    """The SHA-1 of every song in a database."""
    found: set[str] = set()
    last = -1
    while page := driver.list_songs(last, PAGE_SONGS):
        found.update(song.sha1 for song in page)
        last = page[-1].song_id
    return found
