"""The figures of `load` as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.load_figures import Rate
from benchmarks.load_report import Measured
from benchmarks.plots import save

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(measured: Measured, knee: Rate | None, path: Path) -> Path:
    """Over the offered rate: above, what was answered and refused; below, how long answers took."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6, 5.6), sharex=True)
    offered, rows = [*measured.rates], [*measured.rates.values()]
    above.plot([0, max(offered)], [0, max(offered)], "--", color="#999999", lw=1, label="as offered")
    above.plot(offered, [row["per_second"] for row in rows], marker="o", color="#2471a3", label="answered")
    refused = [rate * row["refusals"]["percent"] / 100 for rate, row in measured.rates.items()]
    above.plot(offered, refused, marker="o", color="#c0392b", label="refused")
    above.set(ylabel="requests a second")
    for name, style in (("median", "o-"), ("p95", "o:")):
        below.plot(offered, [row[f"{name}_ms"] for row in rows], style, color="#2471a3", label=name)
        below.axhline(measured.alone[f"{name}_ms"], color="#999999", lw=1, ls=style[1], label=f"{name} of one client")
    below.set(yscale="log", ylabel="ms to the answer, since it was due", xlabel="requests a second, offered")
    for panel in (above, below):
        if knee:
            panel.axvline(knee.offered, color="#1e8449", lw=1, label=f"knee, {knee.offered:g} a second")
        panel.legend(frameon=False, fontsize=8)
    return save(figure, path)
