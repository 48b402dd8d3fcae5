"""The data that crosses rooms: frozen, typed, without behaviour beyond its own invariants and rounding."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

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
class ClipPeaks:
    """Spectral peaks of a clip, as columns, sorted by frame; known to a part of a frame and of a bin.

    frames : float32[n], from the start of the clip.
    bins : float32[n], from the bottom of the band.
    ranks : uint8[n], 0 for the most salient of a second.
    """

    frames: NDArray[np.float32]
    bins: NDArray[np.float32]
    ranks: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.frames.size)


@dataclass(frozen=True, slots=True)
class Query:
    """The landmarks of a clip, denser than a recording's, in the order in which they are worth asking.

    hashes : uint32[n]; offsets : uint32[n], anchor frames from the start of the clip.
    ranks : uint8[n]: how far down its neighbourhood's list the weaker of a landmark's two peaks stands; ascending as
        they are found, since the first are the ones a catalogue most likely holds.
    peaks : of the clip's first QUERY_DENSE_SECONDS, to verify candidates by, and to look for other speeds with.
    """

    hashes: UInt32s
    offsets: UInt32s
    ranks: NDArray[np.uint8]
    peaks: ClipPeaks

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
class Warp:
    """How a clip was played.

    speed : seconds of the song that pass in a second of the clip; above 1 where it was played faster.
    pitch : the clip's frequencies over the song's; above 1 where it was played higher.
    """

    speed: float = 1.0
    pitch: float = 1.0


UNCHANGED = Warp()
"""As most clips are played."""


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself in its tags, and how long its sound is; None where that is not known.

    isrc : of the recording, twelve capital letters and digits.
    """

    artist: str | None = None
    title: str | None = None
    album: str | None = None
    isrc: str | None = None
    duration_seconds: float | None = None


NOTHING_KNOWN = About()
"""Of songs that were stored before tags were read."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is read from a file that is to be added."""

    fingerprints: Fingerprints
    about: About


@dataclass(frozen=True, slots=True)
class Song:
    """One recording of the catalogue. `sha1` is that of the submitted file, in lower-case hexadecimal."""

    song_id: int
    name: str
    sha1: str
    total_hashes: int
    about: About = NOTHING_KNOWN

    def to_wire(self) -> dict[str, object]:
        """The song as clients get it."""
        return {
            "file_sha1": self.sha1,
            "song_id": self.song_id,
            "song_name": self.name,
            "fingerprinted_hashes": self.total_hashes,
            **asdict(self.about),
        }


@dataclass(frozen=True, slots=True)
class SongQuery:
    """Which songs are asked for: those with all `words` in what is known of them, and those whose SHA-1 begins so.

    words : folded (`store.search_key`); none: every song.
    sha1_start : hexadecimal digits, or None.
    """

    words: tuple[str, ...] = ()
    sha1_start: str | None = None


@dataclass(frozen=True, slots=True)
class SongPage:
    """Some of the songs that a query is for, in order.

    following : what the next page is asked for with; None where this is the last.
    total : how many songs there are, those on several instances counted on each.
    unavailable : names of the instances that could not be asked.
    """

    songs: tuple[Song, ...]
    following: str | None
    total: int
    unavailable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much one instance holds."""

    songs: int
    fingerprints: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A song that a clip agrees with in time, found by one instance and not yet judged.

    delta : song offset minus clip offset, in frames and parts of one; negative where the clip starts before the song.
    warp : how the clip was played.
    aligned_hashes : distinct query hashes that agree on this within one frame, of `asked_hashes`.
    surprise : how unlikely it is that an unrelated song agrees as well by accident, in landmarks and peaks
        (`matching.chance`).
    peak_share : of the song's peaks in the matched stretch, how many the clip has; 0..1.
    """

    song: Song
    delta: float
    aligned_hashes: int
    asked_hashes: int
    surprise: float
    peak_share: float
    warp: Warp = UNCHANGED


@dataclass(frozen=True, slots=True)
class Match:
    """A song that passed the no-match test: one result of an answer.

    confidence : 0..1, calibrated: of the matches given with 0.9, nine in ten are right.
    delta : frames of the song before the clip's first sample, with parts of one; negative where the clip starts before
        the song. The clip is what was heard: where the request named a `start`, it begins there, not at the beginning
        of the file.
    hashes_matched : distinct query hashes that agree in time with this song.
    input_hashes : query hashes that were asked for.
    warp : how the clip was played, compared with the song.
    """

    song: Song
    confidence: float
    delta: float
    hashes_matched: int
    input_hashes: int
    warp: Warp = UNCHANGED

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
            **asdict(self.song.about),
            "confidence": round(self.confidence, 5),
            "offset_seconds": round(self.offset_seconds, 3) + 0.0,  # never the -0.0 of a song's very start
            "offset": round(self.delta),
            "hashes_matched_in_input": self.hashes_matched,
            "input_total_hashes": self.input_hashes,
            "fingerprinted_hashes_in_db": self.song.total_hashes,
            "input_confidence": round(self.input_confidence, 5),
            "fingerprinted_confidence": round(self.fingerprinted_confidence, 5),
        }
        if self.warp != UNCHANGED:
            wire["speed"] = round(self.warp.speed, 4)
        if self.warp.pitch != self.warp.speed:
            wire["pitch"] = round(self.warp.pitch, 4)
        return wire


@dataclass(frozen=True, slots=True)
class Timings:
    """What the stages of one recognition took, in seconds: for request logs and benchmarks, never for clients.

    wait : until it was this clip's turn.
    fingerprint : decoding and fingerprinting, with the wait for a free worker process.
    look_up : fetching postings and songs, on the slowest instance of each step.
    align : aligning, on the same instance.
    store : keeping the answer.
    asked_hashes : how much of the query was looked up.
    """

    wait: float
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
