"""The figures of `accuracy` as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.answers import NEAR_RATIO, NEAR_SECONDS, Recall
from benchmarks.goals import Below
from benchmarks.intervals import pooled
from benchmarks.material import ALL_LENGTHS
from benchmarks.peers import Peers
from benchmarks.report import Table

_MOST_ROWS = 30
"""Of single answers; the JSON has all of them."""


def recall_table(found: Recall, below: Below, peers: Peers) -> Table:
    """Recall of each cell with its interval, beside what other systems reach."""
    lengths = sorted({length for cells in found.values() for length in cells})

    def theirs(condition: str, place: int) -> str:
        if condition not in peers.recall:
            return "-"
        return " / ".join(f"{peers.recall[condition][length][place]:.0f}" for length in ALL_LENGTHS)

    rows = [
        (
            condition,
            *(_cell(cells.get(length)) for length in lengths),
            *(theirs(condition, place) for place in range(len(peers.names))),
            "; ".join(f"! {length:g} s: {', '.join(names)}" for where, length, names in below if where == condition),
        )
        for condition, cells in found.items()
    ]
    header = ("condition", *(f"{length:g} s: %, 95 %, n" for length in lengths), *peers.names, "")
    title = "Recall, right recording first; others at 3 / 5 / 10 s on seed 1; ! where they find more there"
    return Table(title, header, rows)


def answer_table(figures: Mapping[str, Any], peers: Peers) -> Table:
    """False answers and offsets, beside other systems."""
    offsets = figures["offset_error"]
    ours = {
        "unknown recordings answered": _counted(figures["false_answers"]["unknown"]),
        "speech answered": _counted(figures["false_answers"]["speech"]),
        "noise answered": _counted(figures["false_answers"]["noise"]),
        "known recordings, wrong answer": _counted(figures["false_answers"]["known"]),
        "offset error, median / 95th percentile": f"{offsets['median_seconds']} / {offsets['p95_seconds']} s",
        f"offset within {NEAR_SECONDS:g} s": _counted(offsets["near"]),
        "the same, or a repeat shown to be one": _counted(offsets["near_or_repeat"]),
    }
    theirs = {label.split()[0].rstrip(","): values for label, values in peers.other.items()}
    dashes = ("-",) * len(peers.names)
    rows = []
    for label, value in ours.items():
        word = label.split()[0].rstrip(",")
        # What others were measured on has no speech and noise, and their offsets are within 0.1 s.
        listed = label.startswith(("unknown", "known", "offset error"))
        rows.append((label, value, *(theirs.get(word, dashes) if listed else dashes)))
    return Table("Answers (offsets of others: median s / share within 0.1 s)", ("", "here", *peers.names), rows)


def other_tables(figures: Mapping[str, Any], pictures: Sequence[str]) -> Iterator[Table]:
    """All that no other system is compared in."""
    calibrated = figures["calibration"]
    yield Table(
        f"Calibration of {calibrated['n']} answers; expected error {calibrated['ece']}",
        ("from", "to", "answers", "confidence", "right", "95 %"),
        [(*list(row.values())[:5], "{} to {}".format(*row["interval_95"])) for row in calibrated["bins"]],
    )
    yield _false_table(figures["false_answers_by_length"])
    yield _ratio_table(figures["speed_and_pitch"])
    yield _offset_table(figures["offset_error"]["by_condition"])
    took = figures["milliseconds"]
    yield Table(
        f"Milliseconds a clip, {took['at_a_time']} at a time",
        ("clips", "n", "median", "95th percentile"),
        [(kind, *one.values()) for kind, one in took.items() if isinstance(one, Mapping)],
    )
    yield _shared_table(figures["shared_audio"])
    yield _single_table("Answers excused, since the place that was answered holds the same sound", figures["excused"])
    yield _single_table("False answers; `likeness` of the place to that of the clip", figures["false"])
    if "by_seed" in figures:
        yield _seed_table(figures["by_seed"])
    scored = figures["score.py"]
    yield Table("As score.py counts", scored[:1], [(line,) for line in scored[1:]])
    yield Table("Pictures", ("file",), [(picture,) for picture in pictures])


def _false_table(by_length: Mapping[float, Mapping[str, Any]]) -> Table:
    def row(kind: str) -> tuple[str, ...]:
        found = [one[kind] for one in by_length.values()]
        return (kind, *(f"{one['count']} of {one['n']}, at most {one['at_most_95']:.2f} %" for one in found))

    header = ("", *(f"{length:g} s" for length in by_length))
    rows = [row(kind) for kind in ("unknown", "speech", "noise", "known")]
    return Table("False answers by length, and the most they are with 95 % confidence", header, rows)


def _ratio_table(by_condition: Mapping[str, Any]) -> Table:
    title = f"Right answers that give the true speed, and speed and pitch, within {100 * NEAR_RATIO:g} %"
    rows = [
        (condition, cell["speed"]["n"], cell["speed"]["percent"], _interval(cell["speed"]),
         cell["speed_and_pitch"]["percent"], _interval(cell["speed_and_pitch"]))
        for condition, cell in by_condition.items()
    ]  # fmt: skip
    return Table(title, ("condition", "n", "speed, %", "95 %", "speed and pitch, %", "95 %"), rows)


def _offset_table(by_condition: Mapping[str, Any]) -> Table:
    rows = [
        (condition, one["near"]["n"], one["signed_median_seconds"], one["median_seconds"], one["p95_seconds"],
         one["near"]["percent"], one["near_or_repeat"]["percent"])
        for condition, one in by_condition.items()
    ]  # fmt: skip
    header = ("condition", "n", "signed median", "median", "95th percentile", "near, %", "near or a repeat, %")
    return Table(
        "Offset errors of right answers in seconds; a median far from 0 is a shift, not an error", header, rows
    )


def _shared_table(shared: Mapping[str, Any]) -> Table:
    chance = ", ".join(
        f"{share} below {value}" for share, value in shared["best_likeness_of_a_stretch_in_another_recording"].items()
    )
    title = (
        f"Recordings that share audio: {len(shared['shared'])} stretches in {shared['pairs_compared']} pairs. "
        f"Likeness from {shared['same_from']} on counts; of {shared['stretches_compared']} times that "
        f"{shared['stretch_seconds']:g} s were looked for in another recording: {chance}"
    )
    rows = [tuple(one.values()) for one in shared["shared"]]
    return Table(title, ("recording", "role", "from s", "other", "role", "from s", "seconds", "likeness"), rows)


def _single_table(title: str, listed: Sequence[Mapping[str, Any]]) -> Table:
    rest = f"; the first {_MOST_ROWS}" if len(listed) > _MOST_ROWS else ""
    header = tuple(listed[0]) if listed else ("clip",)
    return Table(f"{title}: {len(listed)}{rest}", header, [tuple(one.values()) for one in listed[:_MOST_ROWS]])


def _seed_table(by_seed: Mapping[int, Mapping[str, Any]]) -> Table:
    groups = dict.fromkeys((row["group"], row["length"]) for one in by_seed.values() for row in one["recall_by_group"])
    rows = [
        (f"{group}, {length:g} s", *(_of_group(one["recall_by_group"], group, length) for one in by_seed.values()))
        for group, length in groups
    ]
    for kind in ("unknown", "speech", "noise"):
        falsely = (one["false_answers"][kind] for one in by_seed.values())
        rows.append((f"{kind} answered", *(f"{one['count']} of {one['n']}" for one in falsely)))
    rows.append(("expected calibration error", *(f"{one['calibration']['ece']}" for one in by_seed.values())))
    return Table("By seed, recall in %", ("", *(f"seed {seed}" for seed in by_seed)), rows)


def _of_group(rows: Sequence[Mapping[str, Any]], group: str, length: float) -> str:
    found = [row["pooled"] for row in rows if row["group"] == group and row["length"] == length]
    return _cell(pooled(found)) if found else "-"


def _cell(cell: Mapping[str, Any] | None) -> str:
    if not cell or not cell["n"]:
        return "-"
    low, high = cell["interval_95"]
    return f"{cell['percent']:.0f} ({low:.0f}-{high:.0f}) {cell['n']}"


def _interval(share: Mapping[str, Any]) -> str:
    return "{:.0f} to {:.0f}".format(*share["interval_95"])


def _counted(share: Mapping[str, Any]) -> str:
    low, high = share["interval_95"]
    bounds = f"95 %: {low:g} to {high:g}; 95 % sure at most {share['at_most_95']:g}"
    return f"{share['percent']} % ({share['count']} of {share['n']}; {bounds})"
