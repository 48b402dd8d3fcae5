"""The operator's config.json as frozen data, checked once, at start.

Secrets may come from the environment instead, which keeps them out of the file:

- TUNESCOUT_TOKEN: `fingerprinting.token`
- TUNESCOUT_METRICS_TOKEN: `metrics.token`
- TUNESCOUT_REDIS_PASSWORD: `redis.password`
- TUNESCOUT_INSTANCES_0_PASSWORD, TUNESCOUT_RESULTS_1_PASSWORD, …: `instances[0].database.password` and so on
- TUNESCOUT_DATABASE_PASSWORD: the password of every database that has none from the file or from its own variable

A variable that names one value wins over the file. An empty variable counts as not set.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import limits

from dejavu.config import settings
from dejavu.config.database import HIGHEST_PORT, Database, ServerDatabase, SqliteDatabase, read_database
from dejavu.config.section import JsonObject, Section
from dejavu.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LogFormat = Literal["text", "json"]

BYTES_PER_MB = 1024 * 1024
"""A megabyte of config.json, counted as file managers and web servers count one."""

_TOKEN = re.compile(r"[!-~]+")
"""What travels unharmed in an Authorization header: visible ASCII, no spaces."""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[A-Za-z0-9.-]+(:\d{1,5})?")
"""Scheme, host and port. Anything more could never equal what a browser sends, or would be taken for a pattern."""

_HIGHEST_REDIS_INDEX = 65_535


@dataclass(frozen=True, slots=True)
class FingerprintingConfig:
    """Who may add songs. A token of None means: only from this machine. A size of None means: no limit."""

    allow: bool = True
    token: str | None = field(default=None, repr=False)
    max_file_size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RecognizingConfig:
    """How much of a clip is listened to, and how large its file may be; None means no limit.

    max_speed_change_percent : how much faster, slower, higher or lower than its song a clip may be; 0: no other speed
        is looked for.
    """

    max_duration_seconds: float | None = None
    max_file_size_bytes: int | None = None
    max_speed_change_percent: int = settings.MAX_SPEED_CHANGE_PERCENT


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """The server of the posting cache and of the rate-limit counters; `prefix` goes in front of every key."""

    host: str = "localhost"
    port: int = 6379
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits per client, in flask-limiter's notation; `redis_db_index` is where they are counted."""

    fetching_results: str = "50 per second"
    recognizing: str = "10 per second"
    fingerprinting: str = "10 per second"
    redis_db_index: int = 0


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """One fingerprint database. `name` is what clients may see of it: `instances[0]`.

    redis_db_index : where its posting lists are cached, if there is Redis; None: nowhere. SQLite does without, since it
        answers about as fast as Redis.
    """

    name: str
    database: Database
    redis_db_index: int | None = None


@dataclass(frozen=True, slots=True)
class ResultsConfig:
    """One database of stored answers. `name` is what clients may see of it: `results[0]`."""

    name: str
    database: Database


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`trusted_proxies`: whose X-Forwarded-For is believed. `log_format`: lines of text, or of JSON."""

    trusted_proxies: tuple[Network, ...] = ()
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Who may read the metrics. A token of None means: only this machine."""

    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything an operator decides. Without `redis` there is no posting cache, and limits are counted in memory."""

    instances: tuple[InstanceConfig, ...]
    results: tuple[ResultsConfig, ...]
    fingerprinting: FingerprintingConfig = FingerprintingConfig()
    recognizing: RecognizingConfig = RecognizingConfig()
    redis: RedisConfig | None = None
    rate_limit: RateLimits = RateLimits()
    allowed_origins: tuple[str, ...] = ()
    server: ServerConfig = ServerConfig()
    metrics: MetricsConfig = MetricsConfig()


def load_deployment(environment: Mapping[str, str] = os.environ) -> Deployment:
    """Read and check the configuration file that TUNESCOUT_CONFIG names, or else `settings.CONFIG_FILE`.

    Raises `ConfigError` with one line for every problem.
    """
    path = Path(environment.get("TUNESCOUT_CONFIG") or settings.CONFIG_FILE)
    try:
        document = json.loads(path.read_text("utf-8"), object_pairs_hook=JsonObject)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); TUNESCOUT_CONFIG names another file") from exc
    except json.JSONDecodeError as exc:
        raise ConfigError(f"{path}: not valid JSON, {exc.msg} (line {exc.lineno}, column {exc.colno})") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: not UTF-8 text") from exc
    return parse_deployment(document, path.resolve().parent, environment)


def parse_deployment(document: object, folder: Path, environment: Mapping[str, str]) -> Deployment:
    """Check a parsed configuration; relative paths in it are relative to `folder`.

    Raises `ConfigError` with one line for every problem.
    """
    errors: list[str] = []
    root = Section(document, "", errors)
    redis = _read_redis(root.optional_section("redis"), environment)
    instances = _read_instances(root, folder, environment, cached=redis is not None)
    results = _read_results(root, folder, environment)
    if not errors:
        _check_distinct([*instances, *results], errors)
    deployment = Deployment(
        fingerprinting=_read_fingerprinting(root.section("fingerprinting"), environment),
        recognizing=_read_recognizing(root.section("recognizing")),
        redis=redis,
        rate_limit=_read_rate_limits(root.section("rate_limit")),
        allowed_origins=_read_origins(root),
        instances=instances,
        results=results,
        server=_read_server(root.section("server")),
        metrics=_read_metrics(root.section("metrics"), environment),
    )
    root.finish()
    if errors:
        raise ConfigError("\n".join(errors))
    return deployment


def _read_fingerprinting(section: Section, environment: Mapping[str, str]) -> FingerprintingConfig:
    token = _read_token(section, environment.get("TUNESCOUT_TOKEN"))
    config = FingerprintingConfig(section.flag("allow", True), token, _read_size(section))
    section.finish()
    return config


def _read_recognizing(section: Section) -> RecognizingConfig:
    config = RecognizingConfig(
        max_duration_seconds=section.positive_number("max_duration"),
        max_file_size_bytes=_read_size(section),
        max_speed_change_percent=section.integer(
            "max_speed_change", settings.MAX_SPEED_CHANGE_PERCENT, 0, settings.MOST_SPEED_CHANGE_PERCENT
        ),
    )
    section.finish()
    return config


def _read_size(section: Section) -> int | None:
    megabytes = section.positive_number("max_file_size_mb")
    return None if megabytes is None else max(1, int(megabytes * BYTES_PER_MB))


def _read_redis(section: Section | None, environment: Mapping[str, str]) -> RedisConfig | None:
    if section is None:
        return None
    default = RedisConfig()
    written = section.secret("password")
    config = RedisConfig(
        host=section.text("host", default.host),
        port=section.integer("port", default.port, 1, HIGHEST_PORT),
        user=section.optional_text("user"),
        password=environment.get("TUNESCOUT_REDIS_PASSWORD") or written,
        prefix=section.optional_text("prefix") or default.prefix,
    )
    section.finish()
    return config


def _read_rate_limits(section: Section) -> RateLimits:
    default = RateLimits()
    config = RateLimits(
        fetching_results=_read_limit(section, "fetching_results", default.fetching_results),
        recognizing=_read_limit(section, "recognizing", default.recognizing),
        fingerprinting=_read_limit(section, "fingerprinting", default.fingerprinting),
        redis_db_index=section.integer("redis_db_index", default.redis_db_index, 0, _HIGHEST_REDIS_INDEX),
    )
    section.finish()
    return config


def _read_limit(section: Section, key: str, default: str) -> str:
    value = section.text(key, default)
    try:
        limits.parse_many(value)
    except ValueError:
        section.problem(key, f'expected a rate limit such as "10 per second; 1000 per hour", got "{value}"')
    return value


def _read_origins(root: Section) -> tuple[str, ...]:
    origins = root.texts("allowed_origin")
    for key, origin in origins.items():
        if not _ORIGIN.fullmatch(origin):
            root.problem(key, f'expected "*" or an origin such as "https://example.com", got "{origin}"')
    return tuple(origins.values())


def _read_instances(
    root: Section, folder: Path, environment: Mapping[str, str], *, cached: bool
) -> tuple[InstanceConfig, ...]:
    instances = []
    indexes: dict[int, str] = {}
    sections = root.sections("instances")
    if not sections:
        root.problem("instances", "at least one fingerprint database is needed")
    for section in sections:
        database = read_database(section, folder, environment)
        index = section.optional_integer("redis_db_index", 0, _HIGHEST_REDIS_INDEX)
        if index is None and cached and isinstance(database, ServerDatabase):
            section.problem("redis_db_index", "missing; with Redis every database server needs one of its own")
        elif index is not None and indexes.setdefault(index, section.path) != section.path:
            section.problem("redis_db_index", f"{index} is the index of {indexes[index]} already")
        section.finish()
        if database is not None:
            instances.append(InstanceConfig(section.path, database, index))
    return tuple(instances)


def _read_results(root: Section, folder: Path, environment: Mapping[str, str]) -> tuple[ResultsConfig, ...]:
    results = []
    sections = root.sections("results")
    if not sections:
        root.problem("results", "at least one results database is needed")
    for section in sections:
        database = read_database(section, folder, environment)
        section.finish()
        if database is not None:
            results.append(ResultsConfig(section.path, database))
    return tuple(results)


def _check_distinct(configs: Iterable[InstanceConfig | ResultsConfig], errors: list[str]) -> None:
    """No database may serve twice; fingerprints and results may share a server's database, but not a SQLite file."""
    seen: dict[tuple[str, str], str] = {}
    for config in configs:
        kind = "" if isinstance(config.database, SqliteDatabase) else type(config).__name__
        first = seen.setdefault((kind, config.database.identity), config.name)
        if first != config.name:
            errors.append(f"{config.name}.database: the same database as {first}")


def _read_server(section: Section) -> ServerConfig:
    networks: list[Network] = []
    for key, text in section.texts("trusted_proxies").items():
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            section.problem(key, f'expected an address or network such as "10.0.0.0/8", got "{text}"')
    written = section.text("log_format", "text")
    if written not in ("text", "json"):
        section.problem("log_format", f'expected "text" or "json", got "{written}"')
    section.finish()
    return ServerConfig(tuple(networks), "json" if written == "json" else "text")


def _read_metrics(section: Section, environment: Mapping[str, str]) -> MetricsConfig:
    config = MetricsConfig(_read_token(section, environment.get("TUNESCOUT_METRICS_TOKEN")))
    section.finish()
    return config


def _read_token(section: Section, from_environment: str | None) -> str | None:
    written = section.secret("token")
    token = from_environment or written
    if token and not _TOKEN.fullmatch(token):
        section.problem("token", "a bearer token is made of visible ASCII characters without spaces")
    return token
