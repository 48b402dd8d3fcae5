"""What the vectorised stages have to compute, in loops so short and plain that one can see that they are right."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.peaks import POOL, Constellation
from dejavu.matching.align import DELTA_TOLERANCE, Alignment
from dejavu.matching.placement import NEAR_BINS, NEAR_FRAMES, Placement
from dejavu.matching.verify import Agreement
from dejavu.model import Candidate, ClipPeaks, Peaks, Postings, UInt32s

Floats = NDArray[np.float32]
Hit = tuple[int, int, int]
"""The hash, the offset in the song, the delta."""


def power(samples: Floats, frame: int, column: int) -> float:
    """One place of a spectrogram, by the definition of the Fourier transform."""
    total = 0j
    for n in range(settings.N_FFT):
        window = 0.5 - 0.5 * math.cos(2 * math.pi * n / settings.N_FFT)
        turn = cmath.exp(-2j * math.pi * n * (settings.BAND_FIRST_BIN + column) / settings.N_FFT)
        total += samples[frame * settings.HOP_LENGTH + n] * window * turn
    return abs(total) ** 2


def running_max(values: Floats, width: int, axis: int) -> Floats:
    lines = values if axis == 1 else values.T
    highest = np.empty_like(lines)
    for row, line in enumerate(lines):
        for place in range(line.size):
            highest[row, place] = max(line[max(0, place - width // 2) : place + width // 2 + 1])
    return highest if axis == 1 else highest.T


def local_mean(power: Floats, frame: int, column: int) -> float:
    """Of whole blocks of POOL × POOL: the peak's own, and those beside it that half of the box reaches."""
    frames = _blocks_around(frame, settings.LOCAL_MEAN_FRAMES, power.shape[0])
    columns = _blocks_around(column, settings.LOCAL_MEAN_BINS, power.shape[1])
    box = [float(power[f, c]) for f in frames for c in columns]
    return sum(box) / len(box)


def _blocks_around(place: int, width: int, size: int) -> list[int]:
    reach = width // 2 // POOL
    return [other for other in range(size) if abs(other // POOL - place // POOL) <= reach]


def interpolated(power: Floats, frame: int, column: int) -> tuple[float, float]:
    """Where a peak of a spectrogram is highest between frames and between bins; at an edge, where it is."""
    return _top(power[:, column], frame), _top(power[frame], column)


def _top(line: Floats, place: int) -> float:
    """Of a parabola through the logarithms of a place and its neighbours."""
    if place in (0, line.size - 1):
        return place
    square, slope, _ = np.polyfit([-1, 0, 1], np.log(line[place - 1 : place + 2].astype(np.float64)), 2)
    return place - slope / (2 * square)


def rank_in_cells(cells: Sequence[int], salience: Sequence[float]) -> list[int]:
    """How many of the same cell are more salient, or as salient and earlier."""
    peaks = list(enumerate(zip(cells, salience, strict=True)))
    ranks = []
    for i, (cell, value) in peaks:
        better = sum(c == cell and (v > value or (v == value and j < i)) for j, (c, v) in peaks)
        ranks.append(min(better, 255))
    return ranks


def find_peaks(power: Floats, box_frames: int, box_bins: int) -> list[tuple[int, int, int]]:
    """Frame, bin and rank of every peak, sorted."""
    peaks, salience = [], []
    for frame, column in np.ndindex(power.shape):
        frames = slice(max(0, frame - box_frames // 2), frame + box_frames // 2 + 1)
        columns = slice(max(0, column - box_bins // 2), column + box_bins // 2 + 1)
        value = float(power[frame, column])
        if value == power[frames, columns].max() and value > settings.PEAK_POWER_FLOOR:
            peaks.append((frame, column))
            salience.append(value / local_mean(power, frame, column) ** settings.SALIENCE_EXPONENT)
    ranks = rank_in_cells([frame // settings.RANK_CELL_FRAMES for frame, _ in peaks], salience)
    return [(*peak, rank) for peak, rank in zip(peaks, ranks, strict=True)]


def pack(anchor_bin: int, target_bin: int, frames: int) -> int:
    return anchor_bin * 2**13 + (target_bin - anchor_bin + 64) * 2**6 + frames


def pairs(peaks: Constellation | ClipPeaks, fan_out: int) -> list[tuple[int, int]]:
    """Places of anchor and target of every landmark, anchor by anchor."""
    found = []
    for anchor in range(len(peaks)):
        targets = []
        for target in range(len(peaks)):
            frames = peaks.frames[target] - peaks.frames[anchor]
            bins = abs(peaks.bins[target] - peaks.bins[anchor])
            in_time = settings.MIN_TARGET_FRAMES <= frames <= settings.MAX_TARGET_FRAMES
            if in_time and bins <= settings.MAX_TARGET_BINS:
                targets.append(target)
        found += [(anchor, target) for target in targets[:fan_out]]
    return found


def align(
    postings: Postings, hashes: UInt32s, offsets: UInt32s, variants: Sequence[int] | None = None
) -> dict[int, Alignment]:
    """Every song that has any of the hashes, by its id, under the variant of the query that agrees best with it."""
    hits: dict[tuple[int, int], list[Hit]] = {}
    columns = zip(postings.hashes.tolist(), postings.song_ids.tolist(), postings.offsets.tolist(), strict=True)
    of_clip = [0] * hashes.size if variants is None else variants
    for stored, song_id, song_offset in columns:
        for asked, offset, variant in zip(hashes.tolist(), offsets.tolist(), of_clip, strict=True):
            if asked == stored:
                hits.setdefault((song_id, variant), []).append((stored, song_offset, song_offset - offset))
    clip_frames = max(offsets.tolist(), default=0) + 1
    best: dict[int, tuple[tuple[float, int, int], Alignment]] = {}
    for (song_id, variant), own in hits.items():
        found, agreeing = _alignment(song_id, own, clip_frames)
        order = (found.surprise, agreeing, -variant)
        if song_id not in best or order > best[song_id][0]:
            best[song_id] = order, replace(found, variant=variant)
    return {song_id: found for song_id, (_, found) in best.items()}


def _alignment(song_id: int, hits: list[Hit], clip_frames: int) -> tuple[Alignment, int]:
    """And how many hits agree."""
    delta = best_delta([delta for _, _, delta in hits])
    agreeing = [hit for hit in hits if abs(hit[2] - delta) <= DELTA_TOLERANCE]
    last = max(song_offset for _, song_offset, _ in hits)
    deltas = last + last / len(hits) + clip_frames
    expected = len(hits) / deltas * (2 * DELTA_TOLERANCE + 1)
    hashes = len({stored for stored, _, _ in agreeing})
    telling = min(hashes, independent_landmarks(agreeing))
    return Alignment(song_id, delta, hashes, surprise(telling, expected, deltas)), len(agreeing)


def best_delta(deltas: list[int]) -> int:
    """The one with the most others within tolerance, the smallest of several such."""
    best, most = 0, 0
    for delta in sorted(set(deltas)):
        agreeing = sum(abs(other - delta) <= DELTA_TOLERANCE for other in deltas)
        if agreeing > most:
            best, most = delta, agreeing
    return best


def independent_landmarks(hits: list[Hit]) -> int:
    """How many landmarks joined two groups of peaks that no other had joined before."""
    group: dict[tuple[int, int], int] = {}
    joined = 0
    for stored, song_offset, _ in hits:
        anchor_bin, distance, frames = stored // 2**13, stored // 2**6 % 2**7 - 64, stored % 2**6
        anchor = (song_offset, anchor_bin)
        target = (song_offset + frames, anchor_bin + distance)
        for peak in (anchor, target):
            group.setdefault(peak, len(group))
        if group[anchor] != group[target]:
            joined += 1
            old, new = group[target], group[anchor]
            group = {peak: new if number == old else number for peak, number in group.items()}
    return joined


def surprise(landmarks: int, expected: float, deltas: float) -> float:
    """From the first term of the Poisson tail, and the sum of a geometric series that is above the rest of it."""
    if landmarks <= expected:
        return 0.0
    ln_first = sum(math.log(expected / factor) for factor in range(1, landmarks + 1)) - expected
    ln_tail = ln_first - math.log(1 - expected / (landmarks + 1))
    return max(0.0, -(ln_tail + math.log(deltas)) / math.log(10))


def agreement(stored: Peaks, clip: ClipPeaks, placement: Placement) -> Agreement:
    """Each of the song's peaks in the stretch with each of the clip's, moved to where it would be in the song."""
    speed, pitch = placement.warp.speed, placement.warp.pitch
    first = settings.BAND_FIRST_BIN
    frames = [placement.delta + frame * speed for frame in clip.frames.tolist()]
    bins = [(place + first) / pitch - first for place in clip.bins.tolist()]
    last = frames[-1] if frames else placement.delta
    matched = own = 0
    expected = 0.0
    for frame, place in zip(stored.frames.tolist(), stored.bins.tolist(), strict=True):
        if not placement.delta <= frame < last:
            continue
        at_the_time = [abs(other - frame) <= NEAR_FRAMES for other in frames]
        at_the_height = [abs(other - place) <= NEAR_BINS for other in bins]
        own += 1
        matched += any(near and level for near, level in zip(at_the_time, at_the_height, strict=True))
        expected += 1 - math.exp(-sum(at_the_time) * sum(at_the_height) / len(frames))
    return Agreement(matched, expected, own)


def evidence(stored: Peaks, clip: ClipPeaks, placement: Placement) -> float:
    """Every peak of the song at every place, weighed under every survival, one by one."""
    delta, speed, pitch, low = placement.delta, placement.warp.speed, placement.warp.pitch, settings.BAND_FIRST_BIN
    heard = [
        (delta + frame * speed, (bin_ + low) / pitch - low)
        for frame, bin_ in zip(clip.frames.tolist(), clip.bins.tolist(), strict=True)
    ]
    if not heard:
        return 0.0
    first, last = heard[0][0], heard[-1][0]
    song = [peak for peak in zip(stored.frames.tolist(), stored.bins.tolist(), strict=True) if delta <= peak[0] < last]
    if not song:
        return 0.0
    chances = []
    for frame, bin_ in song:
        times = sum(abs(at - frame) <= NEAR_FRAMES for at, _ in heard)
        chances.append(times * sum(abs(height - bin_) <= NEAR_BINS for _, height in heard) / len(heard))

    def seen(frame: float, bin_: float, place: int) -> float:
        offs = [abs(bin_ - height) for at, height in heard if -1 <= frame - at - place < 1]
        return sum(1.75 - 1.5 * off / NEAR_BINS for off in offs if off <= NEAR_BINS)

    elsewhere = [place for place in range(-88, 89) if abs(place) > 4]
    weights = {}
    by_chance = []
    for (frame, bin_), chance in zip(song, chances, strict=True):
        covered = [place for place in elsewhere if first <= frame - place <= last]
        total = sum(seen(frame, bin_, place) for place in elsewhere)
        by_chance.append((total + 60 * max(chance, 0.5 / len(heard))) / (len(covered) + 60))
    at = {place: [seen(frame, bin_, place) for frame, bin_ in song] for place in (0, *elsewhere)}
    counts = {place: sum(value > 0 for value in found) for place, found in at.items()}
    most = max(counts[place] for place in elsewhere)
    usual_count = most - most**0.5
    rhythm = max(1.0, usual_count / sum(1 - math.exp(-chance) for chance in by_chance))
    for place, found in at.items():
        weights[place] = max(
            sum(math.log10(1 - q + q * value / (rhythm * usual)) for value, usual in zip(found, by_chance, strict=True))
            for q in (0.03, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9)
        )
    expected = max(sum(1 - math.exp(-chance) for chance in chances), usual_count)
    counted = surprise(counts[0], max(expected, 1e-9), 1.0)
    weighed = weights[0] - max(0.0, max(weights[place] for place in elsewhere))
    return max(0.0, min(weighed, 2 * counted))


def rank(candidates: Sequence[Candidate], catalogue_songs: int) -> list[tuple[float, Candidate]]:
    """Score and candidate of every match, best first."""
    matches = []
    for candidate in candidates:
        copies = [other for other in candidates if other.song.sha1 == candidate.song.sha1]
        score = candidate.surprise / settings.CHANCE_DISPERSION - math.log10(
            max(catalogue_songs, settings.FEWEST_SONGS)
        )
        if candidate is max(copies, key=lambda copy: copy.surprise) and score >= settings.MATCH_SCORE:
            matches.append((score, candidate))
    return sorted(matches, key=lambda match: -match[0])[: settings.TOPN]
