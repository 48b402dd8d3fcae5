"""A candidate looked at closely: how many of the song's own peaks, in the stretch it should be, does the clip have?

Landmarks find a song; what they leave open, each peak of the matched stretch has a say in. Of a noisy clip one pair in
ten may survive, but one peak in three does, and by chance only one in ten or twenty is met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.matching.chance import poisson_surprise
from dejavu.model import UNCHANGED, ClipPeaks, Peaks, Warp

NEAR_FRAMES = 1.0
NEAR_BINS = 1.25
"""How far a clip's peak may be from the song's: the grid of frames, and of bins as they are stored, is that coarse."""

_FIT_NEAR = ((2.5, 2.5), (2.0, 2.0), (1.5, 1.5), (NEAR_FRAMES, NEAR_BINS))
"""Frames and bins that a peak may be off while a placement is fitted: from what a step between factors leaves over a
clip to what is near."""

_ELSEWHERE_FRAMES = 88
_NEARBY_FRAMES = 4
"""Where a song's peaks are compared with the clip's besides, to see how much of an agreement is rhythm and harmony: up
to two seconds away, and more than the width of a note."""

_ELSEWHERE_DEVIATIONS = 2.0
"""The best of so many places stands out by two standard deviations of its count, in music that has no rhythm."""

SAME_FACTOR = 0.005
"""Speeds and pitches closer than this are taken to be the same."""

_FIT_MIN_PEAKS = 6
"""Fewer than this say nothing about a slope."""

_FIT_MIN_SPREAD = 8.0
"""Frames, as a standard deviation. Peaks closer together than this, those of one chord, say nothing about speed."""

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a clip lies in a song: `delta` is the song's frame at the clip's first, and `warp` how it was played."""

    delta: float
    warp: Warp


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a song's peaks are those of a clip.

    matched : of the song's peaks in the stretch, how many have one of the clip near them.
    expected : how many would by chance.
    stored : how many there are.
    """

    matched: int
    expected: float
    stored: int

    @property
    def share(self) -> float:
        """Of the song's peaks in the stretch, how many are met; 0..1."""
        return self.matched / max(1, self.stored)

    @property
    def surprise(self) -> float:
        """Minus the decimal logarithm of the probability that chance does as well; at least 0."""
        return float(poisson_surprise(np.array(self.matched), np.array(self.expected)))


def stretch_of(peaks: ClipPeaks, placement: Placement) -> tuple[float, float]:
    """The first and the last frame of the song that a clip covers."""
    last = float(peaks.frames[-1]) if len(peaks) else 0.0
    return placement.delta, placement.delta + last * placement.warp.speed


def agreement(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Agreement:
    """Compare the peaks of a song, at least those of the stretch, with a clip's under a placement.

    How many are met by chance follows from where the clip has its peaks: a steady tone, or a loud moment, has many, and
    meets many of any song.
    """
    frames, bins = _in_song(clip, placement)
    own = _within(stored, *stretch_of(clip, placement))
    earliest, latest = _near(frames, own.frames, NEAR_FRAMES)
    by_bin = np.sort(bins)
    lowest, highest = _near(by_bin, own.bins, NEAR_BINS)
    met = np.unique(_met(own, bins, earliest, latest, NEAR_BINS)[0]).size
    chances = -np.expm1(-(latest - earliest) * (highest - lowest) / max(1, len(clip)))
    return Agreement(met, float(chances.sum()), len(own))


def close_agreement(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Agreement:
    """The same, where as much is expected as the song agrees with the clip a little earlier or later.

    A loop, a beat or a held chord agrees wherever it is put, and another song may hold the same one as steadily. What
    makes a song is what agrees in one place only.
    """
    found = agreement(stored, clip, placement)
    frames, bins = _in_song(clip, placement)
    own = _within(stored, *stretch_of(clip, placement))
    of_song, of_clip = _met(own, bins, *_near(frames, own.frames, _ELSEWHERE_FRAMES + NEAR_FRAMES), NEAR_BINS)
    shifts = np.rint(own.frames[of_song] - frames[of_clip]).astype(np.int64)
    counts = np.bincount(shifts + _ELSEWHERE_FRAMES + 1, minlength=2 * _ELSEWHERE_FRAMES + 3)
    near = counts[:-2] + counts[1:-1] + counts[2:]
    near[_ELSEWHERE_FRAMES - _NEARBY_FRAMES : _ELSEWHERE_FRAMES + _NEARBY_FRAMES + 1] = 0
    most = float(near.max())
    return replace(found, expected=max(found.expected, most - _ELSEWHERE_DEVIATIONS * most**0.5))


def fit(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Placement:
    """Move a placement to where the peaks that it brings together lie closest: a line through them, again and again."""
    for near_frames, near_bins in _FIT_NEAR:
        frames, bins = _in_song(clip, placement)
        own = _within(stored, *stretch_of(clip, placement))
        of_song, of_clip = _met(own, bins, *_near(frames, own.frames, near_frames), near_bins)
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
    frames, bins = _in_song(clip, placement)
    own = _within(stored, *stretch_of(clip, placement))
    of_song, of_clip = _met(own, bins, *_near(frames, own.frames, NEAR_FRAMES), NEAR_BINS)
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


def _in_song(clip: ClipPeaks, placement: Placement) -> tuple[Floats, Floats]:
    """Where a clip's peaks would be in the song: frames, ascending, and bins of the band; float64[n]."""
    frames = placement.delta + clip.frames.astype(np.float64) * placement.warp.speed
    return frames, (clip.bins.astype(np.float64) + BAND_FIRST_BIN) / placement.warp.pitch - BAND_FIRST_BIN


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The song's own peaks there; float64[n] each, by frame."""

    frames: Floats
    bins: Floats

    def __len__(self) -> int:
        return int(self.frames.size)


def _within(stored: Peaks, first_frame: float, last_frame: float) -> _Stretch:
    first, last = np.searchsorted(stored.frames, [first_frame, last_frame])
    return _Stretch(stored.frames[first:last].astype(np.float64), stored.bins[first:last].astype(np.float64))


def _near(ascending: Floats, places: Floats, distance: float) -> tuple[Int64s, Int64s]:
    """For each place, where those within `distance` of it begin and end."""
    return np.searchsorted(ascending, places - distance), np.searchsorted(ascending, places + distance, "right")


def _met(own: _Stretch, bins: Floats, earliest: Int64s, latest: Int64s, near_bins: float) -> tuple[Int64s, Int64s]:
    """Pairs of a song's peak and a clip's that are near each other: indices of both."""
    count = latest - earliest
    of_song = np.repeat(np.arange(len(own)), count)
    of_clip = np.arange(of_song.size) - np.repeat(np.cumsum(count) - count - earliest, count)
    near = np.abs(own.bins[of_song] - bins[of_clip]) <= near_bins
    return of_song[near], of_clip[near]
