"""A candidate looked at closely: how many of the song's own peaks, in the stretch it should be, does the clip have?

Landmarks find a song; what they leave open, each peak of the matched stretch has a say in. Of a noisy clip one pair in
ten may survive, but one peak in three does, and by chance only one in ten or twenty is met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dejavu.config.settings import BAND_FIRST_BIN
from dejavu.matching.chance import poisson_surprise, weight_of_evidence
from dejavu.matching.placement import (
    NEAR_BINS,
    NEAR_FRAMES,
    Floats,
    Int64s,
    Placement,
    Stretch,
    in_song,
    met,
    near,
    own_peaks,
)
from dejavu.model import ClipPeaks, Peaks

_REACH_FRAMES = 88
_NEARBY_FRAMES = 4
"""Where a song's peaks are compared with the clip's besides, to see what rhythm and harmony agree in wherever they are
put: up to two seconds earlier and later, and farther away than the width of a note."""

_PLACES = 2 * _REACH_FRAMES + 1
_ELSEWHERE = np.abs(np.arange(_PLACES) - _REACH_FRAMES) > _NEARBY_FRAMES

_MODEL_PLACES = 60
"""How many such places the model of chance counts for. There are 168 where a clip is long, and next to a peak at its
very start half of them, none of which may have anything."""

_SELECTION_DEVIATIONS = 1.0
"""The best of so many places stands out by two standard deviations of its count in music that has no rhythm. Half of
that is taken for luck, for music mostly has some."""

_LEAST_IN_BOX = 0.5
"""Peaks that are near by chance at least, where the clip has none in those bins or none in those frames."""


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


def agreement(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Agreement:
    """Count what a song's peaks, at least those of the stretch, and a clip's have in common under a placement.

    How many are met by chance follows from where the clip has its peaks: a steady tone, or a loud moment, has many, and
    meets many of any song.
    """
    (found,) = agreements([(stored, placement)], clip)
    return found


def agreements(candidates: Sequence[tuple[Peaks, Placement]], clip: ClipPeaks) -> list[Agreement]:
    """The same for several songs at once: each has few peaks, and a call of numpy costs as much as a hundred of them.

    Where each song would be in the clip is looked at, and not the other way round, so that the clip is the same for all
    of them.
    """
    stretches = [own_peaks(stored, clip, place) for stored, place in candidates]
    sizes = [len(own) for own in stretches]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    places = [(place.delta, place.warp.speed, place.warp.pitch) for _, place in candidates]
    delta, speed, pitch = np.array(places, np.float64).reshape(-1, 3)[owner].T
    own = Stretch(
        (np.concatenate([np.empty(0), *(own.frames for own in stretches)]) - delta) / speed,
        (np.concatenate([np.empty(0), *(own.bins for own in stretches)]) + BAND_FIRST_BIN) * pitch,
    )
    frames, bins = clip.frames.astype(np.float64), clip.bins.astype(np.float64) + BAND_FIRST_BIN
    in_time, level = near(frames, own.frames, NEAR_FRAMES / speed), near(np.sort(bins), own.bins, NEAR_BINS * pitch)
    of_song, _ = met(own, bins, *in_time, NEAR_BINS * pitch)
    matched = np.bincount(owner[np.unique(of_song)], minlength=len(sizes))
    by_chance = np.bincount(owner, -np.expm1(-_expected(in_time, level, frames.size)), len(sizes))
    return [Agreement(*counted) for counted in zip(matched.tolist(), by_chance.tolist(), sizes, strict=True)]


def evidence(stored: Peaks, clip: ClipPeaks, placement: Placement) -> float:
    """How much more the peaks speak for this placement than for any beside it: decades, at least 0.

    Each peak of the song counts by how much better it is met here than by chance (`chance.weight_of_evidence`). Chance
    is what meets it up to two seconds earlier and later, so that a held note, which agrees wherever it is put, says
    little; where the clip has too little around it, what one would expect from the clip's peaks in these bins and these
    frames is mixed in. Where two tunes keep the same time, all of them are met more often than that, as the best of
    those other places shows. From the sum is taken what that place reaches: a beat or a loop agrees as well a bar
    later, and another song may have the same one. Where it is nothing but a beat, here and there differ by accidents of
    many peaks, each worth much; so no more is believed than what counting them would make of it, twice.
    """
    frames, bins = in_song(clip, placement)
    own = own_peaks(stored, clip, placement)
    if not len(own):
        return 0.0
    peaks, places, seen = _seen_at_places(own, frames, bins)
    away = _ELSEWHERE[places]
    elsewhere = np.bincount(peaks[away], seen[away], len(own))
    expected = _expected(near(frames, own.frames, NEAR_FRAMES), near(np.sort(bins), own.bins, NEAR_BINS), frames.size)
    chance = elsewhere + _MODEL_PLACES * np.maximum(expected, _LEAST_IN_BOX / frames.size)
    chance = chance / (_places(own, frames) + _MODEL_PLACES)
    counts = np.bincount(places, minlength=_PLACES)
    usual = _usual(counts)
    rhythm = max(1.0, usual / _met_by_chance(chance))
    weights = weight_of_evidence(seen / (rhythm * chance)[peaks], places, len(own), _PLACES)
    weight = weights[_REACH_FRAMES] - max(0.0, weights[_ELSEWHERE].max())
    counted = float(poisson_surprise(counts[_REACH_FRAMES], np.array(max(_met_by_chance(expected), usual))))
    return max(0.0, min(float(weight), 2 * counted))


def _usual(counts: Int64s) -> float:
    """How many peaks are met where rhythm and harmony help, but for the luck of the best of many places.

    counts : int64[places], of peaks that are met.
    """
    most = float(counts[_ELSEWHERE].max())
    return most - _SELECTION_DEVIATIONS * math.sqrt(most)


def _met_by_chance(expected: Floats) -> float:
    return float(-np.expm1(-expected).sum())


def _seen_at_places(own: Stretch, frames: Floats, bins: Floats) -> tuple[Int64s, Int64s, Floats]:
    """What the clip has at each of the song's peaks if the song is moved by -_REACH_FRAMES, …, 0, …, _REACH_FRAMES.

    Returns
    -------
    peaks, places : int64[n]
        The song's peaks and the places, from 0 to _PLACES - 1, where there is anything; no pair occurs twice.
    seen : float64[n]
        How much: each of the clip's peaks there counts by how close its bin is, and on average as 1.
    """
    order = np.argsort(bins)
    lowest, highest = near(bins[order], own.bins, NEAR_BINS)
    count = highest - lowest
    peaks = np.repeat(np.arange(len(own)), count)
    of_clip = order[np.arange(peaks.size) - np.repeat(np.cumsum(count) - count - lowest, count)]
    off = own.frames[peaks] - frames[of_clip]
    closeness = _closeness((own.bins[peaks] - bins[of_clip]) / NEAR_BINS)
    # Of all whole numbers of frames that the song may be moved by, those at which the pair is near.
    moved = np.concatenate((np.floor(off), np.floor(off) + 1)).astype(np.int64) + _REACH_FRAMES
    within = (moved >= 0) & (moved < _PLACES)
    cells, cell = np.unique((np.tile(peaks, 2) * _PLACES + moved)[within], return_inverse=True)
    seen: Floats = np.bincount(cell, np.tile(closeness, 2)[within]).astype(np.float64)
    return cells // _PLACES, cells % _PLACES, seen


def _closeness(off: Floats) -> Floats:
    """How much likelier a peak is to be so far off (-1..1) if it is the song's than by chance; 1 on average."""
    return 1.75 - 1.5 * np.abs(off)


def _expected(in_time: tuple[Int64s, Int64s], level: tuple[Int64s, Int64s], size: int) -> Floats:
    """How many of a clip's peaks are near each of the song's if their frames say nothing about their bins.

    in_time, level : from which to which of the clip's `size` peaks, by frame and by bin, are near.
    """
    expected: Floats = (in_time[1] - in_time[0]) * (level[1] - level[0]) / max(1, size)
    return expected


def _places(own: Stretch, frames: Floats) -> Int64s:
    """To how many places elsewhere each of the song's peaks can be moved for the clip to cover it."""
    earliest = np.ceil(np.maximum(-_REACH_FRAMES, own.frames - frames[-1]))
    latest = np.floor(np.minimum(_REACH_FRAMES, own.frames - frames[0]))
    nearby = np.minimum(latest, _NEARBY_FRAMES) - np.maximum(earliest, -_NEARBY_FRAMES) + 1
    places: Int64s = (latest - earliest + 1 - nearby).astype(np.int64)
    return places
