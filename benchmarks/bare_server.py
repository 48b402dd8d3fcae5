"""The least that an HTTP server can do with a clip: take all of it, and answer at once.

It is a process of its own, as the service is, since whatever runs in the client's own would wait for it in turns. It
takes one connection and knows no more of HTTP than how long a body is. Its answers have as many headers as those of the
service, which a client takes time to read, and as many bytes as the request asks for.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context

ANSWER_BYTES = "X-Answer-Bytes"
"""The header with how long the answer's body is to be."""

_HOST = "127.0.0.1"
_BODY_BYTES = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)
_ANSWER_BYTES = re.compile(rb"\r\n%b: (\d+)\r\n" % ANSWER_BYTES.encode(), re.IGNORECASE)
_AT_ONCE = 1 << 16

_HEAD = b"""HTTP/1.1 200 OK\r
Server: bare\r
Date: Sat, 22 Nov 2026 20:06:55 GMT\r
Connection: keep-alive\r
Content-Type: application/json\r
Content-Length: %d\r
X-Request-ID: 0123456789abcdef\r
Cache-Control: no-store\r
Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r
Referrer-Policy: no-referrer\r
X-Content-Type-Options: nosniff\r
\r
"""


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """The address of such a server, which waits for its one connection."""
    with socket.create_server((_HOST, 0)) as listener:
        process = get_context("spawn").Process(target=_serve, args=(listener,), daemon=True)
        process.start()
        address = listener.getsockname()[:2]
    try:
        yield address
    finally:
        process.terminate()
        process.join()


def _serve(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while head := _take_request(connection):
            connection.sendall(_answer(_number(_ANSWER_BYTES, head)))


def _take_request(connection: socket.socket) -> bytes:
    """Read a request to the end of its body; its head, or nothing where the client is gone."""
    held = b""
    while (end := held.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_AT_ONCE)
        if not more:
            return b""
        held += more
    head, body = held[: end + 2], held[end + 4 :]
    missing = memoryview(bytearray(_number(_BODY_BYTES, head) - len(body)))
    while missing:
        missing = missing[connection.recv_into(missing) :]
    return head


def _answer(body_bytes: int) -> bytes:
    """An answer whose body is JSON of so many bytes, at least 2."""
    return _HEAD % body_bytes + b'"%b"' % (b" " * (body_bytes - 2))


def _number(pattern: re.Pattern[bytes], head: bytes) -> int:
    found = pattern.search(head)
    return int(found[1]) if found else 0
