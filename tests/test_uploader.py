"""The uploader as a program: against the real service, and against a scripted peer for what that never shows."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import media
import numpy as np
import pytest
from servers import TOKEN as SERVICE_TOKEN
from servers import Server
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

import tunescout_uploader as uploader

pytestmark = pytest.mark.server

PROGRAM = Path(uploader.__file__)
TOKEN = "a-token"


class Upload(NamedTuple):
    song_name: str
    filename: str
    content: bytes


class Handler(BaseHTTPRequestHandler):
    """Speaks DESIGN §2 for songs, after whatever is scripted."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for an acknowledgement
    server: Peer

    def do_GET(self) -> None:
        sha1 = self.path.rpartition("/")[2]
        if sha1 != "0" * 40:
            self.server.questions.append(sha1)
        if not self.scripted(self.server.get_script) and self.authorized():
            song = self.server.songs.get(sha1)
            self.answer(200, song) if song else self.fail(404, "unknown_song")

    def do_POST(self) -> None:
        if not self.scripted(self.server.post_script) and self.authorized():
            self.store(self.form())

    def scripted(self, script: deque[Callable[[Handler], None]]) -> bool:
        with contextlib.suppress(IndexError):
            script.popleft()(self)
            return True
        return False

    def authorized(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.server.token}":
            return True
        self.fail(401, "not_authorized")
        return False

    def form(self) -> Upload:
        """Parsed as Flask does it."""
        _, options = parse_options_header(self.headers["Content-Type"])
        parser = MultiPartParser(stream_factory=lambda **_: io.BytesIO())
        length = int(self.headers["Content-Length"])
        content = self.rfile.read(length)
        if len(content) < length:
            raise ConnectionError("the uploader has gone away")
        fields, files = parser.parse(io.BytesIO(content), options["boundary"].encode(), length)
        return Upload(fields["song_name"], files["file"].filename, files["file"].read())

    def store(self, upload: Upload) -> None:
        self.server.uploads.append(upload)
        sha1 = hashlib.sha1(upload.content).hexdigest()
        if upload.content.startswith(b"bad"):
            self.fail(415, "unsupported_media")
            return
        known = sha1 in self.server.songs
        song = {"song_id": len(self.server.songs) + 1, "file_sha1": sha1, "fingerprinted_hashes": 7}
        song = self.server.songs.setdefault(sha1, {**song, "song_name": upload.song_name})
        self.answer(409 if known else 200, song)

    def fail(self, status: int, code: str, **headers: str) -> None:
        self.answer(status, {"status": "error", "code": code, "message": f"Sorry: {code}."}, **headers)

    def answer(self, status: int, body: dict[str, Any], **headers: str) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Peer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.token = TOKEN
        self.songs: dict[str, dict[str, Any]] = {}
        self.questions: list[str] = []
        self.uploads: list[Upload] = []
        self.get_script: deque[Callable[[Handler], None]] = deque()
        self.post_script: deque[Callable[[Handler], None]] = deque()

    def handle_error(self, *_: object) -> None:
        """The uploader going away is part of the tests."""


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    (folder / "inner").mkdir(parents=True)
    (folder / "One.mp3").write_bytes(b"one")
    (folder / "Two.FLAC").write_bytes(b"two")
    (folder / "inner" / "Three.ogg").write_bytes(b"three")
    (folder / "cover.jpg").write_bytes(b"a picture")
    (folder / "._One.mp3").write_bytes(b"notes of macOS")
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of a hundredth; gives those that were asked for."""
    asked: list[float] = []
    wait = threading.Event.wait

    def pause(self: threading.Event, seconds: float | None = None) -> bool:
        if seconds:
            asked.append(seconds)
        return wait(self, None if seconds is None else seconds / 100)

    monkeypatch.setattr(uploader.Stop, "wait", pause)
    return asked


def environment() -> dict[str, str]:
    return {**os.environ, "TUNESCOUT_TOKEN": TOKEN, "PYTHONWARNINGS": "error"}


def start(url: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), "--server", url, *map(str, arguments)]
    settings: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment(),
    }
    return subprocess.Popen(command, **{**settings, **options})


def upload(url: str, *arguments: str | Path, **options: Any) -> tuple[int, str, str]:
    with start(url, *arguments, **options) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def run(peer: Peer, *paths: Path, workers: int = 1) -> uploader.Run:
    """The same within this process."""
    scan = uploader.Scan([str(path) for path in paths], recursive=True)
    with contextlib.closing(uploader.Report(None)) as report:
        run = uploader.Run(scan, report)
        run.execute(workers, lambda: uploader.Catalogue(peer.url, TOKEN))
    return run


def rows(report: Path) -> dict[str, dict[str, str]]:
    with report.open(encoding="utf-8", newline="") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file)}


def answer(status: int, code: str, **headers: str) -> Callable[[Handler], None]:
    def act(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        handler.fail(status, code, **headers)

    return act


def drop(handler: Handler) -> None:
    handler.close_connection = True


def test_a_second_run_sends_nothing(peer: Peer, music: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    code, out, _ = upload(peer.url, "--recursive", "--report", report, music)
    assert code == 0
    assert "3 of 3 files are in the catalogue: 3 added now" in out
    assert "2 other files were left out" in out
    assert {(upload.song_name, upload.filename, upload.content) for upload in peer.uploads} == {
        ("One", "One.mp3", b"one"),
        ("Two", "Two.FLAC", b"two"),
        ("Three", "Three.ogg", b"three"),
    }
    first = rows(report)
    assert list(first["One.mp3"]) == ["path", "sha1", "status", "song_id", "song_name", "hashes", "seconds", "message"]
    assert first["One.mp3"]["sha1"] == hashlib.sha1(b"one").hexdigest()
    assert {row["status"] for row in first.values()} == {"fingerprinted"}

    code, out, _ = upload(peer.url, "--recursive", "--report", report, music)
    assert code == 0
    assert "0 added now, 3 there before" in out
    assert len(peer.uploads) == 3
    again = rows(report)
    assert {row["status"] for row in again.values()} == {"already_fingerprinted"}
    assert {name: row["song_id"] for name, row in again.items()} == {
        name: row["song_id"] for name, row in first.items()
    }
    assert rows(tmp_path / "report.csv.previous") == first


def test_bad_files_are_listed_and_the_others_added(peer: Peer, music: Path, tmp_path: Path) -> None:
    (music / "Bad.mp3").write_bytes(b"bad")
    (music / "Gone.mp3").symlink_to(music / "nowhere")
    report = tmp_path / "report.csv"
    code, out, _ = upload(peer.url, "--report", report, music)
    assert code == 1
    assert "2 of 4 files are in the catalogue" in out
    assert f"failed: {music}/Bad.mp3: Sorry: unsupported_media. (unsupported_media)" in out
    assert f"failed: {music}/Gone.mp3: It cannot be read: No such file or directory." in out
    assert "1 sub-folders were left out: --recursive takes them in." in out
    assert rows(report)["Bad.mp3"]["status"] == "failed"
    assert "unsupported_media" in rows(report)["Bad.mp3"]["message"]


def test_a_wrong_token_ends_everything_at_once(peer: Peer, music: Path) -> None:
    peer.token = "another"
    code, _, err = upload(peer.url, music)
    assert code == 1
    assert "lets nothing in: Sorry: not_authorized. (not_authorized)" in err
    assert not peer.questions
    assert not peer.uploads


def test_no_files_are_tried_once_the_service_forbids_them(peer: Peer, music: Path) -> None:
    peer.post_script.append(answer(403, "fingerprinting_disabled"))
    result = run(peer, music)
    assert "fingerprinting_disabled" in str(result.stop.reason)
    assert len(peer.questions) == 1
    assert result.tally == {"interrupted": 1}


def test_an_unreachable_server_is_said_clearly(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "START_PAUSES_SECONDS", (0.0, 0.0))
    with Peer() as closed:
        url = closed.url
    with contextlib.closing(uploader.Catalogue(url, "")) as catalogue, pytest.raises(uploader.Ended) as caught:
        catalogue.check()
    assert str(caught.value).startswith(f"{url} cannot be reached (Connection refused). Is the service running")


def test_another_server_is_recognised(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "START_PAUSES_SECONDS", ())
    peer.get_script.append(lambda handler: handler.answer(404, {"detail": "Not Found"}))
    peer.get_script.append(lambda handler: handler.answer(301, {}, Location="https://elsewhere/"))
    for expected in ("does not answer as TuneScout does .HTTP status 404", "has moved to https://elsewhere/"):
        with (
            contextlib.closing(uploader.Catalogue(peer.url, TOKEN)) as server,
            pytest.raises(uploader.Ended, match=expected),
        ):
            server.check()


def test_a_proxy_that_answers_for_a_restarting_service_is_waited_for(
    peer: Peer, music: Path, impatient: list[float]
) -> None:
    peer.get_script.append(lambda handler: handler.answer(404, {}))
    assert run(peer, music).in_catalogue == 3
    assert len(impatient) == 1


def test_an_error_of_the_service_costs_one_file(peer: Peer, music: Path) -> None:
    peer.get_script.append(answer(500, "internal_error"))
    result = run(peer, music)
    assert result.tally == {"fingerprinted": 2, "failed": 1}
    assert "(internal_error)" in result.failures[0].message


def test_refused_and_broken_uploads_are_tried_again(peer: Peer, music: Path, impatient: list[float]) -> None:
    peer.get_script.extend([answer(429, "rate_limited", Retry_After="3"), drop])
    peer.post_script.extend([answer(503, "overloaded", Retry_After="5"), answer(408, "incomplete_body"), drop])
    result = run(peer, music / "One.mp3")
    assert result.tally == {"fingerprinted": 1}
    assert len(peer.uploads) == 1
    for pause, least in zip(impatient, [3, 2, 5, 8, 16], strict=True):
        assert least <= pause <= 1.25 * least


def test_an_upload_whose_answer_was_lost_is_not_sent_again(peer: Peer, music: Path, impatient: list[float]) -> None:
    def store_and_drop(handler: Handler) -> None:
        handler.wfile = io.BytesIO()
        handler.store(handler.form())
        handler.close_connection = True

    peer.post_script.append(store_and_drop)
    result = run(peer, music / "One.mp3")
    assert result.in_catalogue == 1
    assert len(peer.uploads) == 1


def test_a_file_that_always_breaks_the_connection_is_given_up(peer: Peer, music: Path, impatient: list[float]) -> None:
    peer.post_script.extend([drop] * uploader.BROKEN_UPLOADS)
    result = run(peer, music)
    assert result.tally == {"fingerprinted": 2, "failed": 1}
    assert "The connection broke 5 times" in result.failures[0].message


def test_a_server_that_stays_away_ends_the_run(
    peer: Peer, music: Path, impatient: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "PATIENCE_SECONDS", 5.0)
    peer.get_script.extend([answer(503, "instances_unavailable")] * 10)
    result = run(peer, music)
    assert "instances_unavailable" in str(result.stop.reason)
    assert result.tally == {"interrupted": 1}
    assert sum(impatient) > 5


def test_an_answer_before_the_end_of_the_upload_is_heard(peer: Peer, tmp_path: Path) -> None:
    """As from a server that stops reading at its limit."""

    def refuse_early(handler: Handler) -> None:
        handler.rfile.read(100_000)
        handler.fail(413, "file_too_large")
        handler.close_connection = True

    large = tmp_path / "Large.wav"
    with large.open("wb") as file:
        file.truncate(30_000_000)
    peer.post_script.append(refuse_early)
    result = run(peer, large)
    assert [outcome.message for outcome in result.failures] == ["Sorry: file_too_large. (file_too_large)"]


@pytest.mark.parametrize("header, expected", [("7", 7), ("", 0), ("soon", 0), ("-3", 0), ("9" * 30, 0)])
def test_retry_after(header: str, expected: float) -> None:
    assert uploader.retry_after_seconds(header) == expected


def test_retry_after_as_a_date() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < uploader.retry_after_seconds(header) <= 90


def test_pauses_grow_to_a_limit_and_respect_the_server() -> None:
    for attempts, least in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        assert least <= uploader.pause_seconds(attempts, 0.0) <= 1.25 * least
    assert 40 <= uploader.pause_seconds(1, 40.0) <= 50
    assert uploader.pause_seconds(1, 1e9) < uploader.PATIENCE_SECONDS + 60


def test_copies_are_sent_once(peer: Peer, music: Path) -> None:
    for number in range(5):
        (music / f"Zopy {number}.mp3").write_bytes(b"one")
    result = run(peer, music, workers=4)
    assert result.tally["duplicate"] == 5
    assert result.in_catalogue == result.total == 8
    assert len(peer.uploads) == 3


NAMES = {
    'He said "no" \\ %22.mp3': 'He said "no" \\ %22',
    "AC-DC - T.N.T..mp3": "AC-DC - T.N.T.",
    "Sigur Rós – ( ).flac": "Sigur Rós – ( )",
    "🎵 line\nbreak; a=b.mp3": "🎵 line break; a=b",
    "...Baby One More Time.mp3": "...Baby One More Time",
    os.fsdecode(b"Beyonc\xe9.mp3"): "Beyoncé",
    os.fsdecode(b"odd\x81.mp3"): "odd\N{REPLACEMENT CHARACTER}",
    f"{'é' * 120}.mp3": "é" * 120,
}


def test_names_survive(peer: Peer, tmp_path: Path) -> None:
    folder, report = tmp_path / "music", tmp_path / "report.csv"
    folder.mkdir()
    for number, name in enumerate([*NAMES, "01. Intro"]):
        (folder / name).write_bytes(b"%d" % number)
    (folder / "Bad \n.mp3").write_bytes(b"bad")
    (folder / os.fsdecode(b"Bad \xff.mp3")).write_bytes(b"bad")
    code, out, _ = upload(
        peer.url, "--report", report, folder, folder / "01. Intro", env={**environment(), "LC_ALL": "C"}
    )
    assert code == 1
    assert {song["song_name"] for song in peer.songs.values()} == {*NAMES.values(), "01. Intro"}
    assert {row["song_name"] for row in rows(report).values()} == {*NAMES.values(), "01. Intro", ""}
    assert r"Bad \xff.mp3" in rows(report)
    assert r"Bad \xff.mp3: Sorry" in out


def test_folders_are_entered_once_and_only_ordinary_files_read(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "loop").symlink_to(tmp_path)
    (inner / "self.mp3").symlink_to(inner / "self.mp3")
    (inner / "One.mp3").write_bytes(b"one")
    os.mkfifo(inner / "pipe.mp3")
    scan = uploader.Scan([str(tmp_path), str(inner)], recursive=True)
    assert [media.path for media in scan.files] == [str(inner / "One.mp3")]
    assert {(Path(problem.path).name, problem.message) for problem in scan.problems} == {
        ("pipe.mp3", "It is not a regular file."),
        ("self.mp3", "It cannot be read: Too many levels of symbolic links."),
    }


def test_unreadable_files_and_folders_are_reported(peer: Peer, music: Path) -> None:
    (music / "One.mp3").chmod(0)
    (music / "inner").chmod(0)
    if os.access(music / "inner", os.R_OK):
        pytest.skip("this user may read everything")
    try:
        result = run(peer, music)
    finally:
        (music / "inner").chmod(0o700)
    assert {Path(outcome.path).name: outcome.message for outcome in result.failures} == {
        "One.mp3": "It cannot be read: Permission denied.",
        "inner": "It cannot be read: Permission denied.",
    }


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that cannot be read at its start")
def test_a_file_that_stops_being_readable_is_reported(peer: Peer) -> None:
    result = run(peer, Path("/proc/self/mem"))
    assert [outcome.message for outcome in result.failures] == ["It cannot be read: Input/output error."]


@pytest.mark.parametrize("change", [b"", b"onE", b"one and more", b"o", None])
def test_a_file_that_changes_meanwhile_is_not_stored(peer: Peer, tmp_path: Path, change: bytes | None) -> None:
    path = tmp_path / "One.mp3"
    path.write_bytes(b"one")

    def change_it(handler: Handler) -> None:
        path.unlink()
        if change is not None:
            path.write_bytes(change)
        handler.fail(404, "unknown_song")

    peer.get_script.append(change_it)
    result = run(peer, path)
    assert not peer.songs
    expected = "It cannot be read" if change is None else "It changed while it was being sent"
    assert result.failures[0].message.startswith(expected)


def test_ctrl_c_ends_in_good_order_and_the_next_run_goes_on(peer: Peer, tmp_path: Path) -> None:
    folder, report = tmp_path / "music", tmp_path / "report.csv"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.mp3").write_bytes(b"%d" % number)
    held, go_on = threading.Event(), threading.Event()

    def hold(handler: Handler) -> None:
        form = handler.form()
        held.set()
        go_on.wait(30)
        handler.store(form)

    peer.post_script.extend([lambda handler: handler.store(handler.form())] * 5 + [hold])
    with start(peer.url, "--workers", "1", "--report", str(report), folder) as process:
        assert held.wait(30)
        assert len(rows(report)) == 5
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert any("Stopping." in line for line in process.stderr)
        go_on.set()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "6 of 20 files are in the catalogue: 6 added now" in out
    assert "14 not finished" in out
    assert "The same command again goes on from here." in out
    assert "Stopped by Ctrl-C." in err
    assert len(rows(report)) == 6

    code, out, _ = upload(peer.url, "--workers", "3", folder)
    assert code == 0
    assert "14 added now, 6 there before" in out
    assert len(peer.uploads) == 20


def test_ctrl_c_breaks_off_what_is_being_sent(peer: Peer, tmp_path: Path) -> None:
    large = tmp_path / "Large.wav"
    with large.open("wb") as file:
        file.truncate(200_000_000)
    sending, go_on, received = threading.Event(), threading.Event(), []

    def read(handler: Handler) -> None:
        handler.rfile.read(1_000_000)
        sending.set()
        go_on.wait(30)
        while block := handler.rfile.read1(1_000_000):
            received.append(len(block))

    peer.post_script.append(read)
    with start(peer.url, large) as process:
        assert sending.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        assert any("Stopping." in line for line in process.stderr)
        go_on.set()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "0 of 1 files are in the catalogue" in out
    assert sum(received) < 100_000_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_file_is_never_in_memory(peer: Peer, tmp_path: Path) -> None:
    large = tmp_path / "Large.wav"
    with large.open("wb") as file:
        file.truncate(150_000_000)
    peaks: list[int] = []

    def measure(handler: Handler) -> None:
        left = int(handler.headers["Content-Length"])
        while left > 0:
            left -= len(handler.rfile.read1(min(left, 1 << 20)))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
        sha1 = handler.server.questions[-1]
        handler.answer(200, {"file_sha1": sha1, "song_id": 1, "song_name": "Large", "fingerprinted_hashes": 1})

    peer.post_script.append(measure)
    with start(peer.url, large) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert peaks[0] < 100_000  # kB


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(peer: Peer, music: Path) -> None:
    _, _, err = upload(peer.url, music)
    assert "\r" not in err
    assert err.splitlines()[-1].startswith("2 of 2 files, 6.00B of 6.00B")

    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(other_end, (25, 100))
    with start(peer.url, music, stderr=other_end) as process:
        process.communicate(timeout=60)
    os.close(other_end)
    shown = b"".join(iter(lambda: read_terminal(terminal), b"")).decode()
    os.close(terminal)
    assert "2 of 2 files 100%|" in shown


def test_a_report_never_replaces_anything_else(peer: Peer, music: Path) -> None:
    code, _, err = upload(peer.url, "--report", music / "One.mp3", music)
    assert code == 2
    assert "exists and is not a report" in err
    assert (music / "One.mp3").read_bytes() == b"one"
    code, _, err = upload(peer.url, "--report", music / "nowhere" / "report.csv", music)
    assert code == 2
    assert "cannot be written: No such file or directory." in err


def test_nothing_found_is_no_success(peer: Peer, tmp_path: Path) -> None:
    code, out, _ = upload(peer.url, tmp_path)
    assert code == 1
    assert "0 of 0 files" in out


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "PATH"),
        (["/no/such/file"], "/no/such/file: no such file or folder"),
        (["--workers", "0", "."], "expected 1 to 64"),
        (["--server", "localhost:8000", "."], "expected an address such as"),
        (["--token", "zwölf", "."], "ASCII"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        uploader.main(arguments)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_the_token_of_the_command_line_comes_before_netrc(
    peer: Peer, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert run(peer, music).in_catalogue == 3


def test_it_stands_alone() -> None:
    """Nothing of the service is imported, so the file can be copied to another machine."""
    code = "import sys, tunescout_uploader; sys.exit(any(name.split('.')[0] == 'dejavu' for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, check=True)


def write_sounds(folder: Path, names: list[str], seed: int) -> None:
    noise = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(media.wav(noise.normal(0.0, 0.1, 33_000).astype(np.float32), 11_025))


def test_the_service_is_filled_once(server: Server, tmp_path: Path) -> None:
    folder, report = tmp_path / "music", tmp_path / "report.csv"
    names = ['He said "no" 🎵\n.wav', "inner/AC-DC - T.N.T..wav", os.fsdecode(b"Beyonc\xe9.wav")]
    write_sounds(folder, names, seed=7000)
    (folder / "inner/Copy.wav").write_bytes((folder / names[1]).read_bytes())
    (folder / "Words.mp3").write_text("These are no sounds at all.\n" * 100)
    (folder / "Silence.wav").write_bytes(media.wav(np.zeros(30_000, np.float32), 11_025))
    before = server.songs_held()

    arguments = ("--token", SERVICE_TOKEN, "--recursive", "--workers", "1")
    code, out, err = upload(server.url, *arguments, "--report", report, folder)
    assert code == 1, err
    assert "4 of 6 files are in the catalogue: 3 added now, 0 there before, 1 copies of others. 2 failed" in out
    assert server.songs_held() == before + 3
    assert "(unsupported_media)" in rows(report)["Words.mp3"]["message"]
    assert "(no_audio)" in rows(report)["Silence.wav"]["message"]
    for name in names[:2]:
        song = server.song(rows(report)[Path(name).name]["sha1"]).json()
        assert song["song_name"] == Path(name).stem.replace("\n", " ")
        assert str(song["song_id"]) == rows(report)[Path(name).name]["song_id"]

    (folder / "Words.mp3").unlink()
    (folder / "Silence.wav").unlink()
    code, out, err = upload(server.url, *arguments, folder)
    assert code == 0, err
    assert "0 added now, 3 there before, 1 copies of others." in out
    assert server.songs_held() == before + 3


def test_the_service_refuses_a_wrong_token(server: Server, tmp_path: Path) -> None:
    write_sounds(tmp_path, ["One.wav"], seed=7100)
    code, out, err = upload(server.url, "--token", "guessed", tmp_path)
    assert code == 1
    assert "lets nothing in" in err
    assert not out


def test_a_service_that_is_killed_and_started_again_is_waited_for(tmp_path: Path) -> None:
    folder, report = tmp_path / "music", tmp_path / "report.csv"
    write_sounds(folder, [f"{number:03}.wav" for number in range(40)], seed=7200)
    with Server(tmp_path) as server:
        arguments = ("--token", SERVICE_TOKEN, "--workers", "2", "--report", report, folder)
        with start(server.url, *arguments) as process:
            server.wait_for(r"route=/api/fingerprint status=200")
            server.kill()
            assert process.stderr
            assert any(line.startswith("Waiting: ") for line in process.stderr)
            server.start({"PORT": str(server.address[1])})
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "40 of 40 files are in the catalogue" in out
        assert server.songs_held() == 40
    assert len(rows(report)) == 40
