"""Postings and queries to align, and how tests put them to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dejavu.fingerprint.landmarks import pack
from dejavu.matching.align import Alignment, _Hits, _join, align
from dejavu.model import Postings, UInt32s

MANY = 1000
"""More songs than any test has."""

MOST_VARIANTS = 1000
"""More than any clip is asked in."""

Rows = list[tuple[int, int, int]]
Pairs = list[tuple[int, int]]


def postings_of(rows: Rows) -> Postings:
    """Of (hash, song, offset)."""
    columns = np.array(rows, np.uint32).reshape(-1, 3).T
    return Postings(columns[0], columns[1], columns[2])


def query_of(pairs: Pairs) -> tuple[UInt32s, UInt32s]:
    """Of (hash, offset)."""
    columns = np.array(pairs, np.uint32).reshape(-1, 2).T
    return columns[0], columns[1]


def align_rows(rows: Rows, pairs: Pairs, limit: int = MANY) -> list[Alignment]:
    return align(postings_of(rows), *query_of(pairs), limit)


def align_variants(rows: Rows, pairs: Pairs, variants: Sequence[int], limit: int = MANY) -> list[Alignment]:
    return align(postings_of(rows), *query_of(pairs), limit, np.array(variants, np.int64))


def join_rows(rows: Rows, pairs: Pairs, variants: Sequence[int]) -> _Hits:
    return _join(postings_of(rows), *query_of(pairs), np.array(variants, np.int64))


def random_variants(seed: int, size: int) -> list[int]:
    """A few of many, among them the first and the last."""
    rng = np.random.default_rng(seed)
    some = np.append(rng.integers(0, MOST_VARIANTS, 2), [0, MOST_VARIANTS - 1])
    return [int(variant) for variant in rng.choice(some, size)]


def random_hashes(rng: np.random.Generator, size: int) -> list[int]:
    """Of different pairs of peaks, which is what hashes have to be for their landmarks to be counted."""
    bins = 10 + rng.choice(400, size, replace=size > 400)
    return pack(bins, bins + rng.integers(-10, 11, size), rng.integers(2, 40, size)).tolist()


def random_case(seed: int, base: int = 0) -> tuple[Rows, Pairs]:
    """Few hashes at few offsets, from `base` on, so that hits pile up, tie and lie on neighbouring deltas.

    One song has most of the query besides, in its order but for a frame here and there.
    """
    rng = np.random.default_rng(seed)
    hashes = np.array(random_hashes(rng, int(rng.integers(1, 80))))
    songs = rng.choice([0, 1, 7, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1], 4, replace=False)
    n_postings, n_pairs = (int(rng.integers(0, most)) for most in (120, 60))
    pairs = np.column_stack((rng.choice(hashes, n_pairs), rng.integers(0, 20, n_pairs)))
    scattered = (rng.choice(hashes, n_postings), rng.choice(songs, n_postings), rng.integers(0, 60, n_postings))
    in_order = (pairs[:, 0], np.full(n_pairs, songs[0]), pairs[:, 1] + 30 + rng.integers(0, 2, n_pairs))
    rows = np.concatenate((np.column_stack(scattered), np.column_stack(in_order)[n_pairs // 3 :]))
    rows[:, 2] += base
    return sorted(set(map(tuple, rows.tolist()))), sorted(set(map(tuple, pairs.tolist())))


def melody(size: int, frames: int, seed: int) -> Pairs:
    """So many landmarks (hash, offset), spread over so many frames, the first and the last of which have one."""
    rng = np.random.default_rng(seed)
    offsets = np.sort(rng.integers(0, frames, size))
    offsets[[0, -1]] = 0, frames - 1
    return list(zip(random_hashes(rng, size), offsets.tolist(), strict=True))


def stored(landmarks: Pairs, song_id: int, later: int = 0) -> Rows:
    return [(hash_, song_id, offset + later) for hash_, offset in landmarks]
