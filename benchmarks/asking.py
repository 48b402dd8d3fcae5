"""Clips put to the real service, in process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from benchmarks.answers import Answer
from benchmarks.material import Clip
from dejavu.service.service import Service

AT_A_TIME = 2
"""Clips in flight, as on a machine with two cores."""


def answers_of(service: Service, clips: Sequence[Clip], what: str = "recognising") -> list[Answer]:
    """What the service answers to each clip, in their order; `what` is shown beside the progress."""

    def ask(clip: Clip) -> Answer:
        with clip.path.open("rb") as file:
            began = time.perf_counter()
            matches = service.recognize(file).matches
        return Answer(clip, matches[0] if matches else None, time.perf_counter() - began)

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return list(tqdm(threads.map(ask, clips), desc=what, total=len(clips), unit="clip"))
