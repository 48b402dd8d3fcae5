"""Songs and awkward strings to try databases with, and what a look-up has to find in them."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from dejavu.config.settings import PEAK_BIN_STEP
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import Fingerprints, Peaks, Postings, UInt32s

NAMES = {
    "quotes": "Rock 'n' \"Roll\"; DROP TABLE song; --",
    "slashes": "AC/DC - T.N.T..mp3 \\' \\\\ %s %(name)s ? :name {0}",
    "unicode": "Sigur Rós – ( ) · 東京事変 · مرحبا · e\u0301",
    "emoji": "🎵 \U0001f468\u200d\U0001f3a4 ❤️",
    "long": "東" * 300,
    "spaces": "  two in front, two behind  ",
}

NOT_SHA1S = (
    "",
    "'",
    "' OR '1'='1",
    "x' UNION SELECT 1, name, sha1, 1 FROM song --",
    "%",
    "_" * 40,
    "0" * 39,
    "🎵" * 40,
)

EVERYTHING = np.arange(1000, dtype=np.uint32)
"""Every hash that `fingerprints` makes unless told otherwise."""


NO_PEAKS = Peaks(np.empty(0, np.uint32), np.empty(0, np.float32))


def sha1(seed: int) -> str:
    return hashlib.sha1(b"%d" % seed).hexdigest()


def fingerprints(seed: int, size: int = 400, hash_values: int = EVERYTHING.size) -> Fingerprints:
    """About `size` landmarks; the hashes are below `hash_values`, so that songs share them and repeat their own."""
    rng = np.random.default_rng(seed)
    own = peaks(seed, size // 2, frames=25 * size)
    return from_pairs(rng.integers(0, hash_values, size), rng.integers(0, 4_000_000, size), own)


def from_pairs(hashes: ArrayLike, offsets: ArrayLike, peaks: Peaks = NO_PEAKS) -> Fingerprints:
    pairs = np.unique(np.asarray(hashes, np.uint64) << 32 | np.asarray(offsets, np.uint64))
    return Fingerprints((pairs >> 32).astype(np.uint32), (pairs & 0xFFFFFFFF).astype(np.uint32), peaks)


def peaks(seed: int, size: int, frames: int = 10_000) -> Peaks:
    """About `size` peaks as they are found, anywhere in the band and in so many frames."""
    rng = np.random.default_rng(seed)
    places = np.unique(rng.integers(0, frames * BAND_BINS, size))
    return Peaks((places // BAND_BINS).astype(np.uint32), (places % BAND_BINS).astype(np.float32))


def stored_peaks(peaks: Peaks) -> Peaks:
    """What is left of peaks when they have been stored."""
    halves = np.floor(peaks.bins / PEAK_BIN_STEP)
    return Peaks(peaks.frames, (halves * PEAK_BIN_STEP + (PEAK_BIN_STEP - 1) / 2).astype(np.float32))


def assert_same_peaks(one: Peaks, other: Peaks) -> None:
    assert np.array_equal(one.frames, other.frames)
    assert np.array_equal(one.bins, other.bins)
    assert (one.frames.dtype, one.bins.dtype) == (np.uint32, np.float32)


def as_set(postings: Postings) -> set[tuple[int, int, int]]:
    columns = postings.hashes, postings.song_ids, postings.offsets
    assert [column.dtype for column in columns] == [np.uint32] * 3
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows)


def expected(stored: dict[int, Fingerprints], hashes: UInt32s) -> set[tuple[int, int, int]]:
    """What a look-up has to find, by plain loops."""
    wanted = set(hashes.tolist())
    return {
        (value, song_id, offset)
        for song_id, prints in stored.items()
        for value, offset in zip(prints.hashes.tolist(), prints.offsets.tolist(), strict=True)
        if value in wanted
    }
