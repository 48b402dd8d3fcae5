"""A placement moved to where the peaks that it brings together lie closest, and said as simply as it can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.matching.placement import NEAR_BINS, NEAR_FRAMES, Floats, Placement, in_song, met, near, own_peaks
from dejavu.model import UNCHANGED, ClipPeaks, Peaks, Warp

_FIT_NEAR = ((2.5, 2.5), (2.0, 2.0), (1.5, 1.5), (NEAR_FRAMES, NEAR_BINS))
"""Frames and bins that a peak may be off while a placement is fitted: from what a step between factors leaves over a
clip to what is near."""

SAME_FACTOR = 0.005
"""Speeds and pitches closer than this are taken to be the same."""

_FIT_MIN_PEAKS = 6
"""Fewer than this say nothing about a slope."""

_FIT_MIN_SPREAD = 8.0
"""Frames, as a standard deviation. Peaks closer together than this, those of one chord, say nothing about speed."""


def fit(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Placement:
    """Move a placement to where the peaks that it brings together lie closest: a line through them, again and again."""
    for near_frames, near_bins in _FIT_NEAR:
        frames, bins = in_song(clip, placement)
        own = own_peaks(stored, clip, placement)
        of_song, of_clip = met(own, bins, *near(frames, own.frames, near_frames), near_bins)
        if of_song.size < _FIT_MIN_PEAKS:
            return placement
        heard = clip.frames[of_clip].astype(np.float64), clip.bins[of_clip].astype(np.float64)
        placement = _line(own.frames[of_song], own.bins[of_song], *heard, placement)
    return placement


def anchored(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Placement:
    """Keep the warp of a placement and move it to the mean of the peaks that it brings together.

    The clip's peaks count by their frames here, as the song's do: between frames, a clip's rise to the side of the
    attack, which those of the song cannot show.
    """
    frames, bins = in_song(clip, placement)
    own = own_peaks(stored, clip, placement)
    of_song, of_clip = met(own, bins, *near(frames, own.frames, NEAR_FRAMES), NEAR_BINS)
    if of_song.size < _FIT_MIN_PEAKS:
        return placement
    heard = np.rint(clip.frames[of_clip].astype(np.float64)) * placement.warp.speed
    return replace(placement, delta=float(np.mean(own.frames[of_song] - heard)))


def snapped(warp: Warp) -> Warp:
    """The simplest change that is the same within SAME_FACTOR: none, of speed, of speed alone, of pitch alone."""
    if _same(warp.speed, warp.pitch):
        both = (warp.speed * warp.pitch) ** 0.5
        return UNCHANGED if _same(both, 1.0) else Warp(both, both)
    return Warp(1.0 if _same(warp.speed, 1.0) else warp.speed, 1.0 if _same(warp.pitch, 1.0) else warp.pitch)


def _same(factor: float, other: float) -> bool:
    return abs(factor / other - 1) < SAME_FACTOR


def _line(song_frames: Floats, song_bins: Floats, clip_frames: Floats, clip_bins: Floats, now: Placement) -> Placement:
    """The least squares of song frames over clip frames, and of clip frequencies over song frequencies."""
    centred = clip_frames - clip_frames.mean()
    spread = float(centred @ centred)
    enough = spread >= _FIT_MIN_SPREAD**2 * clip_frames.size
    speed = float(centred @ song_frames) / spread if enough else now.warp.speed
    heard, sung = clip_bins + BAND_FIRST_BIN, song_bins + BAND_FIRST_BIN
    pitch = float(heard @ sung) / float(sung @ sung)
    return Placement(float(song_frames.mean() - speed * clip_frames.mean()), Warp(speed, pitch))
