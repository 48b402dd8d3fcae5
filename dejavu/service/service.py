"""Everything the service can do, over one deployment: what the web layer talks to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from typing import Self

from dejavu.config import settings
from dejavu.config.deployment import Deployment
from dejavu.errors import InstancesUnavailable
from dejavu.service.fan_out import ask_all
from dejavu.service.ingester import Ingester
from dejavu.service.instance import Instance, InstanceStatus
from dejavu.service.portraits import Portraits
from dejavu.service.recognizer import Recognizer
from dejavu.service.songs import Songs
from dejavu.service.workers import PoolStatus, WorkerPool
from dejavu.store.cache import CacheStatus
from dejavu.store.open import open_driver, open_entries, open_results
from dejavu.store.results import ResultShards, ShardStatus


@dataclass(frozen=True, slots=True)
class Health:
    """What works and what does not, for operators and load balancers. Nothing in it is secret."""

    instances: tuple[InstanceStatus, ...]
    results: tuple[ShardStatus, ...]
    workers: PoolStatus

    @property
    def able(self) -> bool:
        """Whether a clip can be answered: one instance to ask, and one results database to keep the answer."""
        return any(instance.up for instance in self.instances) and any(shard.up for shard in self.results)

    def to_wire(self) -> dict[str, object]:
        """The body of the health route; where the service is not able, an error like any other with the details."""
        verdict = {"status": "success"} if self.able else _UNABLE
        return {
            **verdict,
            "instances": [
                {**_database_on_wire(instance), "songs": instance.songs, "cache": _cache_on_wire(instance.cache)}
                for instance in self.instances
            ],
            "results": [_database_on_wire(shard) for shard in self.results],
            "workers": asdict(self.workers),
        }


_UNABLE = {
    "status": "error",
    "code": "instances_unavailable",
    "message": "Recognising needs one fingerprint database and one results database that can be reached.",
}


def _database_on_wire(database: InstanceStatus | ShardStatus) -> dict[str, object]:
    return {"name": database.name, **_state_on_wire(database)}


def _state_on_wire(watched: InstanceStatus | ShardStatus | CacheStatus) -> dict[str, object]:
    return {
        "state": "up" if watched.up else "down",
        "since": watched.since.isoformat(timespec="seconds"),
        "reason": watched.reason,
    }


def _cache_on_wire(cache: CacheStatus | None) -> dict[str, object] | None:
    if cache is None:
        return None
    return {
        **_state_on_wire(cache),
        "hits": cache.hits,
        "misses": cache.misses,
        "damaged": cache.damaged,
        "saved_seconds": None if cache.saved_seconds is None else round(cache.saved_seconds, 3),
    }


class Service:
    """The use cases over the parts they share: `recognize`, `fetch`, `fingerprint`, `find_song`, those of `songs`,
    and `portraits` of answers.

    `require_room` raises `Overloaded` where a clip would be refused, for whoever has not received it yet.

    Safe for several threads. Opened after a fork and never before, since it starts threads and processes.
    """

    def __init__(
        self, deployment: Deployment, pool: WorkerPool, instances: Sequence[Instance], results: ResultShards
    ) -> None:
        limits = deployment.recognizing
        recognizer = Recognizer(pool, instances, results, limits.max_duration_seconds, limits.max_speed_change_percent)
        ingester = Ingester(pool, instances)
        self.recognize = recognizer.recognize
        self.require_room = recognizer.require_room
        self.fetch = recognizer.fetch
        self.fingerprint = ingester.fingerprint
        self.find_song = ingester.find
        self.songs = Songs(instances)
        self.portraits = Portraits(instances, recognizer.kept)
        self._pool, self._instances, self._results = pool, instances, results
        self._recognizer = recognizer

    @classmethod
    def open(cls, deployment: Deployment) -> Self:
        """Set up the databases that can be reached, and start the workers.

        A database that is down is set up as soon as it comes back. Raises `ConfigError`, and `FormatMismatch` for a
        catalogue made with other settings: every answer from it would be a wrong "no match".
        """
        with ExitStack() as opened:
            instances = open_instances(deployment)
            for instance in instances:
                opened.callback(instance.close)
            results = open_results(deployment.results)
            opened.callback(results.close)
            results.setup()
            service = cls(deployment, WorkerPool(), instances, results)
            opened.pop_all()
        return service

    def health(self) -> Health:
        """How every part is doing; instances that are up are asked, so that an idle service notices an outage too."""
        with suppress(InstancesUnavailable):
            ask_all(self._instances, lambda instance: instance.count(settings.HEALTH_MAX_AGE_SECONDS))
        workers = self._pool.status()
        return Health(
            instances=tuple(instance.status() for instance in self._instances),
            results=tuple(self._results.status()),
            workers=replace(workers, waiting=workers.waiting + self._recognizer.waiting),
        )

    def close(self) -> None:
        """Finish what is running and let go of everything."""
        self._pool.close()
        for instance in self._instances:
            instance.close()
        self._results.close()


def open_instances(deployment: Deployment) -> list[Instance]:
    """The fingerprint databases, set up in parallel where they can be reached. Raises like `Service.open`."""
    with ExitStack() as opened:
        instances = []
        for config in deployment.instances:
            driver, entries = open_driver(config.database), open_entries(config, deployment.redis)
            instance = Instance(config.name, config.database.identity, driver, entries)
            opened.callback(instance.close)
            instances.append(instance)
        with suppress(InstancesUnavailable):
            ask_all(instances, Instance.set_up)
        opened.pop_all()
    return instances
