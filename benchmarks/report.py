"""What every benchmark prints: its figures as tables and as JSON, with what one needs to compare them with others."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dejavu.config.settings import format_digest

PROJECT = Path(__file__).resolve().parent.parent
OUT = PROJECT / "benchmarks" / "out"
CORES = len(os.sched_getaffinity(0))

_LOAD_BEFORE = os.getloadavg()[0]
_LIBRARIES = ("numpy", "scipy", "av", "Flask", "gunicorn")


@dataclass(frozen=True, slots=True)
class Table:
    """Figures for people. Numbers are written as they are, so round them."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __str__(self) -> str:
        cells = [[str(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title, *(line.rstrip() for line in lines)])


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to be: `bound` at least, or at most."""

    what: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether the figure is what it is to be; one that could not be measured is not."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def publish(
    name: str, options: argparse.Namespace, figures: Mapping[str, Any], tables: Sequence[Table], targets: list[Target]
) -> None:
    """Print tables and JSON, and keep the JSON where `--json` says, or else as benchmarks/out/<name>.json."""
    goals = [
        (target.what, f"{target.value:.4g}", f"{'>=' if target.at_least else '<='} {target.bound:g}", _verdict(target))
        for target in targets
    ]
    asked = [Table("What it is to reach", ("figure", "measured", "target", ""), goals)] if goals else []
    for table in (*tables, *asked):
        print(f"{table}\n")
    document = {
        "benchmark": name,
        "options": {key: value for key, value in vars(options).items() if key != "json"},
        "environment": environment(),
        **figures,
        "targets": [{**asdict(target), "reached": target.reached} for target in targets],
    }
    # What could not be measured is nan here and null in JSON.
    document = json.loads(json.dumps(document, default=str), parse_constant=lambda _: None)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    path = options.json or OUT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    print(text)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with what all benchmarks understand."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go (default: benchmarks/out/<name>.json)")
    return parser


def count(text: str) -> int:
    """A whole number from 0 on, for command lines."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def environment() -> dict[str, Any]:
    """What was measured, with what, on what and when."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "fingerprint_format": format_digest(),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in _LIBRARIES} | {"sqlite": sqlite3.sqlite_version},
        "cpu": _cpu_model(),
        "cores": CORES,
        "system": platform.platform(),
        "load_before": round(_LOAD_BEFORE, 2),
    }


def quantiles(values: Sequence[float], shares: Sequence[float], digits: int) -> list[float]:
    """The values below which these shares (0..1) of all values are; nan where there are no values."""
    if not len(values):
        return [float("nan")] * len(shares)
    return [round(float(value), digits) for value in np.quantile(values, shares)]


def percent(part: int, whole: int) -> float:
    """`part` of `whole` in percent; nan where there is no whole."""
    return round(100 * part / whole, 2) if whole else float("nan")


def _verdict(target: Target) -> str:
    return "reached" if target.reached else "NOT REACHED"


def _git(*arguments: str) -> str | None:
    found = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
