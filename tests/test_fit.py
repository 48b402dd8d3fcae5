"""Where exactly a clip lies and how it was played, from peaks of which half are gone and most are noise."""

from __future__ import annotations

import numpy as np
import pytest
from played import BAND_BINS, CHANGES, beside, clip_of, played, stored_of

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.matching.fit import SAME_FACTOR, anchored, fit, snapped
from dejavu.matching.placement import Placement
from dejavu.matching.verify import agreement
from dejavu.model import UNCHANGED, Warp

NUDGES = [(0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5)]
"""Steps between factors that speed and pitch are off, where the true ones lie between those that were asked."""


@pytest.mark.parametrize("warp", [UNCHANGED, *CHANGES])
def test_fit_recovers_speed_pitch_and_place_from_beside_the_factor(warp):
    for seed, (speed_steps, pitch_steps) in enumerate(NUDGES * 2):
        song = played(warp, seed)
        start = beside(song.truth, speed_steps, pitch_steps)
        found = fit(song.stored, song.clip, start)
        assert found.warp.speed == pytest.approx(warp.speed, rel=0.002)
        assert found.warp.pitch == pytest.approx(warp.pitch, rel=0.002)
        assert found.delta == pytest.approx(song.truth.delta, abs=0.4)
        better = agreement(song.stored, song.clip, found).surprise
        assert better > agreement(song.stored, song.clip, start).surprise


@pytest.mark.parametrize("warp", CHANGES)
def test_fit_of_a_short_and_noisy_clip_stays_within_what_is_promised(warp):
    for seed, (speed_steps, pitch_steps) in enumerate(NUDGES):
        song = played(warp, 50 + seed, kept=0.35, clip_frames=215.0)
        found = fit(song.stored, song.clip, beside(song.truth, speed_steps, pitch_steps, clip_frames=215.0))
        assert found.warp.speed == pytest.approx(warp.speed, rel=SAME_FACTOR)
        assert found.warp.pitch == pytest.approx(warp.pitch, rel=SAME_FACTOR)
        assert found.delta == pytest.approx(song.truth.delta, abs=0.75)


def test_fit_of_a_fit_changes_little():
    song = played(Warp(1.08, 1.08), seed=8)
    once = fit(song.stored, song.clip, beside(song.truth, 0.5, 0.5))
    twice = fit(song.stored, song.clip, once)
    assert twice.delta == pytest.approx(once.delta, abs=0.1)
    assert twice.warp.speed == pytest.approx(once.warp.speed, rel=5e-4)


def test_chord_says_nothing_about_speed():
    rng = np.random.default_rng(9)
    for warp in (UNCHANGED, Warp(1.12, 0.88)):
        for _ in range(30):
            bins = np.sort(rng.choice(np.arange(20, 340, 4), 12, replace=False))
            stored = stored_of(rng.integers(500, 503, 12), bins)
            heard = (stored.bins + BAND_FIRST_BIN) * warp.pitch - BAND_FIRST_BIN
            clip = clip_of(50 + rng.uniform(0, 3, 12) / warp.speed, rng.permutation(heard))
            found = fit(stored, clip, Placement(500 - 50 * warp.speed, warp))
            assert found.warp.speed == warp.speed
            assert found.delta == pytest.approx(500 - 50 * warp.speed, abs=2.5)


@pytest.mark.parametrize(("size", "moves"), [(1, False), (5, False), (6, True)])
def test_too_few_peaks_move_nothing(size, moves):
    frames, bins = np.arange(0, 40 * size, 40), np.arange(100, 100 + 20 * size, 20)
    stored = stored_of(np.append(frames + 700, 5000), np.append(bins, 9))
    clip = clip_of(np.append(frames, 999.0), np.append(stored.bins[:-1], 400.0))
    place = Placement(699.5, UNCHANGED)
    assert agreement(stored, clip, place).matched == size
    for settle in (fit, anchored):
        found = settle(stored, clip, place)
        assert (found != place) == moves
        assert found.delta == pytest.approx(700 if moves else 699.5, abs=1e-9)


@pytest.mark.parametrize("warp", [UNCHANGED, *CHANGES])
@pytest.mark.parametrize("off", [-0.6, 0.0, 0.6])
def test_anchored_moves_to_where_the_peaks_are_and_keeps_the_warp(warp, off):
    for seed in range(4):
        song = played(warp, 20 + seed)
        found = anchored(song.stored, song.clip, Placement(song.truth.delta + off, warp))
        assert found.warp == warp
        assert found.delta == pytest.approx(song.truth.delta, abs=0.5)
        assert abs(found.delta - song.truth.delta) < max(0.3, abs(off))


def test_place_of_a_whole_copy_is_exact():
    rng = np.random.default_rng(11)
    stored = stored_of(rng.integers(0, 600, 200), rng.uniform(0, BAND_BINS - 2, 200))
    here = (stored.frames >= 100) & (stored.frames < 400)
    clip = clip_of(stored.frames[here] - 100.0, stored.bins[here])
    place = Placement(100.0, UNCHANGED)
    assert agreement(stored, clip, place).share == 1
    assert anchored(stored, clip, place).delta == pytest.approx(100, abs=0.15)
    assert fit(stored, clip, place).warp.speed == pytest.approx(1, abs=1e-3)


# --- Snapping --------------------------------------------------------------------------------------------------------

LESS, MORE = 1 + 0.9 * SAME_FACTOR, 1 + 1.1 * SAME_FACTOR


@pytest.mark.parametrize(
    ("warp", "simplest"),
    [
        (UNCHANGED, UNCHANGED),
        (Warp(LESS, LESS), UNCHANGED),
        (Warp(1 / LESS, 1 / LESS), UNCHANGED),
        (Warp(1.0, LESS), UNCHANGED),
        (Warp(LESS, 1 / LESS), UNCHANGED),
        (Warp(1.12, LESS), Warp(1.12, 1.0)),
        (Warp(1 / LESS, 0.88), Warp(1.0, 0.88)),
        (Warp(MORE, 1.0), Warp(MORE, 1.0)),
        (Warp(1.0, MORE), Warp(1.0, MORE)),
        (Warp(1.12, 0.88), Warp(1.12, 0.88)),
        (Warp(MORE, MORE), Warp(MORE, MORE)),
    ],
)
def test_snapped_is_the_simplest_within_what_counts_as_the_same(warp, simplest):
    found = snapped(warp)
    assert (found.speed, found.pitch) == pytest.approx((simplest.speed, simplest.pitch), rel=1e-12)
    assert (found == UNCHANGED) == (simplest == UNCHANGED)
    assert (found.speed == found.pitch) == (simplest.speed == simplest.pitch)
    assert snapped(found) == found


@pytest.mark.parametrize("factor", [0.8, 0.88, 0.98, 1.02, 1.12, 1.25])
def test_speed_and_pitch_that_are_the_same_become_one_between_them(factor):
    for warp in (Warp(factor * LESS, factor), Warp(factor, factor * LESS)):
        found = snapped(warp)
        assert found.speed == found.pitch
        assert factor < found.speed < factor * LESS
    apart = Warp(factor * MORE, factor)
    assert snapped(apart) == apart


def test_snapping_never_moves_a_factor_further_than_what_counts_as_the_same():
    for factors in np.random.default_rng(12).uniform(0.98, 1.02, (300, 2)).tolist():
        found = snapped(Warp(*factors))
        assert found.speed == pytest.approx(factors[0], rel=1.6 * SAME_FACTOR)
        assert found.pitch == pytest.approx(factors[1], rel=1.6 * SAME_FACTOR)
