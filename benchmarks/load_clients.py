"""Who asks: clients that wait for their answers, and requests that come when they come."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Protocol, Self

import psutil
import requests
from tqdm import tqdm

from benchmarks.catalogue import Server
from benchmarks.client import Reply, Request
from benchmarks.load_figures import (
    ANSWERED,
    PARTIAL,
    Asked,
    Health,
    Stretch,
    Usage,
    arrival_times,
    outcome_of,
    whole_seconds,
)
from benchmarks.processes import cpu_seconds, machine_cpu_seconds

SETTLE_SHARE = 0.2
"""Of a stretch of load: what passes before anything counts, so that queues are as long as they will be."""

DEFAULT_PATIENCE_SECONDS = 1.0
"""How long a client that was refused waits before it asks again, where it is not told."""

_TIMEOUT_SECONDS = 60.0
_HEALTH_PAUSE_SECONDS = 1.0

Address = tuple[str, int]


class Load(Protocol):
    """Who asks, and when."""

    def drive(self, address: Address, deck: Sequence[Request], began: float, seconds: float) -> list[Asked]:
        """Ask for so long, with clips in the order of the deck, and return when the last answer has come.

        began : a reading of `time.monotonic`.
        """


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many clients, each with a connection of its own and a place of its own in the deck.

    One sends its next clip when it has the answer to the last. Who is refused comes back when told to.
    """

    clients: int

    def drive(self, address: Address, deck: Sequence[Request], began: float, seconds: float) -> list[Asked]:
        """See `Load`."""
        with ThreadPoolExecutor(self.clients) as pool:
            asking = [
                pool.submit(_ask_in_turn, address, deck, client * len(deck) // self.clients, began, seconds)
                for client in range(self.clients)
            ]
            return [asked for client in asking for asked in client.result()]


@dataclass(frozen=True, slots=True)
class Arriving:
    """Requests that are due at random times (see `arrival_times`), each on a new connection.

    None waits for what becomes of another, unless there are too few connections.
    connections : how many there may be at a time. A request that finds no free one is sent late, and counts as late.
    """

    per_second: float
    seed: Sequence[int]
    connections: int

    def drive(self, address: Address, deck: Sequence[Request], began: float, seconds: float) -> list[Asked]:
        """See `Load`."""
        with ThreadPoolExecutor(self.connections) as pool:
            asking = []
            for number, due in enumerate(arrival_times(self.per_second, seconds, self.seed).tolist()):
                time.sleep(max(0.0, began + due - time.monotonic()))
                asking.append(pool.submit(_ask_once, address, deck[number % len(deck)], began, due))
            return [one.result() for one in asking]


def put_under(
    server: Server, load: Load, deck: Sequence[Request], seconds: float, what: str, *, watch: bool = False
) -> Stretch:
    """Put the service under load for so long and count what comes of it; with `watch`, see to its health as well."""
    with ThreadPoolExecutor(1) as aside, HealthWatch(server, active=watch) as health:
        began = time.monotonic()
        driving = aside.submit(load.drive, server.address, deck, began, seconds)
        with tqdm(desc=what, total=round(seconds), unit="s") as bar:
            _wait(began, SETTLE_SHARE * seconds, bar)
            since, before = time.monotonic() - began, _usage(server)
            _wait(began, seconds, bar)
            until, after = time.monotonic() - began, _usage(server)
        asked = driving.result()
    return Stretch.of(asked, since, until, after - before, health.seen)


def warm_up(server: Server, prepared: Sequence[Request]) -> None:
    """Send every clip once."""
    connection = _connect(server.address)
    for request in tqdm(prepared, desc="warming up", unit="clip"):
        _ask(connection, request, time.monotonic())
    connection.close()


class HealthWatch:
    """Asks for the service's health every second while a `with` block runs, where it is to be `active`."""

    def __init__(self, server: Server, *, active: bool) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch) if active else None
        self._seconds: list[float] = []
        self._waiting: list[int] = []

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    @property
    def seen(self) -> Health | None:
        """What there was to see so far; None where it does not look."""
        if not self._thread:
            return None
        return Health(max(self._seconds, default=float("nan")), max(self._waiting, default=0))

    def _watch(self) -> None:
        while not self._stop.wait(_HEALTH_PAUSE_SECONDS):
            began = time.monotonic()
            try:
                self._waiting.append(self._server.get("/api/health").json()["workers"]["waiting"])
            except requests.RequestException:
                tqdm.write("The health route did not answer.")
            self._seconds.append(time.monotonic() - began)


def _wait(began: float, seconds: float, bar: tqdm) -> None:
    """Wait until so many seconds have passed since it began."""
    while (passed := time.monotonic() - began) < seconds:
        bar.update(int(passed) - bar.n)
        time.sleep(min(seconds - passed, 1.0))
    bar.update(round(seconds) - bar.n)


def _usage(server: Server) -> Usage:
    """What everybody has used so far. Database servers are what this process has started besides the service."""
    of_server = {server.process.pid, *server.descendants()}
    started = {child.pid for child in psutil.Process().children(recursive=True)}
    return Usage(cpu_seconds(of_server), cpu_seconds(started - of_server), time.process_time(), machine_cpu_seconds())


def _ask_in_turn(address: Address, deck: Sequence[Request], place: int, began: float, seconds: float) -> list[Asked]:
    connection = _connect(address)
    asked: list[Asked] = []
    for number in count(place):
        if time.monotonic() >= began + seconds:
            break
        one = _ask(connection, deck[number % len(deck)], began)
        asked.append(one)
        if one.outcome not in (ANSWERED, PARTIAL):
            patience = one.retry_after_seconds or DEFAULT_PATIENCE_SECONDS
            time.sleep(max(0.0, min(patience, began + seconds - time.monotonic())))
    connection.close()
    return asked


def _ask_once(address: Address, request: Request, began: float, due: float) -> Asked:
    connection = _connect(address)
    try:
        return _ask(connection, request, began, due)
    finally:
        connection.close()


def _connect(address: Address) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*address, timeout=_TIMEOUT_SECONDS)


def _ask(connection: http.client.HTTPConnection, request: Request, began: float, due: float | None = None) -> Asked:
    """Send a clip and read the answer; a `due` of None is now."""
    sent = time.monotonic() - began
    due = sent if due is None else due
    try:
        connection.request("POST", "/api/recognize", request.body, request.headers)
        response = connection.getresponse()
        document = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as exc:
        connection.close()  # the next request opens it anew
        return Asked(request.kind, due, sent, time.monotonic() - began, type(exc).__name__)
    ended = time.monotonic() - began
    return Asked(
        request.kind,
        due,
        sent,
        ended,
        outcome_of(response.status, document),
        Reply(response.status, "", ended - sent, document).is_right(request.clip),
        whole_seconds(response.getheader("Retry-After")),
    )
