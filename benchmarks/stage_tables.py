"""Samples of requests taken apart to figures and tables: medians of stages and floors, their ratios and their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.media_stages import DECODE, FRAMES_ALONE, PAIRS, PEAKS, STFT
from benchmarks.report import Table, percent
from benchmarks.search_stages import ALIGN, ASK, CACHE, COMPARE, LOOK_UP, REST, SONGS, STORE, STRETCHES

HTTP, SPOOL, HAND_OVER = "HTTP", "spool", "hand-over"

FLOORS = {
    HTTP: "a bare server takes as many bytes and answers at once",
    SPOOL: "one write to a temporary file",
    HAND_OVER: "",
    DECODE: "PyAV: frames decoded, and all resampled in one call",
    FRAMES_ALONE: "PyAV: frames decoded and left as they are",
    STFT: "scipy.fft.rfft of the same frames in one call",
    PEAKS: "the passes of numpy.maximum that the boxes need",
    PAIRS: "numpy.sort of the landmarks",
    ASK: "numpy.sort of the hashes to choose from",
    CACHE: "MGET of the same keys",
    LOOK_UP: "a SELECT of the same hashes",
    ALIGN: "numpy.sort of the postings",
    STRETCHES: "a SELECT of the same stretches",
    COMPARE: "zlib's decompression of the stretches",
    SONGS: "a SELECT of the same songs",
    REST: "",
    STORE: "an INSERT of the same answer",
}
"""All stages, in their order, and what is least to be done in each, once for each time that it comes; nothing where
there is no text. FRAMES_ALONE is a part of DECODE."""

_IN_WORKER = (DECODE, STFT, PEAKS, PAIRS)

LOGGED = {
    "look_up": (LOOK_UP, CACHE, STRETCHES, COMPARE, SONGS),
    "align": (ALIGN,),
    "store": (STORE,),
}
"""What the server's log has, and the stages that it consists of here."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; all times in seconds.

    kind : of clips. right : whether the answer was.
    whole : from the client's first byte to its last. logged : the stages that the server's log has for it.
    stages, floors : by name; what did not come to be is missing.
    by_instance : the stages of each instance by its name.
    postings : that had to be aligned.
    """

    kind: str
    right: bool
    whole: float
    logged: Mapping[str, float]
    stages: Mapping[str, float]
    floors: Mapping[str, float]
    by_instance: Mapping[str, Mapping[str, float]]
    postings: int


def remaining(whole: float, logged: Mapping[str, float], stages: Mapping[str, float]) -> dict[str, float]:
    """The two stages that nothing times: what is left of a whole request, and of the fingerprint in the server's log.

    All of it is of the same request but for `stages`, which were taken apart elsewhere.
    """
    around = whole - sum(logged.values())
    return {
        HTTP: around - sum(stages[name] for name in (SPOOL, ASK, REST)),
        HAND_OVER: logged["fingerprint"] - sum(stages[name] for name in _IN_WORKER),
    }


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures of one kind of clips, in milliseconds: medians, of sums too. Ratios are those of medians."""
    whole = median(sample.whole for sample in samples)
    return {
        "requests": len(samples),
        "right_percent": percent(sum(sample.right for sample in samples), len(samples)),
        "postings": median(sample.postings for sample in samples),
        "whole_ms": _ms(whole),
        "whole_over_floors": _ratio(whole, median(_sum(sample.floors) for sample in samples)),
        "all_stages": _beside([_sum(sample.stages) for sample in samples], [_sum(sample.floors) for sample in samples]),
        "stages": {
            name: _beside(
                _all_of(name, [one.stages for one in samples]), _all_of(name, [one.floors for one in samples])
            )
            for name in FLOORS
            if any(name in sample.stages for sample in samples)
        },
        "logged": {name: _in_log_and_apart(name, samples) for name in LOGGED},
        "look_up_ms_by_instance": {
            name: _ms(median(_all_of(LOOK_UP, [sample.by_instance[name] for sample in samples])))
            for name in samples[0].by_instance
        },
    }


def _in_log_and_apart(name: str, samples: Sequence[Sample]) -> dict[str, float]:
    apart = [sum(sample.stages.get(part, 0.0) for part in LOGGED[name]) for sample in samples]
    return {"log_ms": _ms(median(sample.logged[name] for sample in samples)), "apart_ms": _ms(median(apart))}


def tables(kinds: Mapping[str, Mapping[str, Any]], title: str) -> list[Table]:
    """What `summary` says of each kind."""
    made = [_stage_table(f"{kind}: {title}", row) for kind, row in kinds.items()]
    made.append(_whole_table(kinds))
    made.append(_log_table(kinds))
    if any(len(row["look_up_ms_by_instance"]) > 1 for row in kinds.values()):
        names = next(iter(kinds.values()))["look_up_ms_by_instance"]
        rows = [(kind, *row["look_up_ms_by_instance"].values()) for kind, row in kinds.items()]
        made.append(Table("Look-up by instance, ms", ("clips", *names), rows))
    return made


def _stage_table(title: str, row: Mapping[str, Any]) -> Table:
    rows = [(name, *_cells(stage), FLOORS[name]) for name, stage in row["stages"].items()]
    rows.append(("all stages", *_cells(row["all_stages"]), ""))
    return Table(title, ("stage", "ms", "floor ms", "stage / floor", "the floor"), rows)


def _whole_table(kinds: Mapping[str, Mapping[str, Any]]) -> Table:
    return Table(
        "The whole request over the sum of the floors",
        ("clips", "requests", "right %", "postings", "whole ms", "all stages ms", "all floors ms", "whole / floors"),
        [
            (
                kind,
                *(row[key] for key in ("requests", "right_percent", "postings", "whole_ms")),
                *(row["all_stages"][key] for key in ("ms", "floor_ms")),
                row["whole_over_floors"],
            )
            for kind, row in kinds.items()
        ],
    )


def _log_table(kinds: Mapping[str, Mapping[str, Any]]) -> Table:
    header = [f"{name}, {where}" for name in LOGGED for where in ("log", "apart")]
    rows = [(kind, *(ms for stage in row["logged"].values() for ms in stage.values())) for kind, row in kinds.items()]
    return Table("Stages in the server's log and taken apart here, ms", ("clips", *header), rows)


def _cells(stage: Mapping[str, Any]) -> tuple[object, ...]:
    has_floor = stage["ratio"] is not None
    return stage["ms"], stage["floor_ms"] if has_floor else "-", stage["ratio"] if has_floor else "-"


def _beside(stage: Sequence[float], floor: Sequence[float]) -> dict[str, Any]:
    return {
        "ms": _ms(median(stage)),
        "floor_ms": _ms(median(floor)),
        "ratio": _ratio(median(stage), median(floor)),
    }


def _sum(seconds: Mapping[str, float]) -> float:
    return sum(value for name, value in seconds.items() if name != FRAMES_ALONE)


def _all_of(name: str, rows: Sequence[Mapping[str, float]]) -> list[float]:
    """What each has under this name; what did not come to be took no time."""
    return [row.get(name, 0.0) for row in rows]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def _ratio(one: float, other: float) -> float | None:
    """None where there is nothing to compare with."""
    return round(one / other, 2) if other > 0 else None
