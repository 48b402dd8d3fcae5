"""A process that decodes and fingerprints what it is sent; started by `workers`, with its socket as standard input.

It handles hostile media in libraries written in C. So it has no secrets in its environment and no rights
(`confinement`), and nobody believes more of what it says than `worker_protocol` allows.
"""

from __future__ import annotations

import io
import os
import select
import signal
import socket
import sys
import threading
import traceback
import wave
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from dejavu.audio.convert import Samples
from dejavu.audio.decode import SeekableFile, decode
from dejavu.audio.tags import read_tags
from dejavu.config.settings import ANALYSIS_FS, QUERY_DENSE_SECONDS, WORKER_MEMORY_BYTES
from dejavu.errors import MediaError, NoAudio, UnsupportedMedia
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.model import Fingerprints, Query
from dejavu.service import worker_protocol
from dejavu.service.confinement import confine


def main() -> None:
    """Serve tasks until the other side closes the connection."""
    # Ctrl-C and a service manager's SIGTERM reach the whole process group, while requests in flight are to be answered.
    # The end of the connection is what ends a worker.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    connection = socket.socket(fileno=sys.stdin.fileno())
    _warm_up()
    confine(WORKER_MEMORY_BYTES)
    threading.Thread(target=_exit_with, args=(connection,), daemon=True).start()
    worker_protocol.send(connection, {"ready": True})
    while True:
        try:
            request, descriptors = worker_protocol.receive(connection)
        except EOFError:
            return
        with closing(_SharedFile(descriptors[0])) as file:
            header, columns = _carry_out(request, file)
        worker_protocol.send(connection, header)
        for column in columns:
            connection.sendall(column)


def _exit_with(connection: socket.socket) -> None:
    """End this process when the service is gone, also in the middle of a file.

    Not PR_SET_PDEATHSIG: it fires when the *thread* ends that started this process, which may be that of one request.
    """
    poll = select.poll()
    poll.register(connection, 0)  # hang-ups are always reported
    poll.poll()
    os._exit(0)


class _SharedFile:
    """A file at a position of its own: the descriptor's is shared with the service, which may be using it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._descriptor, size, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = origin[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        os.close(self._descriptor)


def _carry_out(request: dict[str, Any], file: SeekableFile) -> tuple[dict[str, Any], list[bytes]]:
    """The answer to one request: a header, and the columns of a result."""
    try:
        if request["task"] == "query":
            return _query(file, request["start_seconds"], request["duration_seconds"])
        if request["task"] == "spectrogram":
            return _spectrogram(file, request["start_seconds"], request["duration_seconds"])
        return _fingerprint(file)
    except MediaError as exc:
        return {"error": type(exc).__name__, "message": str(exc)}, []
    except MemoryError:
        message = "The file needs more memory to decode than the service allows; send a shorter or simpler one."
        return {"error": UnsupportedMedia.__name__, "message": message}, []
    except Exception:
        # A file made something fail that should not. It costs this request; the service logs what it was.
        return {"failure": traceback.format_exc()[-8000:]}, []


def _fingerprint(file: SeekableFile) -> tuple[dict[str, Any], list[bytes]]:
    blocks = _Counted(decode(file))
    found = extract_reference(blocks)
    blocks.require(found)
    about = replace(read_tags(file), duration_seconds=round(blocks.seconds, 3))
    header, columns = _result("fingerprint", found.hashes, found.offsets, found.peaks.frames, found.peaks.bins)
    return {**header, "about": asdict(about)}, columns


def _query(
    file: SeekableFile, start_seconds: float, duration_seconds: float | None
) -> tuple[dict[str, Any], list[bytes]]:
    blocks = _Counted(decode(file, start_seconds=start_seconds, duration_seconds=duration_seconds))
    found = extract_query(blocks)
    blocks.require(found)
    peaks = found.peaks
    return _result("query", found.hashes, found.offsets, found.ranks, peaks.frames, peaks.bins, peaks.ranks)


def _spectrogram(
    file: SeekableFile, start_seconds: float, duration_seconds: float | None
) -> tuple[dict[str, Any], list[bytes]]:
    """What is heard of a clip, from 80 dB below its loudest (0) up to that (255)."""
    seconds = min(QUERY_DENSE_SECONDS, duration_seconds or QUERY_DENSE_SECONDS)
    samples = np.concatenate([*decode(file, start_seconds=start_seconds, duration_seconds=seconds)])
    power = power_spectrogram(samples)
    if not power.size or not power.max():
        raise NoAudio("There is nothing to be seen in this clip: it is silent or too short.")
    decibels = 10 * np.log10(np.maximum(power / power.max(), 1e-8))
    return _result("spectrogram", np.rint((decibels + 80) * (255 / 80)).astype("u1").ravel())


class _Counted:
    """Blocks of samples that are counted on their way."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._samples = 0

    def __iter__(self) -> Iterator[Samples]:
        for block in self._blocks:
            self._samples += block.size
            yield block

    @property
    def seconds(self) -> float:
        """How long what went by is."""
        return self._samples / ANALYSIS_FS

    def require(self, found: Fingerprints | Query) -> None:
        """Raise `NoAudio` where what was found in them is nothing."""
        if not len(found):
            raise NoAudio(
                f"There is nothing to fingerprint in {self.seconds:.2f} s of sound: it is silent or too short."
            )


def _result(task: str, *columns: np.ndarray[Any, Any]) -> tuple[dict[str, Any], list[bytes]]:
    types = worker_protocol.COLUMNS[task]
    packed = [column.astype(kind, copy=False).tobytes() for column, kind in zip(columns, types, strict=True)]
    return {"rows": [column.size for column in columns]}, packed


def _warm_up() -> None:
    """Go once through everything that a request does, so that nothing is imported or planned during the first one."""
    noise = np.random.default_rng(0).integers(-9000, 9000, 3 * ANALYSIS_FS, dtype=np.int16)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(ANALYSIS_FS)
        writer.writeframes(noise.tobytes())
    _fingerprint(buffer)
    _query(buffer, 0.0, None)


if __name__ == "__main__":
    main()
