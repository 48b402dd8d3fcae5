"""A few at a time, others in a short queue, and where that is full nobody is kept waiting for nothing."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from dejavu.config import settings
from dejavu.errors import Overloaded

_BUSY = "The service is busy with other clips; send this one again in a moment."


class Turnstile:
    """Lets `at_a_time` through while at most `waiting` more queue, first come first served, and refuses the rest.

    What is behind it never has more to do at once than it can do well: an answer that would come too late for whoever
    asked costs everybody else theirs. Safe for several threads.
    """

    def __init__(self, at_a_time: int, waiting: int, refusal: str = _BUSY) -> None:
        self._at_a_time = at_a_time
        self._places = waiting
        self._refusal = refusal
        self._lock = threading.Lock()
        self._inside = 0
        self._queue: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @contextmanager
    def entered(self) -> Iterator[float]:
        """Wait for a turn, have it while the block runs, and give the seconds that were waited.

        Raises `Overloaded`, at once where the queue is full, and after QUEUE_WAIT_SECONDS in it.
        """
        began = time.monotonic()
        self._enter()
        try:
            yield time.monotonic() - began
        finally:
            self._leave()

    def require_room(self) -> None:
        """Raise `Overloaded` where whoever comes now would be refused."""
        with self._lock:
            self._require_room()

    def _require_room(self) -> None:
        if self._inside >= self._at_a_time and len(self._queue) >= self._places:
            raise self._overloaded()

    def _enter(self) -> None:
        with self._lock:
            self._require_room()
            if self._inside < self._at_a_time:
                self._inside += 1
                return
            turn = threading.Event()
            self._queue.append(turn)
        if turn.wait(settings.QUEUE_WAIT_SECONDS):
            return
        with self._lock:
            if not turn.is_set():  # else its turn came at the last moment
                self._queue.remove(turn)
                raise self._overloaded()

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()  # the place goes from hand to hand: who has just come must not overtake
            else:
                self._inside -= 1

    def _overloaded(self) -> Overloaded:
        seconds = random.randint(1, settings.OVERLOAD_RETRY_SECONDS)  # noqa: S311 - so that not all come back together
        return Overloaded(self._refusal, seconds)
