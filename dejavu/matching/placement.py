"""Where a clip lies in a song, and which peaks of the two then come to lie together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.model import ClipPeaks, Peaks, Warp

NEAR_FRAMES = 1.0
NEAR_BINS = 1.25
"""How far a clip's peak may be from the song's: the grid of frames, and of bins as they are stored, is that coarse."""

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a clip lies in a song: `delta` is the song's frame at the clip's first, and `warp` how it was played."""

    delta: float
    warp: Warp


@dataclass(frozen=True, slots=True)
class Stretch:
    """A song's own peaks where a clip lies; float64[n] each, by frame."""

    frames: Floats
    bins: Floats

    def __len__(self) -> int:
        return int(self.frames.size)


def stretch_of(peaks: ClipPeaks, placement: Placement) -> tuple[float, float]:
    """The first and the last frame of the song that a clip covers."""
    last = float(peaks.frames[-1]) if len(peaks) else 0.0
    return placement.delta, placement.delta + last * placement.warp.speed


def in_song(clip: ClipPeaks, placement: Placement) -> tuple[Floats, Floats]:
    """Where a clip's peaks would be in the song: frames, ascending, and bins of the band; float64[n]."""
    frames = placement.delta + clip.frames.astype(np.float64) * placement.warp.speed
    return frames, (clip.bins.astype(np.float64) + BAND_FIRST_BIN) / placement.warp.pitch - BAND_FIRST_BIN


def own_peaks(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Stretch:
    """Those of a song's peaks that the clip covers."""
    first, last = np.searchsorted(stored.frames, stretch_of(clip, placement))
    return Stretch(stored.frames[first:last].astype(np.float64), stored.bins[first:last].astype(np.float64))


def near(ascending: Floats, places: Floats, distance: float | Floats) -> tuple[Int64s, Int64s]:
    """For each place, where those within `distance` of it begin and end."""
    return np.searchsorted(ascending, places - distance), np.searchsorted(ascending, places + distance, "right")


def met(
    own: Stretch, bins: Floats, earliest: Int64s, latest: Int64s, near_bins: float | Floats
) -> tuple[Int64s, Int64s]:
    """Pairs of a song's peak and a clip's that are near each other: indices of both.

    bins : of the clip's peaks; those from `earliest` to `latest` are near in time to each of the song's.
    near_bins : how far they may be off, one for all or one for each of the song's.
    """
    count = latest - earliest
    of_song = np.repeat(np.arange(len(own)), count)
    of_clip = np.arange(of_song.size) - np.repeat(np.cumsum(count) - count - earliest, count)
    apart = np.abs(own.bins[of_song] - bins[of_clip])
    close = apart <= (near_bins if isinstance(near_bins, float) else near_bins[of_song])
    return of_song[close], of_clip[close]
