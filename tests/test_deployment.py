"""config.json: what is accepted, what it becomes, and what is said of what is not."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from dejavu.config.database import ServerDatabase, SqliteDatabase
from dejavu.config.deployment import (
    Deployment,
    RateLimits,
    RecognizingConfig,
    RedisConfig,
    parse_deployment,
)
from dejavu.errors import ConfigError

FOLDER = Path("/srv/tunescout")

MINIMAL: dict[str, Any] = {
    "instances": [{"database_type": "sqlite", "database": {"path": "data/songs.db"}}],
    "results": [{"database_type": "sqlite", "database": {"path": "/var/lib/results.db"}}],
}


def parse(changes: dict[str, Any] | None = None, **environment: str) -> Deployment:
    return parse_deployment({**MINIMAL, **(changes or {})}, FOLDER, environment)


def problems(document: object) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_deployment(document, FOLDER, {})
    return str(raised.value).splitlines()


def server(kind: str = "mysql", **database: object) -> dict[str, Any]:
    return {"database_type": kind, "database": {"database": "tunescout", **database}}


# --- What is accepted ------------------------------------------------------------------------------------------------


def test_everything_has_a_default_except_the_databases() -> None:
    deployment = parse()
    assert (deployment.fingerprinting.allow, deployment.fingerprinting.token) == (True, None)
    assert deployment.fingerprinting.max_file_size_bytes is None
    assert deployment.recognizing == RecognizingConfig(None, None, 12)
    assert deployment.redis is None
    assert deployment.rate_limit == RateLimits("50 per second", "10 per second", "10 per second", 0)
    assert deployment.allowed_origins == ()
    assert deployment.server.trusted_proxies == ()


def test_paths_are_relative_to_the_configuration() -> None:
    deployment = parse()
    assert [config.database for config in deployment.instances] == [SqliteDatabase(FOLDER / "data" / "songs.db")]
    assert [config.database for config in deployment.results] == [SqliteDatabase(Path("/var/lib/results.db"))]


def test_server_databases_and_redis_have_their_usual_addresses() -> None:
    deployment = parse({"redis": {}, "instances": [
        {**server("mysql"), "redis_db_index": 1}, {**server("clickhouse"), "redis_db_index": 2},
    ]})  # fmt: skip
    assert [config.database for config in deployment.instances] == [
        ServerDatabase("mysql", "127.0.0.1", 3306, "tunescout"),
        ServerDatabase("clickhouse", "127.0.0.1", 9000, "tunescout"),
    ]
    assert [config.name for config in deployment.instances] == ["instances[0]", "instances[1]"]
    assert [config.redis_db_index for config in deployment.instances] == [1, 2]
    assert deployment.redis == RedisConfig("localhost", 6379, None, None, "")


def test_units_become_bytes_and_seconds() -> None:
    deployment = parse(
        {
            "fingerprinting": {"max_file_size_mb": 2},
            "recognizing": {"max_duration": 12, "max_file_size_mb": 0.5, "max_speed_change": 25},
            "server": {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "::1"]},
            "allowed_origin": ["*", "https://example.com", "http://localhost:3000"],
        }
    )
    assert deployment.fingerprinting.max_file_size_bytes == 2 * 1024 * 1024
    assert deployment.recognizing == RecognizingConfig(12.0, 512 * 1024, 25)
    networks = ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]
    assert deployment.server.trusted_proxies == tuple(ipaddress.ip_network(text) for text in networks)
    assert deployment.allowed_origins == ("*", "https://example.com", "http://localhost:3000")


def test_other_speeds_need_not_be_looked_for() -> None:
    assert parse({"recognizing": {"max_speed_change": 0}}).recognizing.max_speed_change_percent == 0


def test_an_identity_tells_databases_apart_and_not_their_users() -> None:
    one = ServerDatabase("mysql", "DB.example.net", 3306, "tunescout", "anna", "secret")
    assert one.identity == ServerDatabase("mysql", "db.example.net", 3306, "tunescout", "bert", "other").identity
    assert one.identity == "mysql:db.example.net:3306/tunescout"
    assert SqliteDatabase(Path("/data/songs.db")).identity == "sqlite:/data/songs.db"


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"fingerprintng": {}}, 'fingerprintng: unknown key; did you mean "fingerprinting"?'),
        ({"server": {"zzz": 1}}, "server.zzz: unknown key; known here: log_format, trusted_proxies"),
        ({"redis": {"prot": 1}, "instances": [{**server(), "redis_db_index": 1}]},
         'redis.prot: unknown key; did you mean "port"?'),
        ({"redis": [], "instances": [{**server(), "redis_db_index": 1}]}, "redis: expected an object, got a list"),
        ({"redis": {}, "instances": [server()]},
         "instances[0].redis_db_index: missing; with Redis every database server needs one of its own"),
        ({"fingerprinting": {"allow": "yes"}}, 'fingerprinting.allow: expected true or false, got "yes"'),
        ({"fingerprinting": {"allow": None}}, "fingerprinting.allow: expected true or false, got null"),
        ({"fingerprinting": {"token": ""}},
         "fingerprinting.token: expected a non-empty string or null (its value is not shown here)"),
        ({"fingerprinting": {"token": "two words"}},
         "fingerprinting.token: a bearer token is made of visible ASCII characters without spaces"),
        ({"fingerprinting": {"max_file_size_mb": 0}},
         "fingerprinting.max_file_size_mb: expected a number above 0, or null for no limit, got 0"),
        ({"recognizing": {"max_duration": True}},
         "recognizing.max_duration: expected a number above 0, or null for no limit, got true"),
        ({"recognizing": {"max_duration": float("nan")}},
         "recognizing.max_duration: expected a number above 0, or null for no limit, got NaN"),
        ({"recognizing": {"max_file_size_mb": 1e308}},
         "recognizing.max_file_size_mb: expected at most 1000000000000, or null for no limit, got 1e+308"),
        ({"recognizing": {"max_duration": 10**13}},
         "recognizing.max_duration: expected at most 1000000000000, or null for no limit, got 10000000000000"),
        ({"recognizing": {"max_speed_change": 26}},
         "recognizing.max_speed_change: expected an integer from 0 to 25, got 26"),
        ({"recognizing": {"max_speed_change": 12.5}}, "recognizing.max_speed_change: expected an integer, got 12.5"),
        ({"recognizing": {"max_speed_change": None}}, "recognizing.max_speed_change: expected an integer, got null"),
        ({"rate_limit": {"recognizing": "many"}},
         'rate_limit.recognizing: expected a rate limit such as "10 per second; 1000 per hour", got "many"'),
        ({"rate_limit": {"redis_db_index": -1}},
         "rate_limit.redis_db_index: expected an integer from 0 to 65535, got -1"),
        ({"allowed_origin": "*"}, 'allowed_origin: expected a list, got "*"'),
        ({"allowed_origin": ["*", 5]}, "allowed_origin[1]: expected a string, got 5"),
        ({"allowed_origin": ["https://example.com/"]},
         'allowed_origin[0]: expected "*" or an origin such as "https://example.com", got "https://example.com/"'),
        ({"server": {"trusted_proxies": ["10.0.0.1/8"]}},
         'server.trusted_proxies[0]: expected an address or network such as "10.0.0.0/8", got "10.0.0.1/8"'),
        ({"instances": []}, "instances: at least one fingerprint database is needed"),
        ({"results": []}, "results: at least one results database is needed"),
        ({"instances": [server("mysqll")]},
         'instances[0].database_type: expected one of sqlite, mysql, clickhouse, got "mysqll"'),
        ({"instances": [{"database": {}}]},
         "instances[0].database_type: missing; expected one of sqlite, mysql, clickhouse"),
        ({"instances": [{"database_type": "sqlite"}]}, "instances[0].database.path: missing"),
        ({"instances": [server(host=""), server(port=1)]},
         'instances[0].database.host: expected a non-empty string, got ""'),
        ({"instances": [server(port="nine")]}, 'instances[0].database.port: expected an integer, got "nine"'),
        ({"instances": [server(port=70_000)]},
         "instances[0].database.port: expected an integer from 1 to 65535, got 70000"),
        ({"instances": [server(port=True)]}, "instances[0].database.port: expected an integer, got true"),
        ({"instances": [server(path="x")]},
         "instances[0].database.path: unknown key; known here: database, host, password, port, user"),
        ({"instances": [{**server(port=1), "redis_db_index": 3}, {**server(port=2), "redis_db_index": 3}]},
         "instances[1].redis_db_index: 3 is the index of instances[0] already"),
        ({"instances": [server(host="a", user="b"), server(host="A", user="c")]},
         "instances[1].database: the same database as instances[0]"),
        ({"results": [*MINIMAL["results"], *MINIMAL["results"]]},
         "results[1].database: the same database as results[0]"),
        ({"results": [{"database_type": "sqlite", "database": {"path": "data/../data/songs.db"}}]},
         "results[0].database: the same database as instances[0]"),
    ],
)  # fmt: skip
def test_one_problem_is_one_line_with_its_path(changes: dict[str, Any], problem: str) -> None:
    assert problems({**MINIMAL, **changes}) == [problem]


def test_all_problems_are_told_at_once() -> None:
    document = {"instances": [server(port="nine"), 3], "results": [], "rate_limit": {"fingerprinting": ""}}
    assert problems(document) == [
        "instances[1]: expected an object, got 3",
        'instances[0].database.port: expected an integer, got "nine"',
        "results: at least one results database is needed",
        'rate_limit.fingerprinting: expected a non-empty string, got ""',
    ]


def test_a_server_may_keep_fingerprints_and_results_in_one_database() -> None:
    assert len(parse({"instances": [server()], "results": [server()]}).results) == 1


# --- Secrets ---------------------------------------------------------------------------------------------------------

SECRETS: dict[str, Any] = {
    "fingerprinting": {"token": "token-in-file"},
    "redis": {"password": "redis-in-file"},
    "instances": [
        {**server(port=1, password="instance-in-file"), "redis_db_index": 1},
        {**server(port=2), "redis_db_index": 2},
    ],
    "results": [server(port=3)],
}


def passwords(deployment: Deployment) -> list[str | None]:
    configs = (*deployment.instances, *deployment.results)
    return [config.database.password for config in configs if isinstance(config.database, ServerDatabase)]


def test_secrets_come_from_the_file() -> None:
    deployment = parse(SECRETS)
    assert deployment.fingerprinting.token == "token-in-file"
    assert deployment.redis is not None
    assert deployment.redis.password == "redis-in-file"
    assert passwords(deployment) == ["instance-in-file", None, None]


def test_a_variable_for_one_secret_wins_over_the_file() -> None:
    deployment = parse(
        SECRETS,
        TUNESCOUT_TOKEN="t",
        TUNESCOUT_REDIS_PASSWORD="r",
        TUNESCOUT_INSTANCES_0_PASSWORD="i0",
        TUNESCOUT_RESULTS_0_PASSWORD="r0",
    )
    assert deployment.fingerprinting.token == "t"
    assert deployment.redis is not None
    assert deployment.redis.password == "r"
    assert passwords(deployment) == ["i0", None, "r0"]


def test_a_variable_for_all_databases_fills_the_gaps() -> None:
    deployment = parse(SECRETS, TUNESCOUT_DATABASE_PASSWORD="all", TUNESCOUT_RESULTS_0_PASSWORD="r0")
    assert passwords(deployment) == ["instance-in-file", "all", "r0"]


def test_an_empty_variable_is_not_set() -> None:
    deployment = parse(SECRETS, TUNESCOUT_TOKEN="", TUNESCOUT_DATABASE_PASSWORD="", TUNESCOUT_REDIS_PASSWORD="")
    assert deployment.fingerprinting.token == "token-in-file"
    assert passwords(deployment) == ["instance-in-file", None, None]
    assert parse(TUNESCOUT_TOKEN="").fingerprinting.token is None


def test_nothing_printed_holds_a_secret() -> None:
    assert "-in-file" not in repr(parse(SECRETS))
    wrong = {**SECRETS, "redis": {"password": 12345}, "fingerprinting": {"token": ["token-in-file"]}}
    wrong["instances"] = [{**server(password={"x": "instance-in-file"}), "redis_db_index": 1}]
    told = "\n".join(problems(wrong))
    assert told.count("its value is not shown here") == 3
    assert "-in-file" not in told
    assert "12345" not in told
