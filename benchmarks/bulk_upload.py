"""How busy a bulk upload through HTTP keeps the worker processes, and what the rest of the machine does meanwhile.

The real uploader sends four-minute tracks as MP3 to the real service, once for each kind of database, each on a private
server. A worker has work while it computes, or waits for a core to compute on; one that waits for a file has none. CPU
seconds are those of the processes, from /proc. Everything runs on the same cores, the uploader and the databases too,
so what these use the workers cannot have.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.catalogue import Server, upload
from benchmarks.databases import private_clickhouse, private_mariadb, service
from benchmarks.material import Recording, recordings
from benchmarks.processes import BusyShare, cpu_seconds, machine_cpu_seconds
from benchmarks.report import CORES, Table, Target, make_parser, publish
from benchmarks.tracks import TRACK_SECONDS, make_files
from dejavu.config.database import SqliteDatabase

DATABASE = "bench"

PARTIES = ("workers", "service", "uploader", "databases", "others", "nobody")
"""Whose time on the cores it was. `service` is the server without its workers, `others` all that is not ours."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A service with nothing in it, and the processes of its databases."""

    server: Server
    databases: list[int]


def main() -> None:
    """Upload to one kind of database after the other."""
    parser = make_parser(__doc__)
    parser.add_argument("--tracks", type=int, default=100, help="four-minute tracks to upload (default 100)")
    parser.add_argument("--workers", type=int, default=4, help="files the uploader sends at a time (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the order that recordings are joined in (default 1)")
    options = parser.parse_args()
    tracks = make_files(options.tracks, options.seed)
    short = recordings("reference")
    figures = {
        "2 x ClickHouse": measured(on_clickhouse, tracks, options.workers),
        "MariaDB": measured(on_mariadb, tracks, options.workers),
        "2 x SQLite": measured(on_sqlite, tracks, options.workers),
        "2 x ClickHouse, recordings as they are": measured(on_clickhouse, short, options.workers),
    }
    tables = [
        Table(
            f"Bulk upload, {options.workers} files at a time; whose the time of the {CORES} cores was, in percent",
            ("", "files", "mean s", "files/s", "times real time", "workers have work %", "of our CPU %", *PARTIES),
            [
                (
                    name,
                    row["files"],
                    row["mean_seconds"],
                    row["files_per_second"],
                    row["times_real_time"],
                    row["workers_busy_percent"],
                    row["workers_percent_of_our_cpu"],
                    *row["core_time_percent"].values(),
                )
                for name, row in figures.items()
            ],
        ),
    ]
    targets = [
        Target(f"{name}: % of the workers' time with work", row["workers_busy_percent"], 80, at_least=True)
        for name, row in figures.items()
        if row["mean_seconds"] >= TRACK_SECONDS
    ]
    publish("bulk_upload", options, {"uploads": figures}, tables, targets)


@contextmanager
def on_clickhouse() -> Iterator[Setting]:
    """A service on two ClickHouse servers."""
    with ExitStack() as opened:
        servers = [opened.enter_context(private_clickhouse()) for _ in range(2)]
        server = opened.enter_context(service([server.database(DATABASE) for server in servers]))
        yield Setting(server, [server.process.pid for server in servers])


@contextmanager
def on_mariadb() -> Iterator[Setting]:
    """A service on a MariaDB."""
    with private_mariadb() as mariadb, service([mariadb.database(DATABASE)]) as server:
        yield Setting(server, [mariadb.process.pid])


@contextmanager
def on_sqlite() -> Iterator[Setting]:
    """A service on two SQLite files."""
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder:
        files = [SqliteDatabase(Path(folder) / f"{index}.sqlite") for index in range(2)]
        with service(files) as server:
            yield Setting(server, [])


def measured(
    open_setting: Callable[[], AbstractContextManager[Setting]], files: Sequence[Recording], workers: int
) -> dict[str, Any]:
    """Upload the files, so many at a time: how long that took, and whose the CPU time was."""
    with open_setting() as setting:
        server = setting.server
        decoders = server.decoders()
        serving = [server.process.pid, *(pid for pid in server.descendants() if pid not in decoders)]
        groups = {"workers": decoders, "service": serving, "databases": setting.databases}
        began, before = time.monotonic(), _spent(groups)
        with BusyShare(decoders) as busy:
            upload(server, files, workers)
        seconds, after = time.monotonic() - began, _spent(groups)
        restarts = server.get("/api/health").json()["workers"]["restarts"]
    if restarts:
        raise SystemExit("A worker was replaced meanwhile, so that the figures would be wrong.")
    spent = {name: after[name] - before[name] for name in after}
    machine = spent.pop("machine")
    ours = sum(spent.values())
    spent |= {"others": machine - ours, "nobody": CORES * seconds - machine}
    sound_seconds = sum(file.seconds for file in files)
    return {
        "files": len(files),
        "mean_seconds": round(sound_seconds / len(files), 1),
        "seconds": round(seconds, 2),
        "files_per_second": round(len(files) / seconds, 2),
        "times_real_time": round(sound_seconds / seconds),
        "worker_processes": len(decoders),
        "workers_busy_percent": round(100 * busy.share, 1),
        "workers_percent_of_our_cpu": round(100 * spent["workers"] / ours, 1),
        "cpu_seconds": {party: round(spent[party], 2) for party in PARTIES},
        "core_time_percent": {party: round(100 * spent[party] / (CORES * seconds), 1) for party in PARTIES},
    }


def _spent(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """CPU seconds so far: of groups of processes, of the uploader, which has run when this is asked, and of all."""
    uploader = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **{name: cpu_seconds(pids) for name, pids in groups.items()},
        "uploader": uploader.ru_utime + uploader.ru_stime,
        "machine": machine_cpu_seconds(),
    }


if __name__ == "__main__":
    main()
