"""A circuit breaker: remembers that a database is down, so that requests skip it at once, and when to try it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dejavu.config.settings import FIRST_PROBE_PAUSE_SECONDS, LONGEST_PROBE_PAUSE_SECONDS, STEADY_SECONDS


class Breaker:
    """Closed while the database answers; open from its first failure until a probe finds it well again.

    One failure is enough, because the first probe follows it closely: a hiccup costs a fraction of a second, and a
    database that hangs costs one deadline and not several. One that passes its probes and fails again all the same is
    left alone for longer each time. Whether a probe is due follows from `clock` alone (seconds, monotonic). The state
    belongs to one process. Safe for several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._pause = 0.0
        self._next_probe_at = 0.0
        self._changed_at = clock()

    @property
    def closed(self) -> bool:
        """Whether the database may be asked."""
        return self._reason is None

    @property
    def reason(self) -> str | None:
        """The sentence of the last failure; None while closed."""
        return self._reason

    @property
    def seconds_in_state(self) -> float:
        """How long it has been closed, or open."""
        return self._clock() - self._changed_at

    @property
    def seconds_to_probe(self) -> float:
        """How long to wait before the next probe; 0 where one is due."""
        return max(0.0, self._next_probe_at - self._clock())

    def trip(self, reason: str) -> bool:
        """Open after a request failed; False where it was open already, so that stragglers do not put off the probe."""
        with self._lock:
            if self._reason is not None:
                return False
            if self.seconds_in_state >= STEADY_SECONDS:
                self._pause = 0.0
            self._reason = reason
            self._changed_at = self._clock()
            self._put_off_probe()
            return True

    def probe_failed(self, reason: str) -> None:
        """Stay open, and wait twice as long as before the last probe."""
        with self._lock:
            self._reason = reason
            self._put_off_probe()

    def close(self) -> None:
        """A probe found the database well."""
        with self._lock:
            if self._reason is not None:
                self._reason = None
                self._changed_at = self._clock()

    def _put_off_probe(self) -> None:
        self._pause = min(max(2 * self._pause, FIRST_PROBE_PAUSE_SECONDS), LONGEST_PROBE_PAUSE_SECONDS)
        self._next_probe_at = self._clock() + self._pause
