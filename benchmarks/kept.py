"""Databases that stay in a folder, so that a large catalogue is filled once: servers over it, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bulk_fill import fill_clickhouse
from benchmarks.catalogue import upload
from benchmarks.databases import ClickHouseServer, MariaDB, service
from benchmarks.filling import fill
from benchmarks.material import recordings
from benchmarks.processes import resident_bytes
from benchmarks.surrogates import Source, load_source
from dejavu.config.database import Database, ServerDatabase, SqliteDatabase
from dejavu.store.open import open_driver

SEED = 1
"""Of the synthetic tracks."""

KINDS = ("clickhouse", "2 clickhouse", "mariadb", "sqlite")

_DATABASE = "scale"
_BUFFER_POOL = "2G"
"""InnoDB's cache. Past the size of it inserts slow down; ten thousand tracks take about 3 GB."""


@dataclass(frozen=True, slots=True)
class Store:
    """A fingerprint database in use. `tidy` has it do what it else does in its own time; memory is its process's."""

    database: Database
    tidy: Callable[[], None]
    used_bytes: Callable[[], int]
    memory_bytes: Callable[[], int]
    restart: Callable[[], None]

    def fill(self, source: Source, numbers: Sequence[int]) -> int:
        """Store the synthetic tracks with these numbers that are missing; how many these were."""
        driver = open_driver(self.database)
        try:
            driver.setup()
            if isinstance(self.database, ServerDatabase) and self.database.type == "clickhouse":
                return fill_clickhouse(driver, self.database, source, SEED, numbers)
            return fill(driver, source, SEED, numbers)
        finally:
            driver.close()


def fill_all(stores: Sequence[Store], source: Source, tracks: int) -> int:
    """Share so many synthetic tracks out among the databases and store those that are missing; how many these were."""
    return sum(store.fill(source, range(place, tracks, len(stores))) for place, store in enumerate(stores))


def fill_up(stores: Sequence[Store], tracks: int) -> None:
    """Store what is missing of a catalogue: the reference recordings, through the service, and the synthetic tracks."""
    with service([store.database for store in stores]) as server:
        upload(server, recordings("reference"))
    if tracks and fill_all(stores, load_source(), tracks):
        for store in stores:
            store.tidy()


@contextmanager
def kept(kind: str, folder: Path) -> Iterator[list[Store]]:
    """The databases of one of KINDS, with what is in this folder from earlier."""
    # Half of a catalogue is not to be taken for a whole one.
    places = [folder / f"{kind.replace(' ', '-')}-{number}" for number in range(2 if kind.startswith("2 ") else 1)]
    open_ = {"clickhouse": _clickhouse, "mariadb": _mariadb, "sqlite": _sqlite}[kind.split()[-1]]
    with ExitStack() as opened:
        yield [opened.enter_context(open_(place)) for place in places]


@contextmanager
def _clickhouse(folder: Path) -> Iterator[Store]:
    with ClickHouseServer(folder.absolute()) as server:
        used = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"
        database = server.database(_DATABASE)

        def tidy() -> None:
            for (table,) in server.execute("SHOW TABLES", _DATABASE):
                server.execute(f"OPTIMIZE TABLE {table} FINAL", _DATABASE, patience_seconds=1800)

        def restart() -> None:
            server.kill()
            server.start()

        yield Store(
            database,
            tidy,
            lambda: int(server.execute(used, _DATABASE)[0][0]),
            lambda: resident_bytes(server.process.pid),
            restart,
        )


@contextmanager
def _mariadb(folder: Path) -> Iterator[Store]:
    with MariaDB(folder.absolute(), innodb_buffer_pool_size=_BUFFER_POOL) as server:

        def restart() -> None:
            server.kill()
            server.start()

        yield Store(
            server.database(_DATABASE),
            lambda: None,
            lambda: sum(file.stat().st_size for file in (folder / "data" / _DATABASE).glob("*.ibd")),
            lambda: resident_bytes(server.process.pid),
            restart,
        )


@contextmanager
def _sqlite(folder: Path) -> Iterator[Store]:
    """Its memory is the service's own and the system's cache of files."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "fingerprints.sqlite"
    yield Store(
        SqliteDatabase(path.absolute()),
        lambda: None,
        lambda: sum(file.stat().st_size for file in folder.iterdir()),
        lambda: 0,
        lambda: None,
    )
