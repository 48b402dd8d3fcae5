"""How much memory a very long file takes to fingerprint and to recognise, how long both last, and what others notice.

Hours of real music in one MP3 are added to the catalogue and then sent as a clip, over HTTP to the real server. All the
while another client keeps asking with clips of 10 s, one after the other, and for a while before each of the two when
it is alone: how long it waits beside the file is put over how long it waits without.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import requests
from tqdm import tqdm

from benchmarks.catalogue import TOKEN, Server, served, upload
from benchmarks.client import CLIP_SECONDS, Client, Request, make_requests
from benchmarks.material import Recording, audio_folder, encode_mp3, recordings
from benchmarks.processes import PeakMemory, peak_resident_bytes, reset_peak
from benchmarks.report import OUT, Table, Target, count, make_parser, publish, quantiles
from tunescout_uploader import Media, MultipartBody, Stop, sha1_and_size

SECONDS_PER_HOUR = 3600
MB = 1_000_000

TASKS = {"fingerprint": "/api/fingerprint", "recognise": "/api/recognize"}
"""What is done with the file, in this order, and the routes for it."""

KINDS = {True: "known", False: "unknown"}
"""The other client's clips, by whether the catalogue has their recording before the file is in it."""

MOST_MB, MOST_MB_OF_A_DAY = 600, 1000
"""Of a worker, for the usual three hours and for more."""

MOST_TIMES_AS_LONG = 2.0
"""What others wait beside the file over what they wait without. It has one worker, and so one of two cores at most."""

_TIMEOUT_SECONDS = 3600.0


def main() -> None:
    """Fingerprint and recognise the long file."""
    parser = make_parser(__doc__)
    parser.add_argument("--hours", type=float, default=3.0, help="how long the file is (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the other client's clips (default 1)")
    parser.add_argument("--per-kind", type=count, default=8, help="its clips of each kind (default 8)")
    parser.add_argument(
        "--alone-seconds", type=float, default=20.0, help="how long it is alone, each time (default 20)"
    )
    options = parser.parse_args()
    path = _long_file(options.hours)
    clips = make_requests(options.seed, options.per_kind)
    random.Random(options.seed).shuffle(clips)
    sha1, _ = sha1_and_size(str(path), Stop())
    alone, beside = {}, {}
    with served([]) as server:
        idle = max(peak_resident_bytes(pid) for pid in server.decoders())
        upload(server, recordings("reference"))
        _watched(server, clips, lambda: _wait(options.alone_seconds / 2))  # to warm up
        for task, route in TASKS.items():
            alone[task] = _watched(server, clips, lambda: _wait(options.alone_seconds))
            beside[task] = _watched(server, clips, lambda route=route: _post(server, route, path, sha1))
        serving = max(peak_resident_bytes(pid) for pid in server.descendants() if pid not in server.decoders())
    others = {task: compared(alone[task].milliseconds, beside[task].milliseconds) for task in TASKS}
    first = (beside["recognise"].answer["results"] or [{}])[0]
    figures = {
        "file": {"hours": options.hours, "bytes": path.stat().st_size},
        "idle_worker_bytes": idle,
        "serving_process_bytes": serving,
        "fingerprint": {
            **_figures(beside["fingerprint"], others["fingerprint"]),
            "fingerprinted_hashes": beside["fingerprint"].answer["fingerprinted_hashes"],
        },
        "recognise": {
            **_figures(beside["recognise"], others["recognise"]),
            "first": {key: first.get(key) for key in ("song_name", "offset_seconds", "confidence")},
        },
    }
    errors = [one.errors for one in (*alone.values(), *beside.values())]
    tables = [_file_table(options.hours, beside, idle, serving), _others_table(others)]
    publish("memory", options, figures, tables, _targets(options.hours, beside, others, sum(errors)))


# --- The file -------------------------------------------------------------------------------------------------------


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


def _post(server: Server, route: str, path: Path, sha1: str) -> dict[str, Any]:
    """Send the file as the uploader does, block by block: a day of music is more than should be in memory at once."""
    size = path.stat().st_size
    with tqdm(desc=f"sending to {route}", total=size, unit="B", unit_scale=True) as bar:
        body = MultipartBody(Media(str(path), size), sha1, Stop(), bar.update)
        response = requests.post(
            server.url + route,
            data=body,
            headers={"Content-Type": body.content_type, "Authorization": f"Bearer {TOKEN}"},
            timeout=_TIMEOUT_SECONDS,
        )
    if not response.ok:
        raise SystemExit(f"{route} answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


# --- The other client -----------------------------------------------------------------------------------------------


class OtherClient:
    """Keeps sending clips in turn while a `with` block runs: milliseconds to each answer, by kind, and errors."""

    def __init__(self, address: tuple[str, int], clips: Sequence[Request]) -> None:
        self.milliseconds: dict[str, list[float]] = {kind: [] for kind in KINDS.values()}
        self.errors = 0
        self._address, self._clips = address, clips
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with Client(self._address) as client:
            for clip in cycle(self._clips):
                if self._stop.is_set():
                    return
                try:
                    reply = client.recognise(clip)
                except (OSError, http.client.HTTPException):
                    self.errors += 1
                    continue
                if reply.status == http.HTTPStatus.OK:
                    self.milliseconds[KINDS[clip.clip.known]].append(1000 * reply.seconds)
                else:
                    self.errors += 1


@dataclass(frozen=True, slots=True)
class Watched:
    """What a piece of work came to, the most memory a worker had meanwhile, and what the other client saw."""

    answer: dict[str, Any]
    seconds: float
    worker_bytes: int
    milliseconds: dict[str, list[float]]
    errors: int


def _watched(server: Server, clips: Sequence[Request], work: Callable[[], dict[str, Any]]) -> Watched:
    for pid in server.decoders():
        reset_peak(pid)
    with PeakMemory(server.decoders) as peak, OtherClient(server.address, clips) as other:
        began = time.perf_counter()
        answer = work()
        seconds = time.perf_counter() - began
    return Watched(answer, seconds, peak.bytes, other.milliseconds, other.errors)


def _wait(seconds: float) -> dict[str, Any]:
    time.sleep(seconds)
    return {}


def compared(
    alone: Mapping[str, Sequence[float]], beside: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """How long each kind of clip took beside the file and alone, and the first over the second; nan if none did."""
    return {kind: _ratios(_waits(alone[kind]), _waits(beside[kind])) for kind in alone}


def _waits(milliseconds: Sequence[float]) -> dict[str, float]:
    middle, high, longest = quantiles(milliseconds, (0.5, 0.95, 1.0), 1)
    return {"requests": len(milliseconds), "median_ms": middle, "p95_ms": high, "longest_ms": longest}


def _ratios(alone: Mapping[str, float], beside: Mapping[str, float]) -> dict[str, float]:
    return {
        **{f"alone_{name}": value for name, value in alone.items()},
        **beside,
        "median_ratio": round(beside["median_ms"] / alone["median_ms"], 2),
        "p95_ratio": round(beside["p95_ms"] / alone["p95_ms"], 2),
    }


# --- What it came to ------------------------------------------------------------------------------------------------


def _figures(watched: Watched, others: Mapping[str, Any]) -> dict[str, Any]:
    return {"worker_bytes": watched.worker_bytes, "seconds": round(watched.seconds, 2), "others": others}


def _file_table(hours: float, beside: Mapping[str, Watched], idle: int, serving: int) -> Table:
    return Table(
        f"A file of {hours:g} h; an idle worker has had {idle / MB:.0f} MB at most, the serving process "
        f"{serving / MB:.0f} MB in the end",
        ("", "peak MB of a worker", "seconds", "times real time"),
        [
            (
                task,
                round(one.worker_bytes / MB),
                round(one.seconds, 1),
                round(hours * SECONDS_PER_HOUR / one.seconds),
            )
            for task, one in beside.items()
        ],
    )


def _others_table(others: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    parts = ("requests", "median_ms", "p95_ms", "longest_ms")
    columns = [*parts, *(f"alone_{part}" for part in parts), "median_ratio", "p95_ratio"]
    return Table(
        f"Another client meanwhile and alone, clips of {CLIP_SECONDS:g} s; "
        "once the file is in the catalogue, all their recordings are in it",
        ("beside", "clips", *(column.replace("_", " ") for column in columns)),
        [
            (task, kind, *(row[column] for column in columns))
            for task, kinds in others.items()
            for kind, row in kinds.items()
        ],
    )


def _targets(
    hours: float,
    beside: Mapping[str, Watched],
    others: Mapping[str, Mapping[str, Mapping[str, float]]],
    errors: int,
) -> list[Target]:
    most_mb = MOST_MB if hours <= 3 else MOST_MB_OF_A_DAY
    return [
        *(
            Target(f"{task}: peak resident MB of a worker", one.worker_bytes / MB, most_mb)
            for task, one in beside.items()
        ),
        *(
            Target(f"{task}: {what} of another client's {kind} clips over that without", row[ratio], MOST_TIMES_AS_LONG)
            for task, kinds in others.items()
            for kind, row in kinds.items()
            for ratio, what in (("median_ratio", "median"), ("p95_ratio", "95th percentile"))
        ),
        Target("errors of the other client", errors, 0),
    ]


if __name__ == "__main__":
    main()
