"""One worker process, as the service sees it: started, asked, and replaced when it fails."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import dejavu
from dejavu.config.settings import WORKER_RECYCLE_BYTES, WORKER_START_SECONDS
from dejavu.errors import MediaError, NoAudio, UnsupportedMedia
from dejavu.model import NOTHING_KNOWN, About
from dejavu.service import worker_protocol
from dejavu.service.worker_protocol import ProtocolError

Columns = list[np.ndarray[Any, Any]]

logger = logging.getLogger(__name__)

_MODULE = "dejavu.service.worker_process"
_MODULES_FOLDER = Path(dejavu.__path__[0]).parent

_MEDIA_ERRORS: dict[str, type[MediaError]] = {kind.__name__: kind for kind in (UnsupportedMedia, NoAudio)}
"""What a worker may answer with."""

ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    # There are as many workers as CPUs.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc would give buffers of a few hundred kB back to the system and get them anew, zeroed page by page, for every
    # block: a quarter of the time a file takes.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""All of a worker's environment. The service's own may hold tokens and passwords."""

_MAX_MESSAGE = 500

NOT_PROCESSED = "The file could not be processed; if players play it, convert it to MP3 or WAV and send that."


class WorkerMissing(Exception):
    """There is no process to ask: it does not start, or the pool is closed. No file is to blame."""


class WorkerDied(Exception):
    """The process ended, or said something it never says, before it had answered."""


class Worker:
    """A place for a worker process. Used by one thread at a time, except for `close`."""

    def __init__(self) -> None:
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._ready = False
        self._closed = False
        self.start()

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process where none is running, without waiting for it; raises `OSError`."""
        if self._closed or (self._process and self._process.poll() is None):
            return
        self.stop()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", _MODULE],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd=_MODULES_FOLDER,
                    env=ENVIRONMENT,
                )
        except OSError:
            ours.close()
            raise
        self.restarts += self._process is not None
        self._process, self._connection, self._ready = process, ours, False
        if self._closed:  # meanwhile, by another thread
            process.kill()

    def wait_ready(self) -> None:
        """Wait until the process takes tasks; raises `WorkerMissing` where it does not come up."""
        if self._ready:
            return
        try:
            header, _ = worker_protocol.receive(self._open(), time.monotonic() + WORKER_START_SECONDS)
            if header != {"ready": True}:
                raise ProtocolError("another greeting")
        except (OSError, EOFError, ProtocolError) as exc:
            raise WorkerMissing(f"it did not start: {exc}") from exc
        self._ready = True

    def ask(
        self, task: str, descriptor: int, timeout_seconds: float, fields: Mapping[str, float | None]
    ) -> tuple[Columns, About]:
        """The columns that a task with an open file results in, and what is known about a recording beside them.

        Raises the `MediaError` that the worker answers with, `TimeoutError`, `WorkerMissing` and `WorkerDied`; after
        the last three the process is gone.
        """
        try:
            self.start()
            self.wait_ready()
        except (OSError, WorkerMissing) as exc:
            self.stop()
            raise WorkerMissing(str(exc)) from exc
        try:
            deadline = time.monotonic() + timeout_seconds
            connection = self._open()
            worker_protocol.send(connection, {"task": task, **fields}, (descriptor,))
            header, _ = worker_protocol.receive(connection, deadline)
            kinds = worker_protocol.COLUMNS[task]
            columns: Columns = [
                np.frombuffer(worker_protocol.receive_bytes(connection, rows * kind.itemsize, deadline), kind)
                for rows, kind in zip(_rows(header, len(kinds)), kinds, strict=True)
            ]
            worker_protocol.require_sound(task, columns)
            return columns, worker_protocol.about_of(header) if task == "fingerprint" else NOTHING_KNOWN
        except (TimeoutError, WorkerMissing):
            self.stop()
            raise
        except (OSError, EOFError, ProtocolError) as exc:
            self.stop()
            if self._closed:
                raise WorkerMissing("the pool was closed") from exc
            raise WorkerDied(str(exc)) from exc

    def refresh(self) -> None:
        """Make sure that a process of modest size is running or starting; a failure to start it is left to `ask`."""
        if self._closed or (self._process and _resident_bytes(self._process.pid) > WORKER_RECYCLE_BYTES):
            self.stop()
        try:
            self.start()
        except OSError as exc:
            logger.error("no worker process can be started: %s", exc)

    def stop(self) -> None:
        """Kill the process and let go of its connection."""
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._connection:
            self._connection.close()

    def close(self) -> None:
        """Kill the process for good, also while another thread waits for it; that one gets `WorkerMissing`."""
        self._closed = True
        if self._process:
            self._process.kill()

    def _open(self) -> socket.socket:
        if self._connection is None or self._closed:
            raise WorkerMissing("the pool is closed")
        return self._connection


def _rows(header: Mapping[str, Any], columns: int) -> list[int]:
    """How many rows each of the columns has that follow a header; raises what it says went wrong."""
    if "failure" in header:
        logger.error("a file made a worker fail: %s", header["failure"])
        raise UnsupportedMedia(NOT_PROCESSED)
    if "error" in header:
        kind = _MEDIA_ERRORS.get(str(header["error"]))
        if kind is None:
            raise ProtocolError(f"the error {header['error']!r}")
        raise kind(str(header.get("message"))[:_MAX_MESSAGE])
    rows = header.get("rows")
    if not isinstance(rows, list) or len(rows) != columns or not all(map(_is_possible, rows)) or not rows[0]:
        raise ProtocolError(f"{rows!r:.100} rows")
    return rows


def _is_possible(rows: object) -> bool:
    return isinstance(rows, int) and 0 <= rows <= worker_protocol.MAX_ROWS


def _resident_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where the system does not say, or the process is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
