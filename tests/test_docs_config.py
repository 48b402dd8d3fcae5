"""The README's settings, configuration keys and environment variables are those of the code, with the same values."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from readme import PROJECT, table, value

import app as program
from dejavu.config import settings
from dejavu.config.database import DATABASE_TYPES
from dejavu.config.deployment import parse_deployment
from dejavu.errors import ConfigError


def settings_of_the_code() -> dict[str, object]:
    return {name: found for name, found in vars(settings).items() if name.isupper() and name != "FORMAT_SETTINGS"}


def test_every_setting_is_there_with_its_value() -> None:
    documented = {name: value(cells[0]) for name, cells in table("Settings", "setting").items()}
    assert documented == settings_of_the_code()


def test_the_format_settings_are_those_of_the_digest() -> None:
    assert table("Format", "setting").keys() == set(settings.FORMAT_SETTINGS)


def set_key(document: dict[str, Any], path: str, content: object) -> None:
    """Write `content` at a path such as `instances[].database_type`; a list has one element."""
    *parents, last = path.split(".")
    for name in parents:
        document = document[name[:-2]][0] if name.endswith("[]") else document[name]
    document[last] = content


def minimal(database_type: str) -> dict[str, Any]:
    """A configuration with only what is required."""
    keys = table("Configuration", "key of `database`")
    column = DATABASE_TYPES.index(database_type)
    required = [key for key, cells in keys.items() if cells[column] == "required"]
    return {
        owner: [{"database_type": database_type, "database": {key: f"{key} of {owner}" for key in required}}]
        for owner in ("instances", "results")
    }


def spelled_out(database_type: str) -> dict[str, Any]:
    """The same with every documented default written out."""
    document = minimal(database_type)
    for path, (default, _) in table("Configuration", "key").items():
        if default != "required" and not path.startswith("redis."):
            set_key(document, path, value(default))
    for key, cells in table("Configuration", "key of `database`").items():
        default = cells[DATABASE_TYPES.index(database_type)]
        if default not in ("required", "–"):
            for owner in ("instances", "results"):
                document[owner][0]["database"][key] = value(default)
    return document


def known_keys(document: dict[str, Any]) -> set[str]:
    """Every key the code asks for in the sections of `document`, which it names when it meets one it does not know."""
    with pytest.raises(ConfigError) as caught:
        parse_deployment(document, Path(), {})
    found = re.findall(r"^(?:(\S+)\.)?\?: unknown key; known here: (.+)$", str(caught.value), re.MULTILINE)
    return {f"{path}.{key}".lstrip(".") for path, keys in found for key in keys.split(", ")}


@pytest.mark.parametrize("database_type", DATABASE_TYPES)
def test_every_key_of_the_configuration_is_there(database_type: str) -> None:
    column = DATABASE_TYPES.index(database_type)
    of_database = [key for key, cells in table("Configuration", "key of `database`").items() if cells[column] != "–"]
    documented = table("Configuration", "key").keys() | {
        f"{owner}[].database.{key}" for owner in ("instances", "results") for key in of_database
    }
    asked = {"?": 1, "database_type": database_type, "database": {"?": 1}}
    document: dict[str, Any] = {"instances": [asked], "results": [asked], "allowed_origin": [], "?": 1}
    for section in {path.split(".")[0] for path in documented if "." in path and "[]" not in path}:
        document[section] = {"?": 1}
    assert {key.replace("[0]", "[]") for key in known_keys(document)} == documented


@pytest.mark.parametrize("database_type", DATABASE_TYPES)
def test_the_defaults_are_those_of_the_code(database_type: str) -> None:
    short, long = minimal(database_type), spelled_out(database_type)
    assert parse_deployment(long, Path(), {}) == parse_deployment(short, Path(), {})
    for document in (short, long):
        document["redis"] = {}
        document["instances"][0]["redis_db_index"] = 1
    for path, (default, _) in table("Configuration", "key").items():
        if path.startswith("redis."):
            set_key(long, path, value(default))
    assert parse_deployment(long, Path(), {}) == parse_deployment(short, Path(), {})


def test_what_is_required_is_missed() -> None:
    required = [path for path, cells in table("Configuration", "key").items() if cells[0] == "required"]
    assert required
    for path in required:
        document = minimal("sqlite")
        owner, _, key = path.partition("[].")
        target = document[owner][0] if key else document
        del target[key or owner]
        with pytest.raises(ConfigError):
            parse_deployment(document, Path(), {})


def test_every_environment_variable_is_there() -> None:
    programs = [*(PROJECT / "dejavu").rglob("*.py"), PROJECT / "app.py", PROJECT / "tunescout_uploader.py"]
    code = "\n".join(path.read_text("utf-8") for path in programs)
    read = set(re.findall(r'environ(?:ment)?\.get\(\s*"([A-Z_]+)"', code))
    read |= {"TUNESCOUT_INSTANCES_0_PASSWORD", "TUNESCOUT_RESULTS_0_PASSWORD"}  # made of the JSON path
    documented = table("Configuration", "variable")
    assert documented.keys() == read
    assert f"`{program.DEFAULT_HOST}`" in documented["HOST"][0]
    assert f"`{program.DEFAULT_PORT}`" in documented["PORT"][0]
    assert f"`{settings.CONFIG_FILE}`" in documented["TUNESCOUT_CONFIG"][0]


def test_every_variable_with_a_secret_is_used() -> None:
    document = minimal("mysql")
    document["redis"] = {}
    document["instances"][0]["redis_db_index"] = 1
    secrets = {name: f"of-{name}" for name in table("Configuration", "variable") if re.search("TOKEN|PASSWORD", name)}
    general = secrets.pop("TUNESCOUT_DATABASE_PASSWORD")
    deployment = json.dumps(asdict(parse_deployment(document, Path(), secrets)), default=str)
    assert [name for name, secret in secrets.items() if secret not in deployment] == []
    alone = parse_deployment(document, Path(), {"TUNESCOUT_DATABASE_PASSWORD": general})
    assert general in json.dumps(asdict(alone), default=str)


@pytest.mark.parametrize("name", ["config.json", "config.example.json", "config.mixed.example.json"])
def test_the_configurations_that_are_shipped_can_be_read(name: str) -> None:
    assert parse_deployment(json.loads((PROJECT / name).read_text("utf-8")), PROJECT, {}).instances
