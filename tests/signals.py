"""Seeded songs, mono at ANALYSIS_FS, and what happens to them on the way to a microphone."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH

Samples = NDArray[np.float32]

_BEAT_SECONDS = 0.17
_NOTE_SECONDS = 0.4
_CLICK_SAMPLES = 300


@cache
def song(seconds: float, seed: int, *, tempo: float = 1.0, pitch: float = 1.0) -> Samples:
    """Three notes with overtones on every beat, a click on every other one, and a little noise throughout.

    With another `tempo` its beats follow each other that much faster, with another `pitch` its notes are that much
    higher; what is played on which beat stays.
    """
    rng = np.random.default_rng(seed)
    samples = noise(seconds, seed).astype(np.float64) * 0.02
    time = np.arange(round(_NOTE_SECONDS * ANALYSIS_FS)) / ANALYSIS_FS
    for beat, start in enumerate(range(0, samples.size, round(_BEAT_SECONDS / tempo * ANALYSIS_FS))):
        pitches = pitch * np.outer(rng.uniform(220, 1200, 3), [1, 2, 3]).reshape(-1, 1)
        chord = np.sin(2 * np.pi * pitches * time).sum(axis=0) * np.exp(-6 * time)
        _add(samples, start, 0.05 * rng.uniform(0.3, 1) * chord)
        if beat % 2:
            _add(samples, start, 0.3 * rng.standard_normal(_CLICK_SAMPLES) * np.linspace(1, 0, _CLICK_SAMPLES))
    made = samples.astype(np.float32)
    made.setflags(write=False)
    return made


def noise(seconds: float, seed: int) -> Samples:
    """White noise of -20 dB."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * ANALYSIS_FS), np.float32)


def metronome(seconds: float, frames: float) -> Samples:
    """One drum, the same sound every so many frames."""
    time = np.arange(round(0.14 * ANALYSIS_FS)) / ANALYSIS_FS
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (410, 730, 1290, 1930, 2810))
    samples = np.zeros(round(seconds * ANALYSIS_FS))
    for start in range(0, samples.size, round(frames * HOP_LENGTH)):
        _add(samples, start, 0.3 * tones * np.exp(-25 * time))
    return samples.astype(np.float32)


def silence(frames: int) -> Samples:
    """As many zeros as make so many frames pass."""
    return np.zeros(frames * HOP_LENGTH, np.float32)


def cut(samples: Samples, start_seconds: float, seconds: float) -> Samples:
    """A stretch of it."""
    first = round(start_seconds * ANALYSIS_FS)
    return samples[first : first + round(seconds * ANALYSIS_FS)]


def add_noise(samples: Samples, snr_db: float, seed: int) -> Samples:
    """With white noise, `snr_db` weaker than the samples."""
    added = noise(samples.size / ANALYSIS_FS, seed)
    gain = np.sqrt(np.mean(samples**2) / np.mean(added**2)) * 10 ** (-snr_db / 20)
    return samples + gain.astype(np.float32) * added


def delay(samples: Samples, frames: int) -> Samples:
    """With silence in front, so that everything comes so many frames later."""
    return np.concatenate((silence(frames), samples))


def blocks(samples: Samples, sizes: list[int]) -> list[Samples]:
    """Cut up into blocks of these sizes, again and again."""
    ends = [0]
    while ends[-1] < samples.size:
        ends.append(ends[-1] + sizes[(len(ends) - 1) % len(sizes)])
    return [samples[first:last] for first, last in pairwise(ends)]


def _add(samples: NDArray[np.float64], start: int, added: NDArray[np.float64]) -> None:
    """Mix in from `start` on; what would reach past the end is left out."""
    part = samples[start : start + added.size]
    part += added[: part.size]
