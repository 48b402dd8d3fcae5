"""What the answers are to reach, and what the figures of a group of conditions come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.answers import NEAR_SECONDS, Recall
from benchmarks.conditions import groups
from benchmarks.intervals import pooled
from benchmarks.report import Table, Target

FALSE_PERCENT, ECE, NEAR_PERCENT = 0.1, 0.03, 97.0
"""False answers at most; expected calibration error at most; offsets within NEAR_SECONDS at least, in percent."""

Below = Sequence[tuple[str, float, list[str]]]
"""Where another system finds more: condition, length, and which ones do."""


def by_group(found: Recall) -> list[dict[str, Any]]:
    """For each group of conditions and length: what is asked, the cells taken together, and the lowest of them."""
    rows = []
    for group in groups(found):
        for length in sorted({length for name in group.conditions for length in found[name]}):
            cells = {name: found[name][length] for name in group.conditions if found[name].get(length, {}).get("n")}
            if not cells:
                continue
            lowest = min(cells, key=lambda name: cells[name]["percent"])
            rows.append(
                {
                    "group": group.name,
                    "length": length,
                    "target": group.bounds.get(length),
                    "pooled": pooled(cells.values()),
                    "lowest_cell": {"condition": lowest, **cells[lowest]},
                }
            )
    return rows


def group_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The same for people."""
    printed = [
        (
            row["group"],
            f"{row['length']:g} s",
            "-" if row["target"] is None else f">= {row['target']:g}",
            *_of(row["pooled"]),
            _verdict(row["target"], row["pooled"]),
            f"{row['lowest_cell']['condition']}: {' '.join(_of(row['lowest_cell']))}",
            _verdict(row["target"], row["lowest_cell"]),
        )
        for row in rows
    ]
    title = "Recall by group, cells taken together and the lowest cell, %; 'within' where only the interval reaches it"
    header = ("conditions", "clip", "target", "recall", "right of n", "95 %", "", "lowest cell", "")
    return Table(title, header, printed)


def targets(figures: Mapping[str, Any], below: Below | None, changed: Sequence[str]) -> list[Target]:
    """All that is asked of a run.

    below : None where the clips are not those that other systems were measured on.
    changed : the conditions with changed speed, tempo or pitch.
    """
    asked = []
    for row in figures["recall_by_group"]:
        if row["target"] is not None:
            where, lowest = f"{row['group']}, {row['length']:g} s", row["lowest_cell"]
            asked += [
                _at_least(f"recall, {where}, together", row["pooled"], row["target"]),
                _at_least(f"recall, {where}, lowest cell: {lowest['condition']}", lowest, row["target"]),
            ]
    for kind in ("unknown", "speech", "noise"):
        answered = figures["false_answers"][kind]
        what = f"{kind} answered, % ({answered['count']} of {answered['n']}; 95 % sure: <= {answered['at_most_95']})"
        asked.append(Target(what, answered["percent"], FALSE_PERCENT))
    offsets = figures["offset_error"]
    asked += [
        _at_least(f"offsets within {NEAR_SECONDS:g} s or shown repeats", offsets["near_or_repeat"], NEAR_PERCENT),
        Target(f"expected calibration error of {figures['calibration']['n']}", figures["calibration"]["ece"], ECE),
    ]
    if below is not None:
        asked += [
            Target("cells below a peer, unchanged", sum(cell[0] not in changed for cell in below), 0),
            Target("cells below a peer, changed", sum(cell[0] in changed for cell in below), 0),
        ]
    return asked


def _at_least(what: str, share: Mapping[str, Any], bound: float) -> Target:
    low, high = share["interval_95"]
    return Target(f"{what}, % (n {share['n']}; 95 %: {low:g} to {high:g})", share["percent"], bound, at_least=True)


def _of(share: Mapping[str, Any]) -> tuple[str, str, str]:
    low, high = share["interval_95"]
    return f"{share['percent']:g}", f"{share['count']} of {share['n']}", f"{low:.1f} to {high:.1f}"


def _verdict(target: float | None, share: Mapping[str, Any]) -> str:
    if target is None or share["percent"] >= target:
        return ""
    return "within" if share["interval_95"][1] >= target else "BELOW"
