"""Answers to clips of known origin, and what they amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.backgrounds import NOISE, SPEECH
from benchmarks.conditions import LEAD_IN_SECONDS, change
from benchmarks.intervals import share_of
from benchmarks.material import CHANGED, Clip
from benchmarks.report import quantiles
from dejavu.model import Match

NEAR_SECONDS = 0.05
"""How far an offset may be off."""

NEAR_RATIO = 0.005
"""How far speed and pitch may be off, as a share of the truth."""

BOUNDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Confidences between two of these are looked at together."""

Recall = dict[str, dict[float, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The first match of a clip, or None, and how long it took.

    shared : whether the place that was answered is another one than the clip was cut from, and truly holds the same
        sound (`benchmarks.likeness`): another recording that shares it, or a repeat in the same one.
    likeness : of that place to the clip's; None where they were not compared.
    """

    clip: Clip
    match: Match | None
    seconds: float
    shared: bool = False
    likeness: float | None = None

    @property
    def named(self) -> bool:
        """Whether the recording that the clip was cut from came first; songs are named like their files."""
        return self.match is not None and self.clip.known and self.match.song.name == self.clip.file

    @property
    def true(self) -> bool:
        """Whether what was answered holds the clip's sound."""
        return self.named or self.shared

    @property
    def right(self) -> bool:
        """Whether a clip of a known recording was answered with what holds its sound."""
        return self.clip.known and self.true

    @property
    def false(self) -> bool:
        """Whether something was answered that does not hold the clip's sound."""
        return self.match is not None and not self.true

    @property
    def offset_error(self) -> float:
        """Seconds from where the clip begins in its recording to where it was answered to begin; nan without a match.

        Below 0 where that is too early. What a codec put in front of the clip counts as a part of it.
        """
        begin = self.clip.start - LEAD_IN_SECONDS.get(self.clip.condition, 0.0)
        return self.match.offset_seconds - begin if self.match else float("nan")

    @property
    def near(self) -> bool:
        """Whether the place that the clip was cut from was answered."""
        return self.named and abs(self.offset_error) <= NEAR_SECONDS

    @property
    def changed(self) -> bool:
        """Whether speed, tempo or pitch was."""
        return self.clip.condition.startswith(CHANGED)


def recall(answers: Iterable[Answer]) -> Recall:
    """By condition and length: the share of clips of known recordings that got the right answer."""
    cells: dict[str, dict[float, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        if answer.clip.known:
            cells[answer.clip.condition][answer.clip.length].append(answer.right)
    return {
        condition: {length: share_of(cell) for length, cell in sorted(lengths.items())}
        for condition, lengths in cells.items()
    }


def false_answers(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """The share of false answers: to unknown recordings, to speech, to noise, and wrong ones to known recordings."""

    def of(role: str) -> dict[str, Any]:
        return share_of(answer.false for answer in answers if answer.clip.role == role)

    return {"unknown": of("unknown"), "speech": of(SPEECH), "noise": of(NOISE), "known": of("reference")}


def offset_errors(answers: Iterable[Answer]) -> dict[str, Any]:
    """How far right answers' offsets are off, and the share within NEAR_SECONDS.

    `near` takes the place that the clip was cut from for the only right one; `near_or_repeat` also takes those that
    were shown to hold the same sound. By condition too, since each shifts sound in its own way.
    """
    right = [answer for answer in answers if answer.right]
    by_condition: dict[str, list[Answer]] = defaultdict(list)
    for answer in right:
        by_condition[answer.clip.condition].append(answer)
    return {**_offsets(right), "by_condition": {name: _offsets(some) for name, some in by_condition.items()}}


def _offsets(right: Sequence[Answer]) -> dict[str, Any]:
    errors = [answer.offset_error for answer in right if not answer.shared]
    (signed,) = quantiles(errors, [0.5], 4)
    middle, most = quantiles(np.abs(errors).tolist(), [0.5, 0.95], 4)
    return {
        "median_seconds": middle,
        "p95_seconds": most,
        "signed_median_seconds": signed,
        "near": share_of(answer.near for answer in right),
        "near_or_repeat": share_of(answer.near or answer.shared for answer in right),
    }


def ratios(answers: Iterable[Answer]) -> dict[str, dict[str, Any]]:
    """The share of right answers that give the true speed and pitch within NEAR_RATIO, by condition.

    As clients read them: an answer without a speed says that it was not changed, one without a pitch that frequencies
    changed as the speed did.
    """
    cells: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for answer in answers:
        if answer.named and answer.match:
            truth, wire = change(answer.clip.condition), answer.match.to_wire()
            speed = float(str(wire.get("speed", 1.0)))
            pitch = float(str(wire.get("pitch", speed)))
            cells[answer.clip.condition].append((_near(speed, truth.tempo), _near(pitch, truth.pitch)))
    return {
        condition: {
            "speed": share_of(speed for speed, _ in cell),
            "speed_and_pitch": share_of(speed and pitch for speed, pitch in cell),
        }
        for condition, cell in cells.items()
    }


def times(answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Milliseconds a clip took: median and 95th percentile, of all clips and of some kinds."""
    known = [answer for answer in answers if answer.clip.known]
    kinds = {
        "all": answers,
        "known, unchanged": [answer for answer in known if not answer.changed],
        "known, changed speed, tempo or pitch": [answer for answer in known if answer.changed],
        "unknown": [answer for answer in answers if answer.clip.role == "unknown"],
        "speech and noise": [answer for answer in answers if answer.clip.role in (SPEECH, NOISE)],
    }
    figures = {}
    for kind, chosen in kinds.items():
        median, most = quantiles([1000 * answer.seconds for answer in chosen], [0.5, 0.95], 1)
        figures[kind] = {"n": len(chosen), "median": median, "p95": most}
    return figures


def calibration(answers: Iterable[Answer]) -> dict[str, Any]:
    """Confidence against the share of right answers, in bins, and the expected calibration error (0..1)."""
    given = [(answer.match.confidence, answer.true) for answer in answers if answer.match]
    return reliability(np.array([pair[0] for pair in given]), np.array([pair[1] for pair in given], dtype=bool))


def reliability(confidences: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The same from columns: float[n] of confidences, bool[n] of whether the answer was right."""
    bins, error = [], 0.0
    places = np.clip(np.digitize(confidences, BOUNDS) - 1, 0, len(BOUNDS) - 2)
    for place in np.unique(places).tolist():
        here = places == place
        said, was = float(confidences[here].mean()), float(right[here].mean())
        error += abs(said - was) * int(here.sum()) / right.size
        low, high = share_of(right[here].tolist())["interval_95"]
        bins.append(
            {
                "from": BOUNDS[place],
                "to": BOUNDS[place + 1],
                "n": int(here.sum()),
                "confidence": round(said, 4),
                "right": round(was, 4),
                "interval_95": [round(low / 100, 4), round(high / 100, 4)],
            }
        )
    return {"n": int(right.size), "ece": round(error, 4) if right.size else float("nan"), "bins": bins}


def _near(value: float, truth: float) -> bool:
    return abs(value / truth - 1) <= NEAR_RATIO
