"""Songs' peaks and clips of them, played at any speed and pitch, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dejavu.config.settings import (
    BAND_FIRST_BIN,
    BAND_LAST_BIN,
    PEAK_BIN_STEP,
    RANK_CELL_FRAMES,
    REFERENCE_PEAKS_PER_CELL,
    SCALE_STEP,
)
from dejavu.matching.placement import Placement
from dejavu.model import ClipPeaks, Peaks, Warp

BAND_BINS = BAND_LAST_BIN - BAND_FIRST_BIN
CLIP_FRAMES = 430.0
"""10 s."""

NO_STORED = Peaks(np.empty(0, np.uint32), np.empty(0, np.float32))
NO_CLIP = ClipPeaks(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.uint8))


def stored_of(frames: np.ndarray, bins: np.ndarray) -> Peaks:
    """As a database gives them: whole frames, centres of PEAK_BIN_STEP bins."""
    order = np.argsort(frames, kind="stable")
    centres = np.rint(bins[order]) // PEAK_BIN_STEP * PEAK_BIN_STEP + (PEAK_BIN_STEP - 1) / 2
    return Peaks(np.rint(frames[order]).astype(np.uint32), centres.astype(np.float32))


def clip_of(frames: np.ndarray, bins: np.ndarray) -> ClipPeaks:
    order = np.argsort(frames, kind="stable")
    return ClipPeaks(frames[order].astype(np.float32), bins[order].astype(np.float32), np.zeros(frames.size, np.uint8))


@dataclass(frozen=True)
class Played:
    """A song's stored peaks, a clip of it, and where and how that was played in truth."""

    stored: Peaks
    clip: ClipPeaks
    truth: Placement


def played(warp: Warp, seed: int, kept: float = 0.5, clip_frames: float = CLIP_FRAMES) -> Played:
    """A minute of a song, and a clip that has some of its peaks, all a bit off, and three times as many of noise."""
    rng = np.random.default_rng(seed)
    per_frame = REFERENCE_PEAKS_PER_CELL / RANK_CELL_FRAMES
    frames = rng.uniform(0, 2600, int(2600 * per_frame))
    bins = rng.uniform(20, BAND_BINS - 80, frames.size)
    delta = rng.uniform(300, 2000)
    here = (frames >= delta) & (frames < delta + clip_frames * warp.speed) & (rng.random(frames.size) < kept)
    heard = (frames[here] - delta) / warp.speed + rng.normal(0, 0.2, here.sum())
    height = (bins[here] + BAND_FIRST_BIN) * warp.pitch - BAND_FIRST_BIN + rng.normal(0, 0.2, here.sum())
    n_noise = int(3 * per_frame * clip_frames)
    return Played(
        stored_of(frames, bins),
        clip_of(
            np.append(heard, rng.uniform(0, clip_frames, n_noise)),
            np.append(height, rng.uniform(0, BAND_BINS, n_noise)),
        ),
        Placement(delta, warp),
    )


def beside(truth: Placement, speed_steps: float, pitch_steps: float, clip_frames: float = CLIP_FRAMES) -> Placement:
    """Where landmarks of a factor beside the true one put a clip: in whole frames, right in its middle."""
    warp = Warp(
        truth.warp.speed * np.exp(SCALE_STEP * speed_steps), truth.warp.pitch * np.exp(SCALE_STEP * pitch_steps)
    )
    return Placement(float(round(truth.delta + (truth.warp.speed - warp.speed) * clip_frames / 2)), warp)


CHANGES = [
    Warp(factor if change != "pitch" else 1.0, factor if change != "tempo" else 1.0)
    for change in ("speed", "tempo", "pitch")
    for factor in (0.88, 0.95, 1.05, 1.12)
]
"""By as much as is looked for, and by less."""
