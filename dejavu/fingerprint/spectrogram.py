"""Samples to a power spectrogram of the band that recordings share with their copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from dejavu.config.settings import BAND_FIRST_BIN, BAND_LAST_BIN, HOP_LENGTH, N_FFT

_FRAMES_AT_ONCE = 64
"""Frames transformed together, so that a batch and its transform stay in the processor's cache."""

_WINDOW = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
"""The periodic Hann window; float32[N_FFT]."""

BAND_BINS = BAND_LAST_BIN - BAND_FIRST_BIN
"""Bins in the band: columns of every spectrogram here."""


def count_frames(n_samples: int) -> int:
    """How many whole frames `n_samples` samples hold."""
    return max(0, (n_samples - N_FFT) // HOP_LENGTH + 1)


def power_spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The squared magnitude of the short-time Fourier transform, cut to the band.

    Parameters
    ----------
    samples : float32[n]
        Mono, full scale ±1, at ANALYSIS_FS.

    Returns
    -------
    float32[count_frames(n), BAND_BINS]
        Frame t starts at sample ``t * HOP_LENGTH``; column b is bin ``BAND_FIRST_BIN + b``. There is no padding: a
        frame that would reach past the last sample is left out, and shifting the samples by HOP_LENGTH shifts the
        result by one row.
    """
    n_frames = count_frames(samples.size)
    power = np.empty((n_frames, BAND_BINS), np.float32)
    if n_frames == 0:
        return power
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP_LENGTH]
    for first in range(0, n_frames, _FRAMES_AT_ONCE):
        batch = frames[first : first + _FRAMES_AT_ONCE] * _WINDOW
        band = fft.rfft(batch, axis=1, overwrite_x=True)[:, BAND_FIRST_BIN:BAND_LAST_BIN]
        np.add(np.square(band.real), np.square(band.imag), out=power[first : first + batch.shape[0]])
    return power
