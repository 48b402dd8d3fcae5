"""What the names of the conditions say, and what is asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.material import CHANGED

DEFAULT_RANGE_PERCENT, WIDE_RANGE_PERCENT = 12, 25
"""How far speed, tempo and pitch may be off: as shipped, and with the widest setting."""

LEAD_IN_SECONDS = {"mp3_32k": 1105 / 22_050}
"""How much earlier in the recording than a clip was cut its first sample lies. The silence that an MP3 encoder begins
with is left in the clips; correlating their waveforms with the recordings' gives 0.0501 s for these, and less than
0.001 s for clips of every other condition that leaves the speed alone."""

_CHANGE = re.compile(rf"({'|'.join(CHANGED)})_([+-]\d+)")


@dataclass(frozen=True, slots=True)
class Change:
    """How a clip was played: its tempo and its frequencies over those of the recording."""

    tempo: float = 1.0
    pitch: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which the same is asked: the lowest recall in percent, by clip length in seconds."""

    name: str
    conditions: tuple[str, ...]
    bounds: dict[float, float]


def change_percent(condition: str) -> int:
    """By how much speed, tempo or pitch is changed; 0 where none is."""
    found = _CHANGE.fullmatch(condition)
    return int(found[2]) if found else 0


def change(condition: str) -> Change:
    """How clips of this condition were played: `speed` changes both, as a turntable does, the others one each."""
    found = _CHANGE.fullmatch(condition)
    if not found:
        return Change()
    ratio = (100 + int(found[2])) / 100
    return Change(tempo=1.0 if found[1] == "pitch" else ratio, pitch=1.0 if found[1] == "tempo" else ratio)


def within_range(condition: str, range_percent: float) -> bool:
    """Whether a service that looks so far can find it."""
    return abs(change_percent(condition)) <= range_percent


def groups(conditions: Iterable[str]) -> list[Group]:
    """These conditions by what is asked of them, without the groups that none of them is in."""
    conditions = list(conditions)
    steady = [
        ("clean, quiet, mp3_32k, noise_10dB, noise_5dB", {3.0: 98.0, 5.0: 99.0, 10.0: 99.5}),
        ("clipped, noise_0dB, white_0dB, phone", {3.0: 90.0, 5.0: 95.0, 10.0: 99.0}),
        ("call, noise_-5dB", {3.0: 75.0, 5.0: 88.0, 10.0: 96.0}),
    ]
    changed = [
        (1, 5, {3.0: 90.0, 5.0: 96.0, 10.0: 99.0}),
        (6, 12, {3.0: 85.0, 5.0: 95.0, 10.0: 99.0}),
        (13, 25, {5.0: 85.0, 10.0: 95.0}),
    ]
    made = [
        Group(names, tuple(name for name in conditions if name in names.split(", ")), bounds)
        for names, bounds in steady
    ]
    for low, high, bounds in changed:
        members = tuple(name for name in conditions if low <= abs(change_percent(name)) <= high)
        made.append(Group(f"speed, tempo, pitch, ±{low}…±{high} %", members, bounds))
    return [group for group in made if group.conditions]
