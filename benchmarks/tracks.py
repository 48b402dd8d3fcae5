"""Tracks of four minutes, as most of a catalogue is, joined from recordings: as samples, fingerprints and files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from tqdm import tqdm

from benchmarks.material import Recording, audio_folder, encode_mp3, recordings
from benchmarks.report import OUT
from dejavu.audio.convert import Samples
from dejavu.audio.decode import decode
from dejavu.config.settings import ANALYSIS_FS
from dejavu.fingerprint.extract import extract_reference
from dejavu.model import Fingerprints

TRACK_SECONDS = 240.0
"""Four minutes, what a track is taken to last."""


def make_fingerprints(chosen: Sequence[Recording], tracks: int, rng: random.Random) -> list[Fingerprints]:
    """The fingerprints of so many tracks."""
    rows = tqdm(range(tracks), desc="making tracks", unit="track")
    return [extract_reference(_samples(chosen, rng)) for _ in rows]


def make_files(tracks: int, seed: int) -> list[Recording]:
    """So many tracks as MP3 (128 kbit/s), a few seconds longer than four minutes; kept in out/tracks."""
    chosen = recordings("reference", "unknown")
    rng = random.Random(seed)
    folder = OUT / "tracks" / f"{audio_folder().name}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    encoded: dict[Recording, bytes] = {}
    made = []
    for number in tqdm(range(tracks), desc="encoding tracks", unit="track"):
        parts = list(_enough(chosen, rng))
        path = folder / f"track {number:03}.mp3"
        if not path.is_file():
            for part in parts:
                encoded[part] = encoded.get(part) or encode_mp3(part.path)
            # Frames of MP3 can follow each other as they are.
            path.write_bytes(b"".join(encoded[part] for part in parts))
        made.append(Recording(path, "track", "mp3", sum(part.seconds for part in parts)))
    return made


def _samples(chosen: Sequence[Recording], rng: random.Random) -> Iterator[Samples]:
    left = int(TRACK_SECONDS * ANALYSIS_FS)
    for recording in _endless(chosen, rng):
        with recording.path.open("rb") as file:
            for block in decode(file):
                yield block[:left]
                left -= block.size
                if left <= 0:
                    return


def _enough(chosen: Sequence[Recording], rng: random.Random) -> Iterator[Recording]:
    seconds = 0.0
    for recording in _endless(chosen, rng):
        yield recording
        seconds += recording.seconds
        if seconds >= TRACK_SECONDS:
            return


def _endless(chosen: Sequence[Recording], rng: random.Random) -> Iterable[Recording]:
    """Recordings one after the other, none again before all others have been."""
    return chain.from_iterable(iter(lambda: rng.sample(chosen, len(chosen)), None))
