"""A private Redis server as a process of its own, on a free port, that keeps nothing on disk."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Self

import redis
from processes import eventually, freeze
from redis.backoff import NoBackoff
from redis.retry import Retry
from requirements import required_program
from server_process import ServerProcess, free_port

from dejavu.config.deployment import RedisConfig

HOST = "127.0.0.1"
USER = "tunescout"
PASSWORD = "p'ss%s\\word 🎵"  # awkward on purpose
PREFIX = "a prefix:"

_CONFIG = """
port {port}
bind {host}
dir "{folder}"
logfile log
databases 16
save ""
appendonly no
user default off
user {user} on sanitize-payload ">{password}" ~* &* +@all
"""


class RedisServer(ServerProcess):
    """A server with one user; `process` is it while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__()
        self.port = free_port(HOST)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        password = PASSWORD.replace("\\", "\\\\")
        text = _CONFIG.format(port=self.port, host=HOST, folder=self._folder, user=USER, password=password)
        (self._folder / "redis.conf").write_text(text)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = subprocess.Popen(
            [required_program("redis-server"), str(self._folder / "redis.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._folder / "log").read_text()
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def stall(self) -> None:
        """Let it accept connections, and answer nothing."""
        freeze(self.process.pid)

    def resume(self) -> None:
        """Let it answer again, first of all what has come in meanwhile."""
        self.process.send_signal(signal.SIGCONT)

    def client(self, index: int = 0) -> redis.Redis:
        """A client of one of its databases, to be closed."""
        return redis.Redis(
            host=HOST, port=self.port, db=index, username=USER, password=PASSWORD, retry=Retry(NoBackoff(), 0)
        )

    def config(self, prefix: str = PREFIX, password: str = PASSWORD) -> RedisConfig:
        """How config.json would say it."""
        return RedisConfig(HOST, self.port, USER, password, prefix)
