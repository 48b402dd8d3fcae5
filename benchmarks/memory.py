"""How much memory a very long file takes to fingerprint and to recognise, and how long both last.

Hours of real music in one MP3 are added to the catalogue and then sent as a clip, over HTTP to the real server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from benchmarks.catalogue import TOKEN, Server, served
from benchmarks.material import Recording, audio_folder, encode_mp3, recordings
from benchmarks.processes import PeakMemory, peak_resident_bytes, reset_peak
from benchmarks.report import OUT, Table, Target, make_parser, publish

SECONDS_PER_HOUR = 3600
MB = 1_000_000

_TIMEOUT_SECONDS = 3600.0


def main() -> None:
    """Fingerprint and recognise the long file."""
    parser = make_parser(__doc__)
    parser.add_argument("--hours", type=float, default=3.0, help="how long the file is (default 3)")
    options = parser.parse_args()
    path = _long_file(options.hours)
    with served([]) as server:
        idle = max(peak_resident_bytes(pid) for pid in server.decoders())
        added = _watched(server, lambda: _post(server, "/api/fingerprint", path))
        recognised = _watched(server, lambda: _post(server, "/api/recognize", path))
        serving = max(peak_resident_bytes(pid) for pid in server.descendants() if pid not in server.decoders())
    first = (recognised["answer"]["results"] or [{}])[0]
    figures = {
        "file": {"hours": options.hours, "bytes": path.stat().st_size},
        "idle_worker_bytes": idle,
        "serving_process_bytes": serving,
        "fingerprint": {
            **_without_answer(added),
            "fingerprinted_hashes": added["answer"]["fingerprinted_hashes"],
        },
        "recognise": {
            **_without_answer(recognised),
            "first": {key: first.get(key) for key in ("song_name", "offset_seconds", "confidence")},
        },
    }
    rows = [
        (
            what,
            round(row["worker_bytes"] / MB),
            round(row["seconds"], 1),
            round(options.hours * SECONDS_PER_HOUR / row["seconds"]),
        )
        for what, row in (("fingerprint", added), ("recognise", recognised))
    ]
    tables = [
        Table(
            f"A file of {options.hours:g} h; an idle worker has had {idle / MB:.0f} MB at most, the serving process "
            f"{serving / MB:.0f} MB in the end",
            ("", "peak MB of a worker", "seconds", "times real time"),
            rows,
        )
    ]
    targets = [
        Target("fingerprint: peak resident MB of a worker", added["worker_bytes"] / MB, 600),
        Target("recognise: peak resident MB of a worker", recognised["worker_bytes"] / MB, 600),
    ]
    publish("memory", options, figures, tables, targets)


def _long_file(hours: float) -> Path:
    """So many hours of all recordings one after the other, over again where they are too few; kept in out/."""
    path = OUT / "long" / f"{audio_folder().name}-{hours:g}h.mp3"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    encoded: dict[Path, bytes] = {}
    with unfinished.open("wb") as file, tqdm(desc="encoding", unit="s") as bar:
        for recording, seconds in _enough(hours * SECONDS_PER_HOUR):
            if recording.path not in encoded:
                encoded[recording.path] = encode_mp3(recording.path)
            file.write(encoded[recording.path])  # frames of MP3 can follow each other as they are
            bar.update(round(seconds))
    return unfinished.replace(path)


def _enough(seconds: float) -> Iterator[tuple[Recording, float]]:
    left = seconds
    for recording in cycle(recordings("reference", "unknown")):
        yield recording, recording.seconds
        left -= recording.seconds
        if left <= 0:
            return


def _watched(server: Server, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` answers, how long it took, and the most memory that a worker had meanwhile."""
    for pid in server.decoders():
        reset_peak(pid)
    with PeakMemory(server.decoders) as peak:
        began = time.perf_counter()
        answer = work()
        seconds = time.perf_counter() - began
    return {"worker_bytes": peak.bytes, "seconds": round(seconds, 2), "answer": answer}


def _post(server: Server, route: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        response = requests.post(
            server.url + route,
            files={"file": (path.name, file)},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=_TIMEOUT_SECONDS,
        )
    if not response.ok:
        raise SystemExit(f"{route} answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def _without_answer(measured: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measured.items() if key != "answer"}


if __name__ == "__main__":
    main()
