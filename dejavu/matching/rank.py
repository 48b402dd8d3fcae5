"""Candidates of all instances to an answer: merge, score, decide, keep the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dejavu.config.settings import (
    CERTAIN_SCORE,
    CONFIDENCE_SLOPE,
    EVEN_SCORE,
    MATCH_SCORE,
    SETTLED_PEAK_SHARE,
    TOPN,
)
from dejavu.matching.chance import catalogue_score
from dejavu.model import Candidate, Match


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the candidates amount to.

    matches : at most TOPN, best first; empty where nothing passes the no-match test.
    certain : the first match is far above the test.
    settled : and the clip has most of its peaks, so that it was played as it is taken to be.
    """

    matches: tuple[Match, ...]
    certain: bool
    settled: bool


def rank(candidates: Sequence[Candidate], catalogue_songs: int) -> Ranking:
    """Judge the candidates of all instances.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of the same clip; a song that several instances hold, or that was asked for in several ways, occurs repeatedly.
    catalogue_songs : int
        Songs in all the instances that answered; at least 1. Each is one more chance to agree by accident, so what
        passes in a small catalogue may not in a large one.
    """
    scored = sorted(
        ((score(candidate, catalogue_songs), candidate) for candidate in _without_copies(candidates)),
        key=lambda pair: pair[0],
        reverse=True,
    )
    matches = tuple(
        Match(
            candidate.song,
            confidence(reached),
            candidate.delta,
            candidate.aligned_hashes,
            candidate.asked_hashes,
            candidate.warp,
        )
        for reached, candidate in scored[:TOPN]
        if reached >= MATCH_SCORE
    )
    certain = bool(scored) and scored[0][0] >= CERTAIN_SCORE
    return Ranking(matches, certain, settled=certain and scored[0][1].peak_share >= SETTLED_PEAK_SHARE)


def score(candidate: Candidate, catalogue_songs: int) -> float:
    """How far a candidate is above what the best wrong song of the catalogue has by accident (`chance`)."""
    return catalogue_score(candidate.surprise, catalogue_songs)


def confidence(reached: float) -> float:
    """The probability that a match with the score `reached` is right, 0..1; `benchmarks/calibration.py` fits it."""
    return 1 / (1 + math.exp(-CONFIDENCE_SLOPE * (reached - EVEN_SCORE)))


def _without_copies(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Of every recording the best candidate: outages leave copies of one file on several instances."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        known = best.get(candidate.song.sha1)
        if known is None or candidate.surprise > known.surprise:
            best[candidate.song.sha1] = candidate
    return list(best.values())
