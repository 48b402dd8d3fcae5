"""A hundred thousand synthetic tracks into ClickHouse: many at a time, made and sent by a process for each core.

The service stores a song at a time and waits until it is safe, which is what somebody who uploads it needs. A benchmark
that needs a large catalogue, and can begin anew should the power fail, sends the same rows by the hundred thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from secrets import randbits

import numpy as np
from tqdm import tqdm

from benchmarks.filling import name_of, sha1_of, stored_sha1s
from benchmarks.report import CORES
from benchmarks.surrogates import Source, make_track
from dejavu.config.database import ServerDatabase
from dejavu.fingerprint import stretches
from dejavu.model import NOTHING_KNOWN
from dejavu.store import clickhouse_sql as sql
from dejavu.store.about import search_key
from dejavu.store.clickhouse_client import ClickHouse
from dejavu.store.driver import Driver
from dejavu.store.song_ids import possible_song_ids

_BATCH = 100
"""Tracks sent at a time: 700,000 rows, one part of the table."""

_source: Source
_clickhouse: ClickHouse


def fill_clickhouse(driver: Driver, database: ServerDatabase, source: Source, seed: int, numbers: Sequence[int]) -> int:
    """Store the tracks with these numbers, except those that are stored already; how many it has stored.

    driver : of the same database, which is set up.
    """
    known = stored_sha1s(driver)
    taken = {song_id for sha1 in known for song_id in possible_song_ids(sha1)}
    missing = []
    for number in numbers:
        sha1 = sha1_of(source, seed, number)
        if sha1 not in known:
            song_id = next(song_id for song_id in possible_song_ids(sha1) if song_id not in taken)
            taken.add(song_id)
            missing.append((song_id, sha1, number))
    batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
    with (
        ProcessPoolExecutor(CORES, get_context("spawn"), _begin, (database, source)) as pool,
        tqdm(desc="storing synthetic tracks", total=len(missing), unit="track") as bar,
    ):
        for stored in pool.map(_store, batches, [seed] * len(batches)):
            bar.update(stored)
    return len(missing)


def _begin(database: ServerDatabase, source: Source) -> None:
    global _source, _clickhouse
    _source, _clickhouse = source, ClickHouse(database)


def _store(batch: Sequence[tuple[int, str, int]], seed: int) -> int:
    """Make and store some tracks; as always, what makes them songs comes last."""
    tracks = [(song_id, sha1, number, make_track(_source, seed, number)) for song_id, sha1, number in batch]
    _clickhouse.insert(sql.WRITE_BEGUN, np.array([song_id for song_id, *_ in tracks], np.uint32))
    _clickhouse.insert_rows(
        sql.WRITE_STRETCHES,
        [(id_, place, part) for id_, _, _, track in tracks for place, part in stretches.pack(track.peaks).items()],
    )
    _clickhouse.insert(
        sql.WRITE_FINGERPRINTS,
        np.concatenate([track.hashes for *_, track in tracks]),
        np.concatenate([np.full(len(track), song_id, np.uint32) for song_id, *_, track in tracks]),
        np.concatenate([track.offsets for *_, track in tracks]),
    )
    _clickhouse.insert_rows(
        sql.WRITE_SONG,
        [
            (id_, name, sha1, len(track), randbits(64), "", search_key(name, NOTHING_KNOWN))
            for id_, sha1, number, track in tracks
            for name in [name_of(seed, number)]
        ],
    )
    return len(tracks)
