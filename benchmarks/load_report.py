"""What `load` has measured as figures, as tables, and against its targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.client import CLIP_SECONDS
from benchmarks.load_figures import AT_ONCE_SECONDS, LATE_SECONDS, REFUSED, Rate, find_knee
from benchmarks.report import CORES, Table, Target

ALONE, TOGETHER = "one client", "all clients"

WAITING_BOUND = 4.0
"""What p95 of many clients may be, over the median of one times clients over cores: what they would wait if they shared
the cores evenly."""

RATIO_BOUND = 0.7
"""Throughput at least, over cores / CPU seconds of one request."""

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of each load, as `Stretch.figures` has them.

    alone : of one client, before and after everything else together; `again` is what came after. together : by number
    of clients, from one on. rates : by requests offered a second. crowd : of a number of clients that are too many, by
    that number; empty where there were none.
    """

    alone: Figures
    again: Figures
    together: Mapping[int, Figures]
    rates: Mapping[float, Figures]
    crowd: Mapping[int, Figures]

    @property
    def most_clients(self) -> int:
        """How many asked at a time, at most, without being too many."""
        return max(self.together)

    @property
    def capacity(self) -> float:
        """The most that was answered a second."""
        return max(float(row["per_second"]) for row in self.together.values())

    def knee(self, most_times: float) -> Rate | None:
        """The highest rate at which p95 is at most so many times that of one client alone; see `find_knee`."""
        rates = [Rate(offered, row["p95_ms"], row["refusals"]["count"]) for offered, row in self.rates.items()]
        return find_knee(rates, self.alone["p95_ms"], most_times)

    def beyond(self, knee: Rate | None) -> dict[str, Figures]:
        """The loads that are more than the service can do; all rates where there is no knee."""
        over = {_rate_name(rate): row for rate, row in self.rates.items() if knee is None or rate > knee.offered}
        return over | {_clients_name(clients): row for clients, row in self.crowd.items()}

    def by_name(self) -> dict[str, Figures]:
        """All loads, in the order in which they were measured."""
        return {
            **{_clients_name(clients): row for clients, row in self.together.items()},
            **{_rate_name(rate): row for rate, row in self.rates.items()},
            **{_clients_name(clients): row for clients, row in self.crowd.items()},
            "1 client again": self.again,
        }

    def ratios(self) -> dict[str, float]:
        """Throughput of all clients over cores / CPU seconds of a request, measured with one client and with all."""
        all_ = self.together[self.most_clients]
        cpu = {ALONE: _cpu_seconds(self.alone), TOGETHER: _cpu_seconds(all_)}
        return {name: round(all_["per_second"] * seconds / CORES, 3) for name, seconds in cpu.items()}

    def document(self, knee: Rate | None) -> dict[str, Any]:
        """Everything, as it is kept."""
        return {
            "phases": {ALONE: self.alone, TOGETHER: self.together[self.most_clients]},
            "ratios": self.ratios(),
            "capacity_per_second": self.capacity,
            "knee_per_second": knee.offered if knee else None,
            "knee_p95_ms": knee.p95_ms if knee else None,
            "loads": self.by_name(),
        }


def tables(measured: Measured, knee: Rate | None, most_times: float) -> list[Table]:
    """All there is to read."""
    return [
        _loads_table(measured),
        _kinds_table(measured),
        _knee_table(measured, knee, most_times),
        _beyond_table(measured, knee),
        _phases_table(measured),
        _ratios_table(measured),
    ]


def targets(measured: Measured, knee: Rate | None) -> list[Target]:
    """What is asked of it."""
    clients = measured.most_clients
    together, beyond = measured.together[clients], measured.beyond(knee)
    up_to_knee = [row for rate, row in measured.rates.items() if knee and rate <= knee.offered]
    even = measured.alone["median_ms"] * clients / CORES
    return [
        Target(f"errors with up to {clients} clients", _errors(measured.together.values()), 0),
        Target("errors at rates up to the knee", _errors(up_to_knee) if up_to_knee else float("nan"), 0),
        Target(
            f"p95 with {clients} clients over one's median x clients / cores",
            round(together["p95_ms"] / even, 2),
            WAITING_BOUND,
        ),
        Target(
            "throughput over cores / CPU seconds of one request (one client)",
            measured.ratios()[ALONE],
            RATIO_BOUND,
            at_least=True,
        ),
        Target(
            "refusals without Retry-After",
            sum(row["refusals"]["without_retry_after"] for row in measured.by_name().values()),
            0,
        ),
        Target("errors beyond the knee that are no refusals", _errors(beyond.values(), but=REFUSED), 0),
    ]


def _loads_table(measured: Measured) -> Table:
    return Table(
        f"Clips of {CLIP_SECONDS:g} s, server and clients on {CORES} cores; milliseconds since a request was due. "
        f"Late: sent more than {1000 * LATE_SECONDS:g} ms after that, because the clients were not able to",
        ("load", "seconds", "requests", "offered/s", "answered/s", "median", "p95", "p99", "errors", "late",
         "cores: server", "databases", "clients", "others"),
        [
            (
                name,
                row["seconds"],
                row["requests"],
                row["offered_per_second"],
                row["per_second"],
                *(row[key] for key in ("median_ms", "p95_ms", "p99_ms")),
                _counts(row["errors"]),
                row["held_back"],
                *(row[f"cores_used_by_{who}"] for who in ("server", "databases", "clients", "others")),
            )
            for name, row in measured.by_name().items()
        ],
    )  # fmt: skip


def _kinds_table(measured: Measured) -> Table:
    return Table(
        "By kind of clip",
        ("load", "clips", "answered", "right %", "median", "p95", "p99"),
        [
            (name, kind, *(figures[key] for key in ("answered", "right_percent", "median_ms", "p95_ms", "p99_ms")))
            for name, row in measured.by_name().items()
            for kind, figures in row["kinds"].items()
        ],
    )


def _knee_table(measured: Measured, knee: Rate | None, most_times: float) -> Table:
    return Table(
        f"Knee: the highest rate up to which p95 is at most {most_times:g} x that of one client "
        f"({measured.alone['p95_ms']:g} ms) and nothing is refused",
        ("capacity/s", "knee/s", "of the capacity", "p95"),
        [
            (
                measured.capacity,
                *(
                    (knee.offered, round(knee.offered / measured.capacity, 2), knee.p95_ms)
                    if knee
                    else ("none", "", "")
                ),
            )
        ],
    )


def _beyond_table(measured: Measured, knee: Rate | None) -> Table:
    return Table(
        f"Beyond the knee; at once: within {AT_ONCE_SECONDS:g} s. Waiting: requests that waited for a worker, at most",
        ("load", "refused", "%", "no Retry-After", "median", "p95", "at once %", "other errors", "accepted: p95",
         "over the knee's", "health, longest ms", "waiting"),
        [
            (
                name,
                *(row["refusals"][key] for key in ("count", "percent", "without_retry_after", "median_ms", "p95_ms",
                                                   "at_once_percent")),
                _errors([row], but=REFUSED),
                row["p95_ms"],
                round(row["p95_ms"] / knee.p95_ms, 2) if knee else "",
                row["health_longest_ms"],
                row["most_waiting"],
            )
            for name, row in measured.beyond(knee).items()
        ],
    )  # fmt: skip


def _phases_table(measured: Measured) -> Table:
    together = measured.together[measured.most_clients]
    return Table(
        "One client, before and after everything else, and "
        f"{measured.most_clients} clients for {together['seconds']:g} s",
        ("", ALONE, TOGETHER),
        [
            (name.replace("_", " "), value, together[name])
            for name, value in measured.alone.items()
            if not isinstance(value, Mapping)
        ],
    )


def _ratios_table(measured: Measured) -> Table:
    cpu = (_cpu_seconds(measured.alone), _cpu_seconds(measured.together[measured.most_clients]))
    return Table(
        "Throughput over cores / CPU seconds of one request, its databases' included",
        ("CPU seconds measured with", "CPU seconds", "possible per second", "ratio"),
        [
            (name, seconds, round(CORES / seconds, 1), ratio)
            for (name, ratio), seconds in zip(measured.ratios().items(), cpu, strict=True)
        ],
    )


def _cpu_seconds(row: Figures) -> float:
    seconds: float = row["server_cpu_seconds_per_request"] + row["databases_cpu_seconds_per_request"]
    return round(seconds, 4)


def _errors(rows: Iterable[Figures], but: str = "") -> int:
    return sum(number for row in rows for outcome, number in row["errors"].items() if outcome != but)


def _counts(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{number} x {outcome}" for outcome, number in errors.items()) or "none"


def _clients_name(clients: int) -> str:
    return f"{clients} clients" if clients > 1 else "1 client"


def _rate_name(rate: float) -> str:
    return f"{rate:g} a second"
