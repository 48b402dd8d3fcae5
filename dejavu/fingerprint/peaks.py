"""A spectrogram to a constellation: the few peaks of every half second that a copy most likely still has.

Peaks are local maxima, and which of them count is decided by rank among their neighbours in time and never by an
absolute level, so that a quiet recording has as many as a loud one. The constellation is Wang's ("An Industrial-
Strength Audio Search Algorithm", 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import (
    LOCAL_MEAN_BINS,
    LOCAL_MEAN_FRAMES,
    PEAK_POWER_FLOOR,
    RANK_CELL_FRAMES,
    SALIENCE_EXPONENT,
)
from dejavu.model import ClipPeaks

POOL = 4
"""Frames and bins to the side of a block that `local_means` adds up first."""

_LOWEST_RANK = 255
"""Ranks are uint8; beyond this nobody asks."""


@dataclass(frozen=True, slots=True)
class Constellation:
    """Spectral peaks, sorted by (frame, bin).

    frames : int64[n], from the start of the recording; bins : int64[n], from the bottom of the band.
    ranks : uint8[n], 0 for the most salient peak of its cell of RANK_CELL_FRAMES frames.
    """

    frames: NDArray[np.int64]
    bins: NDArray[np.int64]
    ranks: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.frames.size)

    def best(self, peaks_per_cell: int) -> Constellation:
        """Only the `peaks_per_cell` most salient peaks of each cell."""
        kept = self.ranks < peaks_per_cell
        return Constellation(self.frames[kept], self.bins[kept], self.ranks[kept])


def find_peaks(power: NDArray[np.float32], box_frames: int, box_bins: int) -> Constellation:
    """The peaks of a whole spectrogram.

    Parameters
    ----------
    power : float32[frames, bins]
        As `power_spectrogram` makes it.
    box_frames, box_bins : int, odd
        A peak is the maximum of the box of this size around it.

    Returns
    -------
    Constellation
        With every peak above PEAK_POWER_FLOOR, ranked by ``power / local_mean ** SALIENCE_EXPONENT``.
    """
    highest = highest_around(power, box_frames, box_bins)
    frames, bins = np.divmod(np.flatnonzero(power == highest), power.shape[1])
    audible = power[frames, bins] > PEAK_POWER_FLOOR
    frames, bins = frames[audible], bins[audible]
    salience = power[frames, bins] / local_means(power, frames, bins) ** SALIENCE_EXPONENT
    return Constellation(frames, bins, rank_in_cells(frames // RANK_CELL_FRAMES, salience))


def interpolated(power: NDArray[np.float32], peaks: Constellation) -> ClipPeaks:
    """The same peaks where they are highest between frames and between bins.

    The top of a parabola through the logarithms of a peak's power and its two neighbours', for each direction (Smith
    and Serra, "PARSHL", 1987). At an edge, where a neighbour is missing, it stays where it is. `peaks` are of this
    `power`, float32[frames, bins].
    """
    last_frame, last_bin = power.shape[0] - 1, power.shape[1] - 1
    frames, bins = peaks.frames, peaks.bins
    top = _ln(power[frames, bins])
    earlier, later = _ln(power[np.maximum(frames - 1, 0), bins]), _ln(power[np.minimum(frames + 1, last_frame), bins])
    lower, higher = _ln(power[frames, np.maximum(bins - 1, 0)]), _ln(power[frames, np.minimum(bins + 1, last_bin)])
    frames_on = np.where((frames > 0) & (frames < last_frame), _top_between(earlier, top, later), 0)
    bins_on = np.where((bins > 0) & (bins < last_bin), _top_between(lower, top, higher), 0)
    exact_frames, exact_bins = (frames + frames_on).astype(np.float32), (bins + bins_on).astype(np.float32)
    order = np.argsort(exact_frames, kind="stable")
    return ClipPeaks(exact_frames[order], exact_bins[order], peaks.ranks[order])


def _ln(power: NDArray[np.float32]) -> NDArray[np.float32]:
    logarithms: NDArray[np.float32] = np.log(np.maximum(power, np.float32(1e-12)))
    return logarithms


def _top_between(
    before: NDArray[np.float32], top: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where between its neighbours a parabola through all three is highest, -0.5 to 0.5."""
    curvature = np.minimum(before + after - 2 * top, np.float32(-1e-6))
    places: NDArray[np.float32] = np.clip((after - before) / (-2 * curvature), -0.5, 0.5)
    return places


def highest_around(power: NDArray[np.float32], box_frames: int, box_bins: int) -> NDArray[np.float32]:
    """The maximum of the centred box of this odd size around each place, cut off at the edges; of power's shape.

    The window doubles at each pass, so that the number of passes grows with the logarithm of its size. The rows, with a
    margin between them, are gone over as one long row, in a third of the time that one after the other takes.
    """
    n_frames, n_bins = power.shape
    row = n_bins + box_bins - 1
    padded = np.full((n_frames + box_frames, row), -np.inf, np.float32)
    padded[box_frames // 2 :][:n_frames, box_bins // 2 :][:, :n_bins] = power
    highest = padded.reshape(-1)
    for width, stride in ((box_bins, 1), (box_frames, row)):
        covered = 1
        while covered < width:
            step = min(covered, width - covered)
            highest = np.maximum(highest[: -step * stride], highest[step * stride :])
            covered += step
    return highest[: n_frames * row].reshape(n_frames, row)[:, :n_bins]


def local_means(power: NDArray[np.float32], frames: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean power of about LOCAL_MEAN_FRAMES × LOCAL_MEAN_BINS around each peak; float64[n], above 0.

    Power is pooled in blocks of POOL × POOL first, and the box is made of whole blocks around the peak's own, cut off
    at the edges. That takes a tenth of the time of an exact mean and finds as much.
    """
    pooled = _pooled(_pooled(power).T).T
    table = np.zeros((pooled.shape[0] + 1, pooled.shape[1] + 1))
    table[1:, 1:] = pooled.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    first, last = _reach(frames, LOCAL_MEAN_FRAMES, pooled.shape[0])
    low, high = _reach(bins, LOCAL_MEAN_BINS, pooled.shape[1])
    total = table[last, high] - table[first, high] - table[last, low] + table[first, low]
    covered_frames = np.minimum(last * POOL, power.shape[0]) - first * POOL
    covered_bins = np.minimum(high * POOL, power.shape[1]) - low * POOL
    # A peak is in its own box; the maximum restores what cancellation loses where all else there is silent.
    means: NDArray[np.float64] = np.maximum(total, power[frames, bins]) / (covered_frames * covered_bins)
    return means


def _pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of POOL consecutive rows; the last of fewer where they do not come out even."""
    whole = values.shape[0] // POOL * POOL
    sums = values[:whole].reshape(whole // POOL, POOL, values.shape[1]).sum(axis=1)
    rest = values[whole:]
    return np.concatenate((sums, rest.sum(axis=0, keepdims=True))) if rest.size else sums


def _reach(places: NDArray[np.int64], width: int, n_blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The blocks of POOL within half of `width` of each place's own: the first, and the one after the last."""
    own, reach = places // POOL, width // (2 * POOL)
    return np.maximum(own - reach, 0), np.minimum(own + reach + 1, n_blocks)


def rank_in_cells(cells: NDArray[np.int64], salience: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The place of each peak in its cell, most salient first; `cells` is sorted."""
    order = np.lexsort((-salience, cells))
    ranks = np.empty(cells.size, np.int64)
    ranks[order] = np.arange(cells.size) - np.searchsorted(cells, cells)
    return np.minimum(ranks, _LOWEST_RANK).astype(np.uint8)
