"""What fingerprinting a file costs beyond decoding it, how many hashes it gives, and what they take on disk.

CPU time on one core, for every recording three ways in turn: decoding and fingerprinting as the service does it; the
loop that everybody writes with PyAV, a resampler call for each frame, to 44.1 kHz mono; and PyAV's decoding alone.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from benchmarks.material import Recording, recordings
from benchmarks.report import Table, Target, make_parser, publish
from benchmarks.tracks import TRACK_SECONDS, make_fingerprints
from dejavu.audio.decode import decode
from dejavu.config.settings import DEFAULT_FS
from dejavu.fingerprint.extract import extract_reference
from dejavu.model import Fingerprints
from dejavu.store.sqlite import SqliteDriver

WAYS = ("fingerprint", "resample", "decode")

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""As the service's workers have it; read by numpy when it is loaded."""


def main() -> None:
    """Measure speed, density and size."""
    parser = make_parser(__doc__)
    parser.add_argument("--files", type=int, help="only so many recordings, spread over all (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="times each is measured; the median counts (default 3)")
    parser.add_argument("--tracks", type=int, default=100, help="four-minute tracks to store (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders that recordings are put in")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in _ONE_THREAD.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | _ONE_THREAD)  # noqa: S606 - this very command again
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    chosen = recordings("reference", "unknown")
    if options.files:
        chosen = chosen[:: max(1, len(chosen) // options.files)][: options.files]
    speed, prints = _speed(chosen, options.rounds)
    total = speed["all"]
    sizes = _sizes(chosen, prints, options.tracks, random.Random(options.seed))
    figures = {"cpu_seconds": speed, "catalogues": sizes}
    tables = [
        Table(
            f"CPU seconds of one core, median of {options.rounds}",
            ("codec", "files", "seconds", *WAYS, "over resample", "over decode", "hashes/s"),
            [(codec, *row.values()) for codec, row in speed.items()],
        ),
        Table(
            "SQLite, everything in the file",
            ("catalogue", "songs", "seconds", "bytes", f"bytes per {TRACK_SECONDS:g} s", "bytes per hash"),
            [(what, *row.values()) for what, row in sizes.items()],
        ),
    ]
    largest = max(row["bytes_per_track"] for row in sizes.values())
    targets = [
        *(
            Target(f"{codec}: fingerprinting over PyAV's {what}", row[ratio], 1.8)
            for codec, row in speed.items()
            for ratio, what in (("over_resample", "decoding to 44.1 kHz mono"), ("over_decode", "decoding alone"))
        ),
        Target("hashes a second of reference", total["hashes_per_second"], 40),
        Target("kB per four-minute track, dearest catalogue", largest / 1000, 100),
    ]
    publish("fingerprint_speed", options, figures, tables, targets)


def _speed(chosen: Sequence[Recording], rounds: int) -> tuple[dict[str, dict[str, Any]], list[Fingerprints]]:
    """Figures for every codec and for all, and the fingerprints of every recording."""
    work: dict[str, Callable[[Path], object]] = dict(zip(WAYS, (_fingerprint, _resample, _decode), strict=True))
    for run in work.values():
        run(chosen[0].path)  # what is loaded and planned once is not counted
    taken: dict[tuple[int, str], list[float]] = defaultdict(list)
    for turn in range(rounds):
        for index, recording in enumerate(tqdm(chosen, desc=f"round {turn + 1} of {rounds}", unit="file")):
            for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
                began = time.process_time()
                work[way](recording.path)
                taken[index, way].append(time.process_time() - began)
    prints = [_fingerprint(recording.path) for recording in chosen]
    figures = {}
    for codec in (*sorted({recording.codec for recording in chosen}), "all"):
        places = [index for index, recording in enumerate(chosen) if codec in (recording.codec, "all")]
        seconds = sum(chosen[index].seconds for index in places)
        cpu = {way: sum(median(taken[index, way]) for index in places) for way in WAYS}
        figures[codec] = {
            "files": len(places),
            "seconds": round(seconds),
            **{way: round(spent, 3) for way, spent in cpu.items()},
            "over_resample": round(cpu["fingerprint"] / cpu["resample"], 3),
            "over_decode": round(cpu["fingerprint"] / cpu["decode"], 3),
            "hashes_per_second": round(sum(len(prints[index]) for index in places) / seconds, 1),
        }
    return figures, prints


def _fingerprint(path: Path) -> Fingerprints:
    with path.open("rb") as file:
        return extract_reference(decode(file))


def _resample(path: Path) -> int:
    resampler = av.AudioResampler("flt", "mono", DEFAULT_FS)
    with av.open(str(path)) as container:
        pieces = [
            piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame) if piece
        ]
        pieces += [piece.to_ndarray() for piece in resampler.resample(None) if piece]
    return int(np.concatenate(pieces, axis=1).size)


def _decode(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def _sizes(
    chosen: Sequence[Recording], prints: Sequence[Fingerprints], tracks: int, rng: random.Random
) -> dict[str, dict[str, float]]:
    """What catalogues take: of the recordings as they are, in order and shuffled, and of four-minute tracks."""
    songs = [(recording.seconds, found) for recording, found in zip(chosen, prints, strict=True)]
    shuffled = rng.sample(songs, len(songs))
    long = [(TRACK_SECONDS, found) for found in make_fingerprints(chosen, tracks, rng)]
    return {
        "recordings": _size(songs),
        "recordings, shuffled": _size(shuffled),
        "four-minute tracks": _size(long),
    }


def _size(songs: Sequence[tuple[float, Fingerprints]]) -> dict[str, float]:
    """Store the songs in this order; bytes of the file when its log is written back."""
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder:
        path = Path(folder) / "fingerprints.sqlite"
        driver = SqliteDriver(path)
        driver.setup()
        for index, (_, found) in enumerate(songs):
            driver.insert(f"song {index}", sha1(str(index).encode(), usedforsecurity=False).hexdigest(), found)
        driver.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        used = sum(file.stat().st_size for file in path.parent.iterdir())
    seconds = sum(song[0] for song in songs)
    return {
        "songs": len(songs),
        "seconds": round(seconds),
        "bytes": used,
        "bytes_per_track": round(used / seconds * TRACK_SECONDS),
        "bytes_per_hash": round(used / sum(len(song[1]) for song in songs), 2),
    }


if __name__ == "__main__":
    main()
