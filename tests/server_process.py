"""What the database servers that tests start for themselves have in common: a port, a process, and its sudden end."""

from __future__ import annotations

import signal
import socket
import subprocess


class ServerProcess:
    """A server that is started and killed any number of times; its own `start` sets `_process`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server is not running"
        return self._process

    def kill(self) -> None:
        """End it as a power failure would, also where it is stopped."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self._process = None


def free_port(host: str) -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])
