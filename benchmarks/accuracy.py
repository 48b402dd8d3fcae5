"""How many degraded clips are recognised, how often an answer is wrong, and whether `confidence` says so.

Clips are cut from real music, from speech and from noise; the catalogue is filled by the real service, which is then
asked two clips at a time. The figures stand beside those of other systems on the same clips (seed 1, 40 clips a cell,
the default), with 95 % intervals, as tables, JSON and pictures. `benchmarks.compare` sets two results side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.answer_tables import answer_table, other_tables, recall_table
from benchmarks.answers import Answer, Recall, calibration, false_answers, offset_errors, ratios, recall, times
from benchmarks.asking import AT_A_TIME, answers_of
from benchmarks.backgrounds import background_clips
from benchmarks.catalogue import add_catalogue_options, filled
from benchmarks.conditions import DEFAULT_RANGE_PERCENT, LEAD_IN_SECONDS, WIDE_RANGE_PERCENT, within_range
from benchmarks.duplicates import shared_audio
from benchmarks.goals import Below, by_group, group_table, targets
from benchmarks.likeness import SAME, Likeness
from benchmarks.material import CHANGED, Clip, eval_file, make_clips, recordings
from benchmarks.peers import Peers, read_peers
from benchmarks.plots import draw
from benchmarks.report import OUT, count, make_parser, publish
from benchmarks.scoring import score_by_tool
from dejavu.config.deployment import RecognizingConfig, parse_deployment
from dejavu.errors import ConfigError
from dejavu.service.service import Service

MUSIC = ("reference", "unknown")
"""The roles of recordings that clips are cut from."""

LEAST_REPEAT_SECONDS = 0.3
"""How far from the place that a clip was cut from another one in the same recording has to be for a repeat: a beat of
200 a minute. Whatever is nearer is the same sound, answered inexactly."""

PEERS_SEED = 1
"""Of the clips that other systems were measured on."""


def main() -> None:
    """Recognise every clip and print what became of them."""
    options = _options()
    peers = read_peers(eval_file("PEERS.md"))
    clips = _clips(options, peers)
    likeness = Likeness(recordings(*MUSIC))
    shared = shared_audio(likeness)
    answers = [_judged(answer, likeness) for answer in _recognise(clips, options)]
    figures = _figures(answers)
    if len(options.seeds) > 1:
        figures["by_seed"] = {
            seed: _figures([answer for answer in answers if answer.clip.seed == seed]) for seed in options.seeds
        }
    figures["shared_audio"] = shared
    figures["excused"] = [_told(answer) for answer in answers if answer.shared]
    figures["false"] = [_told(answer) for answer in answers if answer.false]
    scored = score_by_tool([answer for answer in answers if answer.clip.role in MUSIC])
    figures["score.py"] = scored.splitlines()
    path: Path = options.json or OUT / "accuracy.json"
    drawn = draw(path.with_suffix(""), answers, figures, peers)
    below = _below(recall([answer for answer in answers if answer.clip.seed == PEERS_SEED]), peers)
    figures["below_a_peer"] = [f"{condition} {length:g} s: {' '.join(names)}" for condition, length, names in below]
    tables = [
        recall_table(figures["recall"], below, peers),
        group_table(figures["recall_by_group"]),
        answer_table(figures, peers),
        *other_tables(figures, [str(one) for one in drawn]),
    ]
    changed = [name for name in figures["recall"] if name.startswith(CHANGED)]
    asked = targets(figures, below if PEERS_SEED in options.seeds else None, changed)
    publish("accuracy", options, figures, tables, asked)


def _options() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=count, nargs="+", default=[1], help="of the clips (default 1)")
    parser.add_argument(
        "--per-condition", type=count, default=40, help="clips of each length in each condition and seed"
    )
    parser.add_argument("--conditions", nargs="+", help="only these, in the words of make_queries.py")
    parser.add_argument("--unchanged", action="store_true", help="leave out changed speed, tempo and pitch")
    parser.add_argument("--backgrounds", type=count, help="clips of each length and kind of speech and noise, by seed")
    add_catalogue_options(parser)
    parser.add_argument("--wide", action="store_true", help="a service that looks as far as ±25 %%, and such clips too")
    options = parser.parse_args()
    options.seeds = list(dict.fromkeys(options.seeds))
    if options.backgrounds is None:
        options.backgrounds = options.per_condition
    return options


def _clips(options: argparse.Namespace, peers: Peers) -> list[Clip]:
    conditions = list(options.conditions or ())
    if options.unchanged and not conditions:
        conditions = [name for name in peers.recall if not name.startswith(CHANGED)]
    reach = WIDE_RANGE_PERCENT if options.wide else DEFAULT_RANGE_PERCENT
    clips = [clip for seed in options.seeds for clip in make_clips(seed, options.per_condition, conditions)]
    if not conditions:  # what is out of the service's range is asked for by name only
        clips = [clip for clip in clips if within_range(clip.condition, reach)]
    return clips + [clip for seed in options.seeds for clip in background_clips(seed, options.backgrounds)]


def _recognise(clips: Sequence[Clip], options: argparse.Namespace) -> list[Answer]:
    with filled(recordings("reference"), options.catalogue, options.distractors) as deployment:
        if options.wide:
            deployment = replace(deployment, recognizing=_wide())
        with closing(Service.open(deployment)) as service:
            return answers_of(service, clips)


def _wide() -> RecognizingConfig:
    """What config.json says where an operator wants the widest range of speeds; ends the command where it cannot."""
    database = {"database_type": "sqlite", "database": {"path": "unused.sqlite"}}
    document = {
        "instances": [database],
        "results": [database | {"database": {"path": "unused-results.sqlite"}}],
        "recognizing": {"max_speed_change": WIDE_RANGE_PERCENT},
    }
    try:
        return parse_deployment(document, OUT, {}).recognizing
    except ConfigError as exc:
        raise SystemExit(f"This version cannot be asked for a wider range: {exc}") from exc


def _judged(answer: Answer, likeness: Likeness) -> Answer:
    """The answer, with whether a place that the clip was not cut from holds its sound all the same."""
    if not answer.match or answer.clip.role not in MUSIC:
        return answer
    if answer.named and abs(answer.offset_error) < LEAST_REPEAT_SECONDS:
        return answer
    clip, match = answer.clip, answer.match
    place = match.offset_seconds + LEAD_IN_SECONDS.get(clip.condition, 0.0)
    found = likeness.of(clip.file, clip.start, clip.length, match.song.name, place)
    return replace(answer, shared=found >= SAME, likeness=found)


def _told(answer: Answer) -> dict[str, Any]:
    """An answer other than the place that the clip was cut from, and how like the two are."""
    clip, match = answer.clip, answer.match
    return {
        "clip": f"seed {clip.seed}: {clip.path.name}",
        "cut_from": f"{clip.file} at {clip.start:.2f} s",
        "answered": f"{match.song.name} at {match.offset_seconds:.2f} s" if match else "",
        "confidence": round(match.confidence, 4) if match else 0.0,
        "likeness": answer.likeness,
    }


def _figures(answers: Sequence[Answer]) -> dict[str, Any]:
    found = recall(answers)
    return {
        "recall": found,
        "recall_by_group": by_group(found),
        "false_answers": false_answers(answers),
        "false_answers_by_length": {
            length: false_answers([answer for answer in answers if answer.clip.length == length])
            for length in sorted({answer.clip.length for answer in answers})
        },
        "offset_error": offset_errors(answers),
        "speed_and_pitch": ratios(answers),
        "calibration": calibration(answers),
        "milliseconds": {"at_a_time": AT_A_TIME, **times(answers)},
    }


def _below(found: Recall, peers: Peers) -> Below:
    cells = [
        (condition, length, peers.better_than(cell["percent"], condition, length))
        for condition, lengths in found.items()
        for length, cell in lengths.items()
    ]
    return [cell for cell in cells if cell[2]]


if __name__ == "__main__":
    main()
