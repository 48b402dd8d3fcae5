"""Whether one database can be asked: after a failure it is left alone until a background probe finds it well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dejavu.errors import StoreError
from dejavu.store.breaker import Breaker

_log = logging.getLogger(__name__)


class Availability:
    """A breaker that is probed by a thread of its own while it is open. Safe for several threads.

    `probe` raises `StoreError` while the database is not well.
    """

    def __init__(self, name: str, probe: Callable[[], None], breaker: Breaker | None = None) -> None:
        self._name = name
        self._probe = probe
        self._breaker = breaker or Breaker()
        self._closing = threading.Event()
        self._outages = 0
        self._prober: threading.Thread | None = None

    @property
    def up(self) -> bool:
        """Whether the database may be asked now."""
        return self._breaker.closed

    @property
    def since(self) -> datetime:
        """When that last changed, or when watching began."""
        return datetime.now(UTC) - timedelta(seconds=self._breaker.seconds_in_state)

    @property
    def outages(self) -> int:
        """How often it has failed after being up."""
        return self._outages

    @property
    def reason(self) -> str | None:
        """The last failure in one sentence; None while it is up."""
        return self._breaker.reason

    def failed(self, failure: StoreError) -> None:
        """Leave the database alone from now on, and start probing it."""
        if self._breaker.trip(str(failure)):
            self._outages += 1
            _log.warning("database down name=%s reason=%s", self._name, failure)
            self._prober = threading.Thread(target=self._probe_until_up, name=f"{self._name}-probe", daemon=True)
            self._prober.start()

    def probe(self) -> bool:
        """Try whether the database can be used again, and from then on use it."""
        try:
            self._probe()
        except StoreError as exc:
            self._breaker.probe_failed(str(exc))
            return False
        self._breaker.close()
        _log.info("database up name=%s", self._name)
        return True

    def close(self) -> None:
        """Stop probing."""
        self._closing.set()
        if self._prober is not None:
            self._prober.join()

    def _probe_until_up(self) -> None:
        while not self._closing.wait(self._breaker.seconds_to_probe):
            if self.probe():
                return
