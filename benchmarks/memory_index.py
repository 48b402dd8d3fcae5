"""Postings in memory: what a fingerprint database answers, without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dejavu.model import Fingerprints, Postings, UInt32s


class MemoryIndex:
    """The postings of some tracks, of which each has its place in the sequence as its id: 12 bytes a posting."""

    def __init__(self, tracks: Sequence[Fingerprints]) -> None:
        hashes = np.concatenate([np.empty(0, np.uint32), *(track.hashes for track in tracks)])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        sizes = [len(track) for track in tracks]
        self._held = np.cumsum([0, *sizes])
        self._song_ids = np.repeat(np.arange(len(tracks), dtype=np.uint32), sizes)[order]
        self._offsets = np.concatenate([np.empty(0, np.uint32), *(track.offsets for track in tracks)])[order]

    def fingerprints_held(self, tracks: int) -> int:
        """How many fingerprints the first so many tracks have."""
        return int(self._held[tracks])

    def postings(self, hashes: UInt32s, tracks: int, left_out: int = -1) -> Postings:
        """Every posting of these hashes (uint32[n], distinct) in the first so many tracks, but for one of them."""
        first = np.searchsorted(self._hashes, hashes, "left")
        count = np.searchsorted(self._hashes, hashes, "right") - first
        rows = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
        song_ids = self._song_ids[rows]
        wanted = (song_ids < tracks) & (song_ids != left_out)
        return Postings(self._hashes[rows][wanted], song_ids[wanted], self._offsets[rows][wanted])
