"""What happens when many clients ask at once: throughput, waiting times, errors, and how well the cores are used.

The yardstick is what the machine could do if nothing but a request's own work cost time: cores over the CPU seconds of
one request. Those are measured before and after, with a single client on an otherwise idle server, and during the load
as well. The clients run on the same cores as the server; what they and all others use is printed.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from tqdm import tqdm

from benchmarks.catalogue import Server, served
from benchmarks.client import CLIP_SECONDS, Client, Request, make_requests
from benchmarks.material import recordings
from benchmarks.processes import cpu_seconds, machine_cpu_seconds
from benchmarks.report import CORES, Table, Target, make_parser, publish, quantiles

ALONE = "one client"
TOGETHER = "all clients"


@dataclass(slots=True)
class Phase:
    """What some clients saw in a stretch of time, and what it cost. Added to under `lock`."""

    seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    clients_cpu_seconds: float = 0.0
    machine_cpu_seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, outcome: str, seconds: float) -> None:
        """Note one request: its status or the name of an exception."""
        with self.lock:
            self.outcomes[outcome] += 1
            self.latencies.append(seconds)

    def add(self, other: Phase) -> None:
        """Take in another stretch of the same kind."""
        self.seconds += other.seconds
        self.server_cpu_seconds += other.server_cpu_seconds
        self.clients_cpu_seconds += other.clients_cpu_seconds
        self.machine_cpu_seconds += other.machine_cpu_seconds
        self.outcomes += other.outcomes
        self.latencies += other.latencies

    @property
    def answered(self) -> int:
        """Requests answered as they should be."""
        return self.outcomes[str(http.HTTPStatus.OK.value)]

    def figures(self) -> dict[str, Any]:
        """Throughput, waiting times and costs."""
        requests = sum(self.outcomes.values())
        others = self.machine_cpu_seconds - self.server_cpu_seconds - self.clients_cpu_seconds
        median, p95, p99 = (quantiles(self.latencies, [share], 4)[0] * 1000 for share in (0.5, 0.95, 0.99))
        return {
            "seconds": round(self.seconds, 1),
            "requests": requests,
            "errors": {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"},
            "per_second": round(self.answered / self.seconds, 2),
            "median_ms": round(median, 1),
            "p95_ms": round(p95, 1),
            "p99_ms": round(p99, 1),
            "server_cpu_seconds_per_request": round(self.server_cpu_seconds / max(1, requests), 4),
            "clients_cpu_seconds_per_request": round(self.clients_cpu_seconds / max(1, requests), 5),
            "cores_used_by_server": round(self.server_cpu_seconds / self.seconds, 2),
            "cores_used_by_clients": round(self.clients_cpu_seconds / self.seconds, 2),
            "cores_used_by_others": round(others / self.seconds, 2),
        }


def main() -> None:
    """Ask alone, together, and alone again."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=int, default=8, help="clips of each kind (default 8)")
    parser.add_argument("--clients", type=int, default=20, help="at once (default 20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long all ask (default 60)")
    parser.add_argument("--alone-seconds", type=float, default=10.0, help="how long one asks, before and after")
    options = parser.parse_args()
    requests = make_requests(options.seed, options.per_kind)
    alone = Phase()
    with served(recordings("reference")) as server:
        _run(server, requests, 1, options.alone_seconds / 2)  # to warm up
        alone.add(_run(server, requests, 1, options.alone_seconds))
        together = _run(server, requests, options.clients, options.seconds)
        alone.add(_run(server, requests, 1, options.alone_seconds))
        restarts = server.get("/api/health").json()["workers"]["restarts"]
    figures = {ALONE: alone.figures(), TOGETHER: together.figures()}
    per_request = {name: row["server_cpu_seconds_per_request"] for name, row in figures.items()}
    ratios = {name: round(together.answered / together.seconds * cpu / CORES, 3) for name, cpu in per_request.items()}
    errors = sum(together.outcomes.values()) - together.answered
    tables = [
        Table(
            f"{options.clients} clients for {options.seconds:g} s, clips of {CLIP_SECONDS:g} s, server and clients on "
            f"{CORES} cores",
            ("", ALONE, TOGETHER),
            [(name.replace("_", " "), figures[ALONE][name], figures[TOGETHER][name]) for name in figures[ALONE]],
        ),
        Table(
            "Throughput over cores / CPU seconds of one request",
            ("CPU seconds measured with", "CPU seconds", "possible per second", "ratio"),
            [(name, cpu, round(CORES / cpu, 1), ratios[name]) for name, cpu in per_request.items()],
        ),
    ]
    targets = [
        Target("errors", errors, 0),
        Target("throughput over cores / CPU seconds of one request (one client)", ratios[ALONE], 0.7, at_least=True),
    ]
    document = {"phases": figures, "ratios": ratios, "worker_restarts": restarts}
    publish("load", options, document, tables, targets)


def _run(server: Server, requests: Sequence[Request], clients: int, seconds: float) -> Phase:
    """So many clients, each with a connection and its own place in the row of clips, until the time is over."""
    phase = Phase()
    pids = [server.process.pid, *server.descendants()]
    machine_cpu, server_cpu, own_cpu = machine_cpu_seconds(), cpu_seconds(pids), time.process_time()
    began = time.monotonic()
    threads = [
        threading.Thread(
            target=_ask_until,
            args=(server.address, [*requests[place % len(requests) :], *requests[: place % len(requests)]], phase),
            kwargs={"end": began + seconds},
        )
        for place in range(clients)
    ]
    for thread in threads:
        thread.start()
    for _ in tqdm(range(math.ceil(seconds)), desc=f"asking, {clients} at a time", unit="s"):
        threads[0].join(1.0)
    for thread in threads:
        thread.join()
    phase.seconds = time.monotonic() - began
    phase.machine_cpu_seconds = machine_cpu_seconds() - machine_cpu
    phase.clients_cpu_seconds = time.process_time() - own_cpu
    phase.server_cpu_seconds = cpu_seconds({*pids, server.process.pid, *server.descendants()}) - server_cpu
    return phase


def _ask_until(address: tuple[str, int], requests: Sequence[Request], phase: Phase, *, end: float) -> None:
    with Client(address) as client:
        for request in cycle(requests):
            began = time.monotonic()
            if began >= end:
                return
            try:
                outcome = str(client.recognise(request).status)
            except (OSError, http.client.HTTPException) as exc:
                outcome = type(exc).__name__
            phase.count(outcome, time.monotonic() - began)


if __name__ == "__main__":
    main()
