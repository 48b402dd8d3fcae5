"""What a client waits for when the same catalogue is spread over two instances, or has Redis in front.

Real services, one for each way to run it, are up at once, each over private database servers and filled by the real
uploader; those with Redis share the databases of those without. One client sends every clip to one after the other, so
that whatever disturbs the machine disturbs all alike, and what counts are the ratios.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm import tqdm

from benchmarks.catalogue import Server, upload
from benchmarks.client import CLIP_SECONDS, Client, Reply, Request, make_requests
from benchmarks.databases import private_clickhouse, private_mariadb, private_redis, service
from benchmarks.log_stages import STAGES, log_lines
from benchmarks.material import recordings
from benchmarks.report import Table, Target, make_parser, percent, publish, quantiles
from dejavu.config.settings import FIRST_ASK_HASHES

ONE, TWO, ONE_CACHED = "ClickHouse", "2 x ClickHouse", "ClickHouse + Redis"
MARIADB, MARIADB_CACHED = "MariaDB", "MariaDB + Redis"

GOALS = (
    (TWO, ONE, 1.3),
    (ONE_CACHED, ONE, 1.0),
    (MARIADB_CACHED, MARIADB, 1.0),
)
"""The median of the first over that of the second, at most."""

KINDS = {"known clips": True, "unknown clips": False}
"""Apart, since the first step is enough for most known clips and for no unknown one: all hashes are asked for these."""

WARM_UP_ROUNDS_AT_MOST = 8
"""Entries of the cache are written when there is time, so that one round need not be enough."""

DATABASE = "bench"

Replies = dict[str, list[tuple[Request, Reply]]]


def main() -> None:
    """Send every clip to every service again and again, and print medians and their ratios."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=int, default=8, help="clips of each kind (default 8)")
    parser.add_argument("--rounds", type=int, default=10, help="times each clip is sent, warm (default 10)")
    options = parser.parse_args()
    requests = make_requests(options.seed, options.per_kind)
    with _services() as services:
        warm_up_rounds = _warm_up(services, requests)
        before = {name: _cache(server) for name, server in services.items()}
        replies = _ask(services, requests, options.rounds)
        after = {name: _cache(server) for name, server in services.items()}
        songs = services[ONE].songs_held()
        for server in services.values():
            server.stop()
        figures = {
            kind: {
                name: _summary(server.log, [pair for pair in replies[name] if pair[0].clip.known is known])
                for name, server in services.items()
            }
            for kind, known in KINDS.items()
        }
    caches = {name: _cache_figures(before[name], after[name]) for name in after if after[name]}
    ratios = {
        kind: {f"{name} over {other}": _ratio(rows[name], rows[other]) for name, other, _ in GOALS}
        for kind, rows in figures.items()
    }
    tables = [_times_table(kind, rows) for kind, rows in figures.items()]
    tables.append(
        Table(
            "What /api/health says of the caches",
            ("", "hit % when measured", "hit % from the start", "saved seconds"),
            [(name, *row.values()) for name, row in caches.items()],
        )
    )
    targets = [
        Target(f"{name} over {other}, {kind}", ratios[kind][f"{name} over {other}"], most)
        for name, other, most in GOALS
        for kind in figures
    ]
    document = {
        "songs": songs,
        "warm_up_rounds": warm_up_rounds,
        "clips": figures,
        "caches": caches,
        "ratios_of_medians": ratios,
    }
    publish("side_by_side", options, document, tables, targets)


def _times_table(kind: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    return Table(
        f"Milliseconds from request to answer, {kind} of {CLIP_SECONDS:g} s, one client, warm; medians of the stages",
        ("", "requests", "median", "p95", *STAGES, "right %", "asked all %"),
        [
            (
                name,
                *(row[key] for key in ("requests", "median_ms", "p95_ms")),
                *row["stages_ms"].values(),
                *(row[key] for key in ("right_percent", "asked_all_percent")),
            )
            for name, row in rows.items()
        ],
    )


@contextmanager
def _services() -> Iterator[dict[str, Server]]:
    """All services, filled."""
    with ExitStack() as opened:
        one, *two = (opened.enter_context(private_clickhouse()).database(DATABASE) for _ in range(3))
        mariadb = opened.enter_context(private_mariadb()).database(DATABASE)
        redis = opened.enter_context(private_redis())
        other_redis = opened.enter_context(private_redis())
        services = {
            ONE: opened.enter_context(service([one])),
            TWO: opened.enter_context(service(two)),
            MARIADB: opened.enter_context(service([mariadb])),
        }
        for server in services.values():
            upload(server, recordings("reference"))
        # Started when the catalogue is complete, they find it at rest.
        services[ONE_CACHED] = opened.enter_context(service([one], redis))
        services[MARIADB_CACHED] = opened.enter_context(service([mariadb], other_redis))
        yield services


def _warm_up(services: Mapping[str, Server], requests: Sequence[Request]) -> int:
    """Send all clips until the caches have all there is to have; after how many rounds."""
    for done in range(1, WARM_UP_ROUNDS_AT_MOST + 1):
        missed = sum(misses for server in services.values() for _, misses, _ in _cache(server))
        _ask(services, requests, 1)
        if missed == sum(misses for server in services.values() for _, misses, _ in _cache(server)):
            return done
    return WARM_UP_ROUNDS_AT_MOST


def _ask(services: Mapping[str, Server], requests: Sequence[Request], rounds: int) -> Replies:
    """Send each clip to all services in turn, every time in another order."""
    replies: Replies = defaultdict(list)
    names = list(services)
    with ExitStack() as opened:
        clients = {name: opened.enter_context(Client(server.address)) for name, server in services.items()}
        turns = [request for _ in range(rounds) for request in requests]
        for number, request in enumerate(tqdm(turns, desc="posting", unit="clip")):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                replies[name].append((request, clients[name].recognise(request)))
    return replies


def _cache(server: Server) -> list[tuple[int, int, float]]:
    """Hits, misses and seconds saved of each instance that has a cache."""
    caches = [instance["cache"] for instance in server.get("/api/health").json()["instances"]]
    return [(cache["hits"], cache["misses"], cache["saved_seconds"] or 0.0) for cache in caches if cache]


def _cache_figures(before: Sequence[tuple[int, int, float]], after: Sequence[tuple[int, int, float]]) -> dict[str, Any]:
    (hits_before, misses_before, _), (hits, misses, saved_seconds) = (
        [sum(column) for column in zip(*rows, strict=True)] for rows in (before, after)
    )
    new_hits, new_misses = int(hits - hits_before), int(misses - misses_before)
    return {
        "hit_percent": percent(new_hits, new_hits + new_misses),
        "hit_percent_from_start": percent(int(hits), int(hits + misses)),
        "saved_seconds": round(saved_seconds, 2),
    }


def _summary(log: str, replies: Sequence[tuple[Request, Reply]]) -> dict[str, Any]:
    lines = log_lines(log, (reply for _, reply in replies))
    middle, high = quantiles([1000 * reply.seconds for _, reply in replies], [0.5, 0.95], 1)
    return {
        "requests": len(replies),
        "median_ms": middle,
        "p95_ms": high,
        "stages_ms": {stage: quantiles([float(line[stage]) for line in lines], [0.5], 1)[0] for stage in STAGES},
        "right_percent": percent(sum(reply.is_right(request.clip) for request, reply in replies), len(replies)),
        "asked_all_percent": percent(sum(int(line["asked"]) > FIRST_ASK_HASHES for line in lines), len(lines)),
    }


def _ratio(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return round(one["median_ms"] / other["median_ms"], 3)


if __name__ == "__main__":
    main()
