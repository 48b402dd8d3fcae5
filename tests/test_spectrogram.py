"""Samples to a spectrogram: the transform, its frames and its scale."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import signals

from dejavu.config.settings import BAND_FIRST_BIN, BAND_LAST_BIN, HOP_LENGTH, N_FFT, PEAK_POWER_FLOOR
from dejavu.fingerprint.spectrogram import BAND_BINS, count_frames, power_spectrogram


def samples_of(frames: int) -> int:
    return (frames - 1) * HOP_LENGTH + N_FFT


def sine(bin_: float, amplitude: float = 1.0, frames: int = 6) -> signals.Samples:
    cycles = bin_ / N_FFT * np.arange(samples_of(frames))
    return (amplitude * np.sin(2 * np.pi * cycles)).astype(np.float32)


def test_every_place_is_what_the_definition_of_the_transform_gives():
    # More frames than are transformed at once, looked at on both sides of each seam.
    samples = signals.noise(14.0, seed=1)
    power = power_spectrogram(samples)
    columns = np.random.default_rng(2).integers(0, BAND_BINS, 4)
    for frame in (0, 1, 255, 256, 257, 511, 512, len(power) - 1):
        for column in (0, *columns, BAND_BINS - 1):
            assert power[frame, column] == pytest.approx(oracles.power(samples, frame, int(column)), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "frames"),
    [
        (0, 0),
        (1, 0),
        (N_FFT - 1, 0),
        (N_FFT, 1),
        (N_FFT + HOP_LENGTH - 1, 1),
        (N_FFT + HOP_LENGTH, 2),
        (samples_of(300), 300),
    ],
)
def test_only_whole_frames_count(n_samples, frames):
    assert count_frames(n_samples) == frames
    power = power_spectrogram(np.ones(n_samples, np.float32))
    assert power.shape == (frames, BAND_BINS)
    assert power.dtype == np.float32


def test_band_is_cut_out_of_the_transform():
    assert BAND_BINS == BAND_LAST_BIN - BAND_FIRST_BIN
    for bin_ in (BAND_FIRST_BIN, BAND_FIRST_BIN + 100, BAND_LAST_BIN - 1):
        assert (power_spectrogram(sine(bin_)).argmax(axis=1) == bin_ - BAND_FIRST_BIN).all()
    outside = power_spectrogram(sine(BAND_FIRST_BIN - 4) + sine(BAND_LAST_BIN + 4))
    inside = power_spectrogram(sine(BAND_FIRST_BIN + 4))
    assert outside.max() < 1e-4 * inside.max()


def test_full_scale_sine_has_the_power_of_a_quarter_of_the_window():
    power = power_spectrogram(sine(BAND_FIRST_BIN + 50))
    assert power[:, 50] == pytest.approx((N_FFT / 4) ** 2, rel=1e-4)


def test_floor_of_peaks_is_a_sine_of_108_decibels_below_full_scale():
    power = power_spectrogram(sine(BAND_FIRST_BIN + 50, amplitude=10 ** (-108.15 / 20)))
    assert power[:, 50] == pytest.approx(PEAK_POWER_FLOOR, rel=0.05)


def test_shift_by_whole_hops_shifts_whole_rows():
    samples = signals.song(9.0, seed=3)
    whole = power_spectrogram(samples)
    for frames in (1, 7, 100):
        assert np.array_equal(power_spectrogram(samples[frames * HOP_LENGTH :]), whole[frames:])


def test_gain_of_a_power_of_two_is_exact():
    samples = signals.song(4.0, seed=4)
    assert np.array_equal(power_spectrogram(samples / 8), power_spectrogram(samples) / 64)


def test_samples_are_left_as_they_were():
    samples = signals.noise(1.0, seed=5)
    before = samples.copy()
    power_spectrogram(samples)
    assert np.array_equal(samples, before)
