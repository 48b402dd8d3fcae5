"""HTTP down to the byte: requests made by hand, answers from bare sockets, and the shape of every error."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that came over a bare socket."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer from a connection."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        return Answer(response.status, response.headers, response.read().decode())
    finally:
        response.close()


def assert_error(response: requests.Response | Answer, status: int, code: str) -> str:
    """Check that this is an error in the one shape that all have, and return its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    body = response.json()
    assert set(body) == {"status", "code", "message"}
    assert (body["status"], body["code"]) == ("error", code), body
    message: str = body["message"]
    assert message.endswith(".") and len(message) > 20 and "\n" not in message and "Traceback" not in message
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    return message


def multipart(*parts: tuple[str, bytes], boundary: bytes = b"~~boundary~~") -> tuple[dict[str, str], bytes]:
    """Headers and body of a form; each part is its Content-Disposition after `form-data; ` and what is in it."""
    lines = [
        b"--"
        + boundary
        + b"\r\nContent-Disposition: form-data; "
        + disposition.encode()
        + b"\r\n\r\n"
        + content
        + b"\r\n"
        for disposition, content in parts
    ]
    body = b"".join(lines) + b"--" + boundary + b"--\r\n"
    return {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}, body


def post(path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A POST request to the byte."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, size: int = 65_536) -> bytes:
    """A body as one sends it without knowing its length."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
