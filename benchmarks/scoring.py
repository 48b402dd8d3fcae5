"""Answers as the evaluation tool score.py reads and counts them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.answers import Answer
from benchmarks.material import eval_file
from benchmarks.report import OUT


def score_by_tool(answers: Sequence[Answer]) -> str:
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
