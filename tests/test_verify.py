"""Songs' own peaks and a clip's: how many are met, and how many by chance, against a loop and by properties."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from played import BAND_BINS, CHANGES, NO_CLIP, NO_STORED, clip_of, played, stored_of

from dejavu.config.settings import RANK_CELL_FRAMES, REFERENCE_PEAKS_PER_CELL
from dejavu.matching.fit import anchored, fit
from dejavu.matching.placement import NEAR_BINS, NEAR_FRAMES, Placement, stretch_of
from dejavu.matching.verify import Agreement, agreement, evidence
from dejavu.model import UNCHANGED, Peaks, Warp


@pytest.mark.parametrize("seed", range(20))
def test_agreement_is_that_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    n_stored, n_clip = (int(rng.integers(0, most)) for most in (300, 200))
    stored = stored_of(rng.uniform(0, 300, n_stored), rng.uniform(0, 80, n_stored))
    clip = clip_of(rng.uniform(0, 200, n_clip), rng.uniform(0, 80, n_clip))
    warps = [Warp(*rng.uniform(0.75, 1.25, 2)) for _ in range(2)]
    for warp in (UNCHANGED, *warps):
        for delta in (*rng.uniform(-250, 350, 3), 40.0):
            found = agreement(stored, clip, Placement(delta, warp))
            loop = oracles.agreement(stored, clip, Placement(delta, warp))
            assert (found.matched, found.stored) == (loop.matched, loop.stored)
            assert found.expected == pytest.approx(loop.expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_exactly_at_the_edge_is_near(seed):
    # Quarters of frames and of bins are exact, so that many distances are just the ones that count as near.
    rng = np.random.default_rng(seed)
    stored = stored_of(rng.integers(0, 60, 200), rng.integers(0, 40, 200))
    clip = clip_of(rng.integers(0, 200, 150) / 4, rng.integers(0, 160, 150) / 4)
    for delta in (0.0, 0.25, 7.0, -3.5):
        found = agreement(stored, clip, Placement(delta, UNCHANGED))
        loop = oracles.agreement(stored, clip, Placement(delta, UNCHANGED))
        assert (found.matched, found.stored) == (loop.matched, loop.stored)
        assert found.expected == pytest.approx(loop.expected)


@pytest.mark.parametrize(
    ("frames_off", "bins_off", "met"),
    [
        (0.0, 0.0, True),
        (NEAR_FRAMES, NEAR_BINS, True),
        (-NEAR_FRAMES, -NEAR_BINS, True),
        (NEAR_FRAMES + 0.125, 0.0, False),
        (0.0, -NEAR_BINS - 0.125, False),
    ],
)
def test_near_is_near_in_time_and_in_height(frames_off, bins_off, met):
    stored = stored_of(np.array([110]), np.array([50]))
    clip = clip_of(np.array([10 + frames_off, 99]), np.array([stored.bins[0] + bins_off, 300]))
    found = agreement(stored, clip, Placement(100.0, UNCHANGED))
    assert (found.matched, found.stored) == (int(met), 1)


def test_song_peak_counts_once_however_many_of_the_clip_are_near_it():
    stored = stored_of(np.array([50]), np.array([60]))
    clip = clip_of(np.append(np.full(30, 50.0), 90.0), np.append(np.full(30, 60.0), 200.0))
    found = agreement(stored, clip, Placement(0.0, UNCHANGED))
    assert (found.matched, found.stored, found.share) == (1, 1, 1.0)


def test_only_peaks_of_the_stretch_count():
    whole = played(UNCHANGED, seed=1)
    first, last = stretch_of(whole.clip, whole.truth)
    beyond = (whole.stored.frames < first) | (whole.stored.frames >= last)
    within = Peaks(whole.stored.frames[~beyond], whole.stored.bins[~beyond])
    assert 0 < len(within) < len(whole.stored)
    assert agreement(within, whole.clip, whole.truth) == agreement(whole.stored, whole.clip, whole.truth)
    outside = Peaks(whole.stored.frames[beyond], whole.stored.bins[beyond])
    assert agreement(outside, whole.clip, whole.truth) == Agreement(0, 0.0, 0)


@pytest.mark.parametrize("warp", [UNCHANGED, *CHANGES])
def test_song_is_told_from_others_under_its_own_warp_only(warp):
    own, other = played(warp, seed=2), played(warp, seed=3)
    found = agreement(own.stored, own.clip, own.truth)
    assert 0.4 < found.share < 0.8, "half of the peaks are there, and noise meets some of the others"
    assert found.surprise > 20
    assert agreement(other.stored, own.clip, own.truth).surprise < 3
    assert agreement(own.stored, own.clip, Placement(own.truth.delta + 40, warp)).surprise < 3
    wrong = Warp(warp.speed * 1.05, warp.pitch * 1.05)
    assert agreement(own.stored, own.clip, Placement(own.truth.delta, wrong)).surprise < found.surprise / 2


def test_chance_is_expected_to_meet_as_many_peaks_as_it_does():
    rng = np.random.default_rng(4)
    for size in (300, 3000):
        matched = expected = 0.0
        for _ in range(40):
            # Peaks crowd in low bins, as those of music do.
            stored = stored_of(rng.uniform(0, 430, 160), rng.beta(1, 3, 160) * (BAND_BINS - 1))
            clip = clip_of(rng.uniform(0, 430, size), rng.beta(1, 3, size) * (BAND_BINS - 1))
            found = agreement(stored, clip, Placement(0.0, UNCHANGED))
            matched, expected = matched + found.matched, expected + found.expected
        assert matched == pytest.approx(expected, rel=0.1)


def test_a_steady_tone_of_the_clip_is_no_surprise_where_the_song_has_it_too():
    frames = np.arange(0, 430, 3)
    tone = stored_of(frames, np.full(frames.size, 100))
    clip = clip_of(np.arange(0.0, 430, 1), np.full(430, 100.5))
    found = agreement(tone, clip, Placement(0.0, UNCHANGED))
    assert found.share > 0.95
    assert found.surprise < 5
    melody = played(UNCHANGED, seed=5, kept=1.0)
    assert agreement(melody.stored, melody.clip, melody.truth).surprise > 100


def test_surprise_is_never_below_nothing():
    for matched, expected in ((0, 0.0), (0, 5.0), (5, 5.0), (10, 9.9), (1000, 999.5)):
        assert Agreement(matched, expected, 2000).surprise == 0
    assert Agreement(10, 1.0, 20).surprise > 5


# --- Weighing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_evidence_is_that_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    for warp in (UNCHANGED, Warp(1.07, 0.95)):
        song = played(warp, seed, kept=float(rng.uniform(0.2, 0.9)), clip_frames=float(rng.uniform(60, 160)))
        for off in (0.0, 0.3, 30.0):
            place = Placement(song.truth.delta + off, warp)
            found = evidence(song.stored, song.clip, place)
            assert found == pytest.approx(oracles.evidence(song.stored, song.clip, place), rel=1e-9, abs=1e-9)
        assert evidence(song.stored, song.clip, song.truth) > 2


@pytest.mark.parametrize("warp", [UNCHANGED, *CHANGES])
def test_evidence_tells_a_song_from_others_and_its_own_place_from_others(warp):
    own, other = played(warp, seed=2), played(warp, seed=3)
    assert evidence(own.stored, own.clip, own.truth) > 30
    assert evidence(other.stored, own.clip, other.truth) < 3
    for off in (-60, -20, 20, 60):
        assert evidence(own.stored, own.clip, Placement(own.truth.delta + off, warp)) < 3


def test_chance_seldom_reaches_much_evidence():
    """Of unrelated clips, no more than one in 10 to the w may have w decades."""
    rng = np.random.default_rng(8)
    reached = []
    for _ in range(300):
        stored = stored_of(rng.uniform(0, 215, 80), rng.beta(1, 3, 80) * (BAND_BINS - 1))
        clip = clip_of(rng.uniform(0, 215, 350), rng.beta(1, 3, 350) * (BAND_BINS - 1))
        reached.append(evidence(stored, clip, Placement(0.0, UNCHANGED)))
    assert np.mean(np.array(reached) >= 1) <= 0.1
    assert np.mean(np.array(reached) >= 2) <= 0.02


def test_the_noisier_a_clip_the_less_it_says_and_never_less_than_nothing():
    weights = [
        np.median([evidence(one.stored, one.clip, one.truth) for one in (played(UNCHANGED, s, kept) for s in range(9))])
        for kept in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]
    assert 0 <= weights[0] < 1
    assert weights == sorted(weights)
    assert weights[2] > 8


def test_a_beat_that_clip_and_song_share_is_no_evidence_and_the_tune_over_it_is():
    beats = np.arange(0, 430, 20.4).repeat(6)
    heights = np.tile([40.0, 90.0, 150.0, 210.0, 300.0, 380.0], beats.size // 6)
    rng = np.random.default_rng(9)
    tune = rng.uniform(0, 430, 60), rng.uniform(20, 400, 60)
    noise = rng.uniform(0, 430, 300), rng.uniform(0, 440, 300)
    clip = clip_of(
        np.concatenate((beats + rng.normal(0, 0.2, beats.size), tune[0], noise[0])),
        np.concatenate((heights, tune[1], noise[1])),
    )
    here = Placement(0.0, UNCHANGED)
    assert evidence(stored_of(beats, heights), clip, here) < 4
    whole = stored_of(np.append(beats, tune[0]), np.append(heights, tune[1]))
    assert evidence(whole, clip, here) > 15


# --- Nothing there ---------------------------------------------------------------------------------------------------


def test_stretch_runs_to_the_last_peak_of_the_clip():
    clip = clip_of(np.array([5.0, 200.5, 40.0]), np.array([1.0, 2.0, 3.0]))
    assert stretch_of(clip, Placement(70.25, UNCHANGED)) == (70.25, 270.75)
    assert stretch_of(clip, Placement(-30.0, Warp(1.12, 0.9))) == pytest.approx((-30.0, 200.5 * 1.12 - 30))
    assert stretch_of(NO_CLIP, Placement(12.5, Warp(1.1, 1.0))) == (12.5, 12.5)


@pytest.mark.parametrize("delta", [0.0, 1000.0, -50.0, 4e9])
def test_no_peaks_agree_with_nothing_and_move_nothing(delta):
    some = played(Warp(1.05, 1.05), seed=6)
    place = Placement(delta, Warp(1.05, 1.05))
    for stored, clip in ((NO_STORED, NO_CLIP), (NO_STORED, some.clip), (some.stored, NO_CLIP)):
        found = agreement(stored, clip, place)
        assert (found.matched, found.expected, found.stored, found.share, found.surprise) == (0, 0, 0, 0, 0)
        assert evidence(stored, clip, place) == 0
        assert fit(stored, clip, place) == place
        assert anchored(stored, clip, place) == place


def test_clip_that_starts_before_the_song_is_compared_with_what_there_is():
    whole = played(UNCHANGED, seed=7)
    cut = round(whole.truth.delta) + 200
    kept = whole.stored.frames >= cut
    stored = Peaks(whole.stored.frames[kept] - np.uint32(cut), whole.stored.bins[kept])
    found = agreement(stored, whole.clip, Placement(whole.truth.delta - cut, UNCHANGED))
    assert found.stored == pytest.approx(230 * REFERENCE_PEAKS_PER_CELL / RANK_CELL_FRAMES, rel=0.3)
    assert found.surprise > 10
