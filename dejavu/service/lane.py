"""A bounded lane: a few threads and a short queue for one database, so that a slow one holds up only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class LaneFull(Exception):
    """All threads are busy, and there was no place to wait or no end to it; nothing was started."""


class LaneTimeout(Exception):
    """The work was not done by its deadline."""


@dataclass(frozen=True, slots=True)
class Pending(Generic[Answer]):
    """Work that was handed to a lane. `deadline` is a reading of `time.monotonic`, in seconds."""

    future: Future[Answer]
    deadline: float

    def result(self) -> Answer:
        """Wait for the answer until the deadline; raise whatever the work raised.

        Raises `LaneTimeout` for work that is still running then, and `LaneFull` for work that has only waited: that
        says nothing about who would have done it.
        """
        try:
            return self.future.result(max(0.0, self.deadline - time.monotonic()))
        except TimeoutError as exc:
            if self.future.cancel():
                raise LaneFull("The work waited past its deadline.") from exc
            raise LaneTimeout("The work was not done by its deadline.") from exc


class Lane:
    """Runs work on `threads` threads while at most `waiting` more pieces queue, and refuses the rest at once."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(threads + waiting)

    def start(self, work: Callable[[], Answer], timeout_seconds: float) -> Pending[Answer]:
        """Queue `work`; raise `LaneFull` where there is no place left.

        Work that has waited longer than `timeout_seconds` is dropped: nobody listens to its answer any more.
        """
        if not self._places.acquire(blocking=False):
            raise LaneFull("The lane is full.")
        deadline = time.monotonic() + timeout_seconds
        future = self._threads.submit(_run, work, deadline)
        future.add_done_callback(lambda _: self._places.release())
        return Pending(future, deadline)

    def close(self) -> None:
        """Drop what waits, and return when what is running has ended."""
        self._threads.shutdown(cancel_futures=True)


def _run(work: Callable[[], Answer], deadline: float) -> Answer:
    if time.monotonic() >= deadline:
        raise LaneFull("The work waited past its deadline.")
    return work()
