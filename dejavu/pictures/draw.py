"""A portrait as a PNG image: whose peaks lie where, and the spike among all places in the song.

matplotlib is imported here and nowhere else in the service, and this module only when a picture is asked for: it takes
as much memory as all the rest. Its object interface keeps no state between pictures, so that any thread may draw; it
holds the interpreter for most of the time a picture takes, so who serves others draws one at a time.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from dejavu.config.settings import ANALYSIS_FS, BAND_FIRST_BIN, BAND_LAST_BIN, HOP_LENGTH, N_FFT
from dejavu.matching.sketch import Overlay, agreements, overlay
from dejavu.service.portraits import Likeness, Portrait

SIZE_INCHES = (8.0, 5.6)
DPI = 150

INK, FAINT = "#222222", "#8c8c8c"
AGREED, MISSED = "#0072b2", "#d55e00"
"""Okabe and Ito's blue and vermilion, which nobody takes for each other."""

_SECONDS_OF_FRAME = HOP_LENGTH / ANALYSIS_FS
_HZ_OF_BIN = ANALYSIS_FS / N_FFT
_TICKS_HZ = (250, 500, 1000, 2000, 4000)
_MOST_NAME = 70
_BARS = 1200
"""As many as the picture has columns; where there are more places, each bar is the highest of some."""


def png(portrait: Portrait, spectrogram: NDArray[np.uint8] | None = None) -> bytes:
    """Draw a portrait, over the clip's spectrogram (uint8[frames, bins of the band]) where there is one."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    found = portrait.found
    if found is None:
        _draw_clip(figure.subplots(), portrait, None, spectrogram)
        _caption(figure, "Not in the catalogue", "no song has the clip's peaks in this order")
    else:
        upper, lower = figure.subplots(2, 1, height_ratios=(2.2, 1))
        _draw_clip(upper, portrait, overlay(portrait.clip, found.placement, found.stored), spectrogram)
        _draw_agreements(lower, portrait, found)
        _caption(figure, _shortened(found.name), _facts(found))
    target = io.BytesIO()
    canvas.print_png(target)  # type: ignore[no-untyped-call]
    return target.getvalue()


def _draw_clip(
    axes: Axes, portrait: Portrait, laid_over: Overlay | None, spectrogram: NDArray[np.uint8] | None
) -> None:
    """Time and frequency of the clip: its peaks, and the song's over them."""
    clip = portrait.clip
    seconds, hz = clip.frames * _SECONDS_OF_FRAME, (clip.bins + BAND_FIRST_BIN) * _HZ_OF_BIN
    met = np.zeros(len(clip), np.bool_) if laid_over is None else laid_over.of_clip
    if spectrogram is not None:
        edges = np.arange(spectrogram.shape[0] + 1) * _SECONDS_OF_FRAME
        bands = (np.arange(spectrogram.shape[1] + 1) + BAND_FIRST_BIN - 0.5) * _HZ_OF_BIN
        axes.pcolormesh(edges, bands, spectrogram.T, cmap="gray_r", vmin=0, vmax=340, rasterized=True)
    axes.plot(seconds[~met], hz[~met], ".", color=FAINT, markersize=2.6, label=f"peaks of the clip ({len(clip)})")
    if laid_over is not None:
        agreed, missed = int(laid_over.met.sum()), int((~laid_over.met).sum())
        _rings(axes, laid_over, ~laid_over.met, MISSED, f"of the song, not in the clip ({missed})")
        axes.plot(seconds[met], hz[met], ".", color=AGREED, markersize=4.5)
        _rings(axes, laid_over, laid_over.met, AGREED, f"of the song, met by the clip ({agreed})")
    axes.set_yscale("log")
    axes.set_ylim((BAND_FIRST_BIN - 1) * _HZ_OF_BIN, BAND_LAST_BIN * _HZ_OF_BIN)
    axes.set_yticks(_TICKS_HZ, [f"{tick:g}" for tick in _TICKS_HZ])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0, max(float(seconds.max(initial=0)), _SECONDS_OF_FRAME))
    axes.set_xlabel("seconds of the clip")
    axes.set_ylabel("Hz")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8, handletextpad=0.3)
    _plain(axes)


def _rings(axes: Axes, laid_over: Overlay, which: NDArray[np.bool_], colour: str, label: str) -> None:
    seconds, hz = laid_over.frames[which] * _SECONDS_OF_FRAME, laid_over.bins[which] * _HZ_OF_BIN
    axes.plot(seconds, hz, "o", markersize=5.5, markerfacecolor="none", color=colour, markeredgewidth=1.0, label=label)


def _draw_agreements(axes: Axes, portrait: Portrait, found: Likeness) -> None:
    """For each place in the song, how many of its peaks the clip has if it lies there."""
    counted = agreements(portrait.clip, found.placement, found.stored)
    step = -(-counted.counts.size // _BARS)
    counts = np.pad(counted.counts, (0, -counted.counts.size % step)).reshape(-1, step).max(axis=1)
    seconds = (counted.first + np.arange(counts.size) * step) * _SECONDS_OF_FRAME
    axes.fill_between(seconds, counts, step="mid", color=FAINT, linewidth=0)
    place = round(found.placement.delta)
    within = counted.counts[max(0, place - 1 - counted.first) : place + 2 - counted.first]
    axes.vlines(place * _SECONDS_OF_FRAME, 0, within.max(initial=0), color=AGREED, linewidth=2.2)
    axes.set_xlim(seconds[0], max(seconds[-1], seconds[0] + 1))
    axes.set_ylim(0, None)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _clock(value)))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("where in the song the clip would begin")
    axes.set_ylabel("peaks that agree")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def _caption(figure: Figure, title: str, facts: str) -> None:
    figure.suptitle(_printable(title), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    figure.text(0.99, 0.985, _printable(facts), ha="right", va="top", fontsize=9, color=INK, parse_math=False)


def _facts(found: Likeness) -> str:
    told = [f"at {_clock(found.placement.delta * _SECONDS_OF_FRAME)}", f"confidence {found.confidence:.3g}"]
    warp = found.placement.warp
    if warp.speed != 1:
        told.append(f"speed {warp.speed:.3f}")
    if warp.pitch != warp.speed:
        told.append(f"pitch {warp.pitch:.3f}")
    return ", ".join(told)


def _clock(seconds: float) -> str:
    whole = round(abs(seconds))
    return f"{'−' if seconds < -0.5 else ''}{whole // 60}:{whole % 60:02}"


def _shortened(name: str) -> str:
    return name if len(name) <= _MOST_NAME else f"{name[: _MOST_NAME - 1]}…"


def _printable(text: str) -> str:
    """Text with a box for what the font has no glyph for: matplotlib would draw one too, and complain."""
    known = _glyphs()
    return "".join(character if ord(character) in known else "□" for character in text)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(weight="bold"))).get_charmap())
