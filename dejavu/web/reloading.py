"""Another configuration without an end of service: SIGHUP.

The process that listens starts a second one that serves, with the configuration as it is now. Only when that one is
ready is the first told to finish what it has in hand and stop. Both have the listening socket, so that no client is
turned away meanwhile. What would not start changes nothing: the first goes on as if nothing had happened.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from dejavu.config.deployment import Deployment
from dejavu.errors import ConfigError

_log = logging.getLogger(__name__)

_READY = b"1"

STOPPING_SIGNALS = frozenset({signal.SIGTERM, signal.SIGQUIT})
"""What tells a process that serves to stop. Blocked from its fork until it has handlers of its own, since those that
it inherits would swallow them, and it would be waited for until it is killed."""


@dataclass(slots=True)
class _Trial:
    """A process that is starting with another configuration."""

    pid: int
    deployment: Deployment
    ready: int  # the reading end of a pipe that it writes to when it is


class Configuration:
    """The configuration to serve with; in a process that tries another one, that."""

    def __init__(self, deployment: Deployment, reread: Callable[[], Deployment]) -> None:
        """`reread` reads the configuration anew; raises `ConfigError`."""
        self.deployment = deployment
        self.reread = reread
        self._tell: int | None = None

    @property
    def is_trial(self) -> bool:
        """Whether this process tries a configuration that another one is waiting for."""
        return self._tell is not None

    @contextmanager
    def trying(self, deployment: Deployment, tell: int) -> Iterator[None]:
        """Let a process that is forked meanwhile serve with another configuration, and tell that pipe when it does."""
        before = self.deployment
        self.deployment, self._tell = deployment, tell
        try:
            yield
        finally:
            self.deployment, self._tell = before, None

    def serving(self) -> None:
        """Say that this process serves now."""
        if self._tell is not None:
            os.write(self._tell, _READY)
            os.close(self._tell)
            self._tell = None


class ReloadingArbiter(Arbiter):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn's process that listens, which on SIGHUP tries the new configuration beside the old one."""

    def __init__(self, app: Any, configuration: Configuration) -> None:
        self._configuration = configuration
        self._trial: _Trial | None = None
        self._asked_again = False
        self._is_stopping = False
        super().__init__(app)

    def stop(self, graceful: bool = True) -> None:
        """Stop what serves, a trial as well; called by gunicorn."""
        self._is_stopping, self._asked_again = True, False
        super().stop(graceful)

    def handle_hup(self) -> None:
        """Try the configuration as it is now; called by gunicorn."""
        if self._trial is not None:
            self._asked_again = True
            return
        try:
            deployment = self._configuration.reread()
        except ConfigError as exc:
            for problem in str(exc).splitlines():
                _log.error("reload refused: %s", problem)
            return
        _log.info("reload begins")
        ready, tell = os.pipe()
        self.num_workers = 2
        with self._configuration.trying(deployment, tell):
            pid = self.spawn_worker()
        os.close(tell)
        os.set_blocking(ready, False)
        self._trial = _Trial(pid, deployment, ready)

    def spawn_worker(self) -> int:
        """Start a process that serves, with `STOPPING_SIGNALS` blocked there; called by gunicorn."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING_SIGNALS)
        try:
            return int(super().spawn_worker())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)

    def manage_workers(self) -> None:
        """Let the old process stop once the new one is ready; called by gunicorn again and again."""
        if self._trial is not None and _is_ready(self._trial.ready):
            self._configuration.deployment = self._trial.deployment
            _log.info("reload done")
            self._end_trial()
        super().manage_workers()

    def reap_workers(self) -> None:
        """See who has ended; a trial that has is no reason to end everything. Called by gunicorn."""
        try:
            super().reap_workers()
        except HaltServer:
            if self._trial is None or self._trial.pid in self.WORKERS:
                raise
        if self._trial is not None and self._trial.pid not in self.WORKERS:
            if not self._is_stopping:
                _log.error("reload refused: the service does not start with it; the old configuration goes on")
            self._end_trial()

    def _end_trial(self) -> None:
        assert self._trial is not None  # noqa: S101 - nobody calls it otherwise
        os.close(self._trial.ready)
        self._trial = None
        self.num_workers = 1
        if self._asked_again:
            self._asked_again = False
            self.handle_hup()


def _is_ready(pipe: int) -> bool:
    try:
        return os.read(pipe, 1) == _READY
    except BlockingIOError:
        return False
