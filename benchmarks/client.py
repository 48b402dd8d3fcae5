"""Clips as requests that are ready to be sent, and a client that costs next to nothing."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tqdm import tqdm
from urllib3 import encode_multipart_formdata

from benchmarks.material import Clip, as_mp3, make_clips

CLIP_SECONDS = 10.0

_CONDITIONS = {"clean": "clean", "phone": "phone-like"}
"""Those that clips are in if nothing else is said, and what kinds of clips are called after them."""


@dataclass(frozen=True, slots=True)
class Request:
    """A clip of one of the kinds, as a whole form."""

    kind: str
    clip: Clip
    media: bytes
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `request_id` names the line of the server's log; `seconds` from the first byte to the last."""

    status: int
    request_id: str
    seconds: float
    document: dict[str, Any]

    def is_right(self, clip: Clip) -> bool:
        """Whether the recording of a known clip came first, and nothing at all came for an unknown one."""
        results = self.document.get("results", [])
        if not clip.known:
            return self.status == http.HTTPStatus.OK and not results
        return bool(results) and results[0]["song_name"] == clip.file.rpartition(".")[0]


def make_requests(seed: int, per_kind: int, conditions: Sequence[str] = tuple(_CONDITIONS)) -> list[Request]:
    """Clips of 10 s as MP3 with 128 kbit/s, at most so many of each kind: known and unknown, in each condition."""
    found: dict[str, list[Clip]] = {}
    for clip in make_clips(seed, 40, conditions, [CLIP_SECONDS]):
        kind = f"{'known' if clip.known else 'unknown'} {_CONDITIONS.get(clip.condition, clip.condition)}"
        found.setdefault(kind, []).append(clip)
    chosen = [(kind, clip) for kind, clips in sorted(found.items()) for clip in clips[:per_kind]]
    return [_prepare(kind, clip) for kind, clip in tqdm(chosen, desc="encoding clips", unit="clip")]


def _prepare(kind: str, clip: Clip) -> Request:
    media = as_mp3(clip)
    body, content_type = encode_multipart_formdata({"file": ("clip.mp3", media, "audio/mpeg")})
    return Request(kind, clip, media, {"Content-Type": content_type}, body)


class Client:
    """One connection that is kept open, as a client's library keeps it."""

    def __init__(self, address: tuple[str, int], timeout_seconds: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def recognise(self, request: Request) -> Reply:
        """Send a clip and read the answer; raises `OSError` and `HTTPException`, and connects anew the next time."""
        began = time.perf_counter()
        try:
            self._connection.request("POST", "/api/recognize", request.body, request.headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        seconds = time.perf_counter() - began
        return Reply(response.status, response.getheader("X-Request-ID", ""), seconds, json.loads(body))


def by_kind(prepared: Iterable[Request]) -> dict[str, list[Request]]:
    """The requests of each kind."""
    kinds: dict[str, list[Request]] = {}
    for request in prepared:
        kinds.setdefault(request.kind, []).append(request)
    return kinds
