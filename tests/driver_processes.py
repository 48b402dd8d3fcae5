"""Other processes that use a database while a test looks at it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
from driver_data import EVERYTHING, fingerprints, sha1

from dejavu.store.driver import Driver

Opener = Callable[[], Driver]

processes = multiprocessing.get_context("spawn")


def write_for_ever(opener: Opener, acknowledgements: Connection) -> None:
    driver = opener()
    for seed in range(10):
        driver.insert(f"song {seed}", sha1(seed), fingerprints(seed, size=200_000))
        acknowledgements.send(seed)
    acknowledgements.recv()


def torn_songs(driver: Driver) -> list[str]:
    """The songs some but not all of whose postings are seen."""
    postings = driver.postings(EVERYTHING)
    song_ids, seen = np.unique(postings.song_ids, return_counts=True)
    totals = {song.song_id: song.total_hashes for song in driver.songs(song_ids.tolist())}
    # A song that has no total was deleted since.
    return [
        f"{song_id:08x}: {count}"
        for song_id, count in zip(song_ids.tolist(), seen.tolist(), strict=True)
        if totals.get(song_id, count) != count
    ]


def kill(process: multiprocessing.context.SpawnProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def join(started: list[multiprocessing.context.SpawnProcess]) -> None:
    for process in started:
        process.join(30)
        assert process.exitcode == 0
