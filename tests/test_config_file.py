"""Where the configuration is read from, and the two files that come with the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_deployment import MINIMAL

from dejavu.config import settings
from dejavu.config.database import SqliteDatabase
from dejavu.config.deployment import Deployment, load_deployment
from dejavu.errors import ConfigError

PROJECT = Path(__file__).parent.parent


def load(path: Path, text: str | bytes) -> Deployment:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_deployment({"TUNESCOUT_CONFIG": str(path)})


def test_the_variable_names_another_file(tmp_path: Path) -> None:
    deployment = load(tmp_path / "mine.json", json.dumps(MINIMAL))
    assert deployment.instances[0].database == SqliteDatabase(tmp_path / "data" / "songs.db")


def test_the_default_file_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{settings.CONFIG_FILE}: cannot be read"):
        load_deployment({})
    (tmp_path / settings.CONFIG_FILE).write_text(json.dumps(MINIMAL))
    assert load_deployment({"TUNESCOUT_CONFIG": ""}) == load_deployment({})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"not valid JSON, Expecting value \(line 1, column 1\)"),
        ('{"instances": [],}', r"not valid JSON, .* \(line 1, column 1[78]\)"),
        (b'{"\xff": 1}', "not UTF-8 text"),
        ("[]", "expected an object, got a list"),
        ('{"redis": {"port": 1, "port": 2}}', "redis.port: given more than once"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load(tmp_path / "config.json", text)


def test_the_shipped_configuration_needs_no_server() -> None:
    deployment = load_deployment({"TUNESCOUT_CONFIG": str(PROJECT / "config.json")})
    configs = [*deployment.instances, *deployment.results]
    assert all(isinstance(config.database, SqliteDatabase) for config in configs)
    paths = [config.database.path for config in configs if isinstance(config.database, SqliteDatabase)]
    assert {path.parent for path in paths} == {PROJECT / "data"}
    assert deployment.redis is None
    assert deployment.fingerprinting.token is None


def test_the_distributed_example_shows_every_key() -> None:
    path = PROJECT / "config.example.json"
    deployment = load_deployment({"TUNESCOUT_CONFIG": str(path)})
    assert [config.database.type for config in deployment.instances] == ["clickhouse"] * 2
    assert {database.database.type for database in deployment.results} == {"mysql", "clickhouse"}
    assert deployment.redis is not None
    assert deployment.redis.user is not None
    document = json.loads(path.read_text())
    assert {
        section: set(document[section]) for section in ("fingerprinting", "recognizing", "redis", "rate_limit")
    } == {
        "fingerprinting": {"allow", "token", "max_file_size_mb"},
        "recognizing": {"max_duration", "max_file_size_mb", "max_speed_change"},
        "redis": {"host", "port", "user", "password", "prefix"},
        "rate_limit": {"fetching_results", "recognizing", "fingerprinting", "redis_db_index"},
    }


def test_the_mixed_example_has_an_instance_of_every_kind() -> None:
    deployment = load_deployment({"TUNESCOUT_CONFIG": str(PROJECT / "config.mixed.example.json")})
    assert {config.database.type for config in deployment.instances} == {"mysql", "clickhouse", "sqlite"}
