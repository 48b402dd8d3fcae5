"""What the service and its worker processes say to each other over a socket pair.

A message is four bytes of length, that much JSON, and for results the columns as raw little-endian numbers, of which
the JSON says how many each has. Nothing is pickled: a worker has handled hostile media, so what it says is only ever
read as numbers and text of bounded size.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import numpy as np

COLUMNS = {
    "fingerprint": (np.dtype("<u4"), np.dtype("<u4"), np.dtype("<u4"), np.dtype("<u2")),
    "query": (
        *(np.dtype("<u4"), np.dtype("<u4"), np.dtype("u1")),
        *(np.dtype("<f4"), np.dtype("<f4"), np.dtype("u1")),
    ),
}
"""For each task, the types of the columns in its result: hashes and offsets; then a recording's peaks, as frames and
whole bins, or a query's ranks and its peaks. The first column is never empty."""

MAX_ROWS = 10_000_000
"""Of a column. More than the landmarks of 90 hours, for which TASK_TIMEOUT_SECONDS leaves no time."""

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


def _wait_until(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the deadline has passed")
    connection.settimeout(remaining)
