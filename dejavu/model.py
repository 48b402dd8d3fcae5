"""The data that crosses rooms: frozen, typed, without behaviour beyond its own invariants and rounding."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH

UInt32s = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Peaks:
    """Spectral peaks of a recording, as columns, sorted by (frame, bin).

    frames : uint32[n], from the start of the recording.
    bins : float32[n], from the bottom of the band: whole numbers as they are found, and as they are stored the centres
        of PEAK_BIN_STEP bins.
    """

    frames: UInt32s
    bins: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.frames.size)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """All landmarks of one recording, as columns, and what they were paired from.

    hashes : uint32[n], packed landmarks (`fingerprint.landmarks` owns the packing).
    offsets : uint32[n], the frame of each landmark's anchor, counted from the start of the recording.
        Sorted by (hash, offset); no pair occurs twice.
    peaks : the constellation, which a candidate is verified against.
    """

    hashes: UInt32s
    offsets: UInt32s
    peaks: Peaks

    def __len__(self) -> int:
        return int(self.hashes.size)


@dataclass(frozen=True, slots=True)
class Query:
    """The landmarks of a clip, denser than a recording's, in the order in which they are worth asking.

    hashes : uint32[n]; offsets : uint32[n], anchor frames from the start of the clip.
    ranks : uint8[n], ascending: how far down its neighbourhood's list the weaker of a landmark's two peaks stands.
        The first are the ones a catalogue most likely holds, so a driver may be asked for a prefix.
    """

    hashes: UInt32s
    offsets: UInt32s
    ranks: NDArray[np.uint8]

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

    def joined(self, others: Postings) -> Postings:
        """These and the `others`."""
        return Postings(
            np.concatenate((self.hashes, others.hashes)),
            np.concatenate((self.song_ids, others.song_ids)),
            np.concatenate((self.offsets, others.offsets)),
        )


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
    surprise : how unlikely it is that this song agrees as well by accident (`matching.chance`).
    """

    song: Song
    delta: int
    aligned_hashes: int
    surprise: float


@dataclass(frozen=True, slots=True)
class Match:
    """A song that passed the no-match test: one result of an answer.

    confidence : 0..1, calibrated: of the matches given with 0.9, nine in ten are right.
    delta : frames of the song before the clip's first sample; negative where the clip starts before the song. The clip
        is what was heard: where the request named a `start`, it begins there, not at the beginning of the file.
    hashes_matched : distinct query hashes that agree in time with this song.
    input_hashes : query hashes that were asked for.
    speed : how much faster (> 1) or slower (< 1) than the song the clip was played; None where it was not changed.
    """

    song: Song
    confidence: float
    delta: int
    hashes_matched: int
    input_hashes: int
    speed: float | None = None

    @property
    def offset_seconds(self) -> float:
        """Where in the song the clip starts, in seconds of the song."""
        return self.delta * HOP_LENGTH / ANALYSIS_FS

    @property
    def input_confidence(self) -> float:
        """The share of the query that agrees with this song, 0..1."""
        return self.hashes_matched / self.input_hashes

    @property
    def fingerprinted_confidence(self) -> float:
        """The share of the song that the query agrees with, 0..1."""
        return self.hashes_matched / self.song.total_hashes

    def to_wire(self) -> dict[str, object]:
        """The result as clients get it: seconds to the millisecond, finer than a frame, and shares to five digits."""
        wire: dict[str, object] = {
            "song_id": self.song.song_id,
            "song_name": self.song.name,
            "file_sha1": self.song.sha1,
            "confidence": round(self.confidence, 5),
            "offset_seconds": round(self.offset_seconds, 3),
            "offset": self.delta,
            "hashes_matched_in_input": self.hashes_matched,
            "input_total_hashes": self.input_hashes,
            "fingerprinted_hashes_in_db": self.song.total_hashes,
            "input_confidence": round(self.input_confidence, 5),
            "fingerprinted_confidence": round(self.fingerprinted_confidence, 5),
        }
        if self.speed is not None:
            wire["speed"] = round(self.speed, 4)
        return wire


@dataclass(frozen=True, slots=True)
class Timings:
    """What the stages of one recognition took, in seconds: for request logs and benchmarks, never for clients.

    fingerprint : decoding and fingerprinting, with the wait for a free worker process.
    look_up : fetching postings and songs, on the slowest instance of each step.
    align : aligning, on the same instance.
    store : keeping the answer.
    asked_hashes : how much of the query was looked up.
    """

    fingerprint: float
    look_up: float
    align: float
    store: float
    asked_hashes: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """The answer to one clip: what is stored under its token and sent, now and whenever it is fetched again.

    matches : best first; empty where nothing in the catalogue passed the no-match test.
    unavailable : names of the instances that could not be asked.
    timings : how long it took to find; not on the wire.
    """

    token: str
    matches: tuple[Match, ...]
    unavailable: tuple[str, ...]
    timings: Timings = field(compare=False)

    def to_json(self) -> str:
        """The response body, to the letter."""
        return json.dumps(
            {
                "status": "success",
                "token": self.token,
                "results": [match.to_wire() for match in self.matches],
                "unavailable": list(self.unavailable),
            },
            ensure_ascii=False,
            allow_nan=False,
        )
