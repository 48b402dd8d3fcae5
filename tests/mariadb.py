"""A private MariaDB server as a process of its own, on a free port, with its data in a temporary folder."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import MySQLdb
import MySQLdb.cursors
from processes import eventually
from requirements import required_program
from server_process import ServerProcess, free_port

from dejavu.config.database import ServerDatabase

HOST = "127.0.0.1"
USER = "tunescout"
PASSWORD = "p'ss%s\\word 🎵"  # awkward on purpose


class MariaDB(ServerProcess):
    """A server with one account that may do everything; `process` is it while it runs."""

    def __init__(self, folder: Path, **options: str | int) -> None:
        """`options` are those of the server's own configuration, with underscores."""
        self._folder = folder
        self._options = options
        super().__init__()
        # The path of a Unix socket may have 107 characters, fewer than temporary folders of tests may have.
        self._sockets = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._numbers = itertools.count(1)
        self.port = free_port(HOST)

    def __enter__(self) -> Self:
        try:
            self._install()
            self.start()
            self.execute(f"CREATE USER IF NOT EXISTS {USER} IDENTIFIED BY %s", PASSWORD)
            self.execute(f"GRANT ALL ON *.* TO {USER}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._sockets)

    def _install(self) -> None:
        installed = (self._folder / "data" / "mysql").is_dir()
        for name in ("data", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        settings: dict[str, str | int] = {
            "datadir": str(self._folder / "data"),
            "socket": str(self._sockets / "socket"),
            # Each server that starts removes what looks like a temporary table there, also those of another.
            "tmpdir": str(self._folder / "tmp"),
            "pid_file": str(self._folder / "pid"),
            "log_error": str(self._folder / "error.log"),
            "port": self.port,
            "bind_address": HOST,
            "innodb_buffer_pool_size": "64M",
            "innodb_log_file_size": "32M",
            **self._options,
        }
        if os.geteuid() == 0:
            settings["user"] = "root"
        lines = [f"{name} = {value}" for name, value in settings.items()]
        self._file.write_text("\n".join(["[mariadbd]", "skip_name_resolve", *lines]) + "\n")
        if installed:
            return
        subprocess.run(
            [
                required_program("mariadb-install-db"),
                f"--defaults-file={self._file}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )

    @property
    def _file(self) -> Path:
        return self._folder / "my.cnf"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [required_program("mariadbd"), f"--defaults-file={self._file}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._folder / "error.log").read_text()
        try:
            self.execute("SELECT 1")
        except MySQLdb.OperationalError:
            return False
        return True

    def execute(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement as root."""
        with self._root() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def sessions(self, database: ServerDatabase) -> set[object]:
        """The ids of the connections that are open on a database."""
        statement = "SELECT id FROM information_schema.processlist WHERE user = %s AND db = %s"
        return {session for (session,) in self.execute(statement, database.user, database.database)}

    @contextmanager
    def storing(self, database: ServerDatabase, sha1: str) -> Iterator[None]:
        """Somebody else is storing this file meanwhile, and gives it up in the end."""
        table = self.quoted(database).replace("%", "%%")
        with self._root() as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute(
                f"INSERT INTO {table}.song (song_id, sha1, name, total_hashes) VALUES (1, %s, 'somebody else''s', 1)",
                (sha1,),
            )
            yield
            cursor.execute("ROLLBACK")

    @contextmanager
    def _root(self) -> Iterator[MySQLdb.cursors.Cursor]:
        connection = MySQLdb.connect(host=HOST, port=self.port, user="root", charset="utf8mb4", autocommit=True)
        try:
            yield connection.cursor()
        finally:
            connection.close()

    @contextmanager
    def fresh_database(self) -> Iterator[ServerDatabase]:
        """How config.json would name a database that is not there yet; it is dropped in the end."""
        database = self.database(f"tune`scout {next(self._numbers)} %s")  # awkward on purpose
        yield database
        self.execute(f"DROP DATABASE IF EXISTS {self.quoted(database)}")

    def database(self, name: str, user: str = USER, password: str = PASSWORD) -> ServerDatabase:
        """How config.json would say it."""
        return ServerDatabase("mysql", HOST, self.port, name, user, password)

    @staticmethod
    def quoted(database: ServerDatabase) -> str:
        """The name of a database, in a statement."""
        return f"`{database.database.replace('`', '``')}`"
