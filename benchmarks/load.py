"""What happens when many clients ask at once, and when more come than can be served.

The yardstick is what the machine could do if nothing but a request's own work cost time: cores over the CPU seconds of
one request. Those are measured before and after, with a single client on an otherwise idle server, and during the load
as well. The clients run on the same cores as the server; what they and all others use is printed.

First one client asks, then 2, 4, 8, … at a time, each of which waits for its answer before it asks again. The most that
is answered a second is the capacity. Then requests come at fixed rates around it, at random times and whatever becomes
of those before them; how long one takes is counted from when it was due, not from when it could be sent. The knee is
the highest of these rates up to which, at it and at all lower ones, the 95th percentile stays within `--knee-ratio`
times that of one client alone, and nothing is refused. Beyond it the service has to refuse what it cannot do, at once,
and say when to come back; the same with a crowd of clients that do come back then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.catalogue import Server, served
from benchmarks.client import Request, make_requests
from benchmarks.databases import service
from benchmarks.kept import KINDS, fill_up, kept
from benchmarks.load_clients import Arriving, Waiting, put_under, warm_up
from benchmarks.load_figures import doubling, make_deck
from benchmarks.load_plot import draw
from benchmarks.load_report import Measured, tables, targets
from benchmarks.material import recordings
from benchmarks.report import OUT, count, make_parser, publish

HARD = ("noise_-5dB", "call", "speed_+4")
"""Conditions in which known clips take more than the first look-up: a crowd's noise, a phone call, a turntable."""

DECK_SIZE = 80
"""Clips in a row before they begin anew: few, so that a stretch of some seconds has its share of each kind."""


def main() -> None:
    """Ask alone, together, at fixed rates, in a crowd, and alone again."""
    options = _options()
    names = ["load", *([options.kind.replace(" ", "-")] if options.kind else [])]
    options.json = options.json or OUT / f"{'-'.join(names)}.json"
    groups = _groups(options.seed, options.per_kind)
    deck = make_deck(groups, dict(zip(groups, options.mix, strict=True)), DECK_SIZE, options.seed)
    with _served(options) as server:
        warm_up(server, [request for group in groups.values() for request in group])
        measured = _measure(server, deck, options)
        songs, restarts = server.songs_held(), server.get("/api/health").json()["workers"]["restarts"]
    knee = measured.knee(options.knee_ratio)
    picture = draw(measured, knee, options.json.with_suffix(".png"))
    publish(
        "load",
        options,
        {"songs": songs, "worker_restarts": restarts, **measured.document(knee), "picture": str(picture)},
        tables(measured, knee, options.knee_ratio),
        targets(measured, knee),
    )


def _options() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips and of when they are due (default 1)")
    parser.add_argument("--per-kind", type=count, default=8, help="clips of each kind (default 8)")
    parser.add_argument(
        "--mix",
        type=float,
        nargs=3,
        default=[50, 25, 25],
        metavar=("KNOWN", "UNKNOWN", "HARD"),
        help=f"shares of known and of unknown clips, clean and phone-like, and of known ones as {', '.join(HARD)} "
        "(default 50 25 25)",
    )
    parser.add_argument("--clients", type=count, default=20, help="at once, at most (default 20)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each load lasts (default 30)")
    parser.add_argument("--alone-seconds", type=float, default=20.0, help="how long one asks, before and after")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0],
        help="at which requests come, over the capacity (default 0.5 … 2)",
    )
    parser.add_argument("--connections", type=count, default=900, help="for these, at a time (default 900)")
    parser.add_argument("--crowd", type=count, default=150, help="clients that come back when told to (default 150)")
    parser.add_argument("--knee-ratio", type=float, default=3.0, help="of p95 to that of one client (default 3)")
    parser.add_argument("--kind", choices=KINDS, help="of a database that stays (default: two new SQLite files)")
    parser.add_argument("--tracks", type=count, default=0, help="synthetic ones in it as well (default none)")
    parser.add_argument(
        "--folder", type=Path, default=OUT / "scale", help="where it stays, by tracks (default: as for scale)"
    )
    options = parser.parse_args()
    if options.tracks and not options.kind:
        parser.error("--tracks needs the --kind of database to keep them in")
    if not (options.per_kind and options.clients and options.connections):
        parser.error("--per-kind, --clients and --connections have to be at least 1")
    if min(options.mix) < 0 or not sum(options.mix) or min(options.rates) <= 0:
        parser.error("--mix takes shares from 0 on that are not all 0, and --rates numbers above 0")
    return options


def _groups(seed: int, per_kind: int) -> dict[str, list[Request]]:
    """Clips by what is to be told apart: known and unknown ones as people send them, and hard ones."""
    usual = make_requests(seed, per_kind)
    hard = make_requests(seed, per_kind, HARD)
    groups = {
        "known": [request for request in usual if request.clip.known],
        "unknown": [request for request in usual if not request.clip.known],
        "hard": [request for request in hard if request.clip.known],
    }
    return {name: [replace(request, kind=name) for request in group] for name, group in groups.items()}


@contextmanager
def _served(options: argparse.Namespace) -> Iterator[Server]:
    """The real service over two new SQLite files, or over databases that stay and are filled with what is missing."""
    if not options.kind:
        with served(recordings("reference")) as server:
            yield server
        return
    with kept(options.kind, options.folder / str(options.tracks)) as stores:
        fill_up(stores, options.tracks)
        with service([store.database for store in stores]) as server:
            yield server


def _measure(server: Server, deck: Sequence[Request], options: argparse.Namespace) -> Measured:
    alone = put_under(server, Waiting(1), deck, options.alone_seconds, "1 client")
    together = {1: alone.figures()}
    for clients in doubling(options.clients)[1:]:
        stretch = put_under(server, Waiting(clients), deck, options.seconds, f"{clients} clients")
        together[clients] = stretch.figures()
    capacity = max(row["per_second"] for row in together.values())
    rates = {}
    for number, share in enumerate(sorted(options.rates)):
        rate = round(share * capacity, 2)
        load = Arriving(rate, (options.seed, number), options.connections)
        rates[rate] = put_under(server, load, deck, options.seconds, f"{rate:g} a second", watch=True).figures()
    crowd = {}
    if options.crowd:
        many, what = Waiting(options.crowd), f"{options.crowd} clients"
        crowd[options.crowd] = put_under(server, many, deck, options.seconds, what, watch=True).figures()
    again = put_under(server, Waiting(1), deck, options.alone_seconds, "1 client again")
    return Measured((alone + again).figures(), again.figures(), together, rates, crowd)


if __name__ == "__main__":
    main()
