"""The data that crosses rooms: frozen, typed, without behaviour beyond its own invariants and rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt32s = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """All landmarks of one recording, as columns.

    hashes : uint32[n], packed landmarks (`fingerprint.landmarks` owns the packing).
    offsets : uint32[n], the frame of each landmark's anchor, counted from the start of the recording.
    Sorted by (hash, offset); no pair occurs twice.
    """

    hashes: UInt32s
    offsets: UInt32s

    def __len__(self) -> int:
        return int(self.hashes.size)


@dataclass(frozen=True, slots=True)
class Query:
    """The landmarks of a clip, denser than a recording's, in the order in which they are worth asking.

    hashes : uint32[n]; offsets : uint32[n], anchor frames from the start of the clip.
    ranks : uint8[n], ascending: how far down its neighbourhood's list the weaker of a landmark's two peaks stands. The first are the
        ones a catalogue most likely holds, so a driver may be asked for a prefix.
    start_seconds : where in the submitted media the clip starts.
    duration_seconds : how much of it was heard.
    """

    hashes: UInt32s
    offsets: UInt32s
    ranks: NDArray[np.uint8]
    start_seconds: float
    duration_seconds: float

    def __len__(self) -> int:
        return int(self.hashes.size)


@dataclass(frozen=True, slots=True)
class Postings:
    """Index entries for some hashes, as columns: uint32[m] each, in any order."""

    hashes: UInt32s
    song_ids: UInt32s
    offsets: UInt32s

    def __len__(self) -> int:
        return int(self.hashes.size)


@dataclass(frozen=True, slots=True)
class Song:
    """One recording of the catalogue. `sha1` is that of the submitted file, in lower-case hexadecimal."""

    song_id: int
    name: str
    sha1: str
    total_hashes: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much one instance holds."""

    songs: int
    fingerprints: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A song that some query hashes agree on in time, found by one instance and not yet judged.

    delta : song offset minus clip offset, in frames; negative where the clip starts before the song.
    aligned_hashes : distinct query hashes that agree on this delta within one frame.
    chance : expected number of hashes that would agree on some delta of this song if it had nothing to do with the clip.
    """

    song: Song
    delta: int
    aligned_hashes: int
    chance: float
