"""A private ClickHouse server as a process of its own, on a free port, with its data in a temporary folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Self

from clickhouse_driver import Client
from clickhouse_driver.errors import Error
from processes import eventually
from requirements import required_program
from server_process import ServerProcess, free_port

from dejavu.config.database import ServerDatabase

HOST = "127.0.0.1"
USER = "tunescout"
PASSWORD = "p'ss%s\\word 🎵"  # awkward on purpose
READER = "reader"

_CONFIG = """<yandex>
  <logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/server.err.log</errorlog></logger>
  <listen_host>{host}</listen_host>
  <tcp_port>{port}</tcp_port>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/tmp/</tmp_path>
  <users_config>{folder}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""

_USERS = """<yandex>
  <profiles>
    <default>{blocks}</default>
    <reading><readonly>2</readonly></reading>
  </profiles>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>
      <quota>default</quota></default>
    <{user}><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>
      <quota>default</quota></{user}>
    <{reader}><password></password><networks><ip>127.0.0.1</ip></networks><profile>reading</profile>
      <quota>default</quota></{reader}>
  </users>
  <quotas><default></default></quotas>
</yandex>
"""

_SMALL_BLOCKS = (
    "<min_compress_block_size>4096</min_compress_block_size><max_compress_block_size>8192</max_compress_block_size>"
)


class ClickHouseServer(ServerProcess):
    """A server with a user that may do everything and one that may only read; `process` is it while it runs."""

    def __init__(self, folder: Path, *, small_blocks: bool = True) -> None:
        """`small_blocks`: as its default profile should have them for look-ups to be fast."""
        self._blocks = _SMALL_BLOCKS if small_blocks else ""
        self._folder = folder
        super().__init__()
        self.port = free_port(HOST)

    def __enter__(self) -> Self:
        for name in ("data", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        users = _USERS.format(user=USER, password=PASSWORD, reader=READER, blocks=self._blocks)
        self._file.write_text(_CONFIG.format(folder=self._folder, host=HOST, port=self.port))
        (self._folder / "users.xml").write_text(users)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def _file(self) -> Path:
        return self._folder / "config.xml"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [required_program("clickhouse-server"), f"--config-file={self._file}"],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._folder / "server.err.log").read_text()
        try:
            self.execute("SELECT 1")
        except (Error, EOFError):
            return False
        return True

    def execute(
        self, statement: str, database: str = "default", patience_seconds: float = 10, **values: Any
    ) -> list[tuple[Any, ...]]:
        """Run a statement as a user that may do everything."""
        with Client(
            HOST, port=self.port, database=database, connect_timeout=2, send_receive_timeout=patience_seconds
        ) as client:
            rows: list[tuple[Any, ...]] = client.execute(statement, values)
        return rows

    def drop_database(self, name: str) -> None:
        quoted = name.replace("\\", "\\\\").replace("`", "\\`")
        self.execute(f"DROP DATABASE IF EXISTS `{quoted}`")

    def database(self, name: str, user: str | None = USER, password: str | None = PASSWORD) -> ServerDatabase:
        """How config.json would say it."""
        return ServerDatabase("clickhouse", HOST, self.port, name, user, password)
