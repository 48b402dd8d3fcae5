"""Databases that are killed, silent or all gone while clients ask: no answer fails that can be given, none is false.

How fast it is then is measured by benchmarks/outages.py; what makes it fast is asserted here.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet import CLIENTS, Asked, Fleet, Load, Silence, ask, killed, new_songs, section
from processes import eventually
from servers import Server
from wire import assert_error

from dejavu.config.database import SqliteDatabase

pytestmark = pytest.mark.server

MAY_BE_THERE = "A" * 20
"""A token that nobody was given, which only who can ask every database knows."""


def fetched(server: Server, answer: Asked) -> bool:
    """Whether the stored answer is sent again as it was; where it is out of reach, that is said."""
    response = server.get(f"/api/fetch/{answer.document['token']}")
    if response.status_code == 200:
        assert response.json() == answer.document
        return True
    assert_error(response, 503, "instances_unavailable")
    return False


def recovered(fleet: Fleet) -> bool:
    """Whether every instance is asked again."""
    answers = [ask(fleet.service, song) for song in fleet.songs.values()]
    for answer in answers:
        answer.assert_right()
    return not any(answer.unavailable for answer in answers)


@pytest.mark.parametrize("victim", ["instances[1]", "instances[2]"], ids=["ClickHouse", "MariaDB"])
def test_a_killed_database_is_done_without_and_used_again(fleet: Fleet, victim: str) -> None:
    """Each of the two holds results as well."""
    lines = len(fleet.service.log.splitlines())
    with Load(fleet.service, list(fleet.songs.values())) as load:
        load.wait_for_answers(CLIENTS)
        with killed(fleet.servers[victim]):
            down = time.monotonic()
            up = load.wait_for_answers(3 * CLIENTS)
            earlier = [answer for answer in load.answers if answer.ended < down]
            assert not all(fetched(fleet.service, answer) for answer in earlier)
            assert_error(fleet.service.get(f"/api/fetch/{MAY_BE_THERE}"), 503, "instances_unavailable")
        load.wait_for(lambda: any(not answer.unavailable for answer in load.begun_after(up)))
        whole_again = next(answer.ended for answer in load.begun_after(up) if not answer.unavailable)
        load.wait_for_answers(CLIENTS)
    for answer in load.answers:
        answer.assert_right()
    assert {tuple(answer.unavailable) for answer in earlier} == {()}
    meanwhile = [answer for answer in load.begun_after(down) if answer.ended < up]
    assert {tuple(answer.unavailable) for answer in meanwhile} == {(victim,)}
    assert {tuple(answer.unavailable) for answer in load.begun_after(whole_again)} == {()}
    # Requests left it alone after the first that failed, and it did not come and go.
    log = fleet.service.log.splitlines()[lines:]
    assert sum(f"database down name={victim} " in line for line in log) == 1
    # Whatever was acknowledged is found, also what was put elsewhere while its home was down.
    eventually(lambda: all(fetched(fleet.service, answer) for answer in load.answers))


def test_without_redis_answers_are_the_same(fleet: Fleet) -> None:
    def cached() -> bool:
        return all(
            instance["cache"]["state"] == "up" for instance in fleet.service.get("/api/health").json()["instances"]
        )

    with Load(fleet.service, list(fleet.songs.values())) as load:
        load.wait_for_answers(CLIENTS)
        with killed(fleet.redis):
            load.wait_for_answers(3 * CLIENTS)
            assert not cached()
            assert fleet.service.get("/api/health").json()["redis"]["state"] == "down"
        eventually(cached)
        load.wait_for_answers(CLIENTS)
    for answer in load.answers:
        answer.assert_right()
        assert answer.unavailable == []


def test_without_results_or_without_instances_there_is_an_error_and_no_answer(fleet: Fleet) -> None:
    """And as soon as they are back there are answers, without anybody doing anything."""
    song = fleet.songs["instances[0]"]
    unknown = next(iter(fleet.new_songs().values()))
    with killed(fleet.servers["instances[1]"], fleet.servers["instances[2]"]):
        response = fleet.service.recognize(song.clip)
        assert_error(response, 503, "instances_unavailable")
        assert "results database" in response.json()["message"]
        with killed(fleet.servers["instances[0]"]):
            for response in (
                fleet.service.recognize(song.clip),
                fleet.service.recognize(unknown.clip),
                fleet.service.fingerprint(unknown.media),
                fleet.service.song(song.sha1),
            ):
                assert_error(response, 503, "instances_unavailable")
                assert int(response.headers["Retry-After"]) > 0
            assert fleet.service.get("/api/health").status_code == 503
    eventually(lambda: fleet.service.recognize(song.clip).status_code == 200)
    eventually(lambda: recovered(fleet))
    assert_error(fleet.service.song(unknown.sha1), 404, "unknown_song")


def test_silent_addresses_are_named_and_nobody_waits_for_them(tmp_path: Path) -> None:
    """Nobody but the one thread that probes each of them is ever connected to it."""
    database = SqliteDatabase(tmp_path / "fingerprints.sqlite")
    (song,) = new_songs({"instances[0]": database}, itertools.count(8900)).values()
    with ExitStack() as opened:
        silences = [opened.enter_context(Silence()) for _ in range(2)]
        silent = [
            {"database_type": kind, "database": {"host": "127.0.0.1", "port": silence.port, "database": "tunescout"}}
            for kind, silence in zip(("clickhouse", "mysql"), silences, strict=True)
        ]
        server = opened.enter_context(Server(tmp_path, instances=[section(database), *silent]))
        assert server.fingerprint(song.media).status_code == 200
        for silence in silences:
            silence.forget()
        with Load(server, [song]) as load:
            load.wait_for_answers(3 * CLIENTS)
        for answer in load.answers:
            answer.assert_right()
            assert answer.unavailable == ["instances[1]", "instances[2]"]
        assert max(silence.most for silence in silences) == 1
        # The driver gives up on a greeting long before those who wait for its answer would.
        assert "database down name=instances[1] reason=The ClickHouse server did not answer in time." in server.log
        states = [instance["state"] for instance in server.get("/api/health").json()["instances"]]
        assert states == ["up", "down", "down"]
