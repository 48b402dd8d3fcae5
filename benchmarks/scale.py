"""What a catalogue costs as it grows to a hundred thousand tracks: time to an answer, postings, disk and memory.

The real service over a private database for each size, filled with the real recordings and with synthetic tracks
(`benchmarks.distractors` shows that these are as hard on a catalogue as real ones). At each size one client sends clips
of 10 s, first with all caches dropped and then warm. Databases stay in a folder; what is there is not stored again, so
that a run goes on where another was broken off, and the next one measures at once.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from tqdm import tqdm

from benchmarks.catalogue import Server, upload
from benchmarks.client import CLIP_SECONDS, Client, Reply, Request, by_kind, make_requests
from benchmarks.databases import service
from benchmarks.kept import KINDS, Store, fill_all, kept
from benchmarks.log_stages import STAGES, log_lines
from benchmarks.material import recordings
from benchmarks.plots import save
from benchmarks.processes import resident_bytes
from benchmarks.report import OUT, Table, Target, count, make_parser, percent, publish, quantiles
from benchmarks.surrogates import load_source, make_track
from dejavu.store.open import open_driver

mpl.use("Agg")
from matplotlib import pyplot as plt

DROP_CACHES = Path("/proc/sys/vm/drop_caches")

INSERTED_TRACKS = 50
"""Stored one by one, as the service does it, to see how long one takes at this size; they are deleted again."""

GOALS = {
    ("clickhouse", 100_000): {"known": (120, 300), "unknown": (None, 600)},
    ("sqlite", 10_000): {"known": (60, None)},
    ("mariadb", 10_000): {"known": (120, None)},
}
"""Milliseconds at most by kind of database and tracks: median and 95th percentile of a whole request, warm."""

MOST_BYTES = {"clickhouse": 70_000, "sqlite": 120_000}
"""Of disk for a track of four minutes."""


def main() -> None:
    """Fill and measure, size by size."""
    parser = make_parser(__doc__)
    parser.add_argument("--kind", choices=KINDS, default="clickhouse", help="of database (default clickhouse)")
    parser.add_argument("--tracks", type=count, nargs="+", default=[1000, 10_000, 100_000], help="synthetic ones")
    parser.add_argument("--folder", type=Path, default=OUT / "scale", help="where databases stay")
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=count, default=8, help="clips of each kind (default 8)")
    parser.add_argument("--rounds", type=count, default=5, help="times each clip is sent, warm (default 5)")
    options = parser.parse_args()
    requests = make_requests(options.seed, options.per_kind)
    source = load_source()
    sizes: dict[int, dict[str, Any]] = {}
    for tracks in sorted(options.tracks):
        with kept(options.kind, options.folder / str(tracks)) as stores:
            with service([store.database for store in stores]) as server:
                upload(server, recordings("reference"))
            began = time.monotonic()
            stored = fill_all(stores, source, tracks)
            filled_seconds = time.monotonic() - began
            for store in stores:
                store.tidy()
            insert_ms = _insert_ms(stores[0], [make_track(source, 99, number) for number in range(INSERTED_TRACKS)])
            sizes[tracks] = {
                **_measure(stores, requests, options.rounds),
                "filled": stored,
                "tracks_a_second": round(stored / filled_seconds, 1),
                "insert_ms": insert_ms,
            }
    options.json = options.json or OUT / f"scale-{options.kind.replace(' ', '-')}.json"
    picture = _draw(options.kind, sizes, options.json.with_suffix(".png"))
    publish(
        "scale",
        options,
        {"sizes": sizes, "picture": str(picture)},
        [_times_table(options.kind, sizes), _size_table(sizes)],
        _targets(options.kind, sizes),
    )


def _insert_ms(store: Store, tracks: Sequence[Any]) -> float:
    """The median of storing a track alone, through the service's own driver."""
    driver = open_driver(store.database)
    try:
        seconds, songs = [], []
        for number, track in enumerate(tracks):
            sha1 = f"{number:040x}"
            if left := driver.find_song(sha1):  # by a run that was broken off
                driver.delete(left.song_id)
            began = time.perf_counter()
            songs.append(driver.insert(f"inserted {number}", sha1, track))
            seconds.append(time.perf_counter() - began)
        for song in songs:
            driver.delete(song.song_id)
    finally:
        driver.close()
    return round(1000 * statistics.median(seconds), 1)


def _measure(stores: Sequence[Store], requests: Sequence[Request], rounds: int) -> dict[str, Any]:
    is_cold = _drop_caches(stores)
    with service([store.database for store in stores]) as server, Client(server.address) as client:
        cold = [(request, client.recognise(request)) for request in tqdm(requests, desc="cold", unit="clip")]
        turns = [request for _ in range(rounds) for request in requests]
        warm = [(request, client.recognise(request)) for request in tqdm(turns, desc="warm", unit="clip")]
        songs = server.songs_held()
        memory = {"service": _memory(server), "databases": sum(store.memory_bytes() for store in stores)}
        used = sum(store.used_bytes() for store in stores)
        server.stop()
        return {
            "songs": songs,
            "kinds": {
                kind: _times(server, kind, warm, cold if is_cold else []) for kind in ("known", *by_kind(requests))
            },
            "disk_bytes": used,
            "disk_bytes_per_song": round(used / songs),
            "memory_bytes": memory,
        }


def _drop_caches(stores: Sequence[Store]) -> bool:
    """Start the databases anew with nothing of them in memory; whether that could be done."""
    if not os.access(DROP_CACHES, os.W_OK):
        return False
    os.sync()
    try:
        DROP_CACHES.write_text("3")
    except OSError:
        return False
    for store in stores:
        store.restart()
    return True


def _memory(server: Server) -> int:
    return sum(map(resident_bytes, [server.process.pid, *server.descendants()]))


def _times(
    server: Server, kind: str, warm: Sequence[tuple[Request, Reply]], cold: Sequence[tuple[Request, Reply]]
) -> dict[str, Any]:
    own = [(request, reply) for request, reply in warm if request.kind.startswith(kind)]
    lines = log_lines(server.log, [reply for _, reply in own])
    median, p95, p99 = quantiles([1000 * reply.seconds for _, reply in own], [0.5, 0.95, 0.99], 1)
    first = [1000 * reply.seconds for request, reply in cold if request.kind.startswith(kind)]
    return {
        "requests": len(own),
        "right_percent": percent(sum(reply.is_right(request.clip) for request, reply in own), len(own)),
        "median_ms": median,
        "p95_ms": p95,
        "p99_ms": p99,
        "cold_median_ms": quantiles(first, [0.5], 1)[0],
        "stages_ms": {stage: quantiles([float(line[stage]) for line in lines], [0.5], 1)[0] for stage in STAGES},
        "look_up_p95_ms": quantiles([float(line["look_up"]) for line in lines], [0.95], 1)[0],
        "asked_hashes": statistics.median(int(line["asked"]) for line in lines),
    }


def _times_table(kind: str, sizes: dict[int, dict[str, Any]]) -> Table:
    return Table(
        f"{kind}: milliseconds from request to answer, clips of {CLIP_SECONDS:g} s, one client; stages are medians",
        ("tracks", "clips", "right %", "median", "p95", "p99", "cold", *STAGES, "look-up p95", "asked"),
        [
            (
                tracks,
                name,
                *(row[key] for key in ("right_percent", "median_ms", "p95_ms", "p99_ms", "cold_median_ms")),
                *row["stages_ms"].values(),
                row["look_up_p95_ms"],
                row["asked_hashes"],
            )
            for tracks, size in sizes.items()
            for name, row in size["kinds"].items()
        ],
    )


def _size_table(sizes: dict[int, dict[str, Any]]) -> Table:
    return Table(
        "What it takes",
        ("tracks", "MB of disk", "kB a song", "MB service", "MB databases", "filled a second", "insert ms"),
        [
            (
                tracks,
                round(row["disk_bytes"] / 1e6),
                round(row["disk_bytes_per_song"] / 1e3, 1),
                *(round(value / 1e6) for value in row["memory_bytes"].values()),
                row["tracks_a_second"],
                row["insert_ms"],
            )
            for tracks, row in sizes.items()
        ],
    )


def _targets(kind: str, sizes: dict[int, dict[str, Any]]) -> list[Target]:
    targets = []
    for (goal_kind, tracks), goals in GOALS.items():
        if goal_kind == kind and tracks in sizes:
            for clips, (median, p95) in goals.items():
                rows = [row for name, row in sizes[tracks]["kinds"].items() if name.startswith(clips)]
                for what, key, most in (("median", "median_ms", median), ("p95", "p95_ms", p95)):
                    if most is not None:
                        worst = max(row[key] for row in rows)
                        targets.append(Target(f"{tracks} tracks, {clips} clips, {what}, ms", worst, most))
    if len(sizes) > 1:
        small, *_, large = sizes
        growth = sizes[large]["kinds"]["known"]["median_ms"] / sizes[small]["kinds"]["known"]["median_ms"]
        targets.append(Target(f"known clips, median with {large} over {small} tracks", round(growth, 2), 3))
    if kind in MOST_BYTES:
        targets.append(Target("bytes of disk a song", [*sizes.values()][-1]["disk_bytes_per_song"], MOST_BYTES[kind]))
    return targets


def _draw(kind: str, sizes: dict[int, dict[str, Any]], path: Path) -> Path:
    """Time to an answer over tracks, known and unknown clips."""
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for name in next(iter(sizes.values()))["kinds"]:
        rows = [size["kinds"][name] for size in sizes.values()]
        (line,) = axes.plot([*sizes], [row["median_ms"] for row in rows], marker="o", label=f"{name}, median")
        axes.plot([*sizes], [row["p95_ms"] for row in rows], ":", color=line.get_color(), label=f"{name}, p95")
    axes.set(xscale="log", xlabel="tracks", ylabel="ms to the answer", title=kind)
    axes.set_ylim(0, np.ceil(axes.get_ylim()[1]))
    axes.legend(frameon=False, fontsize=8)
    return save(figure, path)


if __name__ == "__main__":
    main()
