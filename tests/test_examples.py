"""The example configurations as they are, on servers that are set up as the README says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import commands
import pytest
from clickhouse import ClickHouseServer
from fleet import ask, new_songs
from mariadb import MariaDB
from readme import PROJECT, blocks
from redis_server import RedisServer
from servers import Server

from dejavu.config.deployment import parse_deployment

pytestmark = pytest.mark.server

Ports = dict[int, int]
"""For each port of the README the free one that stands for it. The examples have all servers on this machine."""


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    folder = tmp_path / "servers"
    with ExitStack() as opened:
        redis = opened.enter_context(RedisServer(folder / "redis"))
        mariadb = opened.enter_context(MariaDB(folder / "mariadb"))
        first, second = (opened.enter_context(set_up_clickhouse(folder / name)) for name in ("first", "second"))
        set_up_mariadb(mariadb)
        set_up_redis(redis)
        yield {9000: first.port, 9001: second.port, 3306: mariadb.port, 6379: redis.port}


def set_up_clickhouse(folder: Path) -> ClickHouseServer:
    """A server, to be entered, without small blocks and the example's user but for the README's file."""
    (folder / "users.d").mkdir(parents=True)
    (users,) = blocks("xml")
    (folder / "users.d" / "tunescout.xml").write_text(users)
    return ClickHouseServer(folder, small_blocks=False)


def set_up_mariadb(server: MariaDB) -> None:
    (statements,) = blocks("sql")
    server.execute("DROP USER tunescout")
    for statement in filter(str.strip, statements.split(";")):
        server.execute(statement)


def set_up_redis(server: RedisServer) -> None:
    (lines,) = blocks("conf")
    with server.client() as client:
        # The last are first, because the first takes away the right to do this.
        for name, *words in (line.split() for line in reversed(lines.splitlines())):
            if name == "user":
                client.execute_command("ACL SETUSER", words[0], "reset", *words[1:])
            else:
                client.config_set(name, words[0].strip('"'))


def on_these(ports: Ports, document: Any) -> Any:
    """The same configuration, with the ports of the servers that there are."""
    if isinstance(document, dict):
        return {key: ports[inner] if key == "port" else on_these(ports, inner) for key, inner in document.items()}
    return [on_these(ports, inner) for inner in document] if isinstance(document, list) else document


@pytest.mark.parametrize("name", ["config.example.json", "config.mixed.example.json"])
def test_an_example_works_unchanged(name: str, ports: Ports, tmp_path: Path) -> None:
    document = on_these(ports, json.loads((PROJECT / name).read_text("utf-8")))
    deployment = parse_deployment(document, tmp_path, {})
    songs = new_songs({instance.name: instance.database for instance in deployment.instances}, itertools.count(7000))
    with Server(tmp_path, **document) as server:
        for song in songs.values():
            assert server.fingerprint(song.media, token=document["fingerprinting"]["token"]).status_code == 200
        for song in songs.values():
            answer = ask(server, song)
            answer.assert_right()
            assert answer.unavailable == []
            assert server.get(f"/api/fetch/{answer.document['token']}").json() == answer.document
        health = server.get("/api/health").json()
        assert [instance["songs"] for instance in health["instances"]] == [1] * len(songs)
        caches = [instance["cache"] for instance in health["instances"] if instance["cache"]]
        assert len(caches) == sum(instance.redis_db_index is not None for instance in deployment.instances)
        states = [part["state"] for part in (*health["instances"], *health["results"], *caches, health["redis"])]
        assert set(states) == {"up"}
        code, checked, complaints = commands.run(tmp_path / "config.json", "check")
        assert (code, complaints) == (0, ""), checked
    assert " WARNING " not in server.log
