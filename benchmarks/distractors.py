"""Whether synthetic tracks (`benchmarks/surrogates.py`) are as hard on a catalogue as real ones.

They stand in for the thousands of recordings that nobody has at hand, so two things have to be as they are with real
ones: how many postings a clip gets back, which is what a look-up costs, and how well the best wrong song agrees with
the clip, which is what false answers come from. Both are measured with clips of real recordings against all the real
ones but the clip's own, and against as many synthetic ones of the same lengths; then against more and more synthetic
tracks of full length. How well clips agree with their own recordings shows that nothing synthetic is a copy. Everything
is kept in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.filling import make_tracks
from benchmarks.material import Clip, make_clips
from benchmarks.memory_index import MemoryIndex
from benchmarks.report import Table, Target, make_parser, publish, quantiles
from benchmarks.surrogates import FRAMES_PER_SECOND, Source, load_source, make_track, stored_part
from dejavu.audio.decode import decode
from dejavu.config.settings import ASK_HASHES, FIRST_ASK_HASHES, MATCH_SCORE
from dejavu.fingerprint.commonness import in_asking_order
from dejavu.fingerprint.extract import extract_query, reference_of
from dejavu.matching.align import align
from dejavu.matching.chance import catalogue_score, combined
from dejavu.model import Fingerprints, Query

CONDITIONS = ("clean", "noise_5dB", "noise_-5dB", "phone", "call")
LENGTHS = (5.0, 10.0)

SHARES = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Quantiles that best wrong surprises are given at."""

MOST_FREQUENT = (0.001, 0.01, 0.1)
"""Parts of all distinct hashes, of which the share of postings is given."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A clip, its query, and the number of its recording among the real ones."""

    clip: Clip
    query: Query
    recording: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a query gets from a catalogue without its own recording.

    first_postings : for each of the first FIRST_ASK_HASHES; postings : for each of the first ASK_HASHES.
    surprise : of the song whose landmarks agree best, 0 where none do; peaks are not compared here.
    """

    first_postings: float
    postings: float
    surprise: float


def main() -> None:
    """Compare real and synthetic tracks and print how they differ."""
    parser = make_parser(__doc__)
    parser.add_argument("--tracks", type=int, default=2000, help="synthetic tracks of full length (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="of tracks and clips (default 1)")
    parser.add_argument("--per-condition", type=int, default=20, help="clips of each condition and length (default 20)")
    options = parser.parse_args()
    if options.tracks < 1 or options.per_condition < 1:
        parser.error("--tracks and --per-condition are to be at least 1.")
    clips = make_clips(options.seed, options.per_condition, CONDITIONS, LENGTHS)
    source = load_source()
    lengths = [(int(peaks.frames[-1]) + 1) / FRAMES_PER_SECOND for peaks in source.constellations]
    real = [reference_of(stored_part(peaks)) for peaks in source.constellations]
    same = [make_track(source, options.seed, number, seconds) for number, seconds in enumerate(lengths)]
    began = time.process_time()
    # Not those of `same` again: numbers go on where they end.
    full = list(make_tracks(source, options.seed, range(len(same), len(same) + options.tracks)))
    made_ms = round(1000 * (time.process_time() - began) / options.tracks, 2)
    asked = [_ask(clip, source) for clip in tqdm(clips, desc="fingerprinting clips", unit="clip")]
    statistics = {"real": _statistics(real), "synthetic, as long": _statistics(same)}
    own = [_own_surprise(one, real) for one in asked]
    found = {
        "real": _find_in_parts(asked, real, _halves(len(real)), "real", own=True),
        "synthetic, as long": _find_in_parts(asked, same, _halves(len(same)), "synthetic", own=False),
        "synthetic": _find_in_parts(asked, full, _halves(len(full)), "more synthetic", own=False),
    }
    figures = {
        "made_ms": made_ms,
        "statistics": statistics,
        "clips": len(asked),
        "own_recording": quantiles(own, SHARES, 2),
        "catalogues": {
            kind: {size: _summary(answers, size) for size, answers in by_size.items()}
            for kind, by_size in found.items()
        },
    }
    publish("distractors", options, figures, _tables(figures, full), _targets(figures, len(real)))


def _ask(clip: Clip, source: Source) -> Asked:
    with clip.path.open("rb") as file:
        query = extract_query(decode(file))
    return Asked(clip, query, source.files.index(clip.file))


def _own_surprise(one: Asked, real: Sequence[Fingerprints]) -> float:
    """How well a clip agrees with the recording it was cut from."""
    return _find(MemoryIndex([real[one.recording]]), one.query, 1, -1).surprise


def _statistics(tracks: Sequence[Fingerprints]) -> dict[str, float]:
    """What tracks are without any clip: how many hashes, and how unevenly they are used."""
    hashes = np.concatenate([track.hashes for track in tracks])
    seconds = sum(float(track.offsets.max(initial=0)) + 1 for track in tracks) / FRAMES_PER_SECOND
    counts = np.sort(np.unique(hashes, return_counts=True)[1])[::-1]
    frequencies = quantiles(counts.tolist(), (0.5, 0.9, 0.99, 0.999, 1.0), 0)
    return {
        "hashes_per_second": round(hashes.size / seconds, 2),
        "distinct_hashes": counts.size,
        **{f"frequency_q{share:g}": value for share, value in zip((50, 90, 99, 99.9, 100), frequencies, strict=True)},
        **{f"top_{100 * part:g}_percent": _share(counts, part) for part in MOST_FREQUENT},
        "same_hash_ppm": round(1e6 * float(((counts / hashes.size) ** 2).sum()), 2),
        "repeated_in_track": round(1 - sum(np.unique(track.hashes).size for track in tracks) / hashes.size, 3),
    }


def _share(counts: NDArray[np.int64], part: float) -> float:
    """Which share of all postings the most frequent hashes have; `counts` is descending."""
    return round(float(counts[: max(1, round(part * counts.size))].sum() / counts.sum()), 4)


def _halves(size: int) -> list[int]:
    """A catalogue's size and a half and a quarter of it, ascending."""
    return sorted({max(1, size // divisor) for divisor in (4, 2, 1)})


def _find_in_parts(
    asked: Sequence[Asked], tracks: Sequence[Fingerprints], sizes: Sequence[int], what: str, own: bool
) -> dict[int, list[Found]]:
    """What every clip gets from the first so many tracks, for each of `sizes`.

    own : whether the tracks are the real ones, of which the clip's own is then left out.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(tracks))  # the folder is sorted by origin
    index = MemoryIndex([tracks[number] for number in order])
    place = np.argsort(order)
    found: dict[int, list[Found]] = {size: [] for size in sizes}
    for one in tqdm(asked, desc=f"asking {len(tracks)} {what} tracks", unit="clip"):
        left_out = int(place[one.recording]) if own else -1
        for size in sizes:
            found[size].append(_find(index, one.query, size, left_out))
    return found


def _find(index: MemoryIndex, query: Query, size: int, left_out: int) -> Found:
    ordered, _ = in_asking_order(query, index.fingerprints_held(size))
    hashes, offsets = ordered.hashes[:ASK_HASHES], ordered.offsets[:ASK_HASHES]
    first, every = np.unique(hashes[:FIRST_ASK_HASHES]), np.unique(hashes)
    postings = index.postings(every, size, left_out)
    best = align(postings, hashes, offsets, 1)
    return Found(
        first_postings=len(index.postings(first, size, left_out)) / max(1, first.size),
        postings=len(postings) / max(1, every.size),
        surprise=best[0].surprise if best else 0.0,
    )


def _summary(found: Sequence[Found], size: int) -> dict[str, Any]:
    surprises = [one.surprise for one in found]
    return {
        "postings_per_1000_first": round(1000 * float(np.mean([one.first_postings for one in found]))),
        "postings_per_1000": round(1000 * float(np.mean([one.postings for one in found]))),
        "postings_per_1000_median": round(1000 * float(np.median([one.postings for one in found]))),
        "best_wrong": quantiles(surprises, SHARES, 2),
        "matched": sum(catalogue_score(combined(one, 0.0), size) >= MATCH_SCORE for one in surprises),
    }


def _tables(figures: dict[str, Any], full: Sequence[Fingerprints]) -> list[Table]:
    kinds = figures["statistics"]
    rows = [(kind, size, row) for kind, by_size in figures["catalogues"].items() for size, row in by_size.items()]
    return [
        Table(
            f"The tracks themselves; synthetic ones of full length take {figures['made_ms']} ms of CPU each and have "
            f"{np.mean([len(track) for track in full]):.0f} hashes",
            ("", *kinds),
            [(name, *(row[name] for row in kinds.values())) for name in next(iter(kinds.values()))],
        ),
        Table(
            f"Postings for each 1000 hashes of {figures['clips']} clips, without those of the clip's own recording",
            (
                *("catalogue", "tracks", f"of the first {FIRST_ASK_HASHES}"),
                *(f"of the first {ASK_HASHES}", "the same, median clip"),
            ),
            [
                (kind, size, *(row[f"postings_per_1000{which}"] for which in ("_first", "", "_median")))
                for kind, size, row in rows
            ],
        ),
        Table(
            "Surprise of the best wrong track by its landmarks, quantiles over clips; clips it would do for as a match",
            ("catalogue", "tracks", *(f"{100 * share:g} %" for share in SHARES), "matches"),
            [(kind, size, *row["best_wrong"], row["matched"]) for kind, size, row in rows]
            + [("the clip's own recording", 1, *figures["own_recording"], "")],
        ),
    ]


def _targets(figures: dict[str, Any], size: int) -> list[Target]:
    real, same = (figures["catalogues"][kind][size] for kind in ("real", "synthetic, as long"))
    mine, theirs = figures["statistics"]["synthetic, as long"], figures["statistics"]["real"]
    most = max(row["best_wrong"][-1] for row in figures["catalogues"]["synthetic"].values())
    pairs = zip(same["best_wrong"], real["best_wrong"], strict=True)
    off = max(
        abs(synthetic - wanted) for (synthetic, wanted), share in zip(pairs, SHARES, strict=True) if share <= 0.95
    )
    return [
        Target("CPU of a track, ms", figures["made_ms"], 5),
        *_within("hashes per second, of real", mine["hashes_per_second"] / theirs["hashes_per_second"], 0.03),
        *_within("postings of the top 1 %, of real", mine["top_1_percent"] / theirs["top_1_percent"], 0.1),
        *_within("postings for a clip, of real", same["postings_per_1000"] / real["postings_per_1000"], 0.25),
        Target("best wrong surprise up to 95 %, off real", off, 1),
        # What a copy would reach, over what the tracks do.
        Target("own recording's median over the highest", figures["own_recording"][0] / most, 5, at_least=True),
    ]


def _within(what: str, ratio: float, tolerance: float) -> list[Target]:
    return [Target(what, ratio, 1 - tolerance, at_least=True), Target(what, ratio, 1 + tolerance)]


if __name__ == "__main__":
    main()
