"""What storing a track of four minutes takes on each kind of database: time, and bytes of disk.

The fingerprints of real music, joined to tracks, are inserted into a private server of each kind through the service's
own drivers, one track into each in turn. Bytes are those of everything that a database keeps of the catalogue, songs
and indexes included, as it is after the inserts and when the server has tidied up.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.databases import ClickHouseServer, MariaDB, private_clickhouse, private_mariadb
from benchmarks.material import recordings
from benchmarks.report import Table, Target, make_parser, publish, quantiles
from benchmarks.tracks import TRACK_SECONDS, make_fingerprints
from dejavu.config.database import Database, SqliteDatabase
from dejavu.model import Fingerprints
from dejavu.store.driver import Driver
from dejavu.store.open import open_driver

DATABASE = "bench"

GOALS = {"ClickHouse": (60, 9), "MariaDB": (150, 50), "SQLite": (None, 16)}
"""Milliseconds of an insert, and bytes a hash, at most."""


@dataclass(frozen=True, slots=True)
class Store:
    """A database to be filled. `tidy` has the server do at once what it else does in its own time."""

    driver: Driver
    used_bytes: Callable[[], int]
    tidy: Callable[[], None]


def main() -> None:
    """Insert every track everywhere and print medians and sizes."""
    parser = make_parser(__doc__)
    parser.add_argument("--tracks", type=int, default=400, help="four-minute tracks to store (default 400)")
    parser.add_argument("--seed", type=int, default=1, help="of the order that recordings are joined in (default 1)")
    options = parser.parse_args()
    tracks = make_fingerprints(recordings("reference", "unknown"), options.tracks, random.Random(options.seed))
    figures = _measure(tracks)
    hashes = sum(map(len, tracks))
    tables = [
        Table(
            f"Insert of a track of {TRACK_SECONDS:g} s ({hashes / len(tracks):.0f} hashes) into a catalogue that grows "
            f"to {hashes:,} hashes, ms",
            ("", "server", "median", "p95", "first third", "last third"),
            [
                (name, row["server"], *(row[key] for key in ("median_ms", "p95_ms", "first_third_ms", "last_third_ms")))
                for name, row in figures.items()
            ],
        ),
        Table(
            "Bytes of disk per stored hash, everything included",
            ("", "after the inserts", "tidied up", "the second half alone", "kB per track"),
            [
                (
                    name,
                    row["bytes_per_hash_before"],
                    row["bytes_per_hash"],
                    row["bytes_per_hash_of_second_half"],
                    round(row["bytes"] / len(tracks) / 1000),
                )
                for name, row in figures.items()
            ],
        ),
    ]
    targets = [
        Target(f"{name}: insert, median ms", figures[name]["median_ms"], most)
        for name, (most, _) in GOALS.items()
        if most is not None
    ]
    targets += [
        Target(f"{name}: bytes per hash", figures[name]["bytes_per_hash"], most) for name, (_, most) in GOALS.items()
    ]
    publish("stores", options, {"tracks": len(tracks), "hashes": hashes, "stores": figures}, tables, targets)


def _measure(tracks: Sequence[Fingerprints]) -> dict[str, dict[str, Any]]:
    """Fill every database with all tracks; what that took, by the kind of database."""
    half = len(tracks) // 2
    seconds: dict[str, list[float]] = defaultdict(list)
    with _stores() as stores:
        _fill(stores, tracks[:half], seconds)
        half_full = {name: _tidied_bytes(store) for name, store in stores.items()}
        _fill(stores, tracks[half:], seconds)
        return {
            name: {
                "server": store.driver.check(),
                **_times(seconds[name]),
                **_bytes(store, tracks, half_full[name]),
            }
            for name, store in stores.items()
        }


@contextmanager
def _stores() -> Iterator[dict[str, Store]]:
    """An empty database of each kind, set up."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tunescout-bench-")))
        stores = {
            "ClickHouse": _in_clickhouse(opened.enter_context(private_clickhouse())),
            "MariaDB": _in_mariadb(opened.enter_context(private_mariadb())),
            "SQLite": _in_sqlite(folder / "fingerprints.sqlite"),
        }
        for store in stores.values():
            opened.callback(store.driver.close)
        yield stores


def _in_clickhouse(server: ClickHouseServer) -> Store:
    """Parts that were merged into others stay for some minutes; they are not counted."""
    statement = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"

    def tidy() -> None:
        for (table,) in server.execute("SHOW TABLES", DATABASE):
            server.execute(f"OPTIMIZE TABLE {table} FINAL", DATABASE)

    driver = _set_up(server.database(DATABASE))
    return Store(driver, lambda: int(server.execute(statement, DATABASE)[0][0]), tidy)


def _in_mariadb(server: MariaDB) -> Store:
    def used_bytes() -> int:
        ((folder,),) = server.execute("SELECT @@datadir")
        return sum(file.stat().st_size for file in (Path(str(folder)) / DATABASE).glob("*.ibd"))

    return Store(_set_up(server.database(DATABASE)), used_bytes, lambda: _none(server.execute("FLUSH TABLES")))


def _in_sqlite(path: Path) -> Store:
    def tidy() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    driver = _set_up(SqliteDatabase(path))
    return Store(driver, lambda: sum(file.stat().st_size for file in path.parent.iterdir()), tidy)


def _set_up(database: Database) -> Driver:
    driver = open_driver(database)
    driver.setup()
    return driver


def _fill(stores: dict[str, Store], tracks: Sequence[Fingerprints], seconds: dict[str, list[float]]) -> None:
    """Insert each track into each database, every time in another order, and add what each insert took."""
    names = list(stores)
    for number, track in enumerate(tqdm(tracks, desc="inserting", unit="track")):
        file = token_hex(20)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = time.perf_counter()
            stores[name].driver.insert(f"track {number}", file, track)
            seconds[name].append(time.perf_counter() - began)


def _times(seconds: Sequence[float]) -> dict[str, float]:
    milliseconds = [1000 * value for value in seconds]
    middle, high = quantiles(milliseconds, [0.5, 0.95], 1)
    third = max(1, len(seconds) // 3)
    return {
        "median_ms": middle,
        "p95_ms": high,
        "first_third_ms": round(median(milliseconds[:third]), 1),
        "last_third_ms": round(median(milliseconds[-third:]), 1),
    }


def _bytes(store: Store, tracks: Sequence[Fingerprints], half_full: int) -> dict[str, Any]:
    hashes = sum(map(len, tracks))
    if store.driver.counts().fingerprints != hashes:
        raise SystemExit("Not everything that was inserted is there; the sizes would mean nothing.")
    before, after = store.used_bytes(), _tidied_bytes(store)
    return {
        "bytes_before": before,
        "bytes": after,
        "bytes_per_hash_before": round(before / hashes, 2),
        "bytes_per_hash": round(after / hashes, 2),
        "bytes_per_hash_of_second_half": round((after - half_full) / sum(map(len, tracks[len(tracks) // 2 :])), 2),
    }


def _tidied_bytes(store: Store) -> int:
    store.tidy()
    return store.used_bytes()


def _none(_: object) -> None:
    """For what gives something that nobody wants."""


if __name__ == "__main__":
    main()
