"""The catalogue over HTTP: listed, searched, renamed and deleted, on several instances and without one of them."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import catalogue
import media
import pytest
import requests
from processes import eventually
from servers import TOKEN, Server
from wire import assert_error

pytestmark = pytest.mark.server

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
KNOWN = {"artist": "Björk", "title": "Jóga", "album": "Homogenic", "isrc": "GBAAA9700123"}
NAMES = ["Jóga", "bachelorette", "Unravel (live)", "5 Years", "all neon like", "Pluto"]


def tagged(seed: int, **tags: str) -> bytes:
    """A song with tags, as MP3."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        container.metadata.update(tags)
        made = media.FORMATS["mp3"]
        media._write_sound(container, media._add_sound_stream(container, made), catalogue.samples(seed), made)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def songs(server: Server) -> list[dict[str, Any]]:
    """What the service said of each of NAMES; the first has tags."""
    tags = {"artist": "Björk", "title": "Jóga", "album": "Homogenic", "TSRC": "GB-AAA-97-00123"}
    files = [tagged(70, **tags), *(catalogue.clip(71 + number, 0.0, 14.0) for number in range(len(NAMES) - 1))]
    answers = [server.fingerprint(file, song_name=name) for file, name in zip(files, NAMES, strict=True)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


def ask(server: Server, method: str, path: str = "", **arguments: Any) -> requests.Response:
    return server.request(method, f"/api/songs{path}", headers=AUTHORIZED, **arguments)


def found(server: Server, **parameters: Any) -> list[str]:
    """The names on the first page."""
    answer = ask(server, "GET", params=parameters)
    assert answer.status_code == 200, answer.text
    return [song["song_name"] for song in answer.json()["songs"]]


def test_tags_come_with_the_song_and_with_every_answer(server: Server, songs: list[dict[str, Any]]) -> None:
    first = songs[0]
    assert {name: first[name] for name in KNOWN} == KNOWN
    assert first["duration_seconds"] == pytest.approx(catalogue.SONG_SECONDS, abs=0.1)
    assert {songs[1][name] for name in KNOWN} == {None}
    listed = ask(server, "GET", f"/{first['file_sha1'].upper()}").json()
    assert listed == first
    (best, *_) = server.recognize(catalogue.clip(70, 4.0, 6.0)).json()["results"]
    assert {name: best[name] for name in (*KNOWN, "duration_seconds")} == {
        **KNOWN,
        "duration_seconds": first["duration_seconds"],
    }


def test_pages_follow_each_other_by_name(server: Server, songs: list[dict[str, Any]]) -> None:
    everything = ask(server, "GET").json()
    assert everything["next"] is None and everything["unavailable"] == []
    assert everything["total"] == len(everything["songs"]) >= len(NAMES)
    pages: list[list[dict[str, Any]]] = []
    after: str | None = ""
    while after is not None:
        page = ask(server, "GET", params={"limit": 2, "after": after}).json()
        pages.append(page["songs"])
        after = page["next"]
    assert [song for page in pages for song in page] == everything["songs"]
    names = [song["song_name"] for song in everything["songs"] if song["song_name"] in NAMES]
    assert names == ["5 Years", "all neon like", "bachelorette", "Jóga", "Pluto", "Unravel (live)"]


def test_words_are_searched_in_name_and_tags(server: Server, songs: list[dict[str, Any]]) -> None:
    assert found(server, query="bjork JOGA") == ["Jóga"]
    assert found(server, query="gbaaa9700123 homogenic") == ["Jóga"]
    assert found(server, query="live unravel") == ["Unravel (live)"]
    assert found(server, query="live homogenic") == []
    assert found(server, query="%") == found(server, query="' OR 1=1 --") == []
    assert found(server, query=songs[2]["file_sha1"][:8]) == ["Unravel (live)"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": "1e9"}, "limit"),
        ({"after": "nonsense"}, "after"),
        ({"after": "WyJhIl0"}, "after"),
        ({"query": "a b c d e f g h i"}, "query"),
        ({"query": "x" * 201}, "query"),
    ],
)
def test_what_cannot_be_asked_for(server: Server, parameters: dict[str, str], told: str) -> None:
    assert assert_error(ask(server, "GET", params=parameters), 400, "invalid_field").startswith(f"{told}: ")


def test_renaming_changes_the_name_and_nothing_else(server: Server, songs: list[dict[str, Any]]) -> None:
    song = songs[-1]
    path = f"/{song['file_sha1']}"
    renamed = ask(server, "PATCH", path, json={"song_name": "  Ænima – 'Τέλος' \U0001f3b5 "})
    assert renamed.json() == {**song, "song_name": "  Ænima – 'Τέλος' \U0001f3b5 "}
    assert ask(server, "GET", path).json() == renamed.json()
    assert found(server, query="ænima τελος") != [] and found(server, query="pluto") == []
    assert ask(server, "PATCH", path, json={"song_name": "Pluto"}).json() == song
    assert_error(ask(server, "PATCH", path, json={"song_name": "a\nb"}), 400, "invalid_field")
    assert_error(ask(server, "PATCH", f"/{'0' * 40}", json={"song_name": "x"}), 404, "unknown_song")
    assert_error(ask(server, "PATCH", "/nonsense", json={"song_name": "x"}), 404, "unknown_song")


@pytest.mark.parametrize(
    "body",
    [
        {"data": b"song_name=x"},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        {"data": b" " * 300_000 + b"{}", "headers": {"Content-Type": "application/json"}},
        {"data": b"\xff", "headers": {"Content-Type": "application/json"}},
        {"json": ["song_name"]},
        {"json": {"song_name": 5}},
        {"json": {}},
        {"json": {"song_name": "x", "artist": "y"}},
    ],
    ids=str,
)
def test_bodies_that_name_nothing(server: Server, songs: list[dict[str, Any]], body: dict[str, Any]) -> None:
    body = {**body, "headers": {**AUTHORIZED, **body.get("headers", {})}}
    answer = server.request("PATCH", f"/api/songs/{songs[1]['file_sha1']}", **body)
    assert '{"song_name": "Another name"}' in assert_error(answer, 400, "invalid_body")
    assert ask(server, "GET", f"/{songs[1]['file_sha1']}").json() == songs[1]


def test_a_deleted_song_is_found_no_more_and_can_be_added_again(own_server: Server) -> None:
    file = catalogue.song(80)
    song = own_server.fingerprint(file, song_name="gone").json()
    clip = catalogue.clip(80, 3.0, 6.0)
    assert [one["song_name"] for one in own_server.recognize(clip).json()["results"]] == ["gone"]
    path = f"/{song['file_sha1']}"
    assert ask(own_server, "DELETE", path).json() == song
    assert own_server.recognize(clip).json()["results"] == []
    assert_error(ask(own_server, "DELETE", path), 404, "unknown_song")
    assert found(own_server) == []
    assert own_server.fingerprint(file, song_name="back").status_code == 200


def test_copies_are_one_song_and_go_together(own_server: Server, tmp_path: Path) -> None:
    """An outage lets a second copy in; both are renamed and deleted."""
    file = catalogue.song(81)
    song = own_server.fingerprint(file, song_name="copied").json()
    held = [instance["songs"] for instance in own_server.get("/api/health").json()["instances"]]
    home = tmp_path / f"fingerprints-{held.index(1)}.sqlite"
    own_server.stop()
    for path in tmp_path.glob(f"{home.name}*"):
        path.rename(path.with_name(f"away {path.name}"))
    home.mkdir()
    own_server.start()
    assert own_server.fingerprint(file, song_name="copied").status_code == 200
    own_server.stop()
    home.rmdir()
    for path in tmp_path.glob("away *"):
        path.replace(path.with_name(path.name.removeprefix("away ")))
    own_server.start()
    page = ask(own_server, "GET").json()
    assert ([one["song_name"] for one in page["songs"]], page["total"]) == (["copied"], 2)
    path = f"/{song['file_sha1']}"
    assert ask(own_server, "PATCH", path, json={"song_name": "both"}).json()["song_name"] == "both"
    assert found(own_server) == ["both"]
    home.rename(tmp_path / "elsewhere")
    told = assert_error(ask(own_server, "DELETE", path), 503, "instances_unavailable")
    assert told.startswith(f"The song was deleted on instances[{1 - held.index(1)}].")
    page = ask(own_server, "GET").json()
    assert (page["songs"], page["unavailable"]) == ([], [f"instances[{held.index(1)}]"])


def test_songs_of_an_earlier_version_are_found_at_once_and_listed_soon(tmp_path: Path, own_server: Server) -> None:
    for seed, name in ((83, "Ágætis"), (84, "Byrjun")):
        assert own_server.fingerprint(catalogue.song(seed), song_name=name).status_code == 200
    own_server.stop()
    for path in tmp_path.glob("fingerprints-?.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP INDEX song_by_key")
            for column in ("about", "search_key"):
                connection.execute(f"ALTER TABLE song DROP COLUMN {column}")
    own_server.start()
    (best, *_) = own_server.recognize(catalogue.clip(83, 3.0, 6.0)).json()["results"]
    assert (best["song_name"], best["duration_seconds"]) == ("Ágætis", None)
    eventually(lambda: found(own_server) == ["Ágætis", "Byrjun"])
    assert found(own_server, query="byrjun") == ["Byrjun"]


def test_only_who_may_add_songs_may_see_and_change_them(server: Server, songs: list[dict[str, Any]]) -> None:
    path = f"/api/songs/{hashlib.sha1(b'').hexdigest()}"
    for method, where in (("GET", "/api/songs"), ("GET", path), ("PATCH", path), ("DELETE", path)):
        assert_error(server.request(method, where), 401, "not_authorized")
        wrong = {"Authorization": "Bearer wrong"}
        assert_error(server.request(method, where, headers=wrong), 401, "not_authorized")


def test_a_closed_catalogue_can_be_read_only(tmp_path: Path) -> None:
    with Server(tmp_path, fingerprinting={"allow": False, "token": TOKEN}) as closed:
        assert found(closed) == []
        path = f"/{'0' * 40}"
        assert_error(ask(closed, "DELETE", path), 403, "fingerprinting_disabled")
        assert_error(ask(closed, "PATCH", path, json={"song_name": "x"}), 403, "fingerprinting_disabled")
