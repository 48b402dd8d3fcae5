"""When requests are due and which clips they send; what their ends amount to: rates, waiting times, refusals, the knee.

Nothing here asks anything of anybody: numbers go in, and numbers come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from http import HTTPStatus
from itertools import cycle, islice
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import percent, quantiles

Item = TypeVar("Item")

ANSWERED = "200"
PARTIAL = "200, not by all"
"""An answer that names an instance as unavailable, though none is: under load that is a failure."""
REFUSED = "503 overloaded"

AT_ONCE_SECONDS = 1.0
"""What a refusal may take to be one at once: a client would rather go elsewhere than wait for it."""

LATE_SECONDS = 0.05
"""How long after its time a request may be sent before it counts as held back by the clients."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its end. Times are seconds since its stretch of load began.

    due : when it was to be sent. Where somebody sends the next one only after an answer, that is when it was.
    outcome : ANSWERED, PARTIAL, the status and code of an error, or the name of an exception.
    retry_after_seconds : what the answer says; None where it says nothing that is a number of seconds above 0.
    """

    kind: str
    due: float
    sent: float
    ended: float
    outcome: str
    right: bool = False
    retry_after_seconds: int | None = None

    @property
    def seconds(self) -> float:
        """How long somebody waited who wanted to send it when it was due."""
        return self.ended - self.due


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds: of the service's processes, of its databases', of the clients, and of the whole machine."""

    server: float = 0.0
    databases: float = 0.0
    clients: float = 0.0
    machine: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))

    @property
    def others(self) -> float:
        """What none of the three has used."""
        return self.machine - self.server - self.databases - self.clients


@dataclass(frozen=True, slots=True)
class Health:
    """What GET /api/health took, in seconds, while others asked, and the most requests that waited for a worker."""

    longest_seconds: float
    most_waiting: int

    def figures(self) -> dict[str, Any]:
        """The same in milliseconds."""
        return {"health_longest_ms": round(1000 * self.longest_seconds, 1), "most_waiting": self.most_waiting}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some time of steady load, counted from when it has settled.

    seconds : how long it was. asked : all requests, those before it too. due : those that were due in it, however late
    they ended. ended : how many requests ended in it, and answered : with an answer. usage : what it cost.
    """

    seconds: float
    asked: Sequence[Asked]
    due: Sequence[Asked]
    ended: int
    answered: int
    usage: Usage
    health: Health | None = None

    @classmethod
    def of(cls, asked: Sequence[Asked], since: float, until: float, usage: Usage, health: Health | None) -> Self:
        """What counts from `since` until `until`, in seconds since the load began.

        Who was due waited for what was there before, and throughput is what came out: what is still in hand at the
        end was not yet achieved.
        """
        ended = [one for one in asked if since <= one.ended < until]
        return cls(
            until - since,
            asked,
            [one for one in asked if since <= one.due < until],
            len(ended),
            sum(one.outcome == ANSWERED for one in ended),
            usage,
            health,
        )

    def __add__(self, other: Stretch) -> Stretch:
        return Stretch(
            self.seconds + other.seconds,
            [*self.asked, *other.asked],
            [*self.due, *other.due],
            self.ended + other.ended,
            self.answered + other.answered,
            self.usage + other.usage,
        )

    def figures(self) -> dict[str, Any]:
        """Throughput, waiting times of the answered requests in all and by kind of clip, errors, and costs.

        Errors and refusals are those of all requests, also of those before it had settled.
        """
        per_request = 1 / max(1, self.ended)
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.due),
            "offered_per_second": round(len(self.due) / self.seconds, 2),
            "per_second": round(self.answered / self.seconds, 2),
            **waiting(self.due),
            "errors": errors(self.asked),
            "kinds": {
                kind: waiting([one for one in self.due if one.kind == kind])
                for kind in sorted({one.kind for one in self.due})
            },
            "refusals": refusals(self.asked),
            "held_back": sum(one.sent - one.due > LATE_SECONDS for one in self.due),
            "server_cpu_seconds_per_request": round(self.usage.server * per_request, 4),
            "databases_cpu_seconds_per_request": round(self.usage.databases * per_request, 4),
            "clients_cpu_seconds_per_request": round(self.usage.clients * per_request, 5),
            **{
                f"cores_used_by_{who}": round(getattr(self.usage, who) / self.seconds, 2)
                for who in ("server", "databases", "clients", "others")
            },
            **(self.health.figures() if self.health else {}),
        }


@dataclass(frozen=True, slots=True)
class Rate:
    """What came of an offered rate: requests a second, milliseconds, and how many were refused."""

    offered: float
    p95_ms: float
    refused: int


def outcome_of(status: int, document: Mapping[str, Any]) -> str:
    """In one word or two how a request ended, from the answer's status and body."""
    if status == HTTPStatus.OK:
        return PARTIAL if document["unavailable"] else ANSWERED
    return f"{status} {document.get('code', 'without a code')}"


def whole_seconds(text: str | None) -> int | None:
    """What a header Retry-After says; None where it is missing, or no number of seconds above 0."""
    return int(text) if text and text.isdecimal() and int(text) > 0 else None


def waiting(asked: Sequence[Asked]) -> dict[str, Any]:
    """How many were answered, how many of these rightly, and percentiles of their milliseconds since they were due."""
    answered = [one for one in asked if one.outcome == ANSWERED]
    median, p95, p99 = quantiles([1000 * one.seconds for one in answered], [0.5, 0.95, 0.99], 1)
    return {
        "answered": len(answered),
        "right_percent": percent(sum(one.right for one in answered), len(answered)),
        "median_ms": median,
        "p95_ms": p95,
        "p99_ms": p99,
    }


def errors(asked: Sequence[Asked]) -> dict[str, int]:
    """How often requests ended otherwise than answered, by outcome."""
    return dict(sorted(Counter(one.outcome for one in asked if one.outcome != ANSWERED).items()))


def refusals(asked: Sequence[Asked]) -> dict[str, Any]:
    """How many were told that the service is overloaded, how soon, and how many not when to come back."""
    refused = [one for one in asked if one.outcome == REFUSED]
    median, p95 = quantiles([1000 * one.seconds for one in refused], [0.5, 0.95], 1)
    return {
        "count": len(refused),
        "percent": percent(len(refused), len(asked)),
        "without_retry_after": sum(one.retry_after_seconds is None for one in refused),
        "median_ms": median,
        "p95_ms": p95,
        "at_once_percent": percent(sum(one.seconds <= AT_ONCE_SECONDS for one in refused), len(refused)),
    }


def find_knee(rates: Sequence[Rate], low_p95_ms: float, most_times: float) -> Rate | None:
    """The highest offered rate up to which all is well; None where the lowest is too much already.

    All is well where nothing is refused and p95 is at most `most_times` of what it is at low load. What is well above
    a rate that is not counts for nothing: it was lucky.
    """
    knee = None
    for rate in sorted(rates, key=lambda rate: rate.offered):
        if rate.refused or not rate.p95_ms <= most_times * low_p95_ms:
            break
        knee = rate
    return knee


def arrival_times(per_second: float, seconds: float, seed: Sequence[int]) -> NDArray[np.float64]:
    """When requests are due that come at an average rate and know nothing of each other: a Poisson process.

    Seconds from the beginning, in order. There are as many as the rate says, so that what is offered is no matter of
    luck: given their number, the times of a Poisson process are independent of each other and equally likely.
    """
    return np.sort(np.random.default_rng(seed).uniform(0.0, seconds, round(per_second * seconds)))


def doubling(most: int) -> list[int]:
    """1, 2, 4, 8, … and `most` itself."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]


def make_deck(groups: Mapping[str, Sequence[Item]], shares: Mapping[str, float], size: int, seed: int) -> list[Item]:
    """So many items, in which each group has its share (of the sum of all), well mixed; the same seed mixes alike.

    Items of a group come equally often, give or take one. Raises `ValueError` for a group that is empty and is to have
    a share.
    """
    whole = sum(shares.values())
    ends = np.rint(size * np.cumsum([shares[name] / whole for name in groups])).astype(int)
    rng = np.random.default_rng(seed)
    deck: list[Item] = []
    for (name, items), end in zip(groups.items(), ends.tolist(), strict=True):
        if end > len(deck) and not items:
            raise ValueError(f"{name}: expected something to choose from, got nothing")
        order = [items[place] for place in rng.permutation(len(items))]
        deck += islice(cycle(order), end - len(deck))
    return [deck[place] for place in rng.permutation(len(deck))]
