"""A clip's landmarks undone of a change of speed and pitch: against a loop, and by their properties."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import signals

from dejavu.config import settings
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.fingerprint.landmarks import pair_peaks, unpack
from dejavu.fingerprint.peaks import Constellation
from dejavu.fingerprint.scaling import ScaledLandmarks, scaled_landmarks, warps_within
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import UNCHANGED, ClipPeaks, Warp

SMALL = 600_000
"""Fingerprints of a few hundred songs."""

FASTER = Warp(speed=1.08, pitch=1.08)
WARPS = (UNCHANGED, FASTER, Warp(speed=1.05), Warp(pitch=0.94), Warp(0.9, 0.9), Warp(speed=0.93, pitch=1.04))


def constellation(seed: int, size: int, frames: int = 400) -> Constellation:
    """A song's peaks, all of them as salient as can be."""
    places = np.sort(np.random.default_rng(seed).choice(frames * BAND_BINS, size, replace=False))
    return Constellation(places // BAND_BINS, places % BAND_BINS, np.zeros(size, np.uint8))


def heard(peaks: Constellation, warp: Warp = UNCHANGED) -> ClipPeaks:
    """The peaks of a song as a clip has them that was played so; those that leave the band are lost."""
    bins = (peaks.bins + settings.BAND_FIRST_BIN) * warp.pitch - settings.BAND_FIRST_BIN
    kept = (bins > -0.5) & (bins < BAND_BINS - 0.5)
    frames = (peaks.frames / warp.speed).astype(np.float32)
    return ClipPeaks(frames[kept], bins[kept].astype(np.float32), peaks.ranks[kept])


def landmarks_of(found: ScaledLandmarks, warp: int) -> set[tuple[int, int]]:
    """Hash and offset of each that is for one of the warps."""
    own = found.warps == warp
    return set(zip(found.hashes[own].tolist(), found.offsets[own].tolist(), strict=True))


def rows(found: ScaledLandmarks) -> list[tuple[int, int, int]]:
    return list(zip(found.hashes.tolist(), found.offsets.tolist(), found.warps.tolist(), strict=True))


def scaled_loop(peaks: ClipPeaks, pairs: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Hash, offset and warp of every pair of peaks that is still a landmark when its warp is undone, sorted."""
    found = set()
    for number, warp in enumerate(WARPS):
        places = [
            (max(0, round(frame * warp.speed)), round((bin_ + settings.BAND_FIRST_BIN) / warp.pitch))
            for frame, bin_ in zip(peaks.frames.tolist(), peaks.bins.tolist(), strict=True)
        ]
        for anchor, target in pairs:
            (start, low), (end, high) = places[anchor], places[target]
            in_band = all(settings.BAND_FIRST_BIN <= bin_ < settings.BAND_LAST_BIN for bin_ in (low, high))
            in_time = settings.MIN_TARGET_FRAMES <= end - start <= settings.MAX_TARGET_FRAMES
            if in_band and in_time and abs(high - low) <= settings.MAX_TARGET_BINS:
                from_bin, to_bin = low - settings.BAND_FIRST_BIN, high - settings.BAND_FIRST_BIN
                found.add((oracles.pack(from_bin, to_bin, end - start), start, number))
    return sorted(found)


def song_landmarks(peaks: Constellation) -> set[tuple[int, int]]:
    found = pair_peaks(peaks, settings.SCALED_FAN_OUT)
    return set(zip(found.hashes.tolist(), found.offsets.tolist(), strict=True))


@pytest.mark.parametrize("percent", [0, 0.1, 1, 3, 12, settings.MOST_SPEED_CHANGE_PERCENT])
def test_warps_cover_the_range_both_ways_in_steps(percent):
    warps = warps_within(percent)
    for of_kind in (
        [warp.speed for warp in warps if warp.speed == warp.pitch],
        [warp.speed for warp in warps if warp.pitch == 1],
        [warp.pitch for warp in warps if warp.speed == 1],
    ):
        steps = np.diff(np.log(np.sort(of_kind)))
        assert steps == pytest.approx(settings.SCALE_STEP)
        assert min(of_kind) <= 1 - percent / 100 < 1 + percent / 100 <= max(of_kind) or percent == 0
        assert 1.0 in of_kind
        # No further than a step beyond what a clip changed by so much, up or down, needs.
        assert np.log(max(of_kind)) < -np.log1p(-percent / 100) + settings.SCALE_STEP
        assert min(of_kind) * max(of_kind) == pytest.approx(1)


@pytest.mark.parametrize("percent", [0, 5, settings.MAX_SPEED_CHANGE_PERCENT, settings.MOST_SPEED_CHANGE_PERCENT])
def test_warps_are_distinct_and_of_three_kinds(percent):
    warps = warps_within(percent)
    assert len(set(warps)) == len(warps)
    assert warps.count(UNCHANGED) == 1
    assert all(warp.speed == warp.pitch or 1 in (warp.speed, warp.pitch) for warp in warps)


def test_no_change_is_one_warp():
    assert warps_within(0) == [UNCHANGED]


@pytest.mark.parametrize("seed", range(4))
def test_unchanged_landmarks_are_those_of_the_plain_pairs(seed):
    # So few peaks that all their pairs are scaled.
    peaks = constellation(seed, 24)
    plain = song_landmarks(peaks)
    found = scaled_landmarks(heard(peaks), [UNCHANGED], SMALL)
    assert landmarks_of(found, 0) == plain
    assert found.pairs == len(plain) > 10


@pytest.mark.parametrize("warp", WARPS)
def test_a_warped_copy_has_the_landmarks_of_the_song_under_its_warp(warp):
    peaks = constellation(5, 60)
    found = scaled_landmarks(heard(peaks, warp), WARPS, SMALL)
    of_song = song_landmarks(peaks)
    shares = [len(landmarks_of(found, own) & of_song) / found.pairs for own in range(len(WARPS))]
    right = WARPS.index(warp)
    # Few are lost: a target was beyond the zone of the song where the clip was slower, or the other way round.
    assert shares[right] > 0.75
    assert all(share < 0.1 for own, share in enumerate(shares) if own != right)


@pytest.mark.parametrize("seed", range(3))
def test_landmarks_are_those_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.uniform(-0.5, 300, 45)).astype(np.float32)
    peaks = ClipPeaks(frames, rng.uniform(-0.5, BAND_BINS - 0.5, 45).astype(np.float32), np.zeros(45, np.uint8))
    found = scaled_landmarks(peaks, WARPS, SMALL)
    pairs = oracles.pairs(peaks, settings.SCALED_FAN_OUT)
    assert found.pairs == len(pairs) < settings.SCALED_PAIRS
    assert rows(found) == scaled_loop(peaks, pairs)


@pytest.mark.parametrize("size", [80, 900])
def test_landmarks_keep_to_zone_and_band(size):
    warps = warps_within(settings.MOST_SPEED_CHANGE_PERCENT)
    found = scaled_landmarks(heard(constellation(6, size)), warps, SMALL)
    anchor_bins, target_bins, frames = unpack(found.hashes)
    assert found.hashes.size > 1000
    assert (np.abs(target_bins - anchor_bins) <= settings.MAX_TARGET_BINS).all()
    assert frames.min() >= settings.MIN_TARGET_FRAMES
    assert frames.max() <= settings.MAX_TARGET_FRAMES
    for bins in (anchor_bins, target_bins):
        assert bins.min() >= 0
        assert bins.max() < BAND_BINS
    assert found.offsets.max() <= 400 * max(warp.speed for warp in warps)
    assert set(np.unique(found.warps)) == set(range(len(warps)))


def test_peaks_at_the_edges_of_the_band_are_scaled_too():
    peaks = ClipPeaks(np.array([0, 20, 40], np.float32), np.array([0, 30, 0], np.float32), np.zeros(3, np.uint8))
    found = scaled_landmarks(peaks, [UNCHANGED, Warp(pitch=0.9), Warp(pitch=1.1)], SMALL)
    bins = [set(unpack(found.hashes[found.warps == own])[0].tolist()) for own in range(3)]
    assert bins == [{0, 30}, {2, 35}, set()]


def test_landmarks_are_distinct():
    # Close together in time and frequency, so that several pairs become one.
    rng = np.random.default_rng(7)
    frames = np.sort(np.repeat(rng.uniform(0, 60, 20), 2) + rng.uniform(0, 0.2, 40)).astype(np.float32)
    peaks = ClipPeaks(frames, rng.uniform(100, 103, 40).astype(np.float32), np.zeros(40, np.uint8))
    found = scaled_landmarks(peaks, WARPS, SMALL)
    assert len(set(rows(found))) == len(rows(found)) < 0.8 * found.pairs * len(WARPS)
    assert (found.hashes.dtype, found.offsets.dtype, found.warps.dtype) == (np.uint32, np.uint32, np.int64)


def test_fewer_pairs_are_scaled_for_a_huge_catalogue():
    peaks = extract_query([signals.song(8.0, seed=8)]).peaks
    pairs = [scaled_landmarks(peaks, WARPS, 10**digits).pairs for digits in range(6, 15)]
    assert pairs == sorted(pairs, reverse=True)
    assert (pairs[0], pairs[-1]) == (settings.SCALED_PAIRS, settings.SCALED_LEAST_PAIRS)
    assert len(set(pairs)) > 2


def test_a_pair_has_about_as_many_hashes_as_the_settings_say():
    warps = warps_within(settings.MAX_SPEED_CHANGE_PERCENT)
    for seed in range(3):
        found = scaled_landmarks(extract_query([signals.song(5.0, seed=20 + seed)]).peaks, warps, SMALL)
        hashes = np.unique(found.hashes).size / found.pairs
        assert settings.SCALED_HASHES_PER_PAIR / 2 < hashes < settings.SCALED_HASHES_PER_PAIR * 2


def test_only_the_most_salient_peaks_are_scaled():
    best, others = constellation(9, 30), constellation(10, 300)
    order = np.argsort(np.concatenate((best.frames, others.frames)), kind="stable")
    ranks = np.repeat([settings.SCALED_PEAKS_PER_CELL - 1, settings.SCALED_PEAKS_PER_CELL], [30, 300]).astype(np.uint8)
    both = Constellation(
        np.concatenate((best.frames, others.frames))[order],
        np.concatenate((best.bins, others.bins))[order],
        ranks[order],
    )
    assert rows(scaled_landmarks(heard(both), WARPS, SMALL)) == rows(scaled_landmarks(heard(best), WARPS, SMALL))


def test_shift_in_time_shifts_offsets_and_leaves_hashes():
    peaks = constellation(11, 300)
    later = Constellation(peaks.frames + 800, peaks.bins, peaks.ranks)
    found, moved = (scaled_landmarks(heard(one), [UNCHANGED], SMALL) for one in (peaks, later))
    assert np.array_equal(moved.hashes, found.hashes)
    assert np.array_equal(moved.offsets, found.offsets + 800)


@pytest.mark.parametrize("size", [0, 1])
def test_less_than_two_peaks_make_no_landmark(size):
    found = scaled_landmarks(heard(constellation(12, size)), WARPS, SMALL)
    assert found.pairs == 0
    assert found.hashes.size == found.offsets.size == found.warps.size == 0
    assert (found.hashes.dtype, found.offsets.dtype, found.warps.dtype) == (np.uint32, np.uint32, np.int64)


@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_a_clip_played_faster_or_slower_has_hashes_of_its_song_at_one_place(factor):
    song = signals.song(14.0, seed=13)
    # As a record player at the wrong speed: every sample comes sooner or later.
    first, count = 40 * settings.HOP_LENGTH, round(8 * settings.ANALYSIS_FS / factor)
    clip = np.interp(first + np.arange(count) * factor, np.arange(song.size), song).astype(np.float32)
    stored = extract_reference([song])
    warps = [UNCHANGED, Warp(factor, factor)]
    found = scaled_landmarks(extract_query([clip]).peaks, warps, SMALL)
    agreeing = [
        sum((hash_, offset + 40 + off) in of_song for hash_, offset in landmarks_of(found, own) for off in (-1, 0, 1))
        for of_song in [set(zip(stored.hashes.tolist(), stored.offsets.tolist(), strict=True))]
        for own in range(2)
    ]
    assert agreeing[1] >= 8 > 2 * agreeing[0]
