"""What other systems reach on the same clips, read from the table that was measured with the evaluation tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.material import ALL_LENGTHS


@dataclass(frozen=True, slots=True)
class Peers:
    """`recall[condition][length]` holds a percentage for each of `names`; `other` the remaining rows as they are."""

    names: tuple[str, ...]
    recall: Mapping[str, Mapping[float, tuple[float, ...]]]
    other: Mapping[str, tuple[str, ...]]

    def better_than(self, ours: float, condition: str, length: float) -> list[str]:
        """The systems that find more than `ours` percent in a row; compared as their figures are, in whole percents."""
        theirs = self.recall.get(condition, {}).get(length, ())
        return [f"{name} {value:g}" for name, value in zip(self.names, theirs, strict=False) if value > round(ours)]


def read_peers(path: Path) -> Peers:
    """Read the first table of a Markdown file: a row for each condition, cells of `3 s / 5 s / 10 s`."""
    lines = path.read_text("utf-8").splitlines()
    rows = [[cell.strip(" *") for cell in line.strip("| ").split("|")] for line in lines if line.startswith("|")]
    recall, other = {}, {}
    for condition, *cells in rows[2:]:
        values = [cell.split("/") for cell in cells]
        if all(len(triple) == len(ALL_LENGTHS) for triple in values):
            by_length = zip(*(map(float, triple) for triple in values), strict=True)
            recall[condition] = dict(zip(ALL_LENGTHS, by_length, strict=True))
        else:
            other[condition] = tuple(cells)
    return Peers(tuple(rows[0][1:]), recall, other)
