"""Answers to clips of known origin, and what they amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks.material import Clip
from benchmarks.report import percent, quantiles
from dejavu.model import Match

NEAR_SECONDS = 0.1
"""How far an offset may be off."""

BOUNDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Confidences between two of these are looked at together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The first match of a clip, or None, and how long it took."""

    clip: Clip
    match: Match | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the recording that the clip was cut from came first; songs are named like their files."""
        return self.match is not None and self.clip.known and self.match.song.name == self.clip.file


def recall(answers: Iterable[Answer]) -> dict[str, dict[float, dict[str, float]]]:
    """By condition and length: clips of known recordings, those with the right answer, and the percentage."""
    cells: dict[str, dict[float, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        if answer.clip.known:
            cells[answer.clip.condition][answer.clip.length].append(answer.right)
    return {
        condition: {
            length: {"n": len(cell), "right": sum(cell), "percent": percent(sum(cell), len(cell))}
            for length, cell in sorted(lengths.items())
        }
        for condition, lengths in cells.items()
    }


def false_answers(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """How often an unknown recording was answered, and a known one with another recording, with 95 % intervals."""
    return {
        "unknown_answered": _share([answer.match is not None for answer in answers if not answer.clip.known]),
        "known_answered_wrongly": _share(
            [answer.match is not None and not answer.right for answer in answers if answer.clip.known]
        ),
    }


def offset_errors(answers: Iterable[Answer]) -> dict[str, float]:
    """How far right answers' offsets are off: median in seconds, and the percentage within NEAR_SECONDS."""
    errors = [
        abs(answer.match.offset_seconds - answer.clip.start) for answer in answers if answer.match and answer.right
    ]
    near = sum(error <= NEAR_SECONDS for error in errors)
    (middle,) = quantiles(errors, [0.5], 3)
    return {"n": len(errors), "median_seconds": middle, "near_percent": percent(near, len(errors))}


def calibration(answers: Iterable[Answer]) -> dict[str, Any]:
    """Confidence against the share of right answers, in bins, and the expected calibration error (0..1)."""
    given = [(answer.match.confidence, answer.right) for answer in answers if answer.match]
    return reliability(np.array([pair[0] for pair in given]), np.array([pair[1] for pair in given], dtype=bool))


def reliability(confidences: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The same from columns: float[n] of confidences, bool[n] of whether the answer was right."""
    bins, error = [], 0.0
    places = np.clip(np.digitize(confidences, BOUNDS) - 1, 0, len(BOUNDS) - 2)
    for place in np.unique(places).tolist():
        here = places == place
        said, was = float(confidences[here].mean()), float(right[here].mean())
        error += abs(said - was) * int(here.sum()) / right.size
        bins.append(
            {
                "from": BOUNDS[place],
                "to": BOUNDS[place + 1],
                "n": int(here.sum()),
                "confidence": round(said, 4),
                "right": round(was, 4),
            }
        )
    return {"n": int(right.size), "ece": round(error, 4), "bins": bins}


def _share(outcomes: Sequence[bool]) -> dict[str, Any]:
    if not outcomes:
        return {"n": 0, "count": 0, "percent": float("nan"), "interval_95": [0.0, 100.0]}
    interval = binomtest(sum(outcomes), len(outcomes)).proportion_ci(0.95, "exact")
    return {
        "n": len(outcomes),
        "count": sum(outcomes),
        "percent": percent(sum(outcomes), len(outcomes)),
        "interval_95": [round(100 * interval.low, 2), round(100 * interval.high, 2)],
    }
