"""What is shipped to run the service elsewhere: image, containers and system service, as far as they run here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from processes import eventually
from requirements import required_program
from server_process import free_port
from servers import PROJECT, Server

from dejavu.config.database import ServerDatabase
from dejavu.config.deployment import parse_deployment

FOLDER = PROJECT / "deploy" / "compose"
SECRETS = {"TUNESCOUT_TOKEN": "a-token", "TUNESCOUT_DATABASE_PASSWORD": "a-password", "PORT": "8000"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """compose.yaml, with its variables as an operator would set them."""
    text = (PROJECT / "compose.yaml").read_text()
    document = yaml.safe_load(re.sub(r"\$\{(\w+)[^}]*\}", lambda match: SECRETS[match[1]], text))
    assert isinstance(document, dict)
    return document


def test_the_configuration_of_the_containers_names_them_and_their_secrets(compose: dict[str, Any]) -> None:
    services = compose["services"]
    environment = services["tunescout"]["environment"]
    config = json.loads((FOLDER / "config.json").read_text())
    deployment = parse_deployment(config, FOLDER, environment)
    assert deployment.fingerprinting.token == "a-token"
    databases = [deployment.instances[0].database, deployment.results[0].database]
    for database, name in zip(databases, ["clickhouse", "mariadb"], strict=True):
        assert isinstance(database, ServerDatabase)
        theirs = services[name]["environment"]
        assert (database.host, database.password) == (name, "a-password")
        assert (database.user, database.password) == (
            theirs[f"{name.upper()}_USER"],
            theirs[f"{name.upper()}_PASSWORD"],
        )
    assert deployment.redis is not None
    assert (deployment.redis.host, deployment.redis.password) == ("redis", "a-password")
    assert set(services) == {"tunescout", "clickhouse", "mariadb", "redis"}


def test_a_proxy_beside_the_containers_is_believed(compose: dict[str, Any]) -> None:
    (network,) = compose["networks"]["clients"]["ipam"]["config"]
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["server"]["trusted_proxies"] == [network["gateway"]]


def test_containers_can_be_reached_from_this_machine_only_and_databases_not_at_all(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["tunescout"]["ports"] == ["127.0.0.1:8000:8000"]
    for name in ("clickhouse", "mariadb", "redis"):
        assert "ports" not in services[name]
        assert services[name]["networks"] == ["databases"]
    assert compose["networks"]["databases"] == {"internal": True}


@pytest.mark.server
def test_redis_starts_as_it_is_told_to(compose: dict[str, Any], tmp_path: Path) -> None:
    program, *options = shlex.split(compose["services"]["redis"]["command"])
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [required_program(program), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis(port=port, password="a-password")

        def answers() -> bool:
            assert process.poll() is None
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        eventually(answers)
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
        assert client.config_get("save") == {"save": ""}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
    finally:
        process.kill()
        process.wait()


@pytest.mark.server
def test_what_is_in_the_image_is_enough_to_serve(tmp_path: Path) -> None:
    allowed = [line[1:] for line in (PROJECT / ".dockerignore").read_text().split() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {name for line in copied for name in line.split()}
    assert sources == set(allowed)
    image = tmp_path / "image"
    image.mkdir()
    for name in sources:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, image / name)
    with Server(image, program=image / "app.py") as server:
        assert server.get("/").status_code == 200
        assert server.get("/api/openapi.json").status_code == 200
        assert server.get("/metrics").status_code == 200
        check = re.search(r"^    CMD (\[.*\])$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
        assert check
        _, *arguments = json.loads(check[1])
        port = str(server.address[1])
        assert subprocess.run([sys.executable, *arguments], env={"PORT": port}, check=False).returncode == 0
    asked = subprocess.run([sys.executable, *arguments], env={"PORT": port}, stderr=subprocess.DEVNULL, check=False)
    assert asked.returncode == 1


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = (PROJECT / "deploy" / "tunescout.service").read_text()
    assert "/opt/tunescout/.venv/bin/python" in unit
    path = tmp_path / "tunescout.service"
    path.write_text(unit.replace("/opt/tunescout/.venv/bin/python", sys.executable))
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd on this machine")
    verify = [program, "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "tunescout" in line]
    assert not complaints and done.returncode == 0, done.stderr
