"""Where the no-match threshold and the calibration of `confidence` come from.

Takes the score of the best song for clips of known origin, below the threshold too, and prints what MATCH_SCORE,
EVEN_SCORE and CONFIDENCE_SLOPE of the settings would be by it: the scores that unknown recordings reach, what each
threshold would answer, and the logistic curve that fits best. Several seeds make several sets of clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from benchmarks.answers import reliability
from benchmarks.catalogue import add_catalogue_options, filled
from benchmarks.material import Clip, eval_file, make_clips, recordings
from benchmarks.peers import read_peers
from benchmarks.report import CORES, Table, Target, make_parser, percent, publish, quantiles
from dejavu.config.settings import CONFIDENCE_SLOPE, EVEN_SCORE, MATCH_SCORE, MAX_SPEED_CHANGE_PERCENT
from dejavu.matching.rank import score
from dejavu.model import Query
from dejavu.service.instance import Instance
from dejavu.service.search import search
from dejavu.service.service import open_instances
from dejavu.service.workers import WorkerPool

UNKNOWN_ANSWERED_PERCENT = 0.1
"""Of unknown recordings, at most."""

HIGHEST_SCORE = 60.0
"""Scores beyond this say nothing more, and must not pull at the curve."""

_QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.995, 1.0)


@dataclass(frozen=True, slots=True)
class Best:
    """The song with the highest score for a clip, of all the steps that the service would take."""

    clip: Clip
    file: str | None
    score: float

    @property
    def right(self) -> bool:
        """Whether it is the recording that the clip was cut from."""
        return self.clip.known and self.file == self.clip.file


def main() -> None:
    """Score every clip and print the fit."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the clips (default 1)")
    parser.add_argument("--per-condition", type=int, default=40, help="clips of each length in each condition and seed")
    parser.add_argument("--conditions", nargs="+", help="default: those that other systems were measured on")
    add_catalogue_options(parser)
    options = parser.parse_args()
    measured = read_peers(eval_file("PEERS.md")).recall
    conditions = options.conditions or list(measured)
    clips = [clip for seed in options.seeds for clip in make_clips(seed, options.per_condition, conditions)]
    best = _score_all(clips, options)

    unknown = [found.score for found in best if not found.clip.known]
    wrong = [found.score for found in best if found.clip.known and not found.right]
    threshold = float(np.quantile(unknown, 1 - UNKNOWN_ANSWERED_PERCENT / 100)) if unknown else float("nan")
    scores = np.minimum([found.score for found in best], HIGHEST_SCORE)
    right = np.array([found.right for found in best])
    even, slope = fit(scores, right)
    answered = scores >= MATCH_SCORE
    set_now = reliability(expit(CONFIDENCE_SLOPE * (scores[answered] - EVEN_SCORE)), right[answered])
    fitted = reliability(expit(slope * (scores[answered] - even)), right[answered])
    thresholds = _thresholds(best, threshold)
    figures = {
        "clips": len(best),
        "fit": {"EVEN_SCORE": round(even, 3), "CONFIDENCE_SLOPE": round(slope, 3), "reliability": fitted},
        "set": {"EVEN_SCORE": EVEN_SCORE, "CONFIDENCE_SLOPE": CONFIDENCE_SLOPE, "reliability": set_now},
        "threshold": {"MATCH_SCORE": MATCH_SCORE, f"unknown_at_most_{UNKNOWN_ANSWERED_PERCENT}_percent": threshold},
        "best_scores": {
            "shares": _QUANTILES,
            "unknown": quantiles(unknown, _QUANTILES, 3),
            "known_but_wrong": quantiles(wrong, _QUANTILES, 3),
        },
        "thresholds": thresholds,
    }
    tables = [
        Table(
            "Best scores of songs that are wrong",
            ("clips of", "n", *(f"{share:.1%}" for share in _QUANTILES)),
            [
                ("unknown recordings", len(unknown), *quantiles(unknown, _QUANTILES, 2)),
                ("known ones", len(wrong), *quantiles(wrong, _QUANTILES, 2)),
            ],
        ),
        Table("What a threshold would do, %", list(thresholds[0]), [list(row.values()) for row in thresholds]),
        Table(
            "Logistic curve of confidence over the score",
            ("", "EVEN_SCORE", "CONFIDENCE_SLOPE", "expected error of answers"),
            [
                ("settings", EVEN_SCORE, CONFIDENCE_SLOPE, set_now["ece"]),
                ("best fit", f"{even:.2f}", f"{slope:.2f}", fitted["ece"]),
            ],
        ),
        Table(
            "Calibration by the settings",
            ("from", "to", "answers", "confidence", "right", "95 %"),
            [tuple(row.values()) for row in set_now["bins"]],
        ),
    ]
    targets = [
        Target(
            "unknown recordings answered, %",
            percent(sum(reached >= MATCH_SCORE for reached in unknown), len(unknown)),
            UNKNOWN_ANSWERED_PERCENT,
        )
    ]
    publish("calibration", options, figures, tables, targets)


def fit(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """The logistic curve of most likelihood: the score at which right and wrong are even, and the slope there."""
    signs = np.where(right, 1.0, -1.0)

    def unlikelihood(curve: NDArray[np.float64]) -> float:
        even, slope = curve
        return float(np.mean(np.logaddexp(0, -signs * slope * (scores - even))))

    even, slope = minimize(unlikelihood, [EVEN_SCORE, CONFIDENCE_SLOPE], method="Nelder-Mead").x
    return float(even), float(slope)


def _thresholds(best: Sequence[Best], found_threshold: float) -> list[dict[str, Any]]:
    """What would be answered, and how, if MATCH_SCORE were another."""
    known = [found for found in best if found.clip.known]
    unknown = [found for found in best if not found.clip.known]
    return [
        {
            "threshold": round(threshold, 2),
            "unknown answered": percent(sum(found.score >= threshold for found in unknown), len(unknown)),
            "known found": percent(sum(found.score >= threshold and found.right for found in known), len(known)),
            "known wrong": percent(sum(found.score >= threshold and not found.right for found in known), len(known)),
            "": "MATCH_SCORE" if threshold == MATCH_SCORE else "",
        }
        for threshold in sorted({*np.arange(0.0, 2.6, 0.25).tolist(), MATCH_SCORE, found_threshold})
    ]


def _score_all(clips: Sequence[Clip], options: argparse.Namespace) -> list[Best]:
    with filled(recordings("reference"), options.catalogue, options.distractors) as deployment:
        pool, instances = WorkerPool(), open_instances(deployment)

        def look_at(clip: Clip) -> Best:
            with clip.path.open("rb") as file:
                return _best(clip, pool.query(file), instances)

        try:
            with ThreadPoolExecutor(CORES) as threads:
                return list(tqdm(threads.map(look_at, clips), desc="scoring", total=len(clips), unit="clip"))
        finally:
            pool.close()
            for instance in instances:
                instance.close()


def _best(clip: Clip, query: Query, instances: Sequence[Instance]) -> Best:
    """The best song of all steps that the service would take."""
    found = search(instances, query, MAX_SPEED_CHANGE_PERCENT)
    songs = found.songs_held
    first = max(found.candidates, key=lambda candidate: score(candidate, songs), default=None)
    return Best(clip, first.song.name, score(first, songs)) if first else Best(clip, None, 0.0)


if __name__ == "__main__":
    main()
