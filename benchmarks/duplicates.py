"""Which recordings of the set truly share audio: found by comparing every stretch of each with all of every other.

Nothing of the service takes part, so that what it answers cannot decide what counts as the same. A copy at another
speed or pitch is not found.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.likeness import FRAMES_PER_SECOND, SAME, Features, Likeness, features
from benchmarks.report import OUT, quantiles

WINDOW_SECONDS = 2.5
"""Length of the stretches that are compared; each recording is laid out in them. What two recordings share is certain
to hold one where it lasts twice as long."""

_STEP = 2
"""Every second frame is enough to find a place, 46 ms apart."""

_LEAST_DEVIATION = 0.3
"""Of a stretch's cells from their means, in natural logarithms of power. Below it there is nothing to compare."""

_SAME_LAG_FRAMES = 2
_SHARES = (0.5, 0.99, 0.9999, 1.0)
_VERSION = 2
"""Of what this file and `likeness` compute; another one makes what is kept worthless."""

Hit = tuple[int, int, int, int, float]
"""Two recordings, by number, a window's place in the first and in the second, in frames, and their likeness."""


def shared_audio(likeness: Likeness) -> dict[str, Any]:
    """All stretches that two recordings share, and how like different music is; kept in benchmarks/out."""
    files = [f"{one.path.name} {one.path.stat().st_size} {one.role}" for one in likeness.recordings]
    digest = hashlib.sha256("\n".join([f"{_VERSION} {SAME} {WINDOW_SECONDS}", *files]).encode()).hexdigest()[:16]
    path = OUT / "shared_audio" / f"{digest}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(search(likeness), indent=1, ensure_ascii=False))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def search(likeness: Likeness) -> dict[str, Any]:
    """The same, looked for now."""
    recordings = likeness.recordings
    looked = [features(one.path)[::_STEP] for one in tqdm(recordings, desc="reading recordings", unit="recording")]
    length = round(WINDOW_SECONDS * FRAMES_PER_SECOND / _STEP)
    parts = [(number, *_windows(look, length, length)) for number, look in enumerate(looked)]
    windows = np.concatenate([part[1] for part in parts])
    owners = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])
    places = np.concatenate([part[2] for part in parts])
    hits: list[Hit] = []
    best = []
    for number, look in enumerate(tqdm(looked, desc="comparing recordings", unit="recording")):
        alike, there = _best_places(windows, look, length)
        others = owners != number
        best.append(alike[others])
        for one in np.flatnonzero(others & (alike >= SAME)).tolist():
            hit = int(owners[one]), number, int(places[one]), int(there[one])
            if (sure := _by_halves(likeness, *hit)) >= SAME:
                hits.append((*hit, sure))
    likenesses = np.concatenate(best)
    different = likenesses[likenesses < SAME]
    return {
        "pairs_compared": len(recordings) * (len(recordings) - 1) // 2,
        "stretch_seconds": WINDOW_SECONDS,
        "same_from": SAME,
        "best_likeness_of_a_stretch_in_another_recording": dict(
            zip(map("{:.2%}".format, _SHARES), quantiles(different, _SHARES, 3), strict=True)
        ),
        "stretches_compared": int(likenesses.size),
        "shared": [_described(likeness, *stretch) for stretch in _stretches(hits, length)],
    }


def _by_halves(likeness: Likeness, one: int, other: int, place: int, there: int) -> float:
    """Stretches may be alike in nothing but where the music stops: their halves are not."""
    first, second = likeness.recordings[one].path.name, likeness.recordings[other].path.name
    seconds = _STEP / FRAMES_PER_SECOND
    return likeness.of(first, place * seconds, WINDOW_SECONDS, second, there * seconds)


def _windows(look: Features, length: int, hop: int) -> tuple[Features, NDArray[np.int64]]:
    """Float32[n, length * bands] of norm 1, and the frames they begin at; those that hold nothing are left out."""
    if look.shape[0] < length:
        return np.empty((0, length * look.shape[1]), np.float32), np.empty(0, np.int64)
    views = np.lib.stride_tricks.sliding_window_view(look, length, axis=0)[::hop]
    centred = views - views.mean(axis=2, keepdims=True)
    flat = centred.reshape(len(centred), -1)
    norms = np.linalg.norm(flat, axis=1)
    held = norms >= _LEAST_DEVIATION * np.sqrt(flat.shape[1])
    return flat[held] / norms[held, None], np.flatnonzero(held) * hop


def _best_places(windows: Features, look: Features, length: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each window how like the most like stretch of a recording is, and where that begins."""
    stretches, begins = _windows(look, length, 1)
    if not len(stretches):
        return np.zeros(len(windows), np.float32), np.zeros(len(windows), np.int64)
    alike = windows @ stretches.T
    where = alike.argmax(axis=1)
    return alike[np.arange(len(windows)), where], begins[where]


def _stretches(hits: list[Hit], length: int) -> Iterator[tuple[int, int, int, int, int, float]]:
    """Windows that follow each other in both recordings as one: numbers, places, frames and the least likeness.

    Each pair is told once, from the one with the lower number.
    """
    by_pair: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    for one, other, place, there, alike in hits:
        pair = (one, other, place, there) if one < other else (other, one, there, place)
        by_pair[pair[:2]].append((pair[2], pair[3], alike))
    for (one, other), places in sorted(by_pair.items()):
        runs: list[list[Any]] = []
        for place, there, alike in sorted(places):
            run = next((run for run in runs if _follows(run, place, there, length)), None)
            if run is None:
                runs.append([place, there, place + length, alike])
            else:
                run[2], run[3] = max(run[2], place + length), min(run[3], alike)
        for begin, there, end, alike in runs:
            yield one, other, begin, there, end - begin, alike


def _follows(run: list[Any], place: int, there: int, length: int) -> bool:
    begin, began_there, end, _ = run
    same_lag = abs((there - place) - (began_there - begin)) <= _SAME_LAG_FRAMES
    return same_lag and place <= end + length // 2


def _described(likeness: Likeness, one: int, other: int, begin: int, there: int, frames: int, alike: float) -> Any:
    first, second = likeness.recordings[one], likeness.recordings[other]
    seconds = _STEP / FRAMES_PER_SECOND
    return {
        "recording": first.path.name,
        "role": first.role,
        "from_seconds": round(begin * seconds, 2),
        "other": second.path.name,
        "other_role": second.role,
        "other_from_seconds": round(there * seconds, 2),
        "seconds": round(frames * seconds, 2),
        "likeness": round(alike, 3),
    }
