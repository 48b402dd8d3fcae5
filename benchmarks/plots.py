"""The figures of `accuracy` as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from benchmarks.answers import Answer, Recall
from benchmarks.backgrounds import NOISE, SPEECH
from benchmarks.conditions import groups
from benchmarks.peers import Peers

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS = "#c0392b"
THEIRS = ("#7f8c8d", "#8e44ad", "#2471a3", "#1e8449")
MARKS = ("o", "s", "^", "D")
GRID = {"color": "#dddddd", "linewidth": 0.7}
_STYLE = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "legend.frameon": False,
    "figure.dpi": 110,
}


def save(figure: Figure, path: Path) -> Path:
    """Keep a picture as this file, and let go of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", dpi=110)
    plt.close(figure)
    return path


def draw(folder: Path, answers: Sequence[Answer], figures: Mapping[str, Any], peers: Peers) -> list[Path]:
    """Draw all there is to see, as PNG files in this folder, and name them."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "recall": lambda: _recall(figures["recall"], peers),
        "recall_by_length": lambda: _by_length(figures["recall"], peers),
        "reliability": lambda: _reliability(figures["calibration"]),
        "confidence": lambda: _confidence(answers),
        "offsets": lambda: _offsets(answers),
        "time": lambda: _time(answers),
    }
    paths = []
    with mpl.rc_context(_STYLE):
        for name, make in pictures.items():
            figure = make()
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], bbox_inches="tight")
            plt.close(figure)
    return paths


def _recall(found: Recall, peers: Peers) -> Figure:
    """A row for each condition, a panel for each length: ours with its interval, the peers as marks."""
    lengths = sorted({length for cells in found.values() for length in cells})
    conditions = list(found)
    figure, panels = plt.subplots(
        1, len(lengths), figsize=(1.6 + 3.4 * len(lengths), 1.3 + 0.27 * len(conditions)), sharey=True, squeeze=False
    )
    rows = np.arange(len(conditions))
    for panel, length in zip(panels[0], lengths, strict=True):
        for row, condition in zip(rows.tolist(), conditions, strict=True):
            if row % 2:
                panel.axhspan(row - 0.5, row + 0.5, color="#f6f6f6", zorder=0)
            for place, value in enumerate(peers.recall.get(condition, {}).get(length, ())):
                label = peers.names[place] if row == 0 else None
                panel.plot(value, row, MARKS[place % 4], color=THEIRS[place % 4], ms=4.5, alpha=0.85, label=label)
            if cell := found[condition].get(length):
                _with_interval(panel, cell, row)
        panel.set(title=f"{length:g} s", xlim=(-3, 103), xlabel="recall, %", ylim=(len(conditions) - 0.5, -0.5))
        panel.grid(axis="x", **GRID)
        panel.set_yticks(rows, conditions)
        panel.tick_params(axis="y", length=0)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(
        [plt.Line2D([], [], color=OURS, marker="o", ms=5.5), *handles],
        ["here, 95 % interval", *labels],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=5,
    )
    figure.tight_layout()
    return figure


def _with_interval(panel: Axes, cell: Mapping[str, Any], row: float) -> None:
    low, high = cell["interval_95"]
    panel.plot([low, high], [row, row], color=OURS, lw=2.2, alpha=0.45, solid_capstyle="butt", zorder=4)
    panel.plot(cell["percent"], row, "o", color=OURS, ms=5.5, zorder=5)


def _by_length(found: Recall, peers: Peers) -> Figure:
    """A panel for each condition: recall over the length of the clip."""
    columns = min(len(found), 5 if len(found) % 5 == 0 else 6)
    height = -(-len(found) // columns)
    figure, panels = plt.subplots(
        height, columns, figsize=(2.1 * columns + 0.6, 1.75 * height + 0.7), sharex=True, sharey=True, squeeze=False
    )
    lengths = sorted({length for cells in found.values() for length in cells})
    for panel in panels.flat[len(found) :]:
        panel.set_visible(False)
    for panel in panels.flat[max(0, len(found) - columns) : len(found)]:
        panel.tick_params(labelbottom=True)
    for panel, (condition, cells) in zip(panels.flat, found.items(), strict=False):
        theirs = peers.recall.get(condition, {})
        for place, name in enumerate(peers.names):
            values = [theirs[length][place] for length in lengths if length in theirs]
            panel.plot(lengths[: len(values)], values, color=THEIRS[place % 4], lw=1.1, alpha=0.8, label=name)
        middle = [cell["percent"] for cell in cells.values()]
        bounds = np.array([cell["interval_95"] for cell in cells.values()]).T
        panel.fill_between(list(cells), *bounds, color=OURS, alpha=0.15, lw=0)
        panel.plot(list(cells), middle, "o-", color=OURS, ms=4, lw=1.8, label="here, 95 % interval")
        panel.set(title=condition, ylim=(-4, 104))
        panel.set_xticks(lengths, [f"{length:g}" for length in lengths])
        panel.set_yticks([0, 25, 50, 75, 100])
        panel.grid(**GRID)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
    figure.supxlabel("length of the clip, s", fontsize=9.5)
    figure.supylabel("recall, %", fontsize=9.5)
    figure.tight_layout()
    return figure


def _reliability(calibrated: Mapping[str, Any]) -> Figure:
    """What answers said of themselves against how often they were right; below, how many there were."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(5, 5.6), height_ratios=(4, 1), sharex=True)
    bins = calibrated["bins"]
    said, was = [one["confidence"] for one in bins], [one["right"] for one in bins]
    above.plot([0, 1], [0, 1], color="#999999", lw=1, ls="--", label="as it should be")
    for one in bins:
        above.plot([one["confidence"]] * 2, one["interval_95"], color=OURS, lw=2.2, alpha=0.45, solid_capstyle="butt")
    above.plot(said, was, "o", color=OURS, ms=6, label="answers in a bin, 95 % interval")
    above.set(title=f"Calibration of {calibrated['n']} answers, expected error {calibrated['ece']}", ylim=(-0.03, 1.03))
    above.set(ylabel="share of them that was right")
    above.legend(loc="lower right")
    left = [one["from"] for one in bins]
    below.bar(left, [one["n"] for one in bins], [one["to"] - one["from"] for one in bins], align="edge", color=OURS,
              alpha=0.6, edgecolor="white")  # fmt: skip
    below.set(xlabel="confidence", ylabel="answers", yscale=_scale(bins), xlim=(-0.02, 1.02))
    if bins:
        below.set_ylim(bottom=0.7)  # so that a single answer can be seen
    for panel in (above, below):
        panel.grid(**GRID)
    figure.tight_layout()
    return figure


def _confidence(answers: Sequence[Answer]) -> Figure:
    """How sure answers were, in logits, those that were right beside those that were not."""
    figure, panel = plt.subplots(figsize=(6.6, 3.6))
    given = [answer for answer in answers if answer.match]
    logits = _logits([answer.match.confidence for answer in given if answer.match])
    edges = np.linspace(-3, 12, 46)
    kinds = (
        ("right", [answer.true for answer in given], "#2471a3"),
        ("wrong, known recordings", [answer.false and answer.clip.known for answer in given], OURS),
        ("unknown recordings", [answer.false and answer.clip.role == "unknown" for answer in given], "#e67e22"),
        ("speech and noise", [answer.false and answer.clip.role in (SPEECH, NOISE) for answer in given], "#111111"),
    )
    for label, chosen, colour in kinds:
        here = np.clip(logits[np.array(chosen, dtype=bool)], edges[0], edges[-1])
        panel.hist(here, edges, label=f"{label} ({here.size})", color=colour, alpha=0.6 if label == "right" else 0.9)
    ticks = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
    panel.set_xticks(_logits(ticks), [f"{tick:g}" for tick in ticks])
    panel.set(
        yscale=_scale(given), xlabel="confidence (logistic scale; the ends hold what lies beyond)", ylabel="answers"
    )
    panel.set(title=f"{len(given)} of {len(answers)} clips were answered")
    panel.legend(loc="upper left")
    panel.grid(axis="y", **GRID)
    figure.tight_layout()
    return figure


def _scale(drawn: Sequence[object]) -> str:
    """A logarithmic axis needs something to stand on."""
    return "log" if drawn else "linear"


def _logits(shares: Sequence[float]) -> np.ndarray[Any, Any]:
    inside = np.clip(shares, 1e-9, 1 - 1e-9)
    return np.log(inside / (1 - inside))


def _offsets(answers: Sequence[Answer]) -> Figure:
    """How far the offsets of right answers are off, for unchanged and for changed clips."""
    figure, panel = plt.subplots(figsize=(6.6, 3.6))
    for label, changed, colour in (("unchanged", False, "#2471a3"), ("changed speed, tempo or pitch", True, OURS)):
        errors = np.sort(
            [one.offset_error for one in answers if one.named and not one.shared and one.changed == changed]
        )
        if errors.size:
            shares = 100 * np.arange(1, errors.size + 1) / errors.size
            panel.step(np.maximum(errors, 1e-3), shares, where="post", color=colour, label=f"{label} ({errors.size})")
    panel.axvline(0.05, color="#999999", ls="--", lw=1)
    panel.set(xscale="log", xlim=(1e-3, 60), ylim=(0, 102), xlabel="offset error, s (repeats in the song left out)")
    panel.set(ylabel="right answers within it, %", title="Offsets; the line is at 0.05 s")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="lower right")
    panel.grid(**GRID)
    figure.tight_layout()
    return figure


def _time(answers: Sequence[Answer]) -> Figure:
    """Milliseconds a clip took: median and 5th to 95th percentile, by group of conditions and length."""
    rows = [(group.name, group.conditions) for group in groups({one.clip.condition: 0 for one in answers})]
    rows += [("speech and noise", (SPEECH, NOISE, "white", "pink"))]
    lengths = sorted({answer.clip.length for answer in answers})
    figure, panel = plt.subplots(figsize=(7.4, 0.9 + 0.6 * len(rows)))
    colours = ("#85c1e9", "#2471a3", "#1b2631")
    for row, (_, conditions) in enumerate(rows):
        for place, length in enumerate(lengths):
            took = [1000 * o.seconds for o in answers if o.clip.condition in conditions and o.clip.length == length]
            if not took:
                continue
            low, middle, high = np.quantile(took, (0.05, 0.5, 0.95))
            at = row + 0.22 * (place - (len(lengths) - 1) / 2)
            panel.plot([low, high], [at, at], color=colours[place % 3], lw=2.2, alpha=0.5)
            panel.plot(middle, at, "o", color=colours[place % 3], ms=5, label=f"{length:g} s" if row == 0 else None)
    panel.set_yticks(range(len(rows)), [name for name, _ in rows])
    panel.set(xscale="log", ylim=(len(rows) - 0.5, -0.5), xlabel="milliseconds a clip; the bar is 5 % to 95 % of them")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="x", **GRID)
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    figure.tight_layout()
    return figure
