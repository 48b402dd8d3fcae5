"""A client of the service for Python programs.

    with TuneScout("http://127.0.0.1:8000", token="…") as scout:
        for match in scout.recognize("clip.mp3", duration=10).matches:
            print(match.song.name, match.confidence, match.offset_seconds)

It needs requests and nothing else of this project. Files are sent as they are read, however large. What a later version
of the service adds to its answers is in `extra`.

`tunescout_uploader.py` shares no code with it: it is one file to copy, and holds back what changes while it is sent.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import requests

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A media file: its path, its bytes, or an open file, which is sent from its beginning."""

_BLOCK_BYTES = 1 << 18
_CONNECT_SECONDS = 10.0
_PAUSE_SECONDS = 1.0


class ServiceError(Exception):
    """The service refused or failed; its sentence is the message.

    status : the HTTP status, 0 where no answer came. code : of the README's table of errors, or "".
    retry_after_seconds : when to try again, or None. request_id : names the line in the service's log, or "".
    """

    def __init__(self, message: str, status: int = 0, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.request_id = status, code, request_id
        self.retry_after_seconds: float | None = None


class NotFound(ServiceError):
    """There is no such answer, song or picture."""


class NotAuthorized(ServiceError):
    """The token is missing or wrong, or this is switched off."""


class AlreadyFingerprinted(ServiceError):
    """The very file is in the catalogue: as `sha1`, `song_id` and `name`."""

    sha1: str
    song_id: int
    name: str


class Busy(ServiceError):
    """Too many requests, too much to do, or databases that cannot be asked; still so after all retries."""


class Unreachable(ServiceError):
    """No answer came: the service is not running, not there, or too slow."""


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the catalogue; what its file does not say is None."""

    sha1: str
    song_id: int
    name: str
    hashes: int
    artist: str | None = None
    title: str | None = None
    album: str | None = None
    isrc: str | None = None
    duration_seconds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A song that was found in a clip.

    offset_seconds : where in the song the clip begins; negative where it begins before the song.
    speed, pitch : of the clip over the song's.
    """

    song: Song
    confidence: float
    offset_seconds: float
    hashes_matched: int
    hashes_asked: int
    speed: float = 1.0
    pitch: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is playing in a clip.

    matches : best first; none where nothing in the catalogue is. unavailable : instances that could not be asked.
    """

    token: str
    matches: tuple[Match, ...]
    unavailable: tuple[str, ...]

    @property
    def best(self) -> Match | None:
        """The best match, or None."""
        return self.matches[0] if self.matches else None


class TuneScout:
    """One service, over one connection that is kept open. Not for several threads at once.

    token : of the service, for everything about songs.
    timeout_seconds : to wait for an answer; songs of hours take minutes to be added.
    retries : how often a request is sent again while the service is busy or cannot be reached, after the time that it
        asks for, or a second, two, four, …, but never after more than `longest_pause_seconds`. All requests may be sent
        twice: recognising changes nothing, and a file that was added meanwhile is not added again.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        timeout_seconds: float = 660.0,
        retries: int = 4,
        longest_pause_seconds: float = 30.0,
    ) -> None:
        self._address = address.rstrip("/")
        self._token = token
        self._timeout = (_CONNECT_SECONDS, timeout_seconds)
        self._retries, self._longest_pause = retries, longest_pause_seconds
        self._session = requests.Session()
        self._session.auth = self._authorize  # a header of the session would give way to an entry in ~/.netrc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    # --- Clips --------------------------------------------------------------------------------------------------------

    def recognize(self, clip: Source, start: float | None = None, duration: float | None = None) -> Answer:
        """What is playing in a clip, or in `duration` seconds of it from `start` on."""
        fields = {"start": _decimal(start), "duration": _decimal(duration)}
        return _answer(self._send("/api/recognize", clip, "clip", fields))

    def fetch(self, token: str) -> Answer:
        """An earlier answer again; raises `NotFound`."""
        return _answer(self._ask("GET", f"/api/fetch/{quote(token, safe='')}").json())

    def picture(self, token: str) -> bytes:
        """The picture of an earlier answer, as PNG; raises `NotFound`."""
        return self._ask("GET", f"/api/fetch/{quote(token, safe='')}/plot.png").content

    # --- Songs --------------------------------------------------------------------------------------------------------

    def fingerprint(self, media: Source, song_name: str | None = None) -> Song:
        """Add a song; raises `AlreadyFingerprinted`. Its name is that of the file where none is given."""
        return _song(self._send("/api/fingerprint", media, "song", {"song_name": song_name}))

    def songs(self, query: str = "") -> Iterator[Song]:
        """All songs, or those with all words of the query in what is known of them, by name; asked page by page."""
        after: str | None = ""
        while after is not None:
            page = self._ask("GET", "/api/songs", params={"query": query, "after": after}).json()
            yield from map(_song, page["songs"])
            after = page["next"]

    def song(self, sha1: str) -> Song:
        """The song made from the file with this SHA-1; raises `NotFound`."""
        return _song(self._ask("GET", f"/api/songs/{quote(sha1, safe='')}").json())

    def rename(self, sha1: str, name: str) -> Song:
        """Give a song another name; raises `NotFound`."""
        return _song(self._ask("PATCH", f"/api/songs/{quote(sha1, safe='')}", json={"song_name": name}).json())

    def delete(self, sha1: str) -> Song:
        """Delete a song, and say what it was; raises `NotFound`."""
        return _song(self._ask("DELETE", f"/api/songs/{quote(sha1, safe='')}").json())

    def health(self) -> Mapping[str, Any]:
        """What works and what does not, also where the service cannot answer clips."""
        try:
            answer = self._session.get(f"{self._address}/api/health", timeout=self._timeout)
            document: Mapping[str, Any] = answer.json()
        except (requests.RequestException, ValueError) as exc:
            raise Unreachable(f"{self._address} did not answer: {exc}.") from exc
        return document

    # --- Requests -----------------------------------------------------------------------------------------------------

    def _send(self, path: str, source: Source, name: str, fields: Mapping[str, str | None]) -> dict[str, Any]:
        with _opened(source, name) as (file, filename):
            form = _Form(file, filename, {key: value for key, value in fields.items() if value is not None})
            document: dict[str, Any] = self._ask(
                "POST", path, data=form, headers={"Content-Type": form.content_type}
            ).json()
        return document

    def _ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """One request, sent again while that may help."""
        for left in range(self._retries, -1, -1):
            try:
                return self._ask_once(method, path, **arguments)
            except (Busy, Unreachable) as exc:
                pause = exc.retry_after_seconds or _PAUSE_SECONDS * 2 ** (self._retries - left)
                if not left or pause > self._longest_pause:
                    raise
            time.sleep(pause)
        raise AssertionError  # the last time raises

    def _ask_once(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            answer = self._session.request(method, self._address + path, timeout=self._timeout, **arguments)
        except requests.RequestException as exc:
            raise Unreachable(f"{self._address} did not answer: {exc}.") from exc
        if not answer.ok:
            raise _error(answer)
        return answer

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Form:
    """A form with fields and one file, of known length, read while it is sent, and again where it is sent again."""

    def __init__(self, file: BinaryIO, filename: str, fields: Mapping[str, str]) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        name = re.sub(r'["\r\n]', lambda sign: f"%{ord(sign[0]):02X}", filename)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode("utf-8", "surrogateescape")
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._file.seek(0)
        left = self._size
        while left and (block := self._file.read(min(_BLOCK_BYTES, left))):
            left -= len(block)
            yield block
        if left:
            raise ServiceError("The file became shorter while it was being sent; send it again once it is whole.")
        yield self._tail


@contextmanager
def _opened(source: Source, name: str) -> Iterator[tuple[BinaryIO, str]]:
    """The source as an open file, and what it is called."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), name
    elif isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file, Path(source).name
    else:
        yield source, Path(str(getattr(source, "name", name))).name


def _decimal(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.6f}"


def _answer(document: Mapping[str, Any]) -> Answer:
    return Answer(document["token"], tuple(map(_match, document["results"])), tuple(document["unavailable"]))


def _match(document: Mapping[str, Any]) -> Match:
    rest = dict(document)
    rest["fingerprinted_hashes"] = rest.pop("fingerprinted_hashes_in_db")
    of_song = {key: rest.pop(key) for key in _SONG_KEYS if key in rest}
    speed = rest.pop("speed", 1.0)
    return Match(
        song=_song(of_song),
        confidence=rest.pop("confidence"),
        offset_seconds=rest.pop("offset_seconds"),
        hashes_matched=rest.pop("hashes_matched_in_input"),
        hashes_asked=rest.pop("input_total_hashes"),
        speed=speed,
        pitch=rest.pop("pitch", speed),
        extra=rest,
    )


_SONG_KEYS = {
    "file_sha1": "sha1",
    "song_id": "song_id",
    "song_name": "name",
    "fingerprinted_hashes": "hashes",
    "artist": "artist",
    "title": "title",
    "album": "album",
    "isrc": "isrc",
    "duration_seconds": "duration_seconds",
}
"""What the fields of a song are called on the wire, and here."""


def _song(document: Mapping[str, Any]) -> Song:
    own = {_SONG_KEYS[key]: value for key, value in document.items() if key in _SONG_KEYS}
    return Song(**own, extra={key: value for key, value in document.items() if key not in (*_SONG_KEYS, "status")})


def _error(answer: requests.Response) -> ServiceError:
    """What an answer that is none means."""
    try:
        document = answer.json()
        message, code = str(document["message"]), str(document.get("code", ""))
    except (ValueError, KeyError, TypeError):
        document, message, code = {}, f"The answer has status {answer.status_code} and is none of the service's.", ""
    arguments = (message, answer.status_code, code, answer.headers.get("X-Request-ID", ""))
    if document.get("status") == "already_fingerprinted":
        known = AlreadyFingerprinted(*arguments)
        known.sha1, known.song_id = document["file_sha1"], document["song_id"]
        known.name = document["song_name"]
        return known
    kinds: dict[int, type[ServiceError]] = {401: NotAuthorized, 403: NotAuthorized, 404: NotFound, 429: Busy, 503: Busy}
    error = kinds.get(answer.status_code, ServiceError)(*arguments)
    seconds = answer.headers.get("Retry-After", "")
    error.retry_after_seconds = float(seconds) if seconds.isascii() and seconds.isdigit() else None
    return error
