"""A clip's peaks to the landmarks that its song would have if the clip was played faster, slower, higher or lower.

Catalogues hold every recording at its own speed only. So what was done to a clip is undone: its peaks, known to a part
of a frame and of a bin, are scaled in time and frequency and packed anew, for each of a grid of changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.commonness import asking_order, expected_postings
from dejavu.fingerprint.landmarks import pack, pairs_of
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import ClipPeaks, UInt32s, Warp

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

_PAIR_POSTINGS = settings.SCALED_POSTINGS / settings.SCALED_HASHES_PER_PAIR
"""Postings that the pairs may be expected to bring as they are."""


@dataclass(frozen=True, slots=True)
class ScaledLandmarks:
    """The landmarks of a clip under several warps, as columns.

    hashes : uint32[n]; offsets : uint32[n], anchor frames in the time of the song, from the start of the clip.
    warps : int64[n], which of the warps each is for. No (hash, offset, warp) occurs twice.
    pairs : how many pairs of peaks were scaled.
    """

    hashes: UInt32s
    offsets: UInt32s
    warps: NDArray[np.int64]
    pairs: int


def warps_within(change_percent: float) -> list[Warp]:
    """Changes of speed, of speed alone and of pitch alone, up to `change_percent` either way, SCALE_STEP apart."""
    steps = int(np.ceil(-np.log1p(-change_percent / 100) / settings.SCALE_STEP))
    factors = np.exp(settings.SCALE_STEP * np.arange(-steps, steps + 1)).tolist()
    changed = [factor for factor in factors if factor != 1]
    return [
        *(Warp(factor, factor) for factor in factors),
        *(Warp(speed=factor) for factor in changed),
        *(Warp(pitch=factor) for factor in changed),
    ]


def scaled_landmarks(peaks: ClipPeaks, warps: Sequence[Warp], fingerprints_held: int) -> ScaledLandmarks:
    """The most telling pairs of a clip, for a catalogue of this size, under each of `warps`.

    Few pairs of the best peaks find as much as many: a candidate needs a handful of them to be looked at closely.
    """
    frames, bins, anchors, targets = _telling_pairs(peaks, fingerprints_held)
    speeds = np.array([[warp.speed] for warp in warps])
    pitches = np.array([[warp.pitch] for warp in warps])
    starts = np.maximum(_rounded(frames[anchors] * speeds), 0)
    spans = np.maximum(_rounded(frames[targets] * speeds), 0) - starts
    from_bins = _rounded((bins[anchors] + settings.BAND_FIRST_BIN) / pitches) - settings.BAND_FIRST_BIN
    to_bins = _rounded((bins[targets] + settings.BAND_FIRST_BIN) / pitches) - settings.BAND_FIRST_BIN
    whole = (
        (spans >= settings.MIN_TARGET_FRAMES)
        & (spans <= settings.MAX_TARGET_FRAMES)
        & (np.abs(to_bins - from_bins) <= settings.MAX_TARGET_BINS)
        & (np.minimum(from_bins, to_bins) >= 0)
        & (np.maximum(from_bins, to_bins) < BAND_BINS)
    )
    hashes = pack(from_bins[whole], to_bins[whole], spans[whole])
    return _distinct(hashes, starts[whole].astype(np.uint32), np.nonzero(whole)[0], anchors.size)


def _telling_pairs(peaks: ClipPeaks, fingerprints_held: int) -> tuple[Floats, Floats, Int64s, Int64s]:
    """Frames and bins of the most salient peaks, and the indices of the anchors and targets of at most SCALED_PAIRS."""
    kept = peaks.ranks < settings.SCALED_PEAKS_PER_CELL
    frames, bins, ranks = peaks.frames[kept], peaks.bins[kept], peaks.ranks[kept]
    anchors, targets = pairs_of(frames, bins, settings.SCALED_FAN_OUT)
    expected = expected_postings(_packed_as_heard(frames, bins, anchors, targets), fingerprints_held)
    order = asking_order(np.maximum(ranks[anchors], ranks[targets]), expected)[: settings.SCALED_PAIRS]
    affordable = max(settings.SCALED_LEAST_PAIRS, int(np.searchsorted(np.cumsum(expected[order]), _PAIR_POSTINGS)))
    best = order[:affordable]
    return frames.astype(np.float64), bins.astype(np.float64), anchors[best], targets[best]


def _packed_as_heard(
    frames: NDArray[np.float32], bins: NDArray[np.float32], anchors: Int64s, targets: Int64s
) -> UInt32s:
    """Hashes of pairs as they are in the clip, to see how common they are."""
    whole_bins = np.clip(_rounded(bins), 0, BAND_BINS - 1)
    spans = np.clip(_rounded(frames[targets] - frames[anchors]), settings.MIN_TARGET_FRAMES, settings.MAX_TARGET_FRAMES)
    distance = np.clip(whole_bins[targets] - whole_bins[anchors], -settings.MAX_TARGET_BINS, settings.MAX_TARGET_BINS)
    return pack(whole_bins[anchors], whole_bins[anchors] + distance, spans)


def _rounded(values: NDArray[np.floating]) -> NDArray[np.int64]:
    rounded: NDArray[np.int64] = np.rint(values).astype(np.int64)
    return rounded


def _distinct(hashes: UInt32s, offsets: UInt32s, warps: Int64s, pairs: int) -> ScaledLandmarks:
    order = np.lexsort((warps, offsets, hashes))
    hashes, offsets, warps = hashes[order], offsets[order], warps[order]
    repeated = np.zeros(hashes.size, bool)
    repeated[1:] = (np.diff(hashes) == 0) & (np.diff(offsets) == 0) & (np.diff(warps) == 0)
    return ScaledLandmarks(hashes[~repeated], offsets[~repeated], warps[~repeated], pairs)
