"""Decoding and fingerprinting of a clip taken apart, with the floor of each stage, in a process like a worker's."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks import floors
from benchmarks.floors import Work, seconds_of
from benchmarks.stopwatch import Call, Stopwatch, Watched
from dejavu.audio.convert import Samples
from dejavu.audio.decode import decode
from dejavu.fingerprint import extract
from dejavu.model import Query
from dejavu.service.worker import ENVIRONMENT

DECODE, FRAMES_ALONE, STFT, PEAKS, PAIRS = "decode", "decode: frames alone", "STFT", "peaks", "pairs"

_WATCHED = (
    Watched(extract, "power_spectrogram", STFT),
    Watched(extract, "find_peaks", PEAKS),
    Watched(extract, "interpolated", PEAKS),
    Watched(extract, "pair_peaks", PAIRS),
    Watched(extract, "extract_query", PAIRS),  # what is left of it: the hashes are put in order
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages of something took, and what their floors did, in seconds."""

    stages: Mapping[str, float]
    floors: Mapping[str, float]


@contextmanager
def worker_like() -> Iterator[ProcessPoolExecutor]:
    """A pool of one process with the environment of the service's workers, which decides how fast memory is got."""
    before = dict(os.environ)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        os.environ.update(ENVIRONMENT)
        try:
            pool.submit(os.getpid).result()  # the process is started by the first task
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield pool


_calls: dict[int, list[Call]] = {}
"""What each clip's stages were given the last time, by the clip's number."""


def take_apart(number: int, media: bytes, floors_first: bool) -> tuple[Query, Parts]:
    """The query of a clip, what each stage of making it took, and the floors on the same data.

    `floors_first` holds from the second time on that a clip comes, for only then is known what its stages are given.
    """
    if floors_first and number in _calls:
        least = _floors(media, _calls[number])
        query, stages = _stages(number, media)
    else:
        query, stages = _stages(number, media)
        least = _floors(media, _calls[number])
    return query, Parts({**stages, FRAMES_ALONE: stages[DECODE]}, least)


def _stages(number: int, media: bytes) -> tuple[Query, dict[str, float]]:
    blocks: list[Samples] = []
    decoding = seconds_of([lambda: blocks.extend(decode(io.BytesIO(media)))])
    stopwatch = Stopwatch()
    with stopwatch.watching(*_WATCHED):
        query = extract.extract_query(blocks)
    _calls[number] = stopwatch.calls()
    return query, {DECODE: decoding, **by_stage(_calls[number])}


def by_stage(calls: Iterable[Call]) -> dict[str, float]:
    """The seconds of each stage."""
    seconds: dict[str, float] = {}
    for call in calls:
        seconds[call.stage] = seconds.get(call.stage, 0.0) + call.seconds
    return seconds


def _floors(media: bytes, calls: Sequence[Call]) -> dict[str, float]:
    works: dict[str, list[Work]] = {STFT: [], PEAKS: [], PAIRS: []}
    for call in calls:
        if call.name == "power_spectrogram":
            works[STFT].append(floors.transform(*call.arguments))
        elif call.name == "find_peaks":
            works[PEAKS].append(floors.maxima(*call.arguments))
        elif call.name == "pair_peaks":
            works[PAIRS].append(floors.sort(floors.in_order(call.result.hashes, call.result.offsets)))
    return {
        DECODE: seconds_of([lambda: floors.decode_and_resample(media)]),
        FRAMES_ALONE: seconds_of([lambda: floors.decode_frames(media)]),
        **{stage: seconds_of(own) for stage, own in works.items()},
    }
