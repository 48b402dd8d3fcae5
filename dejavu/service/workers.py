"""The pool of processes that decode and fingerprint, as request threads see it.

A worker is a process of its own, started with `subprocess`: forking under threads is not safe, and `multiprocessing`
would unpickle what comes from a process that has handled hostile media. It gets the descriptor of an open file, so
neither a path nor the media itself crosses.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from dejavu.config.settings import QUEUE_LIMIT, QUEUE_WAIT_SECONDS, TASK_TIMEOUT_SECONDS
from dejavu.errors import DecodeTimeout, Overloaded, UnsupportedMedia
from dejavu.model import About, ClipPeaks, Fingerprints, Peaks, Query, Recording
from dejavu.service.worker import NOT_PROCESSED, Columns, Worker, WorkerDied, WorkerMissing
from dejavu.service.worker_protocol import BAND_BINS

logger = logging.getLogger(__name__)

Task = Literal["fingerprint", "query", "spectrogram"]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How the pool is doing. `restarts` counts workers that died, hung or grew too large."""

    size: int
    busy: int
    waiting: int
    restarts: int


class WorkerPool:
    """Fingerprints media in other processes. Safe for several threads.

    A file that makes its worker crash or hang costs its own request and no other; the worker is replaced. Songs to be
    added, which may be days long, never have all workers: one is left for clips.
    """

    def __init__(
        self,
        size: int | None = None,
        queue_limit: int = QUEUE_LIMIT,
        timeout_seconds: float = TASK_TIMEOUT_SECONDS,
    ) -> None:
        """Start `size` workers (None: `default_size`) and wait until they are ready.

        queue_limit : how many requests may wait for a worker. timeout_seconds : what one file may take.
        """
        self._queue_limit = queue_limit
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._waiters: deque[tuple[Task, SimpleQueue[Worker | None]]] = deque()
        self._workers = [Worker() for _ in range(size or default_size())]
        self._fingerprinting = 0
        self._idle = list(self._workers)
        try:
            for worker in self._workers:
                worker.wait_ready()
        except BaseException:
            self.close()
            raise

    def fingerprint(self, file: BinaryIO) -> Recording:
        """All landmarks of a recording, never none, and what its file says of it.

        file : has a descriptor; its position is neither used nor changed.
        Raises `UnsupportedMedia` (also where the worker crashed over it), `NoAudio`, `DecodeTimeout` and `Overloaded`.
        """
        (hashes, offsets, frames, bins), about = self._ask("fingerprint", file)
        return Recording(Fingerprints(hashes, offsets, Peaks(frames, bins.astype(np.float32))), about)

    def query(self, file: BinaryIO, start_seconds: float = 0.0, duration_seconds: float | None = None) -> Query:
        """The landmarks of a stretch of a media file (a duration of None: to its end); otherwise as `fingerprint`."""
        fields = {"start_seconds": start_seconds, "duration_seconds": duration_seconds}
        (hashes, offsets, ranks, *peaks), _ = self._ask("query", file, **fields)
        return Query(hashes, offsets, ranks, ClipPeaks(*peaks))

    def spectrogram(
        self, file: BinaryIO, start_seconds: float = 0.0, duration_seconds: float | None = None
    ) -> NDArray[np.uint8]:
        """What is heard of the first QUERY_DENSE_SECONDS of such a stretch; uint8[frames, BAND_BINS].

        Levels are from 80 dB below the loudest (0) up to that (255). Raises like `query`.
        """
        fields = {"start_seconds": start_seconds, "duration_seconds": duration_seconds}
        (levels,), _ = self._ask("spectrogram", file, **fields)
        return levels.reshape(-1, BAND_BINS)

    def status(self) -> PoolStatus:
        """How many workers there are, and what they do."""
        with self._lock:
            size = len(self._workers)
            restarts = sum(worker.restarts for worker in self._workers)
            return PoolStatus(size, size - len(self._idle), len(self._waiters), restarts)

    def pids(self) -> list[int]:
        """The processes that there are at the moment."""
        return [worker.pid for worker in self._workers if worker.pid]

    def close(self) -> None:
        """End all workers, busy ones too, and turn away whoever waits for one."""
        with self._lock:
            self._closed = True
            while self._waiters:
                self._waiters.popleft()[1].put(None)
            idle = list(self._idle)
        for worker in self._workers:
            worker.close()
        for worker in idle:
            worker.stop()

    def _ask(self, task: Task, file: BinaryIO, **fields: float | None) -> tuple[Columns, About]:
        file.flush()
        with self._borrowed(task) as worker:
            try:
                return worker.ask(task, file.fileno(), self._timeout_seconds, fields)
            except TimeoutError as exc:
                message = (
                    f"Decoding took longer than the {self._timeout_seconds:g} s a file may take; send a shorter one."
                )
                raise DecodeTimeout(message) from exc
            except WorkerMissing as exc:
                logger.error("no worker for task=%s: %s", task, exc)
                message = "No process to work on the file can be started at the moment; send it again later."
                raise Overloaded(message, round(QUEUE_WAIT_SECONDS)) from exc
            except WorkerDied as exc:
                logger.error("worker died during task=%s: %s", task, exc)
                raise UnsupportedMedia(NOT_PROCESSED) from exc

    @contextmanager
    def _borrowed(self, task: Task) -> Iterator[Worker]:
        worker = self._take(task)
        try:
            yield worker
        finally:
            worker.refresh()
            self._give_back(worker, task)

    def _take(self, task: Task) -> Worker:
        with self._lock:
            if self._idle and not self._closed and self._may_begin(task):
                self._begin(task)
                return self._idle.pop()
            if self._closed or len(self._waiters) >= self._queue_limit:
                raise _overloaded()
            place: SimpleQueue[Worker | None] = SimpleQueue()
            self._waiters.append((task, place))
        try:
            worker = place.get(timeout=QUEUE_WAIT_SECONDS)
        except Empty:
            with self._lock:
                if (task, place) in self._waiters:
                    self._waiters.remove((task, place))
                    raise _overloaded() from None
            worker = place.get()  # it was handed over at the last moment
        if worker is None:
            raise _overloaded()
        return worker

    def _give_back(self, worker: Worker, task: Task) -> None:
        """Hand a worker to whoever has waited longest and may have it: who has just come must not overtake."""
        with self._lock:
            self._fingerprinting -= task == "fingerprint"
            self._idle.append(worker)
            while self._idle and (waiter := next(filter(self._may_go_on, self._waiters), None)):
                self._waiters.remove(waiter)
                next_task, place = waiter
                self._begin(next_task)
                place.put(self._idle.pop())

    def _may_go_on(self, waiter: tuple[Task, SimpleQueue[Worker | None]]) -> bool:
        return self._may_begin(waiter[0])

    def _may_begin(self, task: Task) -> bool:
        return task != "fingerprint" or self._fingerprinting < max(1, len(self._workers) - 1)

    def _begin(self, task: Task) -> None:
        self._fingerprinting += task == "fingerprint"


def default_size() -> int:
    """One worker for each CPU, and one more, so that clips are answered beside the longest uploads.

    CPUs are those this process may use, which in a container can be fewer than the machine has.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable + 1


def _overloaded() -> Overloaded:
    return Overloaded(
        "The service is busy with other files; send this one again in a moment.", round(QUEUE_WAIT_SECONDS)
    )
