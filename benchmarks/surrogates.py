"""Synthetic tracks with the hash statistics of real ones, a hundred thousand in some minutes.

What is synthetic is a track's constellation. Stretches of a real recording's are reversed in time, moved by some
semitones, made faster or slower and joined; the peaks are then paired like any other's. So all that hashes are made of
is there and fits together: scales, chords, notes that are held, rhythms, loops, passages with few peaks. And a track is
a copy of nothing, at no speed and in no key, for nothing sounds alike backwards.

`python -m benchmarks.distractors` compares them with real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.material import Recording, recordings
from benchmarks.report import CORES
from dejavu.audio.decode import decode
from dejavu.config import settings
from dejavu.fingerprint.extract import _constellation, reference_of
from dejavu.fingerprint.peaks import Constellation, rank_in_cells
from dejavu.model import Fingerprints

FRAMES_PER_SECOND = settings.ANALYSIS_FS / settings.HOP_LENGTH

TRACK_SECONDS = (120.0, 240.0, 360.0)
"""How long tracks are: at least, mostly (which is also the mean) and at most."""

PART_SECONDS = (90.0, 300.0)
"""How long a track keeps to one recording, before the next. Made of one alone it repeats itself more than music of four
minutes does; made of many it has a passage like any clip, and wrong songs come closer than they do among real ones."""

STRETCH_SECONDS = (10.0, 30.0)
"""How much of a recording follows at a time, counted at its own speed. Stretches come back, as verses do, but
none before all others have been."""

SEMITONES = (-5, -4, -3, 3, 4, 5)
"""How far a track may be moved, by whole steps: the world's music is in tune, so that its peaks share their
frequencies. Less than three are what a recogniser of changed pitch undoes, more leave too much of the band empty."""

SPEEDS = (0.8, 1.25)
"""How much faster than the recordings a track may be."""

_PITCH_HZ = 440.0
"""Of the A that music is tuned to."""

_SPARE = 2
"""Peaks taken of a recording for each that is stored, to have enough where some leave the band or time is drawn out."""

_BAND_BINS = settings.BAND_LAST_BIN - settings.BAND_FIRST_BIN
_BIN_HZ = settings.ANALYSIS_FS / settings.N_FFT
_BIN_BITS = 9


@dataclass(frozen=True, slots=True)
class Source:
    """What tracks are made from: the constellation of each recording, with more peaks than are stored.

    files : the recordings' names, one for each constellation.
    digest : hexadecimal, another one for other recordings and another fingerprint format, and so for other tracks.
    """

    files: Sequence[str]
    constellations: Sequence[Constellation]
    digest: str


def load_source() -> Source:
    """The constellations of all recordings in the audio folder; ends the command where there is none."""
    chosen = recordings("reference", "unknown")
    if not chosen:
        raise SystemExit("The manifest.csv of the audio folder has no recordings to make synthetic tracks from.")
    with ThreadPoolExecutor(CORES) as threads:
        found = threads.map(_spare_constellation, chosen)
        bar = tqdm(found, desc="reading recordings", total=len(chosen), unit="recording")
        return make_source({recording.path.name: peaks for recording, peaks in zip(chosen, bar, strict=True)})


def make_source(constellations: Mapping[str, Constellation]) -> Source:
    """A source of constellations that are known already, by file; those without peaks are of no use and left out."""
    useful = {file: peaks for file, peaks in constellations.items() if len(peaks)}
    if not useful:
        raise ValueError("None of the constellations has any peaks.")
    digest = hashlib.sha256(settings.format_digest().encode())
    for peaks in useful.values():
        for column in (peaks.frames, peaks.bins, peaks.ranks):
            digest.update(column.tobytes())
    return Source(tuple(useful), tuple(useful.values()), digest.hexdigest())


def make_track(source: Source, seed: int, number: int, seconds: float | None = None) -> Fingerprints:
    """One track: the same whenever seed and number are, and like no other.

    Parameters
    ----------
    source : Source
        Of what the track is made.
    seed, number : int
        Of the set of tracks, and of the track in it; at least 0.
    seconds : float, optional
        How long it is to be. By default that is drawn too (TRACK_SECONDS).
    """
    return reference_of(_surrogate(source, np.random.default_rng([seed, number]), seconds))


def stored_part(peaks: Constellation) -> Constellation:
    """The peaks of a source's constellation that are stored of the recording itself."""
    return peaks.best(settings.REFERENCE_PEAKS_PER_CELL)


def _spare_constellation(recording: Recording) -> Constellation:
    with recording.path.open("rb") as file:
        return _constellation(
            decode(file),
            settings.REFERENCE_BOX_FRAMES,
            settings.REFERENCE_BOX_BINS,
            _SPARE * settings.REFERENCE_PEAKS_PER_CELL,
        )


def _surrogate(source: Source, rng: np.random.Generator, seconds: float | None) -> Constellation:
    """A new constellation, sorted and ranked like one that was found in sound."""
    n_frames = int((rng.triangular(*TRACK_SECONDS) if seconds is None else seconds) * FRAMES_PER_SECOND)
    speed = rng.uniform(*SPEEDS)
    moved = _moved_bins(rng, int(rng.choice(SEMITONES)))
    stretches = [np.empty((3, 0), np.int64), *_stretches(source, rng, n_frames, speed)]
    frames, bins, ranks = np.concatenate(stretches, axis=1)
    bins = moved[bins]
    within = (bins >= 0) & (bins < _BAND_BINS) & (frames < n_frames)
    # Two peaks may have come to be one.
    places, first = np.unique(frames[within] << _BIN_BITS | bins[within], return_index=True)
    frames, bins = places >> _BIN_BITS, places & ((1 << _BIN_BITS) - 1)
    ranks = rank_in_cells(frames // settings.RANK_CELL_FRAMES, -ranks[within][first].astype(np.float64))
    return Constellation(frames, bins, ranks).best(settings.REFERENCE_PEAKS_PER_CELL)


def _stretches(source: Source, rng: np.random.Generator, n_frames: int, speed: float) -> Iterator[NDArray[np.int64]]:
    """Frames in the track, bins and ranks in the recording of each stretch's peaks; int64[3, n].

    A stretch begins anywhere between two frames, as what is repeated in music does.
    """
    begin = part_end = 0.0
    while begin < n_frames:
        if begin >= part_end:
            peaks = source.constellations[int(rng.integers(len(source.constellations)))]
            part_end = begin + rng.uniform(*PART_SECONDS) * FRAMES_PER_SECOND
        for first, end in _shuffled_stretches(rng, int(peaks.frames[-1]) + 1):
            chosen = slice(*np.searchsorted(peaks.frames, [first, end]))
            backwards = np.rint((end - 1 - peaks.frames[chosen]) / speed + begin).astype(np.int64)
            yield np.stack((backwards, peaks.bins[chosen], peaks.ranks[chosen].astype(np.int64)))
            begin += (end - first) / speed


def _shuffled_stretches(rng: np.random.Generator, n_frames: int) -> list[tuple[int, int]]:
    """A whole recording in stretches, in any order: the first frame of each, and the one after its last."""
    cuts = [0]
    while cuts[-1] < n_frames:
        cuts.append(min(n_frames, cuts[-1] + int(rng.uniform(*STRETCH_SECONDS) * FRAMES_PER_SECOND)))
    stretches = list(pairwise(cuts))
    return [stretches[place] for place in rng.permutation(len(stretches)).tolist()]


def _moved_bins(rng: np.random.Generator, semitones: int) -> NDArray[np.int64]:
    """Where each bin of the band comes to be, within the band or not; int64[_BAND_BINS].

    A bin with a note's frequency in it is taken to hold that note, so that notes become notes and those held stay on
    one bin. What lies between the notes may be anywhere in its bin.
    """
    bins = np.arange(settings.BAND_FIRST_BIN, settings.BAND_LAST_BIN)
    notes = _PITCH_HZ / _BIN_HZ * 2 ** (np.rint(12 * np.log2(bins * _BIN_HZ / _PITCH_HZ)) / 12)
    exact = np.where(np.abs(notes - bins) <= 0.5, notes, bins + rng.uniform(-0.5, 0.5, bins.size))
    return np.rint(exact * 2 ** (semitones / 12)).astype(np.int64) - settings.BAND_FIRST_BIN
