"""The steps of finding a clip: the most telling hashes first, more where that leaves a doubt, other speeds last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.commonness import in_asking_order
from dejavu.matching.rank import Ranking, rank
from dejavu.model import Candidate, Query
from dejavu.service.fan_out import ask_all
from dejavu.service.instance import Instance, Sighting
from dejavu.service.probe import Probe, plain_probe, scaled_probe

_TELLING_POSTINGS = 1000.0
"""Postings that have to be expected before what comes in their place says how common a clip's hashes are."""


class Search:
    """What all instances together make of one clip, step by step.

    An instance that drops out between steps counts as not asked: its songs were looked for less than those of others.

    ranking : what the candidates of all steps amount to.
    asked_hashes : distinct hashes that were looked up.
    postings : what the last step had to align, at the instance with the most.
    look_up_seconds, align_seconds : of the slowest instance of each step.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.ranking = Ranking((), certain=False, settled=False)
        self.asked_hashes = self.postings = 0
        self.look_up_seconds = self.align_seconds = 0.0
        self._sightings: dict[Instance, list[Sighting]] = {instance: [] for instance in instances}
        self._unavailable: list[Instance] = []

    @property
    def unavailable(self) -> tuple[str, ...]:
        """Names of the instances that could not be asked all of it."""
        return tuple(sorted(instance.name for instance in self._unavailable))

    def ask(self, probe: Probe, *, more: bool = False) -> None:
        """Put a probe to all instances; with `more`, it begins with what the last one asked.

        Raises `InstancesUnavailable` where none can be asked.
        """
        seen = self._sightings
        answers = ask_all(seen, lambda instance: instance.match(probe, seen[instance][-1] if more else None))
        self._unavailable += answers.unavailable
        self._sightings = {instance: [*seen[instance], answer] for instance, answer in answers.by_instance.items()}
        steps = answers.by_instance.values()
        slowest = max(steps, key=lambda sighting: sighting.look_up_seconds + sighting.align_seconds)
        self.look_up_seconds += slowest.look_up_seconds
        self.align_seconds += slowest.align_seconds
        self.asked_hashes = slowest.asked.size if more else self.asked_hashes + slowest.asked.size
        self.postings = max(len(sighting.postings) for sighting in steps)
        self.ranking = rank(self.candidates, self.songs_held)

    @property
    def candidates(self) -> list[Candidate]:
        """What was found in all steps, in no order."""
        return [found for steps in self._sightings.values() for step in steps for found in step.candidates]

    @property
    def songs_held(self) -> int:
        """Songs in all instances that answered; counts may be some seconds old, when more than that can be in hand."""
        counted = sum(instance.songs_held for instance in self._sightings)
        return max(counted, len({found.song.sha1 for found in self.candidates}))


def search(instances: Sequence[Instance], query: Query, max_speed_change_percent: int) -> Search:
    """Look for a clip until it is found beyond doubt, or nothing is left to ask; raises `InstancesUnavailable`."""
    held = max((instance.fingerprints_held for instance in instances), default=0)
    ordered, expected = in_asking_order(query, held)
    few = plain_probe(ordered, _first_hashes(expected), settings.FIRST_CANDIDATES)
    found = Search(instances)
    found.ask(few)
    commonness = _commonness(found.postings, float(expected[few.landmarks - 1]) if expected.size else 0.0)
    all_ = plain_probe(ordered, _affordable(commonness * expected, settings.ASK_HASHES, settings.ASK_POSTINGS))
    if not found.ranking.certain and all_.landmarks > few.landmarks:
        found.ask(all_, more=True)
    if not found.ranking.settled and max_speed_change_percent:
        scaled = scaled_probe(query, max_speed_change_percent, round(commonness * held))
        if scaled.hashes.size:
            found.ask(scaled)
    return found


def _first_hashes(expected: NDArray[np.float64]) -> int:
    """How many landmarks to ask in the first step; few hashes decide nothing, however many postings they bring."""
    least = _affordable(expected, settings.FIRST_ASK_LEAST_HASHES, settings.FIRST_ASK_LEAST_POSTINGS)
    return max(least, _affordable(expected, settings.FIRST_ASK_HASHES, settings.FIRST_ASK_POSTINGS))


def _commonness(postings: int, expected: float) -> float:
    """How many times as many postings come for a clip's hashes as are expected of any music.

    A clip of a common key, with the notes that everything has, gets five times as many, and a noisy one as many as
    expected. What a few expected postings say is not worth much.
    """
    return (postings + _TELLING_POSTINGS) / (expected + _TELLING_POSTINGS)


def _affordable(postings: NDArray[np.float64], most_hashes: int, most_postings: int) -> int:
    """How many landmarks to ask of a query whose first 1, 2, … are to bring so many postings; at least one."""
    return max(1, min(postings.size, most_hashes, int(np.searchsorted(postings, most_postings, "right"))))
