"""Sound to fingerprints, composed from the stages beside this module: sparse for the catalogue, dense for a query.

Blocks of samples stream through: what is held at a time is one segment of sound and the peaks found so far, so a day
of it takes little more memory than a song.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.landmarks import Landmarks, pair_peaks
from dejavu.fingerprint.peaks import Constellation, find_peaks, interpolated
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.model import ClipPeaks, Fingerprints, Peaks, Query

Samples = NDArray[np.float32]

_SEGMENT_FRAMES = 30 * settings.RANK_CELL_FRAMES
"""Frames whose peaks are found together, half a minute of sound; whole cells, so that ranks do not depend on it."""

_MARGIN_FRAMES = 2 * settings.RANK_CELL_FRAMES
"""Frames heard on either side of a segment: whole cells again, and more than a peak's box and local mean reach."""


def extract_reference(blocks: Iterable[Samples]) -> Fingerprints:
    """What is stored of a recording.

    Parameters
    ----------
    blocks : iterable of float32[n]
        Consecutive mono samples at ANALYSIS_FS, in blocks of any size.

    Returns
    -------
    Fingerprints
        Empty where there is no sound, or less than one pair of peaks.
    """
    peaks = _constellation(
        blocks, settings.REFERENCE_BOX_FRAMES, settings.REFERENCE_BOX_BINS, settings.REFERENCE_PEAKS_PER_CELL
    )
    return reference_of(peaks)


def reference_of(peaks: Constellation) -> Fingerprints:
    """What is stored of a recording with these peaks."""
    found = pair_peaks(peaks, settings.REFERENCE_FAN_OUT)
    keys = np.unique(found.hashes.astype(np.uint64) << 32 | found.offsets)
    return Fingerprints(
        hashes=(keys >> 32).astype(np.uint32),
        offsets=keys.astype(np.uint32),
        peaks=Peaks(peaks.frames.astype(np.uint32), peaks.bins.astype(np.float32)),
    )


def extract_query(blocks: Iterable[Samples]) -> Query:
    """What is asked about a clip; `blocks` as for `extract_reference`.

    A recording's frames and a clip's lie on different grids. Up to QUERY_DENSE_SECONDS a clip is therefore looked at on
    QUERY_SHIFTS grids, of which one is at most an eighth of a frame off, and with many more peaks than a recording,
    since noise adds peaks among those that are stored. A longer clip has evidence enough as it is.
    """
    remaining = iter(blocks)
    dense_samples = int(settings.QUERY_DENSE_SECONDS * settings.ANALYSIS_FS)
    head = _take(remaining, dense_samples + 1)
    if head.size <= dense_samples:
        grids = [_clip_peaks(shifted) for shifted in _shifted(head)]
        return _ordered(_dense_landmarks([peaks for _, peaks in grids]), interpolated(*grids[0]))
    peaks = _constellation(
        chain([head], remaining),
        settings.QUERY_BOX_FRAMES,
        settings.QUERY_BOX_BINS,
        settings.REFERENCE_PEAKS_PER_CELL,
    )
    return _ordered(pair_peaks(peaks, settings.REFERENCE_FAN_OUT), interpolated(*_clip_peaks(head[:dense_samples])))


def _take(blocks: Iterator[Samples], n_samples: int) -> Samples:
    """Whole blocks until there are at least `n_samples` samples, or no more blocks."""
    taken: list[Samples] = [np.empty(0, np.float32)]
    held = 0
    while held < n_samples and (block := next(blocks, None)) is not None:
        taken.append(block)
        held += block.size
    return np.concatenate(taken)


def _shifted(samples: Samples) -> Iterator[Samples]:
    """The same sound on QUERY_SHIFTS grids of frames, each a part of a frame later."""
    for shift in range(settings.QUERY_SHIFTS):
        yield samples[shift * settings.HOP_LENGTH // settings.QUERY_SHIFTS :]


def _clip_peaks(clip: Samples) -> tuple[NDArray[np.float32], Constellation]:
    """The spectrogram of a clip of at most QUERY_DENSE_SECONDS, and its peaks."""
    power = power_spectrogram(clip)
    peaks = find_peaks(power, settings.QUERY_BOX_FRAMES, settings.QUERY_BOX_BINS)
    return power, peaks.best(settings.QUERY_PEAKS_PER_CELL)


def _dense_landmarks(grids: Sequence[Constellation]) -> Landmarks:
    """The landmarks on all grids, paired in one go: from one grid to the next are more frames than a pair spans."""
    last_frame = max((int(peaks.frames[-1]) for peaks in grids if len(peaks)), default=0)
    apart = last_frame + settings.MAX_TARGET_FRAMES + 1
    found = pair_peaks(
        _joined([replace(peaks, frames=peaks.frames + number * apart) for number, peaks in enumerate(grids)]),
        settings.QUERY_FAN_OUT,
    )
    return replace(found, offsets=found.offsets % np.uint32(apart))


def _ordered(found: Landmarks, peaks: ClipPeaks) -> Query:
    """The distinct landmarks, those of the most salient peaks first, at most QUERY_MAX_HASHES."""
    order = np.argsort(found.ranks, kind="stable")
    hashes, offsets = found.hashes[order], found.offsets[order]
    _, first = np.unique(hashes.astype(np.uint64) << 32 | offsets, return_index=True)
    kept = np.sort(first)[: settings.QUERY_MAX_HASHES]
    return Query(hashes[kept], offsets[kept], found.ranks[order][kept], peaks)


def _constellation(blocks: Iterable[Samples], box_frames: int, box_bins: int, peaks_per_cell: int) -> Constellation:
    """The peaks of a stream, the same as if it were transformed in one piece."""
    parts = []
    for first_frame, samples, margin, n_frames in _segments(blocks):
        peaks = find_peaks(power_spectrogram(samples), box_frames, box_bins).best(peaks_per_cell)
        inside = (peaks.frames >= margin) & (peaks.frames < margin + n_frames)
        parts.append(Constellation(peaks.frames[inside] + first_frame, peaks.bins[inside], peaks.ranks[inside]))
    return _joined(parts)


def _joined(parts: Sequence[Constellation]) -> Constellation:
    """Constellations that follow one another in time, as one."""
    return Constellation(
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.bins for part in parts]),
        np.concatenate([part.ranks for part in parts]),
    )


def _segments(blocks: Iterable[Samples]) -> Iterator[tuple[int, Samples, int, int]]:
    """Overlapping stretches of a stream whose own parts follow each other without a gap.

    Yields
    ------
    first_frame, samples, margin, n_frames
        Frame `margin` of `samples` is the first of `n_frames` that belong to this segment. Frame 0 of `samples` is
        frame `first_frame` of the stream.
    """
    held = np.empty(0, np.float32)
    held_frame = margin = 0
    wanted = _samples_of(_SEGMENT_FRAMES + _MARGIN_FRAMES)
    for block in blocks:
        held = np.concatenate((held, block))
        while held.size >= wanted:
            yield held_frame, held[:wanted], margin, _SEGMENT_FRAMES
            passed = _SEGMENT_FRAMES + margin - _MARGIN_FRAMES
            held = held[passed * settings.HOP_LENGTH :]
            held_frame += passed
            margin = _MARGIN_FRAMES
            wanted = _samples_of(_MARGIN_FRAMES + _SEGMENT_FRAMES + _MARGIN_FRAMES)
    yield held_frame, held, margin, _SEGMENT_FRAMES + _MARGIN_FRAMES


def _samples_of(n_frames: int) -> int:
    """How many samples `n_frames` frames span."""
    return (n_frames - 1) * settings.HOP_LENGTH + settings.N_FFT
