"""How many degraded clips are recognised, how often an answer is wrong, and whether `confidence` says so.

Clips are cut from real music; the catalogue is filled by the real service, which is then asked two clips at a time. The
figures stand beside those of other systems on the same clips (seed 1, 40 clips a cell, the default).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.answers import Answer, calibration, false_answers, offset_errors, recall
from benchmarks.catalogue import filled
from benchmarks.material import ALL_LENGTHS, CHANGED, Clip, eval_file, make_clips, recordings
from benchmarks.peers import Peers, read_peers
from benchmarks.report import Table, Target, make_parser, publish
from benchmarks.scoring import score_by_tool
from dejavu.service.service import Service

AT_A_TIME = 2
"""Clips in flight, as on a machine with two cores."""

EASY, EASY_SECONDS = ("clean", "quiet", "mp3_32k", "noise_10dB"), 5.0
"""Clips that nearly all have to be found."""

Recall = dict[str, dict[float, dict[str, float]]]


def main() -> None:
    """Recognise every clip and print what became of them."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-condition", type=int, default=40, help="clips of each length in each condition")
    parser.add_argument("--conditions", nargs="+", help="only these, in the words of make_queries.py")
    parser.add_argument("--unchanged", action="store_true", help="leave out changed speed, tempo and pitch")
    options = parser.parse_args()
    peers = read_peers(eval_file("PEERS.md"))
    answers = _recognise(make_clips(options.seed, options.per_condition, _conditions(options, peers)))
    found = recall(answers)
    below = _below(found, peers)
    all_of_them = _judge(answers)
    unchanged = _judge([answer for answer in answers if not answer.clip.condition.startswith(CHANGED)])
    calibrated = calibration(answers)
    milliseconds = round(1000 * median(answer.seconds for answer in answers), 1)
    scored = score_by_tool(answers)
    figures = {
        "recall": found,
        "below_a_peer": [f"{condition} {length:g} s: {' '.join(names)}" for condition, length, names in below],
        "all": all_of_them,
        "unchanged": unchanged,
        "calibration": calibrated,
        "milliseconds_per_query": {"n": len(answers), "at_a_time": AT_A_TIME, "median": milliseconds},
        "score.py": scored.splitlines(),
    }
    tables = [
        _recall_table(found, below, peers),
        _answer_table(all_of_them, unchanged, peers),
        Table(
            f"Calibration of {calibrated['n']} answers; expected error {calibrated['ece']}; "
            f"{milliseconds} ms a clip (median, {AT_A_TIME} at a time)",
            ("from", "to", "answers", "confidence", "right"),
            [tuple(row.values()) for row in calibrated["bins"]],
        ),
        Table("As score.py counts", scored.splitlines()[:1], [(line,) for line in scored.splitlines()[1:]]),
    ]
    publish("accuracy", options, figures, tables, _targets(found, below, all_of_them, unchanged))


def _conditions(options: argparse.Namespace, peers: Peers) -> list[str]:
    if options.conditions:
        return list(options.conditions)
    return [name for name in peers.recall if not name.startswith(CHANGED)] if options.unchanged else []


def _recognise(clips: Sequence[Clip]) -> list[Answer]:
    with filled(recordings("reference")) as deployment:
        service = Service.open(deployment)

        def ask(clip: Clip) -> Answer:
            with clip.path.open("rb") as file:
                began = time.perf_counter()
                matches = service.recognize(file).matches
            return Answer(clip, matches[0] if matches else None, time.perf_counter() - began)

        try:
            with ThreadPoolExecutor(AT_A_TIME) as threads:
                return list(tqdm(threads.map(ask, clips), desc="recognising", total=len(clips), unit="clip"))
        finally:
            service.close()


def _below(found: Recall, peers: Peers) -> list[tuple[str, float, list[str]]]:
    """Where another system finds more: condition, length, and which ones do."""
    cells = [
        (condition, length, peers.better_than(cell["percent"], condition, length))
        for condition, lengths in found.items()
        for length, cell in lengths.items()
    ]
    return [cell for cell in cells if cell[2]]


def _recall_table(found: Recall, below: Sequence[tuple[str, float, list[str]]], peers: Peers) -> Table:
    def ours(condition: str) -> str:
        return " / ".join(f"{cell['percent']:.0f}" for cell in found[condition].values())

    def theirs(condition: str, place: int) -> str:
        if condition not in peers.recall:
            return "-"
        return " / ".join(f"{peers.recall[condition][length][place]:.0f}" for length in ALL_LENGTHS)

    rows = [
        (
            condition,
            ours(condition),
            *(theirs(condition, place) for place in range(len(peers.names))),
            "; ".join(f"! {length:g} s: {', '.join(names)}" for where, length, names in below if where == condition),
        )
        for condition in found
    ]
    lengths = " / ".join(f"{length:g}" for length in ALL_LENGTHS)
    title = f"Recall in %, right recording first and above the threshold, {lengths} s; ! where others find more"
    return Table(title, ("condition", "here", *peers.names, ""), rows)


def _judge(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    return {**false_answers(answers), "offset_error": offset_errors(answers)}


def _answer_table(all_of_them: dict[str, dict[str, Any]], unchanged: dict[str, dict[str, Any]], peers: Peers) -> Table:
    def share(figures: dict[str, Any]) -> str:
        low, high = figures["interval_95"]
        return f"{figures['percent']} ({figures['count']} of {figures['n']}; 95 %: {low} to {high})"

    def offset(figures: dict[str, Any]) -> str:
        return f"{figures['median_seconds']} / {figures['near_percent']} % of {figures['n']}"

    def ours(judged: dict[str, dict[str, Any]]) -> dict[str, str]:
        return {
            "unknown": share(judged["unknown_answered"]),
            "known": share(judged["known_answered_wrongly"]),
            "offset": offset(judged["offset_error"]),
        }

    whole, steady = ours(all_of_them), ours(unchanged)
    rows = []
    for label, theirs in peers.other.items():
        word = label.split()[0].rstrip(",")
        rows.append((label, whole.get(word, "-"), steady.get(word, "-"), *theirs))
    return Table("Answers", ("", "here", "here, speed, tempo and pitch unchanged", *peers.names), rows)


def _targets(
    found: Recall,
    below: Sequence[tuple[str, float, list[str]]],
    all_of_them: dict[str, dict[str, Any]],
    unchanged: dict[str, dict[str, Any]],
) -> list[Target]:
    counted = [cell for cell in below if not cell[0].startswith(CHANGED)]
    easy = [cell["percent"] for name in EASY if (cell := found.get(name, {}).get(EASY_SECONDS))]
    return [
        Target("cells below a peer, unchanged speed, tempo and pitch", len(counted), 0),
        Target(f"lowest recall of {', '.join(EASY)} at 5 s, %", min(easy, default=float("nan")), 98, at_least=True),
        *(
            target
            for which, judged in (("all", all_of_them), ("unchanged", unchanged))
            for target in (
                Target(f"unknown recordings answered, {which}, %", judged["unknown_answered"]["percent"], 0.5),
                Target(f"offsets within 0.1 s, {which}, %", judged["offset_error"]["near_percent"], 95, at_least=True),
            )
        ),
    ]


if __name__ == "__main__":
    main()
