"""Looking for a clip and keeping the answer taken apart, with the floor of each stage, in this process.

The service's own `Recognizer` does all of it, over instances opened as the service opens them; only the fingerprints
are there already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from benchmarks import floors
from benchmarks.by_hand import by_hand
from benchmarks.databases import RedisServer
from benchmarks.floors import Work, seconds_of
from benchmarks.media_stages import Parts, by_stage
from benchmarks.stopwatch import Call, Stopwatch, Watched
from dejavu.config.database import Database
from dejavu.config.deployment import Deployment, InstanceConfig, ResultsConfig
from dejavu.model import Query
from dejavu.service import instance, recognizer
from dejavu.service import search as steps
from dejavu.service.service import open_instances
from dejavu.service.workers import WorkerPool
from dejavu.store.cache import CachedDriver
from dejavu.store.cache_redis import RedisEntries
from dejavu.store.open import open_driver, open_results

ASK, CACHE, LOOK_UP, ALIGN = "ask", "cache", "look-up", "align"
STRETCHES, COMPARE, SONGS = "verify: stretches", "verify: compare", "songs"
REST, STORE = "rest", "store"

_WATCHED = (
    Watched(recognizer, "search", REST),
    Watched(steps, "in_asking_order", ASK),
    Watched(steps, "plain_probe", ASK),
    Watched(steps, "scaled_probe", ASK),
    Watched(instance.Instance, "match", LOOK_UP),  # what is left of it: distinct hashes, and postings joined
    Watched(instance, "align", ALIGN),
    Watched(instance, "verified", COMPARE),
    Watched(CachedDriver, "postings", CACHE),
    Watched(RedisEntries, "read", CACHE),
)

_OF_DRIVERS = {"postings": LOOK_UP, "stretches": STRETCHES, "songs": SONGS}

_LANE = "-ask_"
"""Between an instance's name and a number, in the names of the threads that ask it."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One search.

    parts : of what instances do, all at the same time, that of the slowest.
    by_instance : seconds of each stage, by the name of the instance.
    postings : what the slowest had to align, in all steps.
    answer : the body that was kept.
    """

    parts: Parts
    by_instance: Mapping[str, Mapping[str, float]]
    postings: int
    answer: str


@contextmanager
def searches(databases: Sequence[Database], results: Database, redis: RedisServer | None) -> Iterator[Searches]:
    """Searches in these databases, which are filled, with answers kept in `results`; `redis` caches each database.

    Everything is watched before it is opened, since some of it looks up methods only once.
    """
    deployment = Deployment(
        instances=tuple(
            InstanceConfig(f"instances[{number}]", database, number + 1) for number, database in enumerate(databases)
        ),
        results=(ResultsConfig("results[0]", results),),
        redis=redis.config() if redis else None,
    )
    kinds = set()
    for database in databases:
        with closing(open_driver(database)) as driver:
            kinds.add(type(driver))
    of_drivers = [Watched(kind, name, stage) for kind in kinds for name, stage in _OF_DRIVERS.items()]
    stopwatch = Stopwatch()
    with stopwatch.watching(*_WATCHED, *of_drivers), ExitStack() as opened:
        yield Searches(deployment, stopwatch, redis, opened)


class Searches:
    """Searches in one catalogue, one after the other; made by `searches`."""

    def __init__(
        self, deployment: Deployment, stopwatch: Stopwatch, redis: RedisServer | None, opened: ExitStack
    ) -> None:
        """`opened` closes everything in the end; `cached` says whether posting lists are."""
        self.cached = redis is not None
        self._stopwatch = stopwatch
        instances = open_instances(deployment)
        results = open_results(deployment.results)
        results.setup()
        self._results = by_hand(deployment.results[0].database)
        self._instances = {one.name: by_hand(one.database) for one in deployment.instances}
        self._redis = {one.name: redis.client(one.redis_db_index or 0) for one in deployment.instances if redis}
        self._ready = _ReadyPool(size=1)
        self._recognizer = recognizer.Recognizer(self._ready, instances, results)
        for close in (
            *(one.close for one in (self._ready, results, self._results)),
            *(one.close for one in instances),
            *(one.close for one in self._instances.values()),
            *(one.close for one in self._redis.values()),
        ):
            opened.callback(close)
        self._seen: dict[int, tuple[Sequence[Call], str]] = {}

    def take_apart(self, number: int, query: Query, floors_first: bool) -> Searched:
        """Look for a clip, which is known by its number; `floors_first` as in `media_stages.take_apart`."""
        least = self._floors(*self._seen[number]) if floors_first and number in self._seen else None
        self._ready.next = query
        self._stopwatch.calls()
        recognition = self._recognizer.recognize(BytesIO())
        calls = self._stopwatch.calls()
        if recognition.unavailable:
            raise SystemExit(f"{', '.join(recognition.unavailable)} could not be asked.")
        answer = recognition.to_json()
        by_instance, stages, slowest = split(calls)
        self._seen[number] = slowest, answer
        if least is None:
            least = self._floors(slowest, answer)
        postings = sum(len(call.arguments[0]) for call in slowest if call.stage == ALIGN)
        return Searched(Parts({**stages, STORE: recognition.timings.store}, least), by_instance, postings, answer)

    def _floors(self, calls: Iterable[Call], answer: str) -> dict[str, float]:
        works: dict[str, list[Work]] = defaultdict(list)
        for call in calls:
            for stage, work in self._least(call):
                works[stage].append(work)
        works[STORE].append(self._results.keep(answer))
        return {stage: seconds_of(own) for stage, own in works.items()}

    def _least(self, call: Call) -> Iterator[tuple[str, Work]]:
        """What has to be done for a call at least, and of which stages that is."""
        name = _instance_of(call)
        match call.name:
            case "in_asking_order":
                yield ASK, floors.sort(call.arguments[0].hashes)
            case "scaled_probe":
                yield ASK, floors.sort(call.result.hashes)
            case "align":
                yield ALIGN, floors.sort(floors.by_song(call.arguments[0]))
            case "read":
                entries, _, hashes = call.arguments
                keys = entries._keys(hashes)
                yield CACHE, lambda: self._redis[name].mget(keys)
            case "postings" if call.stage == LOOK_UP:
                yield LOOK_UP, self._instances[name].look_up(call.arguments[1])
            case "stretches":
                yield STRETCHES, self._instances[name].stretches(call.arguments[1])
                yield COMPARE, floors.inflate([*call.result.values()])
            case "songs" if len(call.arguments[1]):
                yield SONGS, self._instances[name].songs(call.arguments[1])


class _ReadyPool(WorkerPool):
    """A pool whose worker has nothing to do, since its answer is there already: the `next` query."""

    next: Query

    def query(self, file: BinaryIO, start_seconds: float = 0.0, duration_seconds: float | None = None) -> Query:
        """What is `next`, whatever the file."""
        return self.next


def split(calls: Sequence[Call]) -> tuple[dict[str, dict[str, float]], dict[str, float], list[Call]]:
    """The calls of one search by who has waited for them.

    Returns
    -------
    by_instance, stages, slowest
        The seconds of each stage by instance; those of the whole search, with the slowest instance's; and the calls
        without those of the other instances. REST is what is left of the search where all else is taken off.
    """
    names = {_instance_of(call) for call in calls if _LANE in call.thread}
    by_instance = {name: by_stage(call for call in calls if _instance_of(call) == name) for name in sorted(names)}
    slowest = max(by_instance, key=lambda name: sum(by_instance[name].values()))
    kept = [call for call in calls if _LANE not in call.thread or _instance_of(call) == slowest]
    stages = by_stage(kept)
    stages[REST] -= sum(by_instance[slowest].values())
    return by_instance, stages, kept


def _instance_of(call: Call) -> str:
    return call.thread.partition(_LANE)[0]
