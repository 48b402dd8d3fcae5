"""What the two kinds of SQLite file have in common: connections, transactions, and how their trouble is told."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dejavu.errors import FormatMismatch, NotSetUp, StoreUnavailable

BUSY_TIMEOUT_SECONDS = 30.0
"""How long to wait for another process's write. Readers never wait."""

_PRAGMAS = (
    # Rows of postings are some hundred bytes; inserts are a fifth faster than with pages of 4 KiB, look-ups the same.
    "PRAGMA page_size = 8192",
    "PRAGMA journal_mode = WAL",
    # A commit is on the disk when it returns. NORMAL would lose the last ones at a power failure, to save 0.2 ms.
    "PRAGMA synchronous = FULL",
    # KiB a connection: with more, inserts are no faster. The file is not memory-mapped either: look-ups would be no
    # faster, and copying a backup over the file while it is in use would kill the service with SIGBUS.
    "PRAGMA cache_size = -8192",
    # Bytes: what a 24 h recording made of the write-ahead log is given back afterwards.
    "PRAGMA journal_size_limit = 33554432",
)


class FileBusy(StoreUnavailable):
    """Others are writing to the file; reading from it goes on as ever."""


class SqliteFile:
    """One SQLite file, opened as often as it is used at the same time. Safe for several threads, also after a fork.

    `application_id` says in the file's header what kind of file it is, `schema_version` how its tables are laid out.
    Whatever goes wrong is raised as `StoreUnavailable`, and the connection it went wrong on is not used again.
    """

    def __init__(self, path: Path, application_id: int, schema_version: int) -> None:
        self._path = path
        self._application_id = application_id
        self._schema_version = schema_version
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._inode: tuple[int, int] | None = None
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def created(self, schema: Sequence[str]) -> Iterator[sqlite3.Connection]:
        """A connection to write with, as in `writing`, once the file and its tables are there.

        Raises `FormatMismatch` for a file that is something else, or laid out by another version.
        """
        with _as_store_errors(), self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._disown_inherited()
            self._forget_idle()
            with _alone_in(self._path.parent):
                self._idle.append(self._open("rwc"))
            self._inode = None
        with self.writing() as connection:
            if self._is_new(connection):
                for statement in schema:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self._application_id}")
                connection.execute(f"PRAGMA user_version = {self._schema_version}")
            yield connection

    def check(self) -> str:
        """The version of SQLite, once it is seen that the file can be used; raises `NotSetUp`, and like `created`."""
        if not self._path.exists():
            raise NotSetUp
        with self.reading() as connection:
            if self._is_new(connection):
                raise NotSetUp
        return f"SQLite {sqlite3.sqlite_version}"

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; each statement sees what was committed when it began."""
        with _as_store_errors():
            connection, inode = self._take()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._give_back(connection, inode)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; all statements see what was committed when the first of them began."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone may write; everything is stored when this ends, and nothing where it raises.

        Raises `FileBusy` where others have been writing all the time.
        """
        with self.reading() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                    raise FileBusy("Others are writing to the SQLite file; try again later.") from exc
                raise
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close every connection: idle ones now, others when they are given back."""
        with self._lock:
            self._closed = True
            self._disown_inherited()
            self._forget_idle()

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        """An idle connection, or a new one, and which file it is open on.

        A connection outlives the file's name: what is written to a file that was deleted or replaced is lost. So the
        file has to be the one it was at `created`; another one is to be set up first.
        """
        stat = self._path.stat()
        inode = stat.st_dev, stat.st_ino
        with self._lock:
            self._disown_inherited()
            self._inode = self._inode or inode
            if self._inode != inode:
                raise StoreUnavailable("The SQLite file was replaced by another one.")
            if self._idle:
                return self._idle.pop(), inode
        return self._open("rw"), inode

    def _give_back(self, connection: sqlite3.Connection, inode: tuple[int, int]) -> None:
        with self._lock:
            if not self._closed and self._inode == inode:
                self._idle.append(connection)
                return
        connection.close()

    def _disown_inherited(self) -> None:
        """After a fork SQLite's connections must neither be used nor closed in the child."""
        if self._pid != os.getpid():
            self._inherited += self._idle
            self._idle, self._pid = [], os.getpid()

    def _forget_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _open(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (schema_version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and application_id == 0:
            return True
        if application_id != self._application_id:
            raise FormatMismatch("This SQLite file was made for something else; configure another path.")
        if schema_version != self._schema_version:
            raise FormatMismatch(
                f"This SQLite file has layout {schema_version} and this version of TuneScout reads "
                f"{self._schema_version}; use the version that made it, or fill a new file."
            )
        return False


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time: SQLite does not wait for its turn where two turn a new file's write-ahead log on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StoreUnavailable(f"The SQLite file cannot be used: {exc}.") from exc
    except OSError as exc:
        # Without the path that str(exc) holds: the sentence may be shown to clients.
        raise StoreUnavailable(f"The SQLite file cannot be used: {exc.strerror}.") from exc
