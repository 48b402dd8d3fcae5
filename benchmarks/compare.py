"""Two results of `accuracy` side by side: what is better or worse in the second by more than chance explains.

Each figure comes with the 95 % interval of its own run. A difference is marked where each of the two percentages lies
outside the other's interval. Runs on the same clips differ by less than that by chance, so that an unmarked difference
may well be real: look at how many point the same way.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.answers import Recall
from benchmarks.goals import by_group
from benchmarks.report import Table

BETTER, WORSE = "better", "WORSE"

_CLIPS = ("seeds", "per_condition", "conditions", "unchanged", "backgrounds", "wide")
"""Options that make other clips."""


def main() -> None:
    """Print the two results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="a JSON file of benchmarks.accuracy")
    parser.add_argument("second", type=Path, help="another one")
    options = parser.parse_args()
    first, second = read(options.first), read(options.second)
    for table in compared(first, second):
        print(f"{table}\n")


def read(path: Path) -> dict[str, Any]:
    """A result of `accuracy`; ends the command where it is none."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise SystemExit(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise SystemExit(f"{path} is no JSON: {exc}") from exc
    if not isinstance(document, dict) or document.get("benchmark") != "accuracy" or "recall_by_group" not in document:
        raise SystemExit(f"{path} is not what benchmarks.accuracy writes today.")
    return document


def compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Table]:
    """Tables of what the two are, of each cell that both have, and of everything else."""
    a, b = _common(first["recall"], second["recall"])
    cells = [
        (f"{condition}, {length:g} s", cell, b[condition][length])
        for condition, lengths in a.items()
        for length, cell in lengths.items()
    ]
    rows = [(name, *_row(one, other)) for name, one, other in cells]
    marks = [row[-1] for row in rows]
    lowest, where = min(((other["percent"] - one["percent"], name) for name, one, other in cells), default=(0.0, "-"))
    header = ("", "first, %", "right of n", "second, %", "right of n", "points", "")
    summary = (
        f"Recall of the cells of both: {marks.count(BETTER)} better, {marks.count(WORSE)} worse beyond the interval; "
        f"the least favourable is {lowest:+.2f} points ({where})"
    )
    groups = [
        (f"{one['group']}, {one['length']:g} s", *_row(one["pooled"], other["pooled"]))
        for one, other in zip(by_group(a), by_group(b), strict=True)
    ]
    other_clips = any(first["options"].get(key) != second["options"].get(key) for key in _CLIPS)
    warning = " (NOT of the same clips)" if other_clips else ""
    return [
        Table("Runs", ("", "first", "second", ""), list(_runs(first, second))),
        Table(summary, header, rows),
        Table("The same cells by group, taken together", header, groups),
        Table(f"Answers, %{warning}", header, list(_answers(first, second))),
        Table(f"Other figures{warning}", ("", "first", "second", "second / first"), list(_others(first, second))),
    ]


def _common(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Recall, Recall]:
    """The recall of both by condition and length, without cells that one of them does not have."""
    keys = [
        (condition, length)
        for condition, lengths in first.items()
        for length, cell in lengths.items()
        if cell["n"] and second.get(condition, {}).get(length, {}).get("n")
    ]
    a: Recall = {condition: {} for condition, _ in keys}
    b: Recall = {condition: {} for condition, _ in keys}
    for condition, length in keys:
        a[condition][float(length)], b[condition][float(length)] = first[condition][length], second[condition][length]
    return a, b


def mark(a: Mapping[str, Any], b: Mapping[str, Any], fewer_is_better: bool = False) -> str:
    """Whether the second share is better or worse than the first beyond both intervals; '' where it is neither."""
    (low_a, high_a), (low_b, high_b) = a["interval_95"], b["interval_95"]
    if low_a <= b["percent"] <= high_a or low_b <= a["percent"] <= high_b:
        return ""
    return BETTER if (b["percent"] > a["percent"]) != fewer_is_better else WORSE


def _row(a: Mapping[str, Any], b: Mapping[str, Any], fewer_is_better: bool = False) -> tuple[object, ...]:
    counts = [(one["percent"], f"{one['count']} of {one['n']}") for one in (a, b)]
    return (*counts[0], *counts[1], f"{b['percent'] - a['percent']:+.2f}", mark(a, b, fewer_is_better))


def _runs(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for key in ("date", "commit", "uncommitted_changes", "fingerprint_format", "cpu", "cores", "load_before"):
        yield key, str(first["environment"].get(key))[:40], str(second["environment"].get(key))[:40], ""
    for key in (*_CLIPS, "distractors"):
        a, b = first["options"].get(key), second["options"].get(key)
        yield f"--{key.replace('_', '-')}", a, b, "" if a == b else "differ"


def _answers(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for kind, share in first["false_answers"].items():
        other = second["false_answers"][kind]
        if share["n"] and other["n"]:
            yield f"false answers, {kind}", *_row(share, other, fewer_is_better=True)
    for kind in ("near", "near_or_repeat"):
        share, other = first["offset_error"][kind], second["offset_error"][kind]
        if share["n"] and other["n"]:
            yield f"offsets {kind.replace('_', ' ')}", *_row(share, other)


def _others(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    pairs = [
        ("expected calibration error", first["calibration"]["ece"], second["calibration"]["ece"]),
        ("median offset error, s", *(one["offset_error"]["median_seconds"] for one in (first, second))),
    ]
    for kind, took in first["milliseconds"].items():
        if isinstance(took, Mapping):
            other = second["milliseconds"][kind]
            pairs += [(f"{label}, ms, {kind}", took[key], other[key]) for label, key in _TIMES]
    for name, a, b in pairs:
        yield name, a, b, f"{b / a:.2f}" if a and b else "-"


_TIMES = (("median", "median"), ("95th percentile", "p95"))


if __name__ == "__main__":
    main()
