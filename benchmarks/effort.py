"""Recall against cost: would looking longer find more of the noisy clips that are missed?

The same clips of unchanged speed are put to the real service again and again, with a sixteenth to twice of the hashes
and postings that it may ask an instance for. Where recall has stopped rising, what is missing is not to be had for
time: the clip's own peaks say too little. `--distractors` shows the same in a larger catalogue.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.answers import Answer, false_answers, recall
from benchmarks.asking import answers_of
from benchmarks.catalogue import add_catalogue_options, filled
from benchmarks.goals import by_group
from benchmarks.material import make_clips, recordings
from benchmarks.plots import save
from benchmarks.report import OUT, Table, count, make_parser, publish
from dejavu.config import settings
from dejavu.service.service import Service

mpl.use("Agg")
from matplotlib import pyplot as plt

HARD = ("clipped", "noise_0dB", "white_0dB", "phone", "call", "noise_-5dB")
"""Conditions of unchanged speed that not all clips are found of."""

BUDGETS = ("FIRST_ASK_HASHES", "FIRST_ASK_POSTINGS", "ASK_HASHES", "ASK_POSTINGS")
"""The settings that say how much a clip of unchanged speed may cost."""

EFFORTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
"""Of the budgets."""


def main() -> None:
    """Recognise the same clips with each effort."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=count, nargs="+", default=[1], help="of the clips (default 1)")
    parser.add_argument("--per-condition", type=count, default=40, help="clips of each length, condition and seed")
    parser.add_argument("--efforts", type=float, nargs="+", default=EFFORTS, help="shares of the budgets")
    add_catalogue_options(parser)
    options = parser.parse_args()
    clips = [clip for seed in options.seeds for clip in make_clips(seed, options.per_condition, HARD)]
    efforts: dict[float, dict[str, Any]] = {}
    with (
        filled(recordings("reference"), options.catalogue, options.distractors) as deployment,
        closing(Service.open(deployment)) as service,
    ):
        answers_of(service, clips[:: max(1, len(clips) // 100)], "warming up")
        for effort in sorted(options.efforts):
            with _budgets(effort):
                efforts[effort] = _figures(answers_of(service, clips, f"effort {effort:g}"))
    options.json = options.json or OUT / "effort.json"
    picture = _draw(efforts, options.json.with_suffix(".png"))
    publish("effort", options, {"efforts": efforts, "picture": str(picture)}, [_table(efforts)], [])


@contextmanager
def _budgets(effort: float) -> Iterator[None]:
    """Let the service spend this share of what it may."""
    shipped = {name: getattr(settings, name) for name in BUDGETS}
    try:
        for name, value in shipped.items():
            setattr(settings, name, round(effort * value))
        yield
    finally:
        for name, value in shipped.items():
            setattr(settings, name, value)


def _figures(answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "groups": by_group(recall(answers)),
        "false_answers": false_answers(answers),
        "known_ms": _median_ms(answers, known=True),
        "unknown_ms": _median_ms(answers, known=False),
    }


def _median_ms(answers: Sequence[Answer], *, known: bool) -> float:
    return round(1000 * statistics.median(answer.seconds for answer in answers if answer.clip.known == known), 1)


def _table(efforts: dict[float, dict[str, Any]]) -> Table:
    rows = [
        (
            effort,
            row["group"],
            f"{row['length']:g} s",
            row["pooled"]["percent"],
            f"{row['pooled']['count']} of {row['pooled']['n']}",
            figures["known_ms"],
            figures["unknown_ms"],
            sum(one["count"] for one in figures["false_answers"].values()),
        )
        for effort, figures in efforts.items()
        for row in figures["groups"]
    ]
    header = ("effort", "conditions", "clip", "recall %", "right of n", "known ms", "unknown ms", "false")
    return Table("Recall by effort; milliseconds are medians of all clips", header, rows)


def _draw(efforts: dict[float, dict[str, Any]], path: Path) -> Path:
    """Recall over effort, a line for each group of conditions and length."""
    lines: dict[str, list[float]] = {}
    for figures in efforts.values():
        for row in figures["groups"]:
            lines.setdefault(f"{row['group']}, {row['length']:g} s", []).append(row["pooled"]["percent"])
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, values in lines.items():
        axes.plot([*efforts], values, marker="o", label=name)
    axes.set(xlabel="effort: share of the hashes and postings that may be asked", ylabel="recall, %")
    axes.set_xscale("log", base=2)
    axes.legend(frameon=False, fontsize=8)
    return save(figure, path)


if __name__ == "__main__":
    main()
