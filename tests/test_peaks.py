"""A spectrogram to a constellation, against loops and by its properties."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import signals

from dejavu.config import settings
from dejavu.fingerprint.peaks import (
    POOL,
    Constellation,
    find_peaks,
    highest_around,
    interpolated,
    local_means,
    rank_in_cells,
)
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.model import ClipPeaks

BOX_FRAMES = settings.REFERENCE_BOX_FRAMES
BOX_BINS = settings.REFERENCE_BOX_BINS
SILENT_ENDS = 5 * settings.RANK_CELL_FRAMES
"""Frames: longer than anything a peak is compared with reaches."""


def random_power(rng: np.random.Generator, frames: int, bins: int) -> np.ndarray:
    return rng.exponential(1.0, (frames, bins)).astype(np.float32)


def as_floats(peaks: ClipPeaks) -> list[tuple[float, float, int]]:
    return list(zip(peaks.frames.tolist(), peaks.bins.tolist(), peaks.ranks.tolist(), strict=True))


def as_tuples(peaks: Constellation) -> list[tuple[int, int, int]]:
    return list(zip(peaks.frames.tolist(), peaks.bins.tolist(), peaks.ranks.tolist(), strict=True))


def peaks_of(samples: signals.Samples) -> list[tuple[int, int, int]]:
    return as_tuples(find_peaks(power_spectrogram(samples), BOX_FRAMES, BOX_BINS))


def per_whole_cell(peaks: Constellation) -> np.ndarray:
    """How many peaks each cell has, but for the last, which may be a few frames long."""
    return np.bincount(peaks.frames // settings.RANK_CELL_FRAMES)[:-1]


def muffled_ends(seed: int) -> signals.Samples:
    """A song between two silences."""
    middle = signals.delay(signals.song(5.0, seed), SILENT_ENDS)
    return np.concatenate((middle, signals.silence(SILENT_ENDS)))


@pytest.mark.parametrize("box_frames", [1, 3, 9, 101])
@pytest.mark.parametrize("box_bins", [1, 3, 5, 7, 15, 17, 25, 101])
def test_highest_around_is_the_maximum_of_each_box(box_frames, box_bins):
    values = np.random.default_rng(box_bins).standard_normal((23, 31), np.float32)
    by_loop = oracles.running_max(oracles.running_max(values, box_bins, 1), box_frames, 0)
    assert np.array_equal(highest_around(values, box_frames, box_bins), by_loop)


def test_highest_around_nothing_is_nothing():
    assert highest_around(np.empty((0, 5), np.float32), 9, 15).shape == (0, 5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (POOL, POOL), (POOL + 1, 2 * POOL - 1), (61, 50), (97, 43)])
def test_local_means_are_those_of_blocks_around(shape):
    rng = np.random.default_rng(shape)
    power = random_power(rng, *shape)
    frames = np.concatenate(([0, shape[0] - 1], rng.integers(0, shape[0], 12)))
    bins = np.concatenate(([0, shape[1] - 1], rng.integers(0, shape[1], 12)))
    expected = [oracles.local_mean(power, int(frame), int(column)) for frame, column in zip(frames, bins, strict=True)]
    assert local_means(power, frames, bins) == pytest.approx(np.array(expected), rel=1e-5)


def test_local_mean_of_a_lone_peak_survives_loud_sound_elsewhere():
    power = np.zeros((4000, 40), np.float32)
    power[:3000] = 1e9
    power[3900, 20] = 1e-3
    frames, bins = np.array([3900]), np.array([20])
    (mean,) = local_means(power, frames, bins)
    assert 1e-3 / (2 * settings.LOCAL_MEAN_FRAMES * settings.LOCAL_MEAN_BINS) < mean < 1e-3


def test_ranks_are_places_in_their_cell():
    rng = np.random.default_rng(5)
    for size in (0, 1, 2, 40, 90):
        cells = np.sort(rng.integers(0, 6, size))
        salience = rng.integers(0, 20, size) / 4  # few values, so that some are equal
        ranks = rank_in_cells(cells, salience)
        assert ranks.tolist() == oracles.rank_in_cells(cells.tolist(), salience.tolist())
        assert ranks.dtype == np.uint8


def test_ranks_stay_at_the_lowest_they_can_tell():
    ranks = rank_in_cells(np.repeat([3, 4], [300, 2]), np.arange(302.0))
    assert ranks[:300].tolist() == [min(299 - place, 255) for place in range(300)]
    assert ranks[300:].tolist() == [1, 0]


@pytest.mark.parametrize("box", [(BOX_FRAMES, BOX_BINS), (settings.QUERY_BOX_FRAMES, settings.QUERY_BOX_BINS), (3, 5)])
def test_peaks_are_those_of_the_loop(box):
    rng = np.random.default_rng(box)
    for shape in ((1, 1), (2, 30), (30, 2), (50, 40), (71, 37)):
        power = random_power(rng, *shape)
        assert as_tuples(find_peaks(power, *box)) == oracles.find_peaks(power, *box)


def test_equal_neighbours_are_all_peaks():
    power = np.random.default_rng(6).integers(0, 4, (48, 33)).astype(np.float32)
    found = as_tuples(find_peaks(power, BOX_FRAMES, BOX_BINS))
    assert found == oracles.find_peaks(power, BOX_FRAMES, BOX_BINS)
    assert len(found) > 200


def test_peaks_are_sorted_and_of_the_documented_types():
    peaks = find_peaks(power_spectrogram(signals.song(6.0, seed=7)), BOX_FRAMES, BOX_BINS)
    assert as_tuples(peaks) == sorted(as_tuples(peaks))
    assert (peaks.frames.dtype, peaks.bins.dtype, peaks.ranks.dtype) == (np.int64, np.int64, np.uint8)
    assert len(peaks) == peaks.frames.size > 50


def test_best_keeps_so_many_of_every_cell():
    peaks = find_peaks(power_spectrogram(signals.noise(8.0, seed=8)), BOX_FRAMES, BOX_BINS)
    best = peaks.best(settings.REFERENCE_PEAKS_PER_CELL)
    assert (per_whole_cell(best) == settings.REFERENCE_PEAKS_PER_CELL).all()
    assert set(as_tuples(best)) < set(as_tuples(peaks))
    assert len(peaks.best(0)) == 0


def test_quiet_passage_has_as_many_peaks_as_a_loud_one():
    samples = signals.song(4.0, seed=9)
    peaks = find_peaks(power_spectrogram(np.concatenate((samples / 30, samples))), BOX_FRAMES, BOX_BINS)
    best = peaks.best(settings.REFERENCE_PEAKS_PER_CELL)
    assert (per_whole_cell(best) == settings.REFERENCE_PEAKS_PER_CELL).all()


@pytest.mark.parametrize("gain", [2.0**-4, 2.0**-1, 2.0**6])
def test_gain_changes_nothing(gain):
    samples = signals.song(6.0, seed=10)
    assert peaks_of(samples * np.float32(gain)) == peaks_of(samples)


def test_silence_adds_no_peaks():
    samples = muffled_ends(seed=11)
    peaks = peaks_of(samples)
    assert peaks
    assert peaks_of(np.concatenate((samples, signals.silence(123)))) == peaks
    # By whole cells and whole pooled blocks, so that the same peaks are compared with the same mean.
    for frames in (POOL * settings.RANK_CELL_FRAMES, 3 * POOL * settings.RANK_CELL_FRAMES):
        later = [(frame + frames, column, rank) for frame, column, rank in peaks]
        assert peaks_of(signals.delay(samples, frames)) == later


def test_silent_frames_have_no_peaks_however_abruptly_sound_begins():
    samples = np.concatenate((signals.silence(60), signals.song(3.0, seed=12), signals.silence(60)))
    frames = [frame for frame, _, _ in peaks_of(samples)]
    reaches_back = settings.N_FFT // settings.HOP_LENGTH
    assert min(frames) > 60 - reaches_back
    assert max(frames) < samples.size // settings.HOP_LENGTH - 60


def test_peaks_at_the_floor_do_not_count():
    power = np.zeros((40, 40), np.float32)
    power[10, 10] = settings.PEAK_POWER_FLOOR
    power[30, 30] = settings.PEAK_POWER_FLOOR * 1.01
    assert as_tuples(find_peaks(power, BOX_FRAMES, BOX_BINS)) == [(30, 30, 0)]


@pytest.mark.parametrize("shape", [(0, 40), (1, 40), (40, 40)])
def test_nothing_gives_no_peaks(shape):
    assert len(find_peaks(np.zeros(shape, np.float32), BOX_FRAMES, BOX_BINS)) == 0


def every_place(power: np.ndarray) -> Constellation:
    """As if each frame and bin had a peak."""
    frames, bins = (places.ravel() for places in np.indices(power.shape))
    return Constellation(frames, bins, np.zeros(frames.size, np.uint8))


def loudest(power: np.ndarray) -> Constellation:
    frame, column = np.unravel_index(power.argmax(), power.shape)
    return Constellation(np.array([frame]), np.array([column]), np.zeros(1, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (60, 47)])
def test_peaks_between_places_are_those_of_a_parabola(shape):
    power = random_power(np.random.default_rng(shape), *shape)
    peaks = find_peaks(power, 3, 3)
    exact = interpolated(power, peaks)
    expected = sorted((*oracles.interpolated(power, frame, bin_), rank) for frame, bin_, rank in as_tuples(peaks))
    assert np.array(sorted(as_floats(exact))) == pytest.approx(np.array(expected), abs=1e-3)
    assert len(exact) == len(peaks) > 0


@pytest.mark.parametrize("beside", np.linspace(-0.5, 0.5, 9))
def test_sine_between_bins_is_found_to_a_fiftieth_of_one(beside):
    bin_ = settings.BAND_FIRST_BIN + 100 + beside
    sine = np.sin(2 * np.pi * bin_ / settings.N_FFT * np.arange(3 * settings.N_FFT)).astype(np.float32)
    power = power_spectrogram(sine)
    (found,) = interpolated(power, loudest(power)).bins
    assert found == pytest.approx(100 + beside, abs=0.02)


@pytest.mark.parametrize("late", np.linspace(0, 1, 9))
def test_click_between_frames_is_found_to_a_thirtieth_of_one(late):
    click = np.zeros(20 * settings.HOP_LENGTH + settings.N_FFT, np.float32)
    click[settings.N_FFT // 2 + round((7 + late) * settings.HOP_LENGTH)] = 1
    power = power_spectrogram(click)
    exact = interpolated(power, find_peaks(power, BOX_FRAMES, BOX_BINS))
    assert len(exact) > 20
    assert exact.frames == pytest.approx(7 + late, abs=0.03)


def test_peaks_at_the_edges_stay_there():
    power = np.zeros((9, 12), np.float32)
    corners = [(0, 0), (0, 11), (8, 0), (8, 11)]
    power[tuple(zip(*corners, strict=True))] = 100
    power[0, 5] = power[4, 0] = 50
    power[0, 6] = power[5, 0] = 49
    exact = interpolated(power, find_peaks(power, 3, 3))
    found = list(zip(exact.frames.tolist(), exact.bins.tolist(), strict=True))
    assert set(corners) < set(found)
    (between_bins,) = [column for frame, column in found if frame == 0 and 0 < column < 11]
    (between_frames,) = [frame for frame, column in found if column == 0 and 0 < frame < 8]
    assert 5.4 < between_bins < 5.5
    assert 4.4 < between_frames < 4.5


def test_peaks_between_places_are_sorted_by_frame_and_near_where_they_were():
    power = power_spectrogram(signals.song(12.0, seed=13))
    peaks = find_peaks(power, settings.QUERY_BOX_FRAMES, settings.QUERY_BOX_BINS)
    exact = interpolated(power, peaks)
    assert (np.diff(exact.frames) >= 0).all()
    assert (exact.frames.dtype, exact.bins.dtype, exact.ranks.dtype) == (np.float32, np.float32, np.uint8)
    # Half-way between two places the rounding would be anybody's guess.
    clear = [peak for peak in as_floats(exact) if all(abs(place - round(place)) < 0.49 for place in peak[:2])]
    near = {(round(frame), round(bin_), rank) for frame, bin_, rank in clear}
    assert near <= set(as_tuples(peaks))
    assert len(near) > 0.9 * len(peaks)
    assert np.array_equal(np.bincount(exact.ranks), np.bincount(peaks.ranks))


@pytest.mark.parametrize("value", [0.0, 1.0, 1e30])
def test_level_ground_is_highest_where_it_is(value):
    power = np.full((5, 6), value, np.float32)
    exact = interpolated(power, every_place(power))
    assert np.array_equal(exact.frames, np.repeat(np.arange(5), 6))
    assert np.array_equal(np.sort(exact.bins[:6]), np.arange(6))


@pytest.mark.parametrize("frames", [0, 3])
def test_without_peaks_there_are_none_between_places(frames):
    power = np.zeros((frames, 40), np.float32)
    exact = interpolated(power, find_peaks(power, BOX_FRAMES, BOX_BINS))
    assert len(exact) == exact.bins.size == exact.ranks.size == 0
    assert (exact.frames.dtype, exact.bins.dtype, exact.ranks.dtype) == (np.float32, np.float32, np.uint8)
