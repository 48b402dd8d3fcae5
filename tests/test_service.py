"""Starting, reporting and stopping, with databases missing from the start or going away later."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from catalogue import clip, eventually, make_deployment, song, uploaded

from dejavu.errors import FormatMismatch, InstancesUnavailable
from dejavu.service.service import Service

pytestmark = pytest.mark.server


def test_a_database_that_is_down_at_the_start_is_reported_and_joins_later(tmp_path):
    deployment = make_deployment(tmp_path)
    missing = deployment.instances[0].database.path
    missing.mkdir()
    with closing(Service.open(deployment)) as service:
        health = service.health()
        assert health.able
        assert [instance.up for instance in health.instances] == [False, True]
        assert [instance.songs for instance in health.instances] == [None, 0]
        with uploaded(song(1)) as file:
            added = service.fingerprint(file, "song")
        with uploaded(clip(1, 5, 5)) as file:
            recognition = service.recognize(file)
        assert recognition.unavailable == ("instances[0]",)
        assert service.fetch(recognition.token) == recognition.to_json()
        missing.rmdir()
        assert eventually(lambda: all(instance.up for instance in service.health().instances))
        with uploaded(clip(1, 5, 5)) as file:
            recognition = service.recognize(file)
        assert recognition.unavailable == ()
        assert service.find_song(added.sha1) == added


def test_with_every_database_down_it_starts_says_so_and_recovers_by_itself(tmp_path):
    deployment = make_deployment(tmp_path, instances=1, results=1)
    paths = [config.database.path for config in (*deployment.instances, *deployment.results)]
    for path in paths:
        path.mkdir()
    with closing(Service.open(deployment)) as service:
        body = service.health().to_wire()
        assert (body["status"], body["code"]) == ("error", "instances_unavailable")
        assert str(tmp_path) not in json.dumps(body)
        with uploaded(clip(1, 5, 5)) as file, pytest.raises(InstancesUnavailable):
            service.recognize(file)
        for path in paths:
            path.rmdir()
        assert eventually(lambda: service.health().able)
        with uploaded(clip(1, 5, 5)) as file:
            assert service.recognize(file).matches == ()


def test_health_names_every_part_and_its_state(tmp_path):
    with closing(Service.open(make_deployment(tmp_path, instances=2, results=1))) as service:
        body = json.loads(json.dumps(service.health().to_wire()))
    assert body["status"] == "success"
    assert [instance["name"] for instance in body["instances"]] == ["instances[0]", "instances[1]"]
    assert set(body["instances"][0]) == {"name", "state", "since", "reason", "songs", "cache"}
    assert body["instances"][0]["cache"] is None
    assert body["results"] == [
        {"name": "results[0]", "state": "up", "since": body["results"][0]["since"], "reason": None}
    ]
    assert body["workers"]["busy"] == 0


@pytest.mark.parametrize("kind", ["instances", "results"])
def test_a_database_of_something_else_stops_the_start(tmp_path, kind):
    deployment = make_deployment(tmp_path)
    with closing(sqlite3.connect(getattr(deployment, kind)[1].database.path)) as connection:
        connection.execute("CREATE TABLE somebody_elses (thing TEXT)")
    with pytest.raises(FormatMismatch, match="made for something else"):
        Service.open(deployment)
