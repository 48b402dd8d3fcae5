"""The use case of seeing why: a kept answer, the clip's peaks and the song's, for whoever draws them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH, STRETCH_FRAMES
from dejavu.errors import InstancesUnavailable, NoPicture
from dejavu.fingerprint.stretches import join
from dejavu.matching.placement import Placement
from dejavu.model import ClipPeaks, Match, Peaks, Warp
from dejavu.service.fan_out import ask_all
from dejavu.service.instance import Instance
from dejavu.service.kept import Kept

_STRETCHES_AROUND = 30
"""Stretches of a song looked at on either side of where the clip lies, half an hour: more is not seen in a picture."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """What an answer is drawn from.

    found : the best match; None where nothing was found.
    """

    clip: ClipPeaks
    found: Likeness | None


@dataclass(frozen=True, slots=True)
class Likeness:
    """A song that was found, its peaks for half an hour on either side, and where the clip lies in it."""

    name: str
    confidence: float
    placement: Placement
    stored: Peaks


class Portraits:
    """Portraits of answers, from what is kept of them and from the instances. Safe for several threads."""

    def __init__(self, instances: Sequence[Instance], kept: Callable[[str], Kept]) -> None:
        """`kept` gives what is kept under a token."""
        self._instances = instances
        self._kept = kept

    def of_answer(self, token: str) -> Portrait:
        """The portrait of a kept answer.

        Raises `UnknownToken`, `NoPicture` where there is nothing to draw it from, and `InstancesUnavailable`.
        """
        kept = self._kept(token)
        clip = kept.peaks
        if clip is None:
            raise NoPicture("Nothing was kept of this clip that a picture could be drawn from.")
        results = json.loads(kept.answer)["results"]
        if not results:
            return Portrait(clip, None)
        best = results[0]
        speed = float(best.get("speed", 1.0))
        placement = Placement(
            float(best["offset_seconds"]) * ANALYSIS_FS / HOP_LENGTH, Warp(speed, float(best.get("pitch", speed)))
        )
        return self._portrait(clip, best["song_name"], best["file_sha1"], best["confidence"], placement)

    def of_match(self, clip: ClipPeaks, match: Match) -> Portrait:
        """The portrait of a match that was just found; raises as `of_answer`."""
        placement = Placement(match.delta, match.warp)
        return self._portrait(clip, match.song.name, match.song.sha1, match.confidence, placement)

    def _portrait(self, clip: ClipPeaks, name: str, sha1: str, confidence: float, placement: Placement) -> Portrait:
        middle = max(0, int(placement.delta)) // STRETCH_FRAMES
        numbers = range(max(0, middle - _STRETCHES_AROUND), middle + _STRETCHES_AROUND + 1)
        answers = ask_all(self._instances, lambda instance: instance.stretches(sha1, numbers))
        stretches = next((found for found in answers.by_instance.values() if found is not None), None)
        if stretches is None and answers.unavailable:
            names = ", ".join(sorted(instance.name for instance in answers.unavailable))
            raise InstancesUnavailable(
                f"The song of this answer may be in {names}, which cannot be reached; try later."
            )
        if stretches is None:
            raise NoPicture("The song of this answer is no longer in the catalogue.")
        try:
            return Portrait(clip, Likeness(name, confidence, placement, join(stretches)))
        except ValueError as exc:
            raise NoPicture("The peaks of this song are damaged; delete it and add it again.") from exc
