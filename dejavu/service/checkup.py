"""Whether every server of a deployment can be used, asked anew and without changing anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from dejavu.config.deployment import Deployment, InstanceConfig, RedisConfig, ResultsConfig
from dejavu.errors import StoreError
from dejavu.model import Counts
from dejavu.store import redis_client
from dejavu.store.open import open_driver, open_results_store


@dataclass(frozen=True, slots=True)
class Finding:
    """What one server said. Nothing in it is secret.

    name : which one, as in config.json.
    where : its address, or the path of its file.
    server : product and version; None where it cannot be used, and then `reason` says why.
    latency_seconds : what a small question takes on an open connection.
    counts : how much an instance holds.
    """

    name: str
    where: str
    server: str | None = None
    latency_seconds: float = 0.0
    counts: Counts | None = None
    reason: str | None = None


def check_up(deployment: Deployment) -> list[Finding]:
    """Ask all servers at once: instances, results databases, Redis."""
    checks = list(_checks(deployment))
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(lambda check: check(), checks))


def _checks(deployment: Deployment) -> Iterator[Callable[[], Finding]]:
    for instance in deployment.instances:
        yield partial(_check_instance, instance)
    for results in deployment.results:
        yield partial(_check_results, results)
    if deployment.redis is not None:
        indexes = {deployment.rate_limit.redis_db_index: "rate_limit"}
        for instance in deployment.instances:
            if instance.redis_db_index is not None:
                indexes.setdefault(instance.redis_db_index, instance.name)
        for index, owner in indexes.items():
            yield partial(_check_redis, deployment.redis, index, owner)


def _check_instance(config: InstanceConfig) -> Finding:
    with closing(open_driver(config.database)) as driver:
        return _asked(config.name, config.database.identity, driver.check, driver.counts)


def _check_results(config: ResultsConfig) -> Finding:
    with closing(open_results_store(config.database)) as store:
        return _asked(config.name, config.database.identity, store.check)


def _check_redis(config: RedisConfig, index: int, owner: str) -> Finding:
    with closing(redis_client.connect(config, index)) as client:
        where = f"redis:{config.host}:{config.port}/{index}"
        return _asked(f"redis of {owner}", where, lambda: redis_client.check(client, config.prefix))


def _asked(name: str, where: str, check: Callable[[], str], count: Callable[[], Counts] | None = None) -> Finding:
    try:
        server = check()
        began = time.perf_counter()
        check()
        latency_seconds = time.perf_counter() - began
        return Finding(name, where, server, latency_seconds, count() if count else None)
    except StoreError as exc:
        return Finding(name, where, reason=str(exc))
