"""Kept connections to a MySQL server: a bounded number, never a dead one, and none from before a fork."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dejavu.errors import StoreUnavailable

Connection = Any
"""A `MySQLdb.connections.Connection`; the library has no types."""


class ConnectionPool:
    """Connections, opened as often as they are used at the same time, up to `limit`.

    Safe for several threads, also after a fork. A connection something went wrong on is not used again: closing it
    makes the server roll back what it was doing.
    """

    def __init__(self, connect: Callable[[], Connection], limit: int, wait_seconds: float) -> None:
        """`wait_seconds`: how long to wait for a connection while `limit` are in use."""
        self._connect = connect
        self._limit = limit
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._places = threading.Semaphore(limit)
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def taken(self) -> Iterator[Connection]:
        """A connection that nobody else uses meanwhile."""
        places = self._own_places()
        if not places.acquire(timeout=self._wait_seconds):
            raise StoreUnavailable(f"All {self._limit} connections to the MySQL server are busy.")
        try:
            connection = self._kept() or self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
        finally:
            places.release()

    def close(self) -> None:
        """Close every connection: idle ones now, others when they are given back."""
        self._own_places()
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    def _own_places(self) -> threading.Semaphore:
        """The places of this process: after a fork, the parent's threads are not there to give theirs back."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._places = threading.Semaphore(self._limit)
                while self._idle:
                    _abandon(self._idle.pop())
            return self._places

    def _kept(self) -> Connection | None:
        """An idle connection that the server has not closed, if there is one."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _is_quiet(connection):
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _is_quiet(connection: Connection) -> bool:
    """Whether nothing has come in: on an idle connection that could only be its end, or the reason for it."""
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    return not watch.poll(0)


def _abandon(connection: Connection) -> None:
    """Close a forked process's copy of a connection, without the farewell that would end the parent's session."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, connection.fileno(), inheritable=False)
    os.close(nowhere)
    connection.close()
