#!/usr/bin/env python3
"""Fill a TuneScout catalogue with the music in files and folders, over HTTP.

One file to copy to wherever the music is; besides Python 3.11 or later it needs requests and tqdm only. The server is
asked first whether it has a file (by its SHA-1), so the same command again sends nothing twice: that is how a run that
was cut off goes on.

    Scan -> Run: some threads, each with a Worker and its own Catalogue connection -> Outcome -> Report, Progress
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import os
import re
import secrets
import signal
import stat
import sys
import threading
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, fields
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TextIO

try:
    import requests
    from tqdm import tqdm
except ImportError as missing:
    raise SystemExit(f"{missing.name} is missing; install it with: python3 -m pip install requests tqdm") from missing

PROGRAM = "tunescout_uploader.py"

MEDIA_EXTENSION = re.compile(
    r"3g2|3ga|3gp|aa3|aac|ac3|aif[cf]?|amr|ape|asf|au|avi|awb|caf|dff|dsf|dts|eac3|f4v|flac|flv|gsm|m2ts|m4[abrv]|mk[av]|mov"
    r"|mp[234acg]|mpeg|mts|mxf|og[agv]|oma|opus|ra|rf64|rm|snd|spx|tak|ts|tta|vob|w64|wave?|webm|wm[av]|wv",
    re.IGNORECASE,
)
"""What counts as media in a folder. A file that is named on the command line is always sent."""

EXTENSION = re.compile(r"(?<=.)\.(?=[0-9]?[A-Za-z])[A-Za-z0-9]{2,5}\Z", re.ASCII | re.DOTALL)
"""What the name of a song goes without, by the service's rule: ".mp3" and ".3gp", not the end of "T.N.T" or "No.22"."""

BLOCK_BYTES = 256 * 1024
"""What is read, hashed and sent at a time."""

QUESTION_TIMEOUT_SECONDS, UPLOAD_TIMEOUT_SECONDS = (10.0, 60.0), (60.0, 1200.0)
"""To connect (and to send one block), and to wait for the answer: a day of audio takes minutes to fingerprint."""

START_PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""Between the attempts to reach the server at the start."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Pauses between attempts at one file double from the one to the other."""

PATIENCE_SECONDS = 3600.0
"""How long a file waits in all for a server that cannot take it: the longest that a rate limit by the hour asks for."""

BROKEN_UPLOADS = 5
"""After so many connections that broke while it was sent to a server that answers otherwise, a file is to blame."""

GRACE_SECONDS = 5.0
"""After Ctrl-C: how long the answers to files that are sent already are waited for."""

REFRESH_SECONDS, LINE_SECONDS, NOTE_SECONDS = 0.5, 30.0, 60.0
"""How often a bar is drawn, a line is printed where there is no terminal, and a wait is mentioned, at most."""

NOTED_ATTEMPTS = 4
"""A server that is up may refuse so often before it is mentioned: short waits for a rate limit are nothing special."""

ADDED, KNOWN, COPY, FAILED, INTERRUPTED = (
    "fingerprinted",
    "already_fingerprinted",
    "duplicate",
    "failed",
    "interrupted",
)
"""What can become of a file: the report's column `status`."""


class FileFailed(Exception):
    """One file cannot be added; the message says why."""


class Ended(Exception):
    """The run ends before its time: no file could be added, or somebody wants it to end."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class TryLater(Exception):
    """The server cannot answer now. `answered`: it says so itself; `sending`: an upload broke off."""

    def __init__(
        self, message: str, *, answered: bool = False, retry_after_seconds: float = 0.0, sending: bool = False
    ) -> None:
        super().__init__(message)
        self.answered = answered
        self.retry_after_seconds = retry_after_seconds
        self.sending = sending


class Media(NamedTuple):
    """A file to add, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: a row of the report."""

    path: str
    sha1: str = ""
    status: str = FAILED
    song_id: int | None = None
    song_name: str = ""
    hashes: int | None = None
    seconds: float = 0.0
    message: str = ""


class Stop(threading.Event):
    """Set once the run is to end before its time. The first reason stands."""

    reason: Ended | None = None

    def end(self, reason: Ended) -> None:
        """Let every worker know."""
        self.reason = self.reason or reason
        self.set()

    def pause(self, seconds: float = 0.0) -> None:
        """Wait; raises Ended at once when the run is to end."""
        if self.wait(seconds) and self.reason:
            raise Ended(str(self.reason), self.reason.code)


def readable(path: str) -> str:
    r"""A path as valid text: bytes of a name that are not UTF-8 are shown as \xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def song_name(path: str) -> str:
    """The file name without its extension, kept as it is but for line breaks and the like, which the service refuses.

    A name that is not UTF-8 is read as Windows-1252, which holds Latin-1.
    """
    raw = os.fsencode(EXTENSION.sub("", Path(path).name))
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = raw.decode("cp1252", "replace")
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in name)


def blocks(path: str, stop: Stop) -> Iterator[bytes]:
    """The bytes of a file, a block at a time. Raises FileFailed where it cannot be read, Ended when told to."""
    try:
        with Path(path).open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                stop.pause()
                yield block
    except OSError as exc:
        raise FileFailed(f"It cannot be read: {exc.strerror or exc}.") from exc


def sha1_and_size(path: str, stop: Stop) -> tuple[str, int]:
    """The SHA-1 in hexadecimal, and the bytes it was made of: a file may have grown since it was found."""
    digest, size = hashlib.sha1(usedforsecurity=False), 0
    for block in blocks(path, stop):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


class MultipartBody:
    """The form with one file in it, of known length, read while it is sent.

    The bytes are hashed again on the way. If they are not those that the server was asked about, the end of the form is
    held back, so that the server has an incomplete request and stores nothing.
    """

    def __init__(self, media: Media, sha1: str, stop: Stop, count: Callable[[int], None]) -> None:
        self._media, self._sha1, self._stop, self._count = media, sha1, stop, count
        boundary = secrets.token_hex(16)
        filename = re.sub(r'["\r\n]', lambda sign: f"%{ord(sign[0]):02X}", readable(Path(media.path).name))
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="song_name"\r\n\r\n{song_name(media.path)}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + self._media.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        digest, left = hashlib.sha1(usedforsecurity=False), self._media.size
        for block in blocks(self._media.path, self._stop):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            yield block
            self._count(len(block))
        if left or digest.hexdigest() != self._sha1:
            raise FileFailed("It changed while it was being sent; try again once it is complete.")
        yield self._tail


class Catalogue:
    """The server's routes for songs, over one connection. Not for several threads at once."""

    def __init__(self, server: str, token: str) -> None:
        self._server, self._token = server, token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = PROGRAM
        self._session.auth = self._authorize  # a header of the session would give way to an entry in ~/.netrc

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def check(self) -> None:
        """Raises Ended, within seconds, where the server cannot be reached or does not accept the token."""
        for pause in (*START_PAUSES_SECONDS, None):
            try:
                with suppress(FileFailed):  # the files may fare better
                    self.find("0" * 40)
                return
            except TryLater as exc:
                if exc.answered:  # it is up, and busy: the files will wait for it
                    return
                if pause is None:
                    raise Ended(f"{exc} Is the service running, and is --server right?") from exc
                time.sleep(pause)

    def find(self, sha1: str) -> dict[str, Any] | None:
        """The song with this SHA-1, or None where the catalogue has no such file."""
        status, answer = self._ask("GET", f"/api/songs/{sha1}", QUESTION_TIMEOUT_SECONDS)
        if status == 200 and answer.get("file_sha1") == sha1:
            return answer
        if status == 404 and answer.get("code") == "unknown_song":
            return None
        if "code" in answer:
            raise FileFailed(explain(status, answer))
        # Not the service's own words: those of a proxy, perhaps, while the service is being restarted.
        raise TryLater(f"{self._server} does not answer as TuneScout does ({explain(status, answer)}).")

    def add(self, body: MultipartBody, sha1: str) -> tuple[str, dict[str, Any]]:
        """Send a file; ADDED or KNOWN, and the song. Raises FileFailed where the server does not take it."""
        headers = {"Content-Type": body.content_type}
        status, answer = self._ask("POST", "/api/fingerprint", UPLOAD_TIMEOUT_SECONDS, data=body, headers=headers)
        if status not in (200, 409):
            raise FileFailed(explain(status, answer))
        if answer.get("file_sha1") != sha1:
            raise FileFailed(f"The server has received other bytes, with SHA-1 {answer.get('file_sha1')}.")
        return (ADDED if status == 200 else KNOWN), answer

    def _ask(self, method: str, route: str, timeout: tuple[float, float], **body: Any) -> tuple[int, dict[str, Any]]:
        url = self._server + route
        try:
            response = self._session.request(method, url, timeout=timeout, allow_redirects=False, **body)
        except requests.exceptions.SSLError as exc:
            raise Ended(f"There is no secure connection to {self._server}: {root_cause(exc)}.") from exc
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as exc:
            reason = f"{self._server} cannot be reached ({root_cause(exc)})."
            raise TryLater(reason, sending=method == "POST") from exc
        except requests.RequestException as exc:
            raise Ended(f"{self._server} cannot be asked: {exc}") from exc
        status, answer = response.status_code, json_object(response)
        if status in (401, 403):
            raise Ended(f"{self._server} lets nothing in: {explain(status, answer)}")
        if response.is_redirect:
            raise Ended(
                f"{self._server} has moved to {response.headers['Location']}; give its new address as --server."
            )
        if status in (408, 429, 502, 503, 504):
            wait = retry_after_seconds(response.headers.get("Retry-After", ""))
            reason = f"{self._server}: {explain(status, answer)}"
            raise TryLater(reason, answered=True, retry_after_seconds=wait, sending=status == 408)
        return status, answer


def json_object(response: requests.Response) -> dict[str, Any]:
    """The body, where it is a JSON object; a proxy on the way answers with a page instead."""
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def explain(status: int, answer: dict[str, Any]) -> str:
    """An answer other than success, in words."""
    return f"{answer['message']} ({answer.get('code', status)})" if "message" in answer else f"HTTP status {status}"


def root_cause(error: BaseException) -> str:
    """What was at the bottom of a failed connection, without the layers around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def retry_after_seconds(header: str) -> float:
    """The header's number of seconds, or the seconds until its date; 0 where it is neither."""
    if re.fullmatch(r"\s*\d{1,9}\s*", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def pause_seconds(attempts: int, retry_after_seconds: float) -> float:
    """How long to wait after so many attempts: what the server asks for, longer each time, never all workers as one."""
    pause = min(FIRST_PAUSE_SECONDS * 2.0 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
    pause = max(pause, min(retry_after_seconds, PATIENCE_SECONDS))
    return pause + secrets.SystemRandom().uniform(0.0, min(pause, LONGEST_PAUSE_SECONDS) / 4)


class Scan:
    """The files to add. `problems` could not be looked at; what is left out on purpose is counted."""

    def __init__(self, paths: list[str], recursive: bool) -> None:
        self.files: deque[Media] = deque()
        self.problems: list[Outcome] = []
        self.other_files = self.folders_left_out = 0
        self._recursive = recursive
        self._entered: set[tuple[int, int]] = set()
        for path in dict.fromkeys(paths):
            if Path(path).is_dir():
                self._add_folder(path)
            else:
                self._add_file(path)

    def _add_folder(self, top: str) -> None:
        """Links to folders are followed, which may lead in circles: each folder is entered once."""
        for folder, inner, names in os.walk(top, onerror=self._add_problem, followlinks=True):
            if not self._enter(folder):
                inner.clear()
                continue
            inner.sort()
            for name in sorted(names):
                # Names that start with ._ are the notes macOS leaves beside files.
                if MEDIA_EXTENSION.fullmatch(Path(name).suffix[1:]) and not name.startswith("._"):
                    self._add_file(str(Path(folder, name)))
                else:
                    self.other_files += 1
            if not self._recursive:
                self.folders_left_out += len(inner)
                inner.clear()

    def _enter(self, folder: str) -> bool:
        """Whether this folder has still to be looked through."""
        try:
            info = Path(folder).stat()
        except OSError as exc:
            self._add_problem(exc)
            return False
        identity = (info.st_dev, info.st_ino)
        known = identity in self._entered
        self._entered.add(identity)
        return not known

    def _add_file(self, path: str) -> None:
        try:
            info = Path(path).stat()
        except OSError as exc:
            self._add_problem(exc)
            return
        if stat.S_ISREG(info.st_mode):
            self.files.append(Media(path, info.st_size))
        else:
            self.problems.append(Outcome(path, message="It is not a regular file."))

    def _add_problem(self, error: OSError) -> None:
        self.problems.append(Outcome(str(error.filename), message=f"It cannot be read: {error.strerror}."))


class Report:
    """One row per file, written and flushed as soon as the file is done, so that a crash loses nothing.

    A report is of one run: an earlier one is kept as NAME.previous. Any other file of that name is left alone.
    """

    COLUMNS = tuple(column.name for column in fields(Outcome))

    def __init__(self, name: str | None) -> None:
        """Raises Ended where it cannot be written."""
        self._file: TextIO | None = None
        if name is None:
            return
        path = Path(name)
        try:
            if path.is_file() and path.stat().st_size:
                with path.open("rb") as earlier:
                    if earlier.readline().strip() != ",".join(self.COLUMNS).encode():
                        raise Ended(f"{readable(name)} exists and is not a report; it is left as it is.", code=2)
                path.replace(f"{name}.previous")
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._write(self.COLUMNS)
        except OSError as exc:
            raise Ended(f"The report {readable(name)} cannot be written: {exc.strerror}.", code=2) from exc

    def add(self, outcome: Outcome) -> None:
        """Raises OSError, as when the disk is full."""
        self._write((readable(outcome.path), *astuple(outcome)[1:]))

    def close(self) -> None:
        """Every row is in the file before."""
        if self._file is not None:
            self._file.close()

    def _write(self, row: tuple[Any, ...]) -> None:
        if self._file is not None:
            csv.writer(self._file).writerow(row)
            self._file.flush()


class Lines:
    """Takes what a progress bar draws, and prints it as lines."""

    def write(self, text: str) -> None:
        """A line, where there is more than the cursor's movements."""
        if text := text.strip():
            print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Nothing is held back."""


class Progress:
    """Bytes, rate, time left: a bar on a terminal, else a line now and then. Workers count, the main thread draws."""

    def __init__(self, size: int) -> None:
        # Some consoles do not know their size; a bar would be cut to nothing there.
        terminal = sys.stderr.isatty() and all(os.get_terminal_size(sys.stderr.fileno()))
        meter = "{n_fmt}B of {total_fmt}B, {rate_noinv_fmt}, {remaining} left"
        self._bytes, self._last_note = 0, -math.inf
        self._lock = threading.Lock()
        self._bar = tqdm(
            total=max(size, 1),
            unit="B",
            unit_scale=True,
            smoothing=0.1,
            miniters=0,
            mininterval=REFRESH_SECONDS / 2 if terminal else LINE_SECONDS,
            dynamic_ncols=terminal,
            file=sys.stderr if terminal else Lines(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| " + meter if terminal else "{desc}, " + meter,
            delay=1e-9,  # nothing is drawn before there is a description
        )

    def count(self, size: int) -> None:
        """Bytes dealt with; negative where they have to be sent again."""
        with self._lock:
            self._bytes += size

    def note(self, text: str) -> None:
        """Mention something now and then: the workers all meet the same trouble."""
        with self._lock:
            now = time.monotonic()
            if now - self._last_note >= NOTE_SECONDS:
                self._last_note = now
                tqdm.write(text, file=sys.stderr)

    def draw(self, description: str) -> None:
        """Bring what is shown up to date."""
        self._bar.set_description_str(description, refresh=False)
        self._bar.update(self._bytes - self._bar.n)

    def close(self, description: str) -> None:
        """Leave the last state on the screen."""
        self.draw(description)
        self._bar.close()


class Worker:
    """Adds one file at a time, and tries again for as long as the server cannot answer."""

    def __init__(self, run: Run, catalogue: Catalogue) -> None:
        self._run, self._catalogue = run, catalogue
        self._counted = 0

    def process(self, media: Media) -> Outcome:
        """What became of the file. Raises Ended when the run ends, or should."""
        started = time.monotonic()
        sha1, status, message = "", FAILED, ""
        song: dict[str, Any] = {}
        try:
            sha1, size = sha1_and_size(media.path, self._run.stop)
            with self._run.lock(sha1):
                status, song = self._add_patiently(Media(media.path, size), sha1)
                original = self._run.added.setdefault(sha1, media.path)
            if original != media.path:
                status, message = COPY, f"The same file as {readable(original)}."
        except FileFailed as exc:
            message = str(exc)
        self._count(media.size - self._counted)
        self._counted = 0
        name, hashes = song.get("song_name", ""), song.get("fingerprinted_hashes")
        seconds = round(time.monotonic() - started, 3)
        return Outcome(media.path, sha1, status, song.get("song_id"), name, hashes, seconds, message)

    def _add_patiently(self, media: Media, sha1: str) -> tuple[str, dict[str, Any]]:
        began, waited = time.monotonic(), 0.0
        attempts = broken = 0
        while True:
            try:
                return self._add(media, sha1)
            except TryLater as exc:
                trouble = exc
            attempts += 1
            broken += trouble.sending
            self._count(-self._counted)
            if broken >= BROKEN_UPLOADS:
                raise FileFailed(f"The connection broke {broken} times while it was sent. {trouble}")
            if waited >= PATIENCE_SECONDS and self._run.last_success < began:
                raise Ended(f"{trouble} It has been like this for an hour.")
            if waited >= PATIENCE_SECONDS:
                raise FileFailed(f"Other files were accepted, but not this one in an hour. {trouble}")
            if attempts >= NOTED_ATTEMPTS or not trouble.answered:
                self._run.progress.note(f"Waiting: {trouble} It is tried again for up to an hour.")
            pause = pause_seconds(attempts, trouble.retry_after_seconds)
            self._run.stop.pause(pause)
            waited += pause

    def _add(self, media: Media, sha1: str) -> tuple[str, dict[str, Any]]:
        """One attempt. It always asks first: the file may have been stored although the answer was lost."""
        if song := self._catalogue.find(sha1):
            return KNOWN, song
        return self._catalogue.add(MultipartBody(media, sha1, self._run.stop, self._count), sha1)

    def _count(self, size: int) -> None:
        self._counted += size
        self._run.progress.count(size)


class Run:
    """The files of one command, dealt with by workers that share the queue, the report and the progress."""

    def __init__(self, scan: Scan, report: Report) -> None:
        self._files, self._report = scan.files, report
        self.total = len(scan.files) + len(scan.problems)
        self.stop = Stop()
        self.progress = Progress(sum(media.size for media in scan.files))
        self.added: dict[str, str] = {}  # SHA-1 -> the first path with it
        self.last_success = -math.inf  # monotonic seconds
        self.tally: Counter[str] = Counter()
        self.failures: list[Outcome] = []
        self._running: set[Media] = set()
        self._working = 0
        self._idle = threading.Event()
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        for outcome in scan.problems:
            self._record(outcome)

    @property
    def in_catalogue(self) -> int:
        """How many of the files are in the catalogue by now."""
        return self.tally[ADDED] + self.tally[KNOWN] + self.tally[COPY]

    def lock(self, sha1: str) -> threading.Lock:
        """Held while a file is dealt with, so that a copy met meanwhile waits and need not be sent."""
        with self._guard:
            return self._locks.setdefault(sha1, threading.Lock())

    def execute(self, workers: int, connect: Callable[[], Catalogue]) -> None:
        """Deal with all files, or until the run is to end: then uploads break off, and sent ones get a moment."""
        self._working = workers
        try:
            for _ in range(workers):
                threading.Thread(target=self._work, args=(connect,), daemon=True).start()
            while not self._idle.wait(REFRESH_SECONDS) and not self.stop.is_set():
                self.progress.draw(self._description())
        except Ended as exc:
            self.stop.end(exc)
            tqdm.write("Stopping. Once more ends the program at once.", file=sys.stderr)
        self._idle.wait(GRACE_SECONDS)
        for media in list(self._running):
            self._finish(media, Outcome(media.path, status=INTERRUPTED))
        self.progress.close(self._description())

    def _description(self) -> str:
        failed = f", {self.tally[FAILED]:,} failed" if self.tally[FAILED] else ""
        return f"{self.tally.total():,} of {self.total:,} files{failed}"

    def _work(self, connect: Callable[[], Catalogue]) -> None:
        try:
            with closing(connect()) as catalogue:
                worker = Worker(self, catalogue)
                while not self.stop.is_set() and (media := self._next()):
                    self._deal_with(media, worker)
        finally:
            with self._guard:
                self._working -= 1
                if not self._working:
                    self._idle.set()

    def _next(self) -> Media | None:
        with self._guard:
            return self._files.popleft() if self._files else None

    def _deal_with(self, media: Media, worker: Worker) -> None:
        self._running.add(media)
        try:
            outcome = worker.process(media)
        except Ended as exc:
            self.stop.end(exc)
            outcome = Outcome(media.path, status=INTERRUPTED)
        self._finish(media, outcome)

    def _finish(self, media: Media, outcome: Outcome) -> None:
        """Once for each file: a worker that was given up on may still come to an end."""
        with self._guard:
            if media in self._running:
                self._running.discard(media)
                self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self.tally[outcome.status] += 1
        if outcome.status == FAILED:
            self.failures.append(outcome)
        elif outcome.status != INTERRUPTED:
            self.last_success = time.monotonic()
        try:
            self._report.add(outcome)
        except OSError as exc:
            self.stop.end(Ended(f"The report cannot be written: {exc.strerror}."))

    def print_summary(self, scan: Scan) -> None:
        """What the command has come to, with every file that could not be added."""
        there, failed = self.in_catalogue, self.tally[FAILED]
        print(
            f"{there:,} of {self.total:,} files are in the catalogue: {self.tally[ADDED]:,} added now, "
            f"{self.tally[KNOWN]:,} there before, {self.tally[COPY]:,} copies of others. "
            f"{failed:,} failed, {self.total - there - failed:,} not finished."
        )
        if scan.other_files:
            print(f"{scan.other_files:,} other files were left out: their extension is not one of media.")
        if scan.folders_left_out:
            print(f"{scan.folders_left_out:,} sub-folders were left out: --recursive takes them in.")
        if there + failed < self.total:
            print("The same command again goes on from here.")
        for outcome in self.failures:
            print(f"failed: {readable(outcome.path)}: {outcome.message}")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Add the music in files and folders to a TuneScout catalogue. What the server has is not sent "
        "again, so the same command continues a run that was cut off. A busy or restarting server is waited for.",
        epilog="Exit code: 0 if every file is in the catalogue, 1 if not, 2 for a wrong command, 130 after Ctrl-C.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file of any name, or a folder of media")
    parser.add_argument(
        "--server", default="http://127.0.0.1:8000", metavar="URL", help="the service; default: %(default)s"
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("TUNESCOUT_TOKEN", ""),
        help="the service's fingerprinting token. Better set TUNESCOUT_TOKEN: ps shows a command line to everybody",
    )
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="files at a time; default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="take in the folders within folders")
    parser.add_argument(
        "--report",
        metavar="FILE.csv",
        help="write what became of each file, row by row as it happens; an earlier report is kept as FILE.csv.previous",
    )
    return parser


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line, checked; ends the program with exit code 2 where it cannot be carried out."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    options.server, options.token = options.server.rstrip("/"), options.token.strip()
    if not re.fullmatch(r"https?://[^/\s?#]+[^\s?#]*", options.server):
        parser.error(f"--server {options.server}: expected an address such as http://127.0.0.1:8000")
    if not re.fullmatch(r"[!-~]*", options.token):
        parser.error("the token may hold letters, digits and signs of ASCII only, and no spaces")
    if not 1 <= options.workers <= 64:
        parser.error(f"--workers {options.workers}: expected 1 to 64")
    for path in options.paths:
        if not os.path.lexists(path):
            parser.error(f"{readable(path)}: no such file or folder")
    return options


def end_by_signal(signum: int, _frame: FrameType | None) -> NoReturn:
    """The first signal ends the run in good order; a second one ends the program as it would any other."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    raise Ended("Stopped by Ctrl-C." if signum == signal.SIGINT else "Stopped by a signal.", code=128 + signum)


def add_all(options: argparse.Namespace) -> int:
    """Add everything that is named; returns the exit code. Raises Ended where that had to be given up."""

    def connect() -> Catalogue:
        return Catalogue(options.server, options.token)

    with closing(connect()) as catalogue:
        catalogue.check()
    with closing(Report(options.report)) as report:
        print("Looking for media files.", file=sys.stderr)
        scan = Scan(options.paths, options.recursive)
        run = Run(scan, report)
        run.execute(options.workers, connect)
    run.print_summary(scan)
    if run.stop.reason:
        raise run.stop.reason
    return 0 if 0 < run.total == run.in_catalogue else 1


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_by_signal)
    try:
        return add_all(options)
    except Ended as exc:
        print(f"{PROGRAM}: {exc}", file=sys.stderr)
        return exc.code


if __name__ == "__main__":
    sys.exit(main())
