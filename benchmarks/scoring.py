"""Answers as the evaluation tool score.py reads and counts them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.answers import Answer
from benchmarks.material import Clip, eval_file
from benchmarks.report import OUT


def score_by_tool(answers: Sequence[Answer]) -> str:
    """What score.py says of the answers; what it reads stays in benchmarks/out/accuracy."""
    folder = OUT / "accuracy"
    folder.mkdir(parents=True, exist_ok=True)
    names = _names([answer.clip for answer in answers])
    clips = [(name, answer.clip) for name, answer in zip(names, answers, strict=True)]
    queries = [(name, c.file, c.role, c.condition, f"{c.length:g}", c.start) for name, c in clips]
    _write_csv(folder / "queries.csv", "query,file,role,condition,length_s,start_s", queries)
    predictions = folder / "tunescout.csv"
    rows = [_prediction(name, answer) for name, answer in zip(names, answers, strict=True)]
    _write_csv(predictions, "query,file,offset_s,score,ms", rows)
    command = [sys.executable, str(eval_file("score.py")), str(folder), str(predictions)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _names(clips: Sequence[Clip]) -> list[str]:
    """Those of their files, as other systems' predictions have them, unless clips of another seed are named alike."""
    several = len({clip.seed for clip in clips}) > 1
    return [f"seed{clip.seed}/{clip.path.name}" if several else clip.path.name for clip in clips]


def _prediction(name: str, answer: Answer) -> tuple[object, ...]:
    match = answer.match
    found = (match.song.name, round(match.offset_seconds, 3), round(match.confidence, 5)) if match else ("", "", "")
    return (name, *found, round(1000 * answer.seconds, 1))


def _write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
