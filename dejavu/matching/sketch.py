"""What decided an answer, as columns to draw: whose peaks lie where, and how many agree on each place in the song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.matching.placement import NEAR_BINS, NEAR_FRAMES, Floats, Int64s, Placement, in_song, met, near, own_peaks
from dejavu.model import ClipPeaks, Peaks


@dataclass(frozen=True, slots=True)
class Overlay:
    """A song's peaks laid over a clip's, where the clip lies in it.

    frames, bins : float64[n], the song's peaks in the time and the pitch of the clip; bins count from 0 Hz.
    met : bool[n], which of them the clip has.
    of_clip : bool[m], which of the clip's m peaks are met.
    """

    frames: Floats
    bins: Floats
    met: NDArray[np.bool_]
    of_clip: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Agreements:
    """How many of a song's peaks a clip has if it lies at each place: `counts` (int64[n]) from delta `first` on."""

    first: int
    counts: Int64s


def overlay(clip: ClipPeaks, placement: Placement, stored: Peaks) -> Overlay:
    """Lay a song's peaks over a clip's, by the rule that candidates are verified by (`matching.verify`)."""
    frames, bins = in_song(clip, placement)
    own = own_peaks(stored, clip, placement)
    of_song, of_clip = met(own, bins, *near(frames, own.frames, NEAR_FRAMES), NEAR_BINS)
    return Overlay(
        frames=(own.frames - placement.delta) / placement.warp.speed,
        bins=(own.bins + BAND_FIRST_BIN) * placement.warp.pitch,
        met=np.isin(np.arange(len(own)), of_song),
        of_clip=np.isin(np.arange(len(clip)), of_clip),
    )


def agreements(clip: ClipPeaks, placement: Placement, stored: Peaks) -> Agreements:
    """Move the clip over the whole song, played as it was, and count the song's peaks that it has at each place.

    Wang's histogram of time differences, of peaks rather than of pairs of them.
    """
    frames, bins = in_song(clip, Placement(0.0, placement.warp))
    order = np.argsort(bins)
    lowest, highest = near(bins[order], stored.bins.astype(np.float64), NEAR_BINS)
    count = highest - lowest
    of_song = np.repeat(np.arange(len(stored)), count)
    of_clip = order[np.arange(of_song.size) - np.repeat(np.cumsum(count) - count - lowest, count)]
    off = stored.frames[of_song].astype(np.float64) - frames[of_clip]
    moved = np.concatenate((np.floor(off), np.floor(off) + 1)).astype(np.int64)
    if not moved.size:
        return Agreements(0, np.zeros(1, np.int64))
    first = int(moved.min())
    pairs = np.unique(np.tile(of_song, 2) << 32 | moved - first)
    return Agreements(first, np.bincount(pairs & 0xFFFFFFFF))
