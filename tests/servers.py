"""The real service as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import requests
from processes import command_line, eventually, gone
from wire import Answer, read_answer

PROJECT = Path(__file__).resolve().parent.parent
TOKEN = "a-token-for-tests"
DEADLINE_SECONDS = 30.0
UNLIMITED = "1000000 per second"


def make_config(**changes: Any) -> dict[str, Any]:
    """A configuration on SQLite that limits no rates; `changes` replace whole sections."""
    config = {
        "instances": [
            {"database_type": "sqlite", "database": {"path": f"fingerprints-{index}.sqlite"}, "redis_db_index": index}
            for index in range(2)
        ],
        "results": [{"database_type": "sqlite", "database": {"path": f"results-{index}.sqlite"}} for index in range(2)],
        "rate_limit": {"recognizing": UNLIMITED, "fetching_results": UNLIMITED, "fingerprinting": UNLIMITED},
        "fingerprinting": {"token": TOKEN},
    }
    return config | changes


class Server:
    """`python app.py` with a configuration and databases of its own in `folder`, on a free port."""

    def __init__(self, folder: Path, program: Path = PROJECT / "app.py", **changes: Any) -> None:
        self._program = program
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(make_config(**changes)))
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said = threading.Condition()
        self._lines: list[str] = []
        self._ended = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the server is not running"
        return self._process

    @property
    def log(self) -> str:
        """Everything it has written since it was started."""
        return "\n".join(self._lines)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None and parts.port is not None
        return parts.hostname, parts.port

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it answers. The port is listening at once; the health request waits for the rest."""
        self.launch(environment)
        self.url = self.wait_for(r"listening on (\S+)").group(1)
        health = requests.get(f"{self.url}/api/health", timeout=DEADLINE_SECONDS)
        assert health.status_code == 200, f"{health.text}\n{self.log}"

    def launch(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process without waiting for anything."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNESCOUT_")}
        self._lines, self._ended = [], False
        self._process = subprocess.Popen(
            [sys.executable, str(self._program)],
            cwd=self._config.parent,
            env={
                **clean,
                "HOST": "127.0.0.1",
                "PORT": "0",
                "TUNESCOUT_CONFIG": str(self._config),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._said:
                self._lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the log has a match for `pattern`."""
        with self._said:
            self._said.wait_for(lambda: self._ended or re.search(pattern, self.log), DEADLINE_SECONDS)
            match = re.search(pattern, self.log)
        assert match, f"no {pattern!r} in the log:\n{self.log}"
        return match

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process, and whoever holds its output, has ended; the exit code."""
        code = self.process.wait(DEADLINE_SECONDS)
        if self._reader is not None:
            self._reader.join(DEADLINE_SECONDS)
            assert not self._reader.is_alive(), f"somebody outlives the server:\n{self.log}"
        if self.process.stdout:
            self.process.stdout.close()
        self._process = None
        return code

    def stop(self) -> None:
        """Stop it in order, and see that it does."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.log

    def kill(self) -> None:
        """End it as a power failure would: with everything it has started, in the same instant."""
        started = self.descendants()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        wait_until_gone(started)

    def restart(self, *, kill: bool = False) -> None:
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def descendants(self) -> list[int]:
        """The processes that it has started, and those that these have."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def decoders(self) -> list[int]:
        """Its worker processes, which decode and fingerprint."""
        return [pid for pid in self.descendants() if "worker_process" in command_line(pid)]

    # --- Requests ----------------------------------------------------------------------------------------------------

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return self.request("GET", path, **arguments)

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """One request on a connection of its own, which does not hold up a stop."""
        headers = {"Connection": "close", **arguments.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=DEADLINE_SECONDS, **arguments)

    def recognize(self, media: bytes, name: str = "clip.mp3", **fields: Any) -> requests.Response:
        return self.request("POST", "/api/recognize", files={"file": (name, media)}, data=fields)

    def fingerprint(self, media: bytes, name: str = "song.mp3", token: str = TOKEN, **fields: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self.request("POST", "/api/fingerprint", files={"file": (name, media)}, data=fields, headers=headers)

    def song(self, sha1: str, token: str = TOKEN) -> requests.Response:
        return self.get(f"/api/songs/{sha1}", headers={"Authorization": f"Bearer {token}"})

    def songs_held(self) -> int:
        """How many songs all instances have together."""
        return sum(instance["songs"] for instance in self.get("/api/health").json()["instances"])

    def wait_until_busy(self, workers: int = 1) -> None:
        """Wait until so many workers have been given a file."""
        eventually(lambda: self.get("/api/health").json()["workers"]["busy"] >= workers)

    def exchange(self, *chunks: bytes, end: bool = False) -> Answer:
        """Send these bytes on a connection of their own and read one answer; `end`: say that there will be no more."""
        with socket.create_connection(self.address, DEADLINE_SECONDS) as connection:
            for chunk in chunks:
                connection.sendall(chunk)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_answer(connection)


def wait_until_gone(pids: list[int]) -> None:
    """Wait until all these processes have ended."""
    eventually(lambda: all(gone(pid) for pid in pids))
