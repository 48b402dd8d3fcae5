"""How many degraded clips are recognised, how often an answer is wrong, and whether `confidence` says so.

Clips are cut from real music; the catalogue is filled by the real service, which is then asked two clips at a time. The
figures stand beside those of other systems on the same clips (seed 1, 40 clips a cell, the default).
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.answers import Answer, calibration, false_answers, offset_errors, recall
from benchmarks.catalogue import filled
from benchmarks.material import ALL_LENGTHS, CHANGED, Clip, eval_file, make_clips, recordings
from benchmarks.peers import Peers, read_peers
from benchmarks.report import OUT, Table, Target, make_parser, publish
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
    found, wrong, offsets = recall(answers), false_answers(answers), offset_errors(answers)
    below = _below(found, peers)
    calibrated = calibration(answers)
    milliseconds = round(1000 * median(answer.seconds for answer in answers), 1)
    scored = _score(answers)
    figures = {
        "recall": found,
        "below_a_peer": [f"{condition} {length:g} s: {' '.join(names)}" for condition, length, names in below],
        **wrong,
        "offset_error": offsets,
        "calibration": calibrated,
        "milliseconds_per_query": {"n": len(answers), "at_a_time": AT_A_TIME, "median": milliseconds},
        "score.py": scored.splitlines(),
    }
    tables = [
        _recall_table(found, below, peers),
        _answer_table(wrong, offsets, peers),
        Table(
            f"Calibration of {calibrated['n']} answers; expected error {calibrated['ece']}; "
            f"{milliseconds} ms a clip (median, {AT_A_TIME} at a time)",
            ("from", "to", "answers", "confidence", "right"),
            [tuple(row.values()) for row in calibrated["bins"]],
        ),
        Table("As score.py counts", scored.splitlines()[:1], [(line,) for line in scored.splitlines()[1:]]),
    ]
    publish("accuracy", options, figures, tables, _targets(found, below, wrong, offsets))


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


def _answer_table(wrong: dict[str, dict[str, Any]], offsets: dict[str, float], peers: Peers) -> Table:
    def ours(what: str) -> str:
        low, high = wrong[what]["interval_95"]
        return f"{wrong[what]['percent']} ({wrong[what]['count']} of {wrong[what]['n']}; 95 %: {low} to {high})"

    mine = {
        "unknown": ours("unknown_answered"),
        "known": ours("known_answered_wrongly"),
        "offset": f"{offsets['median_seconds']} s / {offsets['near_percent']} % of {offsets['n']}",
    }
    rows = [(label, mine.get(label.split()[0].rstrip(","), "-"), *theirs) for label, theirs in peers.other.items()]
    return Table("Answers", ("", "here", *peers.names), rows)


def _targets(
    found: Recall,
    below: Sequence[tuple[str, float, list[str]]],
    wrong: dict[str, dict[str, Any]],
    offsets: dict[str, float],
) -> list[Target]:
    counted = [cell for cell in below if not cell[0].startswith(CHANGED)]
    easy = [cell["percent"] for name in EASY if (cell := found.get(name, {}).get(EASY_SECONDS))]
    return [
        Target("cells below a peer, unchanged speed, tempo and pitch", len(counted), 0),
        Target(f"lowest recall of {', '.join(EASY)} at 5 s, %", min(easy, default=float("nan")), 98, at_least=True),
        Target("unknown recordings answered, %", wrong["unknown_answered"]["percent"], 0.5),
        Target("offsets within 0.1 s, %", offsets["near_percent"], 95, at_least=True),
    ]


def _score(answers: Sequence[Answer]) -> str:
    """What score.py says of the answers; what it reads stays in benchmarks/out/accuracy."""
    folder = OUT / "accuracy"
    folder.mkdir(parents=True, exist_ok=True)
    clips = [answer.clip for answer in answers]
    queries = [(c.path.name, c.file, c.role, c.condition, f"{c.length:g}", c.start) for c in clips]
    _write_csv(folder / "queries.csv", "query,file,role,condition,length_s,start_s", queries)
    predictions = folder / "tunescout.csv"
    _write_csv(predictions, "query,file,offset_s,score,ms", [_prediction(answer) for answer in answers])
    command = [sys.executable, str(eval_file("score.py")), str(folder), str(predictions)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _prediction(answer: Answer) -> tuple[object, ...]:
    match = answer.match
    found = (match.song.name, round(match.offset_seconds, 3), round(match.confidence, 5)) if match else ("", "", "")
    return (answer.clip.path.name, *found, round(1000 * answer.seconds, 1))


def _write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


if __name__ == "__main__":
    main()
