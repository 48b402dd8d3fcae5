"""A recording's peaks to stretches of about a minute, packed for a database, and back.

A stretch is two columns, each a raw deflate stream of its own, one right behind the other; a stream says itself where
it ends. The columns know nothing of each other and have other statistics: with codes of their own a peak takes 9.5
bits, where one stream for both takes 10.5.

    gaps: the frames from each peak to the next, the first one's from the start of the stretch. A byte below 255 ends a
          gap; one of 255 adds as much to it.
    bins: the bin of each peak // PEAK_BIN_STEP, a byte.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import BAND_FIRST_BIN, BAND_LAST_BIN, PEAK_BIN_STEP, STRETCH_FRAMES
from dejavu.model import Peaks

MOST_PEAKS = 1 << 14
"""In a stretch; sixteen times what is stored of the densest recording, and as many bytes as the narrowest column for
bytes of any database takes."""

_BAND_BINS = BAND_LAST_BIN - BAND_FIRST_BIN
_GAP_ESCAPE = 255
_MOST_BYTES = MOST_PEAKS + STRETCH_FRAMES // _GAP_ESCAPE
"""Of an unpacked column: all its peaks, and the escapes of its gaps."""

_RAW = -zlib.MAX_WBITS
"""Deflate without header and checksum; databases have their own."""


def pack(peaks: Peaks) -> dict[int, bytes]:
    """The packed peaks of each stretch that has any, under its number; stretch k begins at frame k * STRETCH_FRAMES.

    Raises `ValueError` for what are no peaks: columns of different shapes, frames that fall, bins outside the band, or
    more than MOST_PEAKS in a stretch.
    """
    _require_peaks(peaks)
    numbers, starts, counts = np.unique(peaks.frames // STRETCH_FRAMES, return_index=True, return_counts=True)
    if counts.max(initial=0) > MOST_PEAKS:
        raise ValueError(f"There are {counts.max()} peaks in a stretch, and {MOST_PEAKS} at most can be stored.")
    halves = (peaks.bins // PEAK_BIN_STEP).astype(np.uint8)
    within = (peaks.frames % STRETCH_FRAMES).astype(np.int64)
    packed = {}
    for number, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
        own = slice(start, start + count)
        gaps = np.ediff1d(within[own], to_begin=within[start])
        # Gaps are short and follow each other as they like: looking for repetitions would find some by accident.
        packed[number] = _deflated(_escaped(gaps), zlib.Z_HUFFMAN_ONLY) + _deflated(
            halves[own], zlib.Z_DEFAULT_STRATEGY
        )
    return packed


def unpack(number: int, packed: bytes) -> Peaks:
    """The peaks of a stretch, their frames from the start of the recording and their bins as they are stored.

    Raises `ValueError` for what `pack` never makes.
    """
    try:
        gaps, rest = _inflated(packed)
        halves, rest = _inflated(rest)
    except zlib.error as exc:
        raise ValueError(f"Stretch {number} of a recording is damaged.") from exc
    ends = np.flatnonzero(gaps != _GAP_ESCAPE)
    frames = np.cumsum(gaps, dtype=np.int64)[ends]
    bins = (halves * np.float32(PEAK_BIN_STEP) + np.float32((PEAK_BIN_STEP - 1) / 2)).astype(np.float32)
    whole = not rest and 0 < ends.size == halves.size <= MOST_PEAKS and ends[-1] == gaps.size - 1
    if not whole or frames[-1] >= STRETCH_FRAMES or bins.max() >= _BAND_BINS:
        raise ValueError(f"Stretch {number} of a recording is damaged.")
    return Peaks((number * STRETCH_FRAMES + frames).astype(np.uint32), bins)


def join(stretches: dict[int, bytes]) -> Peaks:
    """The peaks of all these stretches of one recording, each packed under its number, as one; raises as `unpack`."""
    parts = [unpack(number, stretches[number]) for number in sorted(stretches)]
    return Peaks(
        np.concatenate([np.empty(0, np.uint32), *(part.frames for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.bins for part in parts)]),
    )


def _require_peaks(peaks: Peaks) -> None:
    if peaks.frames.shape != peaks.bins.shape:
        raise ValueError(f"The peaks' frames and bins differ in shape: {peaks.frames.shape}, {peaks.bins.shape}.")
    if np.any(peaks.frames[1:] < peaks.frames[:-1]):
        raise ValueError("The frames of peaks fall; they have to be sorted.")
    if not np.all((peaks.bins >= 0) & (peaks.bins < _BAND_BINS)):
        raise ValueError(f"The bins of peaks have to be from 0 to below {_BAND_BINS}.")


def _escaped(gaps: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Gaps of any length as bytes."""
    escapes, rests = np.divmod(gaps, _GAP_ESCAPE)
    ends = np.cumsum(escapes + 1) - 1
    column = np.full(int(ends[-1]) + 1, _GAP_ESCAPE, np.uint8)
    column[ends] = rests
    return column


def _deflated(column: NDArray[np.uint8], strategy: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, _RAW, strategy=strategy)
    return deflate.compress(column.tobytes()) + deflate.flush()


def _inflated(packed: bytes) -> tuple[NDArray[np.uint8], bytes]:
    """The first column in some bytes, and the bytes behind it; raises `zlib.error`, also where it is too long."""
    inflate = zlib.decompressobj(_RAW)
    column = inflate.decompress(packed, _MOST_BYTES + 1)
    if not inflate.eof or len(column) > _MOST_BYTES:
        raise zlib.error("a column that does not end where it should")
    return np.frombuffer(column, np.uint8), inflate.unused_data
