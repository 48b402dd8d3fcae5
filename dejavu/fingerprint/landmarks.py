"""A constellation to landmarks: pairs of peaks, each packed into one integer. The only owner of the hash format.

A hash holds the anchor's bin, the distance in bins to its target and the distance in frames, from the highest bits to
the lowest::

    bin: 9 bits | bins to the target + 64: 7 bits | frames to the target: 6 bits        22 bits in all
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import MAX_TARGET_BINS, MAX_TARGET_FRAMES, MIN_TARGET_FRAMES
from dejavu.fingerprint.peaks import Constellation
from dejavu.model import UInt32s

_FRAMES_BITS = 6
_BINS_BITS = 7
_BINS_BIAS = 1 << (_BINS_BITS - 1)

HASH_BITS = 9 + _BINS_BITS + _FRAMES_BITS
"""Of which a hash consists; those above are 0."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Pairs of peaks: packed hashes uint32[n], anchor frames uint32[n], and the rank uint8[n] of the weaker peak."""

    hashes: UInt32s
    offsets: UInt32s
    ranks: NDArray[np.uint8]


def pack(anchor_bins: NDArray[np.int64], target_bins: NDArray[np.int64], frames: NDArray[np.int64]) -> UInt32s:
    """Hashes of pairs given by the bins of anchor and target and the frames from one to the other; int64[n] each."""
    distance = target_bins - anchor_bins + _BINS_BIAS
    packed: UInt32s = ((anchor_bins << _BINS_BITS | distance) << _FRAMES_BITS | frames).astype(np.uint32)
    return packed


def unpack(hashes: UInt32s) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What `pack` was given: anchor bins, target bins, frames between; int64[n] each."""
    wide = hashes.astype(np.int64)
    frames = wide & ((1 << _FRAMES_BITS) - 1)
    distance = (wide >> _FRAMES_BITS & ((1 << _BINS_BITS) - 1)) - _BINS_BIAS
    anchor_bins = wide >> (_FRAMES_BITS + _BINS_BITS)
    return anchor_bins, anchor_bins + distance, frames


def pair_peaks(peaks: Constellation, fan_out: int) -> Landmarks:
    """Each peak, as an anchor, with the first `fan_out` peaks in its target zone.

    The zone is MIN_TARGET_FRAMES to MAX_TARGET_FRAMES later and at most MAX_TARGET_BINS higher or lower; targets are
    taken in the order of (frame, bin).
    """
    anchors, targets = pairs_of(peaks.frames, peaks.bins, fan_out)
    frames = peaks.frames[targets] - peaks.frames[anchors]
    return Landmarks(
        hashes=pack(peaks.bins[anchors], peaks.bins[targets], frames),
        offsets=peaks.frames[anchors].astype(np.uint32),
        ranks=np.maximum(peaks.ranks[anchors], peaks.ranks[targets]),
    )


def pairs_of(
    frames: NDArray[np.int64] | NDArray[np.float32], bins: NDArray[np.int64] | NDArray[np.float32], fan_out: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of anchors and of targets, of peaks sorted by frame; `pair_peaks` says which.

    All pairs of peaks that stand `lag` places apart are looked at together.
    """
    when, where = _narrow(frames), _narrow(bins)
    anchors: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    targets: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    paired = np.zeros(when.size, np.int32)
    for lag in range(1, when.size):
        later = when[lag:] - when[:-lag]
        chosen = (later <= MAX_TARGET_FRAMES) & (paired[:-lag] < fan_out)
        if not chosen.any():
            break
        chosen &= (later >= MIN_TARGET_FRAMES) & (np.abs(where[lag:] - where[:-lag]) <= MAX_TARGET_BINS)
        paired[:-lag] += chosen
        anchors.append(np.flatnonzero(chosen))
        targets.append(anchors[-1] + lag)
    return np.concatenate(anchors), np.concatenate(targets)


def _narrow(column: NDArray[np.int64] | NDArray[np.float32]) -> NDArray[np.int32] | NDArray[np.float32]:
    """Half the width is half the time, and 2 ** 31 frames are 19 months."""
    return column.astype(np.int32) if column.dtype == np.int64 else column.astype(np.float32, copy=False)
