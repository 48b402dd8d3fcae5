"""What clients notice when a database server is killed and comes back, when one is silent, and when all are gone.

One real service over two ClickHouse servers, a MariaDB and Redis, with its results on two of them, is asked by ten
clients at a time; one server after the other is killed (SIGKILL) and started again meanwhile. Then a service with
another instance, an address that takes everything and never answers, is compared with one without, clip by clip. Last,
everything is killed.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Self

from tqdm import tqdm

from benchmarks.catalogue import Server, upload
from benchmarks.client import CLIP_SECONDS, Client, Request, make_requests
from benchmarks.databases import (
    Killable,
    Silence,
    killed,
    private_clickhouse,
    private_mariadb,
    private_redis,
    service,
)
from benchmarks.material import recordings
from benchmarks.report import Table, Target, make_parser, publish, quantiles
from dejavu.config.database import Database, ServerDatabase

DATABASE = "bench"

NOTICED_SECONDS = 2.0
"""How long an outage may show."""

BEARABLE = 1.2
"""What the median may be from then on, over that of before."""

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Victim:
    """A server, and the instance that answers have to name while it is away; Redis is none."""

    server: Killable
    instance: str | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """A filled service and what it stands on."""

    server: Server
    instances: Sequence[Database]
    victims: Mapping[str, Victim]


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it began (seconds, monotonic), how long it took, its status or the name of an exception."""

    began: float
    seconds: float
    outcome: str
    unavailable: tuple[str, ...] = ()


def main() -> None:
    """Kill one after the other, compare with a silent one, kill all."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=int, default=4, help="clips of each kind (default 4)")
    parser.add_argument("--clients", type=int, default=10, help="at once (default 10)")
    parser.add_argument("--seconds", type=float, default=8.0, help="before each kill, and until the return (default 8)")
    parser.add_argument("--rounds", type=int, default=10, help="times each clip is sent beside a silent address")
    options = parser.parse_args()
    requests = make_requests(options.seed, options.per_kind)
    with _fleet() as fleet:
        with Clients(fleet.server, requests, options.clients):
            _pass(options.seconds, "warming up")
        outages = {
            name: _outage(fleet.server, name, victim, requests, options.clients, options.seconds)
            for name, victim in fleet.victims.items()
        }
        silent = _beside_silence(fleet.instances, requests, options.rounds)
        gone = _all_gone(fleet, requests)
    figures = {"outages": outages, "silent": silent, "gone": gone}
    publish("outages", options, figures, _tables(outages, silent, gone), _targets(outages, silent, gone))


@contextmanager
def _fleet() -> Iterator[Fleet]:
    with ExitStack() as opened:
        one, two = (opened.enter_context(private_clickhouse()) for _ in range(2))
        mariadb = opened.enter_context(private_mariadb())
        redis = opened.enter_context(private_redis())
        instances = [server.database(DATABASE) for server in (one, two, mariadb)]
        server = opened.enter_context(service(instances, redis, results=[instances[2], instances[1]]))
        upload(server, recordings("reference"))
        victims = {
            "ClickHouse": Victim(one, "instances[0]"),
            "ClickHouse with results": Victim(two, "instances[1]"),
            "MariaDB with results": Victim(mariadb, "instances[2]"),
            "Redis": Victim(redis, None),
        }
        yield Fleet(server, instances, victims)


class Clients:
    """Clients that ask for one clip after the other while a `with` block runs, each on a connection of its own."""

    def __init__(self, server: Server, requests: Sequence[Request], count: int) -> None:
        self.answers: list[Answer] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(server, [*requests[place:], *requests[:place]]))
            for place in (number % len(requests) for number in range(count))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, server: Server, requests: Sequence[Request]) -> None:
        with Client(server.address) as client:
            for request in cycle(requests):
                if self._stop.is_set():
                    return
                self.answers.append(_answer(client, request))


def _answer(client: Client, request: Request) -> Answer:
    began = time.monotonic()
    try:
        reply = client.recognise(request)
    except (OSError, http.client.HTTPException) as exc:
        return Answer(began, time.monotonic() - began, type(exc).__name__)
    unavailable = tuple(reply.document.get("unavailable", ()))
    return Answer(began, time.monotonic() - began, str(reply.status), unavailable)


# --- One server goes and comes back -----------------------------------------------------------------------------------


def _outage(
    server: Server, name: str, victim: Victim, requests: Sequence[Request], clients: int, seconds: float
) -> dict[str, Any]:
    with Clients(server, requests, clients) as asking:
        _pass(seconds, f"with {name}")
        with killed(victim.server):
            down = time.monotonic()
            _pass(seconds, f"without {name}")
            up = time.monotonic()
        used_again_seconds = _seconds_until(lambda: _all_used(server))
    answers = sorted(asking.answers, key=lambda answer: answer.began)
    before = [answer for answer in answers if answer.began + answer.seconds < down]
    away = [answer for answer in answers if down < answer.began and answer.began + answer.seconds < up]
    expected = () if victim.instance is None else (victim.instance,)
    median = _median_ms(before)
    early = [answer for answer in away if answer.began < down + NOTICED_SECONDS]
    late = [answer for answer in away if answer.began >= down + NOTICED_SECONDS]
    return {
        "requests": len(answers),
        "failed": sum(answer.outcome != "200" for answer in answers),
        "wrongly_named": sum(answer.unavailable != expected for answer in away),
        "median_before_ms": median,
        "first_ratio": round(_median_ms(early) / median, 3),
        "ratio": round(_median_ms(late) / median, 3),
        "longest_ms": round(1000 * max(answer.seconds for answer in away), 1),
        "used_again_seconds": round(used_again_seconds, 2),
    }


def _all_used(server: Server) -> bool:
    """Whether every database, and every cache in front of one, is in use."""
    health = server.get("/api/health").json()
    caches = [instance["cache"] for instance in health["instances"]]
    watched = [*health["instances"], *health["results"], *caches, health["redis"]]
    return all(one["state"] == "up" for one in watched)


# --- One that never answers -------------------------------------------------------------------------------------------


def _beside_silence(instances: Sequence[Database], requests: Sequence[Request], rounds: int) -> dict[str, Any]:
    """Send each clip to a service with a silent address and to one without in turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as opened:
        port = opened.enter_context(Silence()).port
        nobody = ServerDatabase("clickhouse", "127.0.0.1", port, DATABASE)
        servers = [opened.enter_context(service(some)) for some in (instances, [*instances, nobody])]
        clients = [opened.enter_context(Client(server.address)) for server in servers]
        turns = [request for _ in range(1 + rounds) for request in requests]
        for number, request in enumerate(tqdm(turns, desc="beside silence", unit="clip")):
            for place in (0, 1) if number % 2 else (1, 0):
                answer = _answer(clients[place], request)
                if number >= len(requests):  # the first round warms up
                    seconds[place].append(answer.seconds)
    without, beside = (quantiles([1000 * value for value in row], [0.5], 1)[0] for row in seconds)
    return {"median_without_ms": without, "median_beside_ms": beside, "ratio": round(beside / without, 3)}


# --- All of them ------------------------------------------------------------------------------------------------------


def _all_gone(fleet: Fleet, requests: Sequence[Request]) -> dict[str, Any]:
    """How long an error takes, the first and the others, and how long it is until there are answers again."""
    found = {}
    for name, chosen in {"results": ("ClickHouse with results", "MariaDB with results"), "everything": None}.items():
        servers = [victim.server for key, victim in fleet.victims.items() if chosen is None or key in chosen]
        with Client(fleet.server.address) as client:
            with killed(*servers):
                answers = [_answer(client, request) for request in requests]
            recovered_seconds = _seconds_until(lambda: _answer(client, requests[0]).outcome == "200")
            complete_seconds = recovered_seconds + _seconds_until(lambda: _all_used(fleet.server))
        found[name] = {
            "other_than_503": sum(answer.outcome != "503" for answer in answers),
            "longest_ms": round(1000 * max(answer.seconds for answer in answers), 1),
            "answers_after_seconds": round(recovered_seconds, 2),
            "complete_after_seconds": round(complete_seconds, 2),
        }
    return found


# --- Figures ----------------------------------------------------------------------------------------------------------


def _tables(outages: Mapping[str, Any], silent: Mapping[str, Any], gone: Mapping[str, Any]) -> list[Table]:
    first = next(iter(outages.values()))
    return [
        Table(
            f"A server is killed while clients ask, clips of {CLIP_SECONDS:g} s; medians over those of before, of "
            f"requests in the first {NOTICED_SECONDS:g} s and after them",
            ("killed", *(name.replace("_", " ") for name in first)),
            [(name, *row.values()) for name, row in outages.items()],
        ),
        Table("Beside an address that never answers", tuple(silent), [tuple(silent.values())]),
        Table(
            "All gone",
            ("", *(name.replace("_", " ") for name in next(iter(gone.values())))),
            [(name, *row.values()) for name, row in gone.items()],
        ),
    ]


def _targets(outages: Mapping[str, Any], silent: Mapping[str, Any], gone: Mapping[str, Any]) -> list[Target]:
    targets = []
    for name, row in outages.items():
        targets += [
            Target(f"{name}: requests failed or not naming it", row["failed"] + row["wrongly_named"], 0),
            Target(f"{name}: median from {NOTICED_SECONDS:g} s on over that of before", row["ratio"], BEARABLE),
            Target(f"{name}: seconds until it is used again", row["used_again_seconds"], 5),
        ]
    targets.append(Target("median beside a silent address over that without", silent["ratio"], 1.1))
    for name, row in gone.items():
        targets += [
            Target(f"{name} gone: answers other than 503", row["other_than_503"], 0),
            Target(f"{name} gone: longest ms to the error", row["longest_ms"], 1000),
            Target(f"{name} gone: seconds until all are used again", row["complete_after_seconds"], 5),
        ]
    return targets


def _pass(seconds: float, what: str) -> None:
    for _ in tqdm(range(round(seconds)), desc=what, unit="s"):
        time.sleep(1.0)


def _seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _median_ms(answers: Sequence[Answer]) -> float:
    return quantiles([1000 * answer.seconds for answer in answers], [0.5], 1)[0]


if __name__ == "__main__":
    main()
