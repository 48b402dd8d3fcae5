"""Two service processes over the same databases and the same Redis: one catalogue, and both know it at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import requests
from fleet import CLIENTS, Fleet, Song, ask
from processes import eventually
from servers import Server

from dejavu.store.driver import Driver
from dejavu.store.open import open_driver

pytestmark = pytest.mark.server

INSTANCES = pytest.mark.parametrize("home", ["instances[0]", "instances[2]"], ids=["ClickHouse", "MariaDB"])


@pytest.fixture(scope="module")
def other(fleet: Fleet) -> Iterator[Server]:
    """A second service beside the fleet's own."""
    with fleet.new_service("other") as running:
        yield running


@pytest.fixture
def driver(fleet: Fleet, home: str) -> Iterator[Driver]:
    """What somebody who looks after the catalogue uses on one instance."""
    with closing(open_driver(fleet.databases[home])) as opened:
        yield opened


def hits(server: Server, home: str) -> int:
    instances = server.get("/api/health").json()["instances"]
    return next(int(instance["cache"]["hits"]) for instance in instances if instance["name"] == home)


def found(server: Server, song: Song) -> bool:
    """Whether a service finds the song; there is none beside it that it could find."""
    answer = ask(server, song)
    assert answer.status == 200, answer.document
    assert answer.unavailable == []
    sha1s = [result["file_sha1"] for result in answer.document["results"]]
    assert sha1s in ([], [song.sha1])
    return sha1s == [song.sha1]


def answers_from_cache(server: Server, song: Song) -> bool:
    """Whether the song's instance answers all that it is asked about the clip from the cache."""
    ask(server, song)
    before = hits(server, song.home)
    ask(server, song)
    return hits(server, song.home) > before


@INSTANCES
def test_songs_come_and_go_for_all_services_at_once(fleet: Fleet, other: Server, driver: Driver, home: str) -> None:
    """However much of them the other one has in its cache."""
    song = fleet.new_songs()[home]
    assert not found(other, song)
    eventually(lambda: answers_from_cache(other, song))
    added = fleet.service.fingerprint(song.media)
    assert added.status_code == 200, added.text
    assert found(other, song)
    assert other.song(song.sha1).json() == added.json()
    eventually(lambda: answers_from_cache(other, song))
    driver.delete(added.json()["song_id"])
    assert not found(other, song)
    assert not found(fleet.service, song)
    assert other.song(song.sha1).status_code == 404
    again = other.fingerprint(song.media)
    assert again.json() == added.json()
    assert found(fleet.service, song)


@INSTANCES
def test_of_many_who_add_a_file_to_both_services_at_once_one_does(
    fleet: Fleet, other: Server, driver: Driver, home: str
) -> None:
    song = fleet.new_songs()[home]
    before = driver.counts()
    together = threading.Barrier(CLIENTS)

    def add(number: int) -> requests.Response:
        together.wait()
        return (fleet.service, other)[number % 2].fingerprint(song.media, f"as {number} calls it.wav")

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(add, range(CLIENTS)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: CLIENTS - 1}
    (added,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert {(answer.json()["song_id"], answer.json()["song_name"]) for answer in answers} == {
        (added["song_id"], added["song_name"])
    }
    after = driver.counts()
    assert after.songs - before.songs == 1
    assert after.fingerprints - before.fingerprints == added["fingerprinted_hashes"]
    (stored,) = driver.fingerprints([added["song_id"]]).values()
    assert len(stored) == added["fingerprinted_hashes"]
    assert found(other, song)
