"""Whether two stretches of music hold the same sound, by their spectrograms and not by the service's hashes.

Two spectrograms are compared cell by cell, as a correlation coefficient: logarithms of power in bands, less the mean of
each frame and of each band, so that neither loudness nor a fade nor an equaliser counts. What it gives for music that
is not the same is measured by `benchmarks.duplicates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

from benchmarks.material import Recording
from dejavu.audio.decode import decode
from dejavu.config.settings import ANALYSIS_FS

HOP = 256
"""Samples at ANALYSIS_FS from one frame to the next: 23 ms."""

FRAMES_PER_SECOND = ANALYSIS_FS / HOP

SAME = 0.6
"""A likeness from which two stretches count as the same sound. That of a clip mixed with noise of -10 dB to the stretch
it was cut from is 0.6 to 0.9, through MP3 at 32 kbit/s 0.9 or more; different music stays below 0.3."""

_WINDOW = 1024
_BAND_EDGES_HZ = np.geomspace(200, 4500, 41)
_SILENCE = 1e-8
"""Power under the loudest cell that counts as none: 80 dB below."""

_SLACK_FRAMES = 2
"""How far off the place may be that is compared: what is asked of offsets."""

_LEAST_COVER = 0.95
"""The share of a clip that has to lie within the recording that it is compared with."""

Features = NDArray[np.float32]


class Likeness:
    """Compares stretches of recordings, which are named by their files."""

    def __init__(self, chosen: Sequence[Recording]) -> None:
        self.recordings = tuple(chosen)
        self._paths = {recording.path.name: recording.path for recording in chosen}

    def of(self, file: str, start: float, seconds: float, other: str, other_start: float) -> float:
        """How like `seconds` of one file are to the stretch of another that begins at `other_start`, at most 1.

        That of the less like half counts, so that both stretches are the same sound throughout. 0 where the other file
        ends, or begins, within the stretch.
        """
        a, b = features(self._paths[file]), features(self._paths[other])
        first, count = round(start * FRAMES_PER_SECOND), int(seconds * FRAMES_PER_SECOND)
        there = round(other_start * FRAMES_PER_SECOND)
        return max(_of_halves(a, first, b, there + by, count) for by in range(-_SLACK_FRAMES, _SLACK_FRAMES + 1))


def _of_halves(a: Features, first: int, b: Features, there: int, count: int) -> float:
    skipped = max(-there, -first, 0)
    held = min(count, a.shape[0] - first, b.shape[0] - there) - skipped
    if held < _LEAST_COVER * count:
        return 0.0
    half = held // 2
    begin, other = first + skipped, there + skipped
    return round(
        min(
            correlation(a[begin : begin + half], b[other : other + half]),
            correlation(a[begin + half : begin + held], b[other + half : other + held]),
        ),
        3,
    )


def correlation(a: Features, b: Features) -> float:
    """That of two stretches of `features`, float32[frames, bands] both, after each band's mean is taken off."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / norm if norm > 0 else 0.0


@lru_cache(maxsize=256)
def features(path: Path) -> Features:
    """Float32[frames, bands]: the logarithm of a recording's power in bands, less the mean of each frame."""
    with path.open("rb") as file:
        samples = np.concatenate(list(decode(file)))
    return features_of(samples)


def features_of(samples: NDArray[np.float32]) -> Features:
    """The same from mono samples at ANALYSIS_FS."""
    frequencies, _, spectrum = stft(
        samples, ANALYSIS_FS, nperseg=_WINDOW, noverlap=_WINDOW - HOP, boundary=None, padded=False
    )
    edges = np.unique(np.searchsorted(frequencies, _BAND_EDGES_HZ))
    power = np.add.reduceat(np.square(np.abs(spectrum)), edges, axis=0)[:-1].T
    logs = np.log(power + _SILENCE * max(float(power.max()), np.finfo(np.float32).tiny))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True), dtype=np.float32)
