"""What the service and its worker processes say to each other over a socket pair.

A message is four bytes of length, that much JSON, and for results the columns as raw little-endian numbers, of which
the JSON says how many each has. Nothing is pickled: a worker has handled hostile media, so what it says is only ever
read as numbers and text of bounded size, and the numbers that decide how much is looked up have to be possible.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dejavu.config.settings import (
    ANALYSIS_FS,
    BAND_FIRST_BIN,
    BAND_LAST_BIN,
    HOP_LENGTH,
    N_FFT,
    QUERY_DENSE_SECONDS,
    TAG_MAX_CHARACTERS,
)
from dejavu.model import About

COLUMNS = {
    "fingerprint": (np.dtype("<u4"), np.dtype("<u4"), np.dtype("<u4"), np.dtype("<u2")),
    "query": (
        *(np.dtype("<u4"), np.dtype("<u4"), np.dtype("u1")),
        *(np.dtype("<f4"), np.dtype("<f4"), np.dtype("u1")),
    ),
    "spectrogram": (np.dtype("u1"),),
}
"""For each task, the types of the columns in its result: hashes and offsets; then a recording's peaks, as frames and
whole bins, or a query's ranks and its peaks. Of a spectrogram its levels, frame by frame. The first column is never
empty."""

MAX_ROWS = 10_000_000
"""Of a column. More than the landmarks of 90 hours, for which TASK_TIMEOUT_SECONDS leaves no time."""

BAND_BINS = BAND_LAST_BIN - BAND_FIRST_BIN
"""Levels of a frame in a spectrogram."""

_CLIP_FRAMES = QUERY_DENSE_SECONDS * ANALYSIS_FS / HOP_LENGTH
"""Of a clip whose peaks are sent; each stretch of a song that they reach over is read."""

_MAX_HEADER_BYTES = 1 << 16
_LENGTH = struct.Struct("<I")


class ProtocolError(Exception):
    """The other side said something it never says, or stopped in the middle."""


def send(connection: socket.socket, header: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send a header, and open file descriptors along with it."""
    body = json.dumps(header).encode()
    message = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(connection, [message], descriptors) if descriptors else 0
    connection.sendall(message[sent:])


def receive(connection: socket.socket, deadline: float | None = None) -> tuple[dict[str, Any], list[int]]:
    """Receive a header and at most one file descriptor.

    deadline : by `time.monotonic`; None waits for ever. Raises `TimeoutError` when it has passed, `EOFError` where the
        other side is gone, and `ProtocolError`.
    """
    _wait_until(connection, deadline)
    start, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    if not start:
        raise EOFError("the other side has closed the connection")
    start += bytes(receive_bytes(connection, _LENGTH.size - len(start), deadline))
    (size,) = _LENGTH.unpack(start)
    if size > _MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {size} bytes")
    try:
        header = json.loads(receive_bytes(connection, size, deadline))
    except ValueError as exc:
        raise ProtocolError("a header that is not JSON") from exc
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not an object")
    return header, descriptors


def receive_bytes(connection: socket.socket, size: int, deadline: float | None = None) -> bytearray:
    """Receive exactly this many bytes; raises like `receive`."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        _wait_until(connection, deadline)
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the other side has closed the connection")
        view = view[count:]
    return data


def require_sound(task: str, columns: Sequence[np.ndarray[Any, Any]]) -> None:
    """Raise `ProtocolError` for columns that no file has: of different lengths, or peaks that are in no clip."""
    if task == "spectrogram":
        if columns[0].size % BAND_BINS or columns[0].size > (_CLIP_FRAMES + 1) * BAND_BINS:
            raise ProtocolError("a spectrogram of no clip")
        return
    landmarks, peaks = (columns[:2], columns[2:]) if task == "fingerprint" else (columns[:3], columns[3:])
    for group in (landmarks, peaks):
        if len({column.size for column in group}) > 1:
            raise ProtocolError("columns of different lengths")
    if task == "query":
        frames, bins = peaks[:2]
        in_order = np.all(frames[1:] >= frames[:-1])
        # Comparisons with what is no number fail.
        if not (in_order and np.all((frames >= 0) & (frames <= _CLIP_FRAMES)) and np.all(np.abs(bins) <= N_FFT)):
            raise ProtocolError("peaks outside a clip")


def about_of(header: Mapping[str, Any]) -> About:
    """What a worker says of a recording beside its columns; raises `ProtocolError` where that cannot be."""
    said = header.get("about")
    if not isinstance(said, dict) or said.keys() != About.__dataclass_fields__.keys():
        raise ProtocolError("nothing about the file")
    about = About(**said)
    if not all(text is None or _is_tag(text) for text in (about.artist, about.title, about.album, about.isrc)):
        raise ProtocolError("a tag that is none")
    seconds = about.duration_seconds
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise ProtocolError("a duration that is none")
    return about


def _is_tag(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= TAG_MAX_CHARACTERS and text.isprintable()


def _wait_until(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the deadline has passed")
    connection.settimeout(remaining)
