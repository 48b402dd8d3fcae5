"""How fast MP3 files get into a catalogue: uploaded, decoded, fingerprinted and stored, over HTTP.

The real uploader sends them to the real service over empty databases: four-minute tracks, and the MP3 recordings as
they are, several copies of each that differ in a tag. How many times real time one core is worth is said in two ways:

    by CPU time   seconds of music / CPU seconds of all processes of the service; databases that are servers of their
                  own are added in the next column
    by the clock  seconds of music / seconds that the uploader ran / cores, which the uploader, the databases and all
                  else on the machine use as well

With `--original`, a checkout of bboymega/TuneScout, the same files are also fingerprinted in turn by its code and by
ours, each in a process on one core and with one thread; ours in the environment of the service's workers, the original
in this command's own, for it sets none. It works on every channel at the file's rate, ours on one mix of them at a
quarter of DEFAULT_FS.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import av
from tqdm import tqdm

from benchmarks.bulk_upload import PARTIES, measured, on_clickhouse, on_mariadb, on_sqlite
from benchmarks.material import Recording, recordings
from benchmarks.original import ORIGINAL, OURS, Cost, TimedCode, how_to_get_it, root_of
from benchmarks.report import CORES, OUT, PROJECT, Table, Target, count, make_parser, publish
from benchmarks.tracks import make_files
from dejavu.service.worker import ENVIRONMENT

KINDS = {"sqlite": on_sqlite, "clickhouse": on_clickhouse, "mariadb": on_mariadb}
"""Databases by their names on the command line: two files, two servers, one server."""

TIMES_REAL_TIME = 350
"""Seconds of music that a CPU second of the service is to take in, at least."""

TIMES_ORIGINAL = 12
"""How many times as long the original is to take for the same file, at least."""

TRACKS, RECORDINGS = "tracks", "recordings"

_TAG_BYTES, _TITLE_BYTES = 128, 30


def main() -> None:
    """Upload each set of files, and compare with the original where there is one."""
    options = _options()
    root = root_of(options.original) if options.original else None
    chosen = [recording for recording in recordings() if recording.codec == "mp3"]
    uploads = _upload(options, chosen)
    compared = _compare(_compared_files(options, chosen), root, options.rounds) if root and options.compared else None
    targets = [
        Target(f"{name}: times real time per CPU second of the service", row["per_cpu_second"], TIMES_REAL_TIME, True)
        for name, row in uploads.items()
    ]
    targets += [
        Target(f"{name}: the original's time over ours, decoding not counted", row["ratio"], TIMES_ORIGINAL, True)
        for name, row in (compared or {"median": {}})["median"].items()
    ]
    figures = {"uploads": uploads, "beside_original": compared}
    tables = [_upload_table(options.kind, uploads), comparison_table(compared, options.rounds)]
    publish("ingest", options, figures, tables, targets)


def _options() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--kind", choices=KINDS, default="sqlite", help="of database (default sqlite)")
    parser.add_argument("--tracks", type=count, default=100, help="four-minute tracks to upload (default 100)")
    parser.add_argument("--copies", type=count, default=15, help="of each MP3 recording to upload (default 15)")
    parser.add_argument("--workers", type=int, default=4, help="files the uploader sends at a time (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the order that recordings are joined in (default 1)")
    parser.add_argument("--original", type=Path, metavar="FOLDER", help="a checkout of bboymega/TuneScout")
    parser.add_argument("--compared", type=count, default=8, help="files of each set to compare on (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="times each is compared; the median counts (default 3)")
    options = parser.parse_args()
    options.json = options.json or OUT / f"ingest-{options.kind}.json"
    return options


# --- Uploads --------------------------------------------------------------------------------------------------------


def _upload(options: argparse.Namespace, chosen: Sequence[Recording]) -> dict[str, dict[str, Any]]:
    """What uploading each set of files came to; a set without files is left out."""
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder:
        sets = {
            TRACKS: make_files(options.tracks, options.seed),
            RECORDINGS: make_copies(chosen, options.copies, Path(folder)),
        }
        rows = {
            name: (files, measured(KINDS[options.kind], files, options.workers))
            for name, files in sets.items()
            if files
        }
    return {name: {**row, **speeds(files, row, CORES)} for name, (files, row) in rows.items()}


def make_copies(chosen: Sequence[Recording], copies: int, folder: Path) -> list[Recording]:
    """So many copies of each MP3 file, all of each before the next copy: the same sound in files that all differ.

    The service takes no file twice, and sending those there are takes little longer than starting the uploader.
    """
    made = []
    for number in range(copies):
        for recording in chosen:
            path = folder / f"{recording.path.stem} {number:03}.mp3"
            path.write_bytes(recording.path.read_bytes() + _tag(f"copy {number}"))
            made.append(replace(recording, path=path))
    return made


def _tag(title: str) -> bytes:
    """An ID3v1 tag, which players and decoders know to be no sound."""
    return (b"TAG" + title.encode("ascii").ljust(_TITLE_BYTES, b"\0")).ljust(_TAG_BYTES, b"\0")


def speeds(files: Iterable[Recording], measured: Mapping[str, Any], cores: int) -> dict[str, float]:
    """Times real time of an upload, from its seconds on the clock and its CPU seconds by party."""
    sound_seconds = sum(file.seconds for file in files)
    cpu, seconds = measured["cpu_seconds"], measured["seconds"]
    service = cpu["workers"] + cpu["service"]
    return {
        "sound_seconds": round(sound_seconds, 1),
        "service_cpu_seconds": round(service, 2),
        "per_cpu_second": round(sound_seconds / service, 1),
        "per_cpu_second_with_databases": round(sound_seconds / (service + cpu["databases"]), 1),
        "by_the_clock": round(sound_seconds / seconds, 1),
        "by_the_clock_per_core": round(sound_seconds / seconds / cores, 1),
    }


def _upload_table(kind: str, uploads: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = {
        "files": "files",
        "music s": "sound_seconds",
        "clock s": "seconds",
        "x per CPU s of the service": "per_cpu_second",
        "x with databases": "per_cpu_second_with_databases",
        "x by the clock": "by_the_clock",
        f"x by the clock / {CORES} cores": "by_the_clock_per_core",
    }
    return Table(
        f"Ingest of MP3 into {kind}; x: times real time; last, whose the CPU seconds of the {CORES} cores were",
        ("", *columns, *PARTIES),
        [
            (name, *(row[column] for column in columns.values()), *(row["cpu_seconds"][party] for party in PARTIES))
            for name, row in uploads.items()
        ],
    )


# --- Beside the original --------------------------------------------------------------------------------------------


def _compared_files(options: argparse.Namespace, chosen: Sequence[Recording]) -> dict[str, Sequence[Recording]]:
    """So many files of each set; recordings from all over the manifest."""
    return {
        TRACKS: make_files(options.compared, options.seed),
        RECORDINGS: chosen[:: max(1, len(chosen) // options.compared)][: options.compared],
    }


def _compare(sets: Mapping[str, Sequence[Recording]], root: Path, rounds: int) -> dict[str, Any]:
    """What each file costs with either code, and the median of the ratios of each set and of all."""
    files = [(name, file) for name, chosen in sets.items() for file in chosen]
    costs: dict[Path, dict[str, list[Cost]]] = {file.path: {OURS: [], ORIGINAL: []} for _, file in files}
    core = max(os.sched_getaffinity(0))
    with ExitStack() as opened:
        codes = {
            code: opened.enter_context(TimedCode(code, place, core, environment))
            for code, place, environment in ((OURS, PROJECT, ENVIRONMENT), (ORIGINAL, root, os.environ))
        }
        for code in codes.values():
            code.cost(files[0][1].path)  # what is loaded and planned once is not counted
        for turn in range(rounds):
            order = list(codes) if turn % 2 else list(reversed(codes))
            for _, file in tqdm(files, desc=f"round {turn + 1} of {rounds}", unit="file"):
                for name in order:
                    costs[file.path][name].append(codes[name].cost(file.path))
    rows = [
        {
            "set": name,
            "file": file.path.name,
            "seconds": round(file.seconds, 1),
            "channels": _channels(file.path),
            **beside(costs[file.path]),
        }
        for name, file in files
    ]
    return {"files": rows, "median": medians(rows)}


def beside(costs: Mapping[str, Sequence[Cost]]) -> dict[str, float]:
    """The median CPU seconds of a file with either code, without and with decoding, and the original's over ours."""
    found: dict[str, float] = {}
    for code in (OURS, ORIGINAL):
        fingerprint = median(cost.fingerprint for cost in costs[code])
        found[f"{code}_seconds"] = fingerprint
        found[f"{code}_decoded_seconds"] = fingerprint + median(cost.decode for cost in costs[code])
    found["ratio"] = found["original_seconds"] / found["ours_seconds"]
    found["decoded_ratio"] = found["original_decoded_seconds"] / found["ours_decoded_seconds"]
    rounded = {name: round(value, 2 if name.endswith("ratio") else 4) for name, value in found.items()}
    return {**rounded, **{f"{code}_hashes": costs[code][0].hashes for code in (OURS, ORIGINAL)}}


def medians(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The median of both ratios over the files of each set, and over all."""
    names = [*dict.fromkeys(row["set"] for row in rows), "all"]
    of = {name: [row for row in rows if name in (row["set"], "all")] for name in names}
    return {
        name: {ratio: round(median(row[ratio] for row in chosen), 2) for ratio in ("ratio", "decoded_ratio")}
        for name, chosen in of.items()
    }


def _channels(path: Path) -> int:
    with av.open(str(path)) as container:
        return int(container.streams.audio[0].codec_context.channels)


def comparison_table(compared: Mapping[str, Any] | None, rounds: int) -> Table:
    """Every file, and the medians; without a comparison, how to have one."""
    if compared is None:
        return Table(
            "Beside the original: left out, for there is no checkout of it", ("to have it",), [(how_to_get_it(),)]
        )
    columns = {
        "seconds": "seconds",
        "channels": "channels",
        "ours": "ours_seconds",
        "original": "original_seconds",
        "ratio": "ratio",
        "ours, decoding": "ours_decoded_seconds",
        "original, decoding": "original_decoded_seconds",
        "ratio, decoding": "decoded_ratio",
        "our hashes": "ours_hashes",
        "its hashes": "original_hashes",
    }
    rows = [(row["file"], row) for row in compared["files"]]
    rows += [(f"median, {name}", row) for name, row in compared["median"].items()]
    return Table(
        f"CPU seconds of one core to fingerprint a file, median of {rounds}; `decoding`: with it",
        ("", *columns),
        [(name, *(row.get(column, "") for column in columns.values())) for name, row in rows],
    )


if __name__ == "__main__":
    main()
