"""What is asked about a clip: its landmarks as they are, or as they would be at other speeds and pitches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.scaling import scaled_landmarks, warps_within
from dejavu.model import UNCHANGED, ClipPeaks, Query, UInt32s, Warp


@dataclass(frozen=True, slots=True)
class Probe:
    """One way of asking about a clip.

    hashes, offsets : uint32[n], landmarks and their anchors' frames, counted in the time of the song.
    landmarks : how many the clip has; n is more where each was scaled.
    peaks : of the clip as it was heard.
    candidates : how many songs are to be looked at closely.
    warps : the ways in which it may have been played.
    variants : int64[n], which of these a landmark belongs to; None where there is but one.
    """

    hashes: UInt32s
    offsets: UInt32s
    landmarks: int
    peaks: ClipPeaks
    candidates: int = settings.CANDIDATES_PER_INSTANCE
    warps: tuple[Warp, ...] = (UNCHANGED,)
    variants: NDArray[np.int64] | None = None

    @property
    def scaled(self) -> bool:
        """Whether the clip is taken to be changed."""
        return self.variants is not None


def plain_probe(query: Query, hashes: int, candidates: int = settings.CANDIDATES_PER_INSTANCE) -> Probe:
    """The first `hashes` hashes of a query."""
    return Probe(query.hashes[:hashes], query.offsets[:hashes], hashes, query.peaks, candidates)


def scaled_probe(query: Query, change_percent: float, fingerprints_held: int) -> Probe:
    """The best pairs of a clip, as they would be were it changed by up to `change_percent` in speed or pitch."""
    warps = tuple(warps_within(change_percent))
    found = scaled_landmarks(query.peaks, warps, fingerprints_held)
    return Probe(found.hashes, found.offsets, found.pairs, query.peaks, warps=warps, variants=found.warps)
