"""What keeps a worker that was taken over from doing harm, and from staying behind."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from media import tune, upload
from processes import eventually, gone, on_linux

from dejavu.config.settings import WORKER_MEMORY_BYTES
from dejavu.service import worker_protocol
from dejavu.service.confinement import landlock_version
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


def test_silence_ends_at_the_deadline():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        worker_protocol.receive(ours, time.monotonic() + 0.01)
