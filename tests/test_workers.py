"""The worker pool: right answers, and what happens when processes die, hang, grow, or are attacked."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from media import FORMATS, encode, music, tune, wav

from dejavu.audio.decode import decode
from dejavu.config.settings import WORKER_MEMORY_BYTES
from dejavu.errors import DecodeTimeout, NoAudio, Overloaded, UnsupportedMedia
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.service import worker, worker_protocol, workers
from dejavu.service.confinement import landlock_version
from dejavu.service.worker_protocol import ProtocolError
from dejavu.service.workers import WorkerPool

PROJECT = Path(__file__).parent.parent

linux_only = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[WorkerPool]:
    """Two workers, for tests that harm none."""
    pool = WorkerPool(2)
    yield pool
    pool.close()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """One worker, to be harmed."""
    pool = WorkerPool(1)
    yield pool
    pool.close()


@pytest.fixture
def song() -> Iterator[BinaryIO]:
    """An upload: an anonymous temporary file."""
    with upload(tune("mp3", 10.0)) as file:
        yield file


def upload(content: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(content)
    return file


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        os.sched_yield()


def gone(pid: int) -> bool:
    """Whether a process has ended, with all its threads; somebody may still have to collect it."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(list((process / "task").iterdir())) == 1
    except OSError:
        return True


def test_fingerprints_are_those_made_in_this_process(shared_pool, song):
    found = shared_pool.fingerprint(song)

    expected = extract_reference(decode(song))
    assert len(found) > 50
    assert np.array_equal(found.hashes, expected.hashes)
    assert np.array_equal(found.offsets, expected.offsets)


def test_queries_are_those_made_in_this_process(shared_pool, song):
    found = shared_pool.query(song, 2.5, 5.0)

    expected = extract_query(decode(song, start_seconds=2.5, duration_seconds=5.0), 2.5)
    assert len(found) > 50
    for column in ("hashes", "offsets", "ranks"):
        assert np.array_equal(getattr(found, column), getattr(expected, column))
    assert (found.start_seconds, found.duration_seconds) == (2.5, pytest.approx(5.0, abs=1e-3))


def test_a_files_position_stays(shared_pool, song):
    song.seek(100)

    shared_pool.fingerprint(song)

    assert song.tell() == 100


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", UnsupportedMedia, "Nothing in this file"),
        (b"text " * 1000, UnsupportedMedia, "Nothing in this file"),
        (b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n", UnsupportedMedia, "Nothing in this file"),
        (wav(np.zeros(5 * 44_100, np.float32)), NoAudio, r"nothing to fingerprint in 5\.00 s"),
        (wav(music(0.05)), NoAudio, r"nothing to fingerprint in 0\.05 s"),
        (encode(np.empty(0, np.float32), FORMATS["mov"], video_seconds=1.0), NoAudio, "without an audio stream"),
    ],
    ids=["empty", "text", "playlist", "silence", "50 ms", "silent film"],
)
def test_what_is_wrong_with_a_file_is_said(shared_pool, content, error, message):
    before = shared_pool.pids()
    with upload(content) as file:
        with pytest.raises(error, match=message):
            shared_pool.fingerprint(file)
        with pytest.raises(error, match=message):
            shared_pool.query(file)
    assert shared_pool.pids() == before


def test_a_start_past_the_end_is_said(shared_pool, song):
    with pytest.raises(NoAudio, match=r"past the end: the file holds 10\.0 s"):
        shared_pool.query(song, 99.0)


def test_many_threads_share_the_workers(shared_pool):
    songs = [tune("flac", 4.0, seed=seed) for seed in range(3)] * 4

    def fingerprint(content: bytes) -> bytes:
        with upload(content) as file:
            return shared_pool.fingerprint(file).hashes.tobytes()

    with ThreadPoolExecutor(len(songs)) as threads:
        found = list(threads.map(fingerprint, songs))

    assert len(set(found)) == 3
    assert found[:3] * 4 == found
    assert shared_pool.status() == workers.PoolStatus(size=2, busy=0, waiting=0, restarts=0)


def test_a_killed_worker_costs_one_request(pool, song, caplog):
    (victim,) = pool.pids()
    os.kill(victim, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        doomed = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        other = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)
        os.kill(victim, signal.SIGKILL)

        with pytest.raises(UnsupportedMedia, match="could not be processed"):
            doomed.result()
        assert len(other.result()) > 50

    assert pool.status().restarts == 1
    assert "worker died" in caplog.text


def test_a_worker_killed_while_idle_is_replaced(pool, song):
    (victim,) = pool.pids()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: gone(victim))

    assert len(pool.fingerprint(song)) > 50


def test_a_hanging_worker_is_replaced(song):
    pool = WorkerPool(1, timeout_seconds=0.2)
    (victim,) = pool.pids()
    os.kill(victim, signal.SIGSTOP)

    with pytest.raises(DecodeTimeout, match=r"longer than the 0\.2 s"):
        pool.fingerprint(song)

    assert gone(victim)
    assert len(pool.fingerprint(song)) > 50
    pool.close()


def test_who_cannot_wait_is_turned_away(monkeypatch, song):
    monkeypatch.setattr(workers, "QUEUE_WAIT_SECONDS", 0.3)
    pool = WorkerPool(1, queue_limit=1)
    os.kill(pool.pids()[0], signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        waiting = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)

        with pytest.raises(Overloaded):  # the queue is full
            pool.fingerprint(song)
        with pytest.raises(Overloaded):  # the wait is over
            waiting.result()
        os.kill(pool.pids()[0], signal.SIGCONT)
        assert len(working.result()) > 50

    assert len(pool.fingerprint(song)) > 50
    pool.close()


def test_closing_ends_every_process_and_every_wait(song):
    pool = WorkerPool(1)
    (process,) = pool.pids()
    os.kill(process, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        waiting = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)

        pool.close()

        assert isinstance(working.exception(), UnsupportedMedia)
        assert isinstance(waiting.exception(), Overloaded)
    with pytest.raises(Overloaded):
        pool.fingerprint(song)
    assert gone(process)


@linux_only
def test_a_worker_that_grew_is_replaced(monkeypatch, pool, song):
    before = pool.pids()
    monkeypatch.setattr(worker, "WORKER_RECYCLE_BYTES", 1 << 20)

    pool.fingerprint(song)

    assert pool.pids() != before
    assert pool.status().restarts == 1


def test_signals_to_the_process_group_do_not_end_a_worker(pool, song):
    before = pool.pids()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(before[0], number)

    assert len(pool.fingerprint(song)) > 50
    assert pool.pids() == before


@linux_only
def test_workers_have_no_secrets_no_files_and_limits(monkeypatch, song):
    monkeypatch.setenv("TUNESCOUT_TOKEN", "a-secret")
    pool = WorkerPool(1)
    pool.fingerprint(song)
    process = Path(f"/proc/{pool.pids()[0]}")

    assert "a-secret" not in (process / "environ").read_text()
    kinds = {str((process / "fd" / number).readlink()).partition(":")[0] for number in ("0", "1")}
    assert kinds == {"socket", "/dev/null"}
    assert {link.name for link in (process / "fd").iterdir()} == {"0", "1", "2"}
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
    assert limits["Max data size"] == [str(WORKER_MEMORY_BYTES)] * 2
    assert "NoNewPrivs:\t1" in (process / "status").read_text()
    pool.close()


ATTACKS = """
import os, socket, sys
import numpy as np
from dejavu.service.confinement import confine
confine(256 << 20)
def works(attack):
    try:
        attack()
    except (OSError, MemoryError):
        return False
    return True
result = [
    works(lambda: np.ones(64 << 20)),
    works(lambda: open("/etc/hostname")),
    works(lambda: os.listdir("/")),
    works(lambda: open("/dev/shm/written-by-an-attacker", "w").write("x")),
    works(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)),
    works(lambda: os.kill(os.getppid(), 0)),
]
os.write(1, repr(result).encode())
"""


@linux_only
def test_a_confined_process_reaches_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", ATTACKS, str(listener.getsockname()[1])]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)

    outcome = json.loads(done.stdout.decode().lower())
    assert outcome[0] is False
    if landlock_version() < 6:
        pytest.skip("this kernel's Landlock does not handle files, TCP and signals")
    assert outcome == [False] * 6


OWNER = """
import sys, threading, time
from dejavu.service.workers import WorkerPool
pool = WorkerPool(2)
file = open(sys.argv[1], "rb")
threading.Thread(target=pool.fingerprint, args=(file,), daemon=True).start()
while pool.status().busy < 1:
    time.sleep(0.001)
print(*pool.pids(), flush=True)
sys.stdin.read()
"""


def hours_of_silence(path: Path) -> Path:
    """A WAV file of 12 h at 44.1 kHz that takes no room on the disk."""
    data_bytes = 2 * 44_100 * 3600 * 12
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", data_bytes + 36) + b"WAVEfmt " + struct.pack("<I", 16))
        file.write(struct.pack("<HHIIHH", 1, 1, 44_100, 88_200, 2, 16) + b"data" + struct.pack("<I", data_bytes))
        file.truncate(44 + data_bytes)
    return path


def test_no_worker_outlives_its_service(tmp_path):
    command = [sys.executable, "-c", OWNER, str(hours_of_silence(tmp_path / "long.wav"))]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        processes = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(processes) == 2
        assert not any(gone(pid) for pid in processes)
        owner.kill()

    for pid in processes:
        eventually(lambda pid=pid: gone(pid))


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", EOFError),
        (b"\x05\0", EOFError),
        (struct.pack("<I", 10) + b"{}", EOFError),
        (struct.pack("<I", 1 << 31), ProtocolError),
        (struct.pack("<I", 4) + b"\x80\x04K\x01", ProtocolError),
        (struct.pack("<I", 2) + b"[]", ProtocolError),
    ],
    ids=["nothing", "half a length", "half a header", "endless", "a pickle", "a list"],
)
def test_what_a_worker_may_say_is_bounded(sent, error):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(sent)
        with pytest.raises(error):
            worker_protocol.receive(ours, time.monotonic() + 5)


def test_silence_ends_at_the_deadline():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        worker_protocol.receive(ours, time.monotonic() + 0.01)
