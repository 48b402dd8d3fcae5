"""What Prometheus reads: requests and answers as they are counted here, and the state of the parts when it asks.

With PROMETHEUS_MULTIPROC_DIR, counts of several processes are added up from files in that folder, those of ended ones
included; state is that of the process that answers. The service's own server has one such process and needs none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dejavu.config.deployment import Deployment
from dejavu.config.settings import FINGERPRINT_VERSION
from dejavu.model import Recognition
from dejavu.service.instance import InstanceStatus
from dejavu.service.service import Health, Service
from dejavu.store.results import ShardStatus
from dejavu.web.access import require_access
from dejavu.web.request_log import route

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)
"""Bounds of the buckets: from a look-up to a file that takes as long as it may."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
"""Clients may make up others, and each would be a series of its own."""

_STAGES = ("wait", "fingerprint", "look_up", "align", "store")

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a count began is known by it having been 0


class _Counts:
    """Everything that is counted as it happens."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.requests = Counter(
            "tunescout_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "tunescout_request_seconds",
            "Seconds from a request's headers to its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "tunescout_recognition_stage_seconds",
            "Seconds that the stages of recognitions took, as in the log.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.recognitions = Counter(
            "tunescout_recognitions",
            "Clips answered: match, none, or partial without one.",
            ("answer",),
            registry=registry,
        )
        self.errors = Counter("tunescout_errors", "Requests refused or failed, by code.", ("code",), registry=registry)


def register_metrics(app: Flask, service: Service, deployment: Deployment) -> None:
    """Count what `app` does, and let it answer GET /metrics."""
    is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    own = CollectorRegistry()
    counts = _Counts(None if is_shared else own)

    def count(response: Response) -> Response:
        method, name = request.method if request.method in _METHODS else "other", route()
        counts.requests.labels(method, name, response.status_code).inc()
        counts.request_seconds.labels(method, name).observe(time.perf_counter() - g.began)
        recognition: Recognition | None = g.get("recognition")
        if recognition is not None:
            counts.recognitions.labels(_outcome(recognition)).inc()
            for stage in _STAGES:
                counts.stage_seconds.labels(stage).observe(getattr(recognition.timings, stage))
        if "error_code" in g:
            counts.errors.labels(g.error_code).inc()
        return response

    app.after_request(count)
    own.register(_State(service))
    ProcessCollector(registry=own)
    metrics = Blueprint("metrics", __name__)

    @metrics.get("/metrics")
    def read() -> Response:
        """Send everything in Prometheus' format."""
        require_access(deployment, deployment.metrics.token, request.remote_addr, request.headers, "metrics.token")
        body = generate_latest(own)
        if is_shared:
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
            body += generate_latest(shared)
        return Response(body, HTTPStatus.OK, mimetype=None, content_type=CONTENT_TYPE_LATEST)

    app.register_blueprint(metrics)


def _outcome(recognition: Recognition) -> str:
    if recognition.matches:
        return "match"
    return "partial" if recognition.unavailable else "none"


class _State(Collector):
    """How the parts are at this moment, as the health route tells it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Called by the library for every scrape."""
        health = self._service.health()
        databases: list[InstanceStatus | ShardStatus] = [*health.instances, *health.results]
        info = InfoMetricFamily("tunescout", "The version of the stored fingerprints.")
        info.add_metric([], {"fingerprint_version": str(FINGERPRINT_VERSION)})
        yield info
        yield _gauge(
            "database_up",
            "Whether a database can be asked.",
            "database",
            [(one.name, float(one.up)) for one in databases],
        )
        yield _counter(
            "database_outages", "Times it could not be.", "database", [(one.name, one.outages) for one in databases]
        )
        yield _gauge("songs", "Songs at the last count.", "instance", _sizes(health, "songs"))
        yield _gauge("fingerprints", "Fingerprints at the last count.", "instance", _sizes(health, "fingerprints"))
        yield from _caches(health)
        workers = health.workers
        for name, value, what in (
            ("workers", workers.size, "Processes that decode and fingerprint."),
            ("workers_busy", workers.busy, "Those that have a file."),
            ("requests_waiting", workers.waiting, "Requests that wait for a worker, or for their turn."),
        ):
            yield GaugeMetricFamily(f"tunescout_{name}", what, value=value)
        yield CounterMetricFamily("tunescout_worker_restarts", "Workers that were replaced.", value=workers.restarts)


def _sizes(health: Health, what: str) -> Iterable[tuple[str, float]]:
    known = ((instance.name, getattr(instance, what)) for instance in health.instances)
    return [(name, value) for name, value in known if value is not None]


def _caches(health: Health) -> Iterator[Metric]:
    caches = [(instance.name, instance.cache) for instance in health.instances if instance.cache is not None]
    yield _gauge("cache_up", "Whether a posting cache can be used.", "instance", [(n, float(c.up)) for n, c in caches])
    for name, what in (
        ("hits", "Hashes found in the posting cache."),
        ("misses", "Hashes that were not."),
        ("damaged", "Values in it that were no entries."),
    ):
        yield _counter(f"cache_{name}", what, "instance", [(n, getattr(c, name)) for n, c in caches])


def _gauge(name: str, what: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"tunescout_{name}", what, labels=[label])
    for of, value in values:
        family.add_metric([of], value)
    return family


def _counter(name: str, what: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"tunescout_{name}", what, labels=[label])
    for of, value in values:
        family.add_metric([of], value)
    return family
