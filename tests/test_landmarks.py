"""Peaks to landmarks, and how they are packed."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from dejavu.config.settings import MAX_TARGET_BINS, MAX_TARGET_FRAMES, MIN_TARGET_FRAMES
from dejavu.fingerprint.landmarks import Landmarks, pack, pair_peaks, pairs_of, unpack
from dejavu.fingerprint.peaks import Constellation
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import ClipPeaks

BITS = 22


def every_pair(anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Anchor bins, target bins and frames of every pair of peaks that these anchors can be in."""
    distances = np.arange(-MAX_TARGET_BINS, MAX_TARGET_BINS + 1)
    frames = np.arange(MIN_TARGET_FRAMES, MAX_TARGET_FRAMES + 1)
    grid = np.meshgrid(anchors, distances, frames, indexing="ij")
    anchor_bins, distance, between = (values.ravel() for values in grid)
    inside = (anchor_bins + distance >= 0) & (anchor_bins + distance < BAND_BINS)
    return anchor_bins[inside], (anchor_bins + distance)[inside], between[inside]


def constellation(rng: np.random.Generator, size: int, frames: int, bins: int = BAND_BINS) -> Constellation:
    places = np.sort(rng.choice(frames * bins, size, replace=False))
    return Constellation(places // bins, places % bins, rng.integers(0, 256, size).astype(np.uint8))


def as_tuples(found: Landmarks) -> list[tuple[int, int, int]]:
    return sorted(zip(found.offsets.tolist(), found.hashes.tolist(), found.ranks.tolist(), strict=True))


def test_every_pair_there_can_be_comes_back_from_its_hash():
    for anchors in np.array_split(np.arange(BAND_BINS), 8):
        pairs = every_pair(anchors)
        for given, got in zip(pairs, unpack(pack(*pairs)), strict=True):
            assert np.array_equal(given, got)


def test_no_two_pairs_share_a_hash():
    taken = np.zeros(1 << BITS, bool)
    pairs = 0
    for anchors in np.array_split(np.arange(BAND_BINS), 8):
        hashes = pack(*every_pair(anchors))
        taken[hashes] = True
        pairs += hashes.size
    assert np.count_nonzero(taken) == pairs


def test_hashes_have_the_documented_layout():
    edges = np.array([0, 1, MAX_TARGET_BINS, BAND_BINS - 1 - MAX_TARGET_BINS, BAND_BINS - 1])
    some = np.random.default_rng(1).permutation(every_pair(edges)[0].size)[:300]
    anchor_bins, target_bins, frames = (values[some] for values in every_pair(edges))
    hashes = pack(anchor_bins, target_bins, frames)
    expected = [oracles.pack(int(a), int(t), int(f)) for a, t, f in zip(anchor_bins, target_bins, frames, strict=True)]
    assert hashes.tolist() == expected
    assert hashes.dtype == np.uint32


def test_hash_of_the_top_of_every_range_fits_its_bits():
    (highest,) = pack(np.array([511]), np.array([511 + 63]), np.array([63]))
    assert highest == (1 << BITS) - 1
    assert [int(values[0]) for values in unpack(np.array([highest]))] == [511, 574, 63]


@pytest.mark.parametrize("fan_out", [1, 3, 14])
def test_pairs_are_those_of_the_loop(fan_out):
    rng = np.random.default_rng(fan_out)
    for size, frames, bins in ((2, 5, 9), (30, 40, BAND_BINS), (90, 60, 120), (60, 2000, BAND_BINS), (80, 9, 10)):
        peaks = constellation(rng, size, frames, bins)
        expected = []
        for anchor, target in oracles.pairs(peaks, fan_out):
            frames_between = int(peaks.frames[target] - peaks.frames[anchor])
            packed = oracles.pack(int(peaks.bins[anchor]), int(peaks.bins[target]), frames_between)
            weaker = max(peaks.ranks[anchor], peaks.ranks[target])
            expected.append((int(peaks.frames[anchor]), packed, int(weaker)))
        assert as_tuples(pair_peaks(peaks, fan_out)) == sorted(expected)


@pytest.mark.parametrize("fan_out", [1, 4, 14])
def test_pairs_of_peaks_between_places_are_those_of_the_loop(fan_out):
    rng = np.random.default_rng(fan_out)
    for size, frames, bins in ((2, 5, 9), (40, 40, BAND_BINS), (90, 60, 120), (60, 2000, BAND_BINS)):
        peaks = ClipPeaks(
            np.sort(rng.uniform(-0.5, frames, size)).astype(np.float32),
            rng.uniform(-0.5, bins, size).astype(np.float32),
            np.zeros(size, np.uint8),
        )
        anchors, targets = pairs_of(peaks.frames, peaks.bins, fan_out)
        found = list(zip(anchors.tolist(), targets.tolist(), strict=True))
        assert sorted(found) == sorted(oracles.pairs(peaks, fan_out))


def test_peaks_between_places_pair_up_to_the_very_edge_of_the_zone():
    frames = np.array([10.25, 10.25 + MIN_TARGET_FRAMES, 10.25 + MAX_TARGET_FRAMES, 10.5 + MAX_TARGET_FRAMES])
    bins = np.array([100.5, 100.5 + MAX_TARGET_BINS, 100.5 - MAX_TARGET_BINS, 100.5])
    anchors, targets = pairs_of(frames.astype(np.float32), bins.astype(np.float32), 9)
    assert set(zip(anchors.tolist(), targets.tolist(), strict=True)) == {(0, 1), (0, 2), (1, 3)}


def zone_of_an_anchor(frames: int, bins: int) -> bool:
    """Is a target so far away paired with an anchor?"""
    peaks = Constellation(np.array([100, 100 + frames]), np.array([200, 200 + bins]), np.zeros(2, np.uint8))
    return pair_peaks(peaks, 1).hashes.size == 1


def test_target_zone_has_the_edges_of_the_settings():
    assert zone_of_an_anchor(MIN_TARGET_FRAMES, 0)
    assert not zone_of_an_anchor(MIN_TARGET_FRAMES - 1, 1)
    assert zone_of_an_anchor(MAX_TARGET_FRAMES, MAX_TARGET_BINS)
    assert not zone_of_an_anchor(MAX_TARGET_FRAMES + 1, 0)
    assert zone_of_an_anchor(MAX_TARGET_FRAMES, -MAX_TARGET_BINS)
    assert not zone_of_an_anchor(MIN_TARGET_FRAMES, MAX_TARGET_BINS + 1)
    assert not zone_of_an_anchor(MIN_TARGET_FRAMES, -MAX_TARGET_BINS - 1)


def test_shift_in_time_shifts_offsets_and_leaves_hashes():
    peaks = constellation(np.random.default_rng(4), 200, 400)
    later = Constellation(peaks.frames + 1_000_000, peaks.bins, peaks.ranks)
    found, moved = pair_peaks(peaks, 3), pair_peaks(later, 3)
    assert found.hashes.size > 300
    assert np.array_equal(moved.hashes, found.hashes)
    assert np.array_equal(moved.offsets, found.offsets + 1_000_000)
    assert np.array_equal(moved.ranks, found.ranks)


@pytest.mark.parametrize("size", [0, 1])
def test_less_than_two_peaks_make_no_landmark(size):
    found = pair_peaks(constellation(np.random.default_rng(5), size, 10), 3)
    assert (found.hashes.dtype, found.offsets.dtype, found.ranks.dtype) == (np.uint32, np.uint32, np.uint8)
    assert found.hashes.size == found.offsets.size == found.ranks.size == 0
