"""What keeps a worker that was taken over from doing harm, and from staying behind."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from media import tune, upload
from processes import eventually, gone, on_linux

from dejavu.config.settings import WORKER_MEMORY_BYTES
from dejavu.service import worker_protocol
from dejavu.service.confinement import landlock_version
from dejavu.service.worker import Worker, WorkerDied
from dejavu.service.worker_protocol import ProtocolError
from dejavu.service.workers import WorkerPool

pytestmark = pytest.mark.server

PROJECT = Path(__file__).parent.parent


@on_linux
def test_workers_have_no_secrets_no_files_and_limits(monkeypatch):
    monkeypatch.setenv("TUNESCOUT_TOKEN", "a-secret")
    pool = WorkerPool(1)
    with upload(tune("mp3", 10.0)) as song:
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


@on_linux
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


def a_query(**changed: np.ndarray) -> list[np.ndarray]:
    """The columns of a clip with two landmarks and three peaks, some of them changed."""
    columns = {
        "hashes": np.array([7, 8], np.uint32),
        "offsets": np.array([0, 40], np.uint32),
        "ranks": np.array([0, 3], np.uint8),
        "frames": np.array([0, 2.5, 1288], np.float32),
        "bins": np.array([0, 445, 3.25], np.float32),
        "peak_ranks": np.array([0, 1, 0], np.uint8),
    }
    return list((columns | changed).values())


def say(columns: list[np.ndarray]) -> list[np.ndarray]:
    """What the service makes of a worker that answers a question about a clip with these columns."""
    asked = Worker()
    asked.wait_ready()
    assert asked._connection is not None
    ours, theirs = socket.socketpair()
    with asked._connection as kept, theirs, upload(b"") as file:  # the process stays, and somebody speaks for it
        asked._connection = ours
        worker_protocol.send(theirs, {"rows": [column.size for column in columns]})
        theirs.sendall(b"".join(column.tobytes() for column in columns))
        try:
            return asked.ask("query", file.fileno(), 5.0, {})[0]
        finally:
            asked.stop()
            kept.close()


def test_what_a_worker_says_of_a_clip_is_taken_as_it_is():
    for columns in (a_query(), [*a_query()[:3], *(np.empty(0, column.dtype) for column in a_query()[3:])]):
        for sent, received in zip(columns, say(columns), strict=True):
            assert np.array_equal(sent, received)
            assert sent.dtype == received.dtype


@pytest.mark.parametrize(
    "columns",
    [a_query()[:5], a_query(hashes=np.empty(0, np.uint32)), a_query(frames=np.array([0, 1, 1e9], np.float32))],
    ids=["too few columns", "no landmarks", "a clip of a year"],
)
def test_what_no_clip_has_is_not_believed(columns):
    with pytest.raises(WorkerDied):
        say(columns)


IMPOSSIBLE = {
    "a landmark without an offset": {"offsets": np.array([0], np.uint32)},
    "a landmark without a rank": {"ranks": np.array([0], np.uint8)},
    "a peak without a bin": {"bins": np.array([0, 1], np.float32)},
    "a peak without a rank": {"peak_ranks": np.array([0, 1], np.uint8)},
    "a minute": {"frames": np.array([0, 1, 2600], np.float32)},
    "an endless clip": {"frames": np.array([0, 1, np.inf], np.float32)},
    "a peak before the clip": {"frames": np.array([-9, 1, 2], np.float32)},
    "a peak at no time": {"frames": np.array([0, np.nan, 2], np.float32)},
    "time that runs back": {"frames": np.array([5, 4, 6], np.float32)},
    "a peak at no pitch": {"bins": np.array([0, np.nan, 2], np.float32)},
    "a peak of endless pitch": {"bins": np.array([0, -np.inf, 2], np.float32)},
}


@pytest.mark.parametrize("changed", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_columns_have_to_fit_each_other_and_a_clip(changed):
    worker_protocol.require_sound("query", a_query())
    with pytest.raises(ProtocolError):
        worker_protocol.require_sound("query", a_query(**changed))


def test_columns_of_a_recording_have_to_fit_each_other():
    two, three = np.arange(2, dtype=np.uint32), np.arange(3, dtype=np.uint32)
    worker_protocol.require_sound("fingerprint", [two, two, three, three])
    for columns in ([two, three, three, three], [two, two, two, three]):
        with pytest.raises(ProtocolError, match="different lengths"):
            worker_protocol.require_sound("fingerprint", columns)


def test_silence_ends_at_the_deadline():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        worker_protocol.receive(ours, time.monotonic() + 0.01)
