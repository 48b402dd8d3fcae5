"""How the postings of a song become rows of MySQL, and rows postings again.

A row holds all offsets that a song has under one hash: (hash, song_id) and 4 bytes an offset, little-endian. InnoDB
adds 18 bytes to every row and fills its pages by half to two thirds, so that fewer rows are what counts: a song has a
quarter fewer hashes than postings, since music repeats itself, and one row for each posting would need 65 bytes of disk
each where this needs 42.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dejavu.model import Fingerprints, Postings, UInt32s

HASHES_PER_STATEMENT = 2048
"""Rows inserted, or deleted, by one statement: some hundred kilobytes at most, far below any max_allowed_packet."""

Row = tuple[int, bytes]
"""A hash and the packed offsets under it."""

_SHUFFLED = np.random.default_rng(0).permutation(HASHES_PER_STATEMENT).tolist()


class SongRows:
    """The postings of one song as rows, a statement's worth at a time: those of 24 hours are two million."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        hashes, offsets = fingerprints.hashes, fingerprints.offsets
        if hashes.shape != offsets.shape:
            raise ValueError(f"hashes and offsets differ in shape: {hashes.shape}, {offsets.shape}")
        self._hashes, self._begins = np.unique(hashes, return_index=True)
        self._offsets = offsets.astype("<u4")

    def batches(self) -> Iterator[list[Row]]:
        """All rows, in batches by rising hash, shuffled within a batch.

        InnoDB takes neighbours that come one after the other for the end of a table and splits pages so that they never
        fill. Batches by rising hash keep those of a long recording to a few pages at a time.
        """
        ends = np.append(self._begins[1:], self._offsets.size)
        for first in range(0, self._hashes.size, HASHES_PER_STATEMENT):
            some = slice(first, first + HASHES_PER_STATEMENT)
            hashes, begins = self._hashes[some].tolist(), self._begins[some]
            packed = self._offsets[begins[0] : ends[some][-1]].tobytes()
            spans = ((np.stack((begins, ends[some])) - begins[0]) * 4).T.tolist()
            order = [row for row in _SHUFFLED if row < len(hashes)]
            yield [(hashes[row], packed[slice(*spans[row])]) for row in order]

    def packed_hashes(self) -> Iterator[bytes]:
        """The hashes alone, a statement's worth at a time, in about 1.2 bytes each: what deletes the song."""
        for first in range(0, self._hashes.size, HASHES_PER_STATEMENT):
            yield pack_hashes(self._hashes[first : first + HASHES_PER_STATEMENT])


def pack_hashes(hashes: UInt32s) -> bytes:
    """Rising hashes as compressed differences; the bytes of one place stand together, as the high ones are all zero."""
    steps = np.diff(hashes, prepend=np.uint32(0)).astype("<u4")
    return zlib.compress(steps.view(np.uint8).reshape(-1, 4).T.tobytes())


def unpack_hashes(packed: bytes) -> UInt32s:
    """The hashes that `pack_hashes` was given."""
    places = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(4, -1)
    return np.cumsum(np.ascontiguousarray(places.T).view("<u4").ravel(), dtype=np.uint32)


def to_postings(rows: Sequence[tuple[int, int, bytes]]) -> Postings:
    """The postings in rows of hash, song id and packed offsets."""
    hashes, song_ids, packed = zip(*rows, strict=True) if rows else ((), (), ())
    counts: NDArray[np.int64] = np.fromiter(map(len, packed), np.int64, len(rows)) // 4
    return Postings(
        np.repeat(np.fromiter(hashes, np.uint32, len(rows)), counts),
        np.repeat(np.fromiter(song_ids, np.uint32, len(rows)), counts),
        np.frombuffer(b"".join(packed), "<u4").astype(np.uint32),
    )
