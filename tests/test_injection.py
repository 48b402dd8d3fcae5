"""SQL in tokens, names and SHA-1s, sent to a service on databases of every kind: it is text there and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fleet import Fleet, Song, new_songs, section
from servers import Server
from wire import assert_error

from dejavu.config.database import SqliteDatabase

pytestmark = pytest.mark.server

ATTEMPTS = (
    "' OR '1'='1",
    "'; DROP TABLE song; --",
    '"; DELETE FROM song WHERE 1=1; #',
    "\\'; TRUNCATE TABLE song; -- ",
    "x' UNION SELECT song_id, name, sha1 FROM song WHERE 'a'='a",
    "`); DROP DATABASE fleet; /*",
    "%s %(sha1)s %d %% {0} {sha1} $1 :sha1 ? ?",
    "ends in a backslash \\",
    "'/**/OR/**/1=1/**/--",  # twenty characters, as a token has them
    "\N{FULLWIDTH APOSTROPHE} OR 1=1 \N{MODIFIER LETTER APOSTROPHE}",
)


@pytest.fixture(params=["SQLite", "servers"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, list[Song]]]:
    """A service, and a song of its own for each attempt, spread over all its instances."""
    if request.param == "servers":
        fleet: Fleet = request.getfixturevalue("fleet")
        songs = [song for _ in ATTEMPTS[::2] for song in fleet.new_songs().values()]
        yield fleet.service, songs
        return
    databases = {f"instances[{index}]": SqliteDatabase(tmp_path / f"{index}.sqlite") for index in range(2)}
    seeds = itertools.count(8800)
    songs = [song for _ in ATTEMPTS[::2] for song in new_songs(databases, seeds).values()]
    with Server(tmp_path, instances=[section(database) for database in databases.values()]) as server:
        yield server, songs


def test_sql_from_clients_is_only_text(place: tuple[Server, list[Song]]) -> None:
    server, songs = place
    before = server.songs_held()
    for song, name in zip(songs, itertools.cycle(ATTEMPTS), strict=False):
        added = server.fingerprint(song.media, song_name=name)
        assert added.status_code == 200, added.text
        assert added.json()["song_name"] == name
        again = server.fingerprint(song.media, song_name=f"{name} again")
        assert (again.status_code, again.json()["song_name"]) == (409, name)
    answers = [server.recognize(song.clip) for song in songs[:3]]
    for attempt in ATTEMPTS:
        address = quote(attempt, safe="")
        for token in (address, address[:20], quote(answers[0].json()["token"] + attempt, safe="")):
            assert server.get(f"/api/fetch/{token}").status_code == 404
        for sha1 in (address, quote(attempt.ljust(40)[:40], safe=""), quote(songs[0].sha1 + attempt, safe="")):
            assert server.song(sha1).status_code == 404
        assert_error(server.recognize(songs[0].clip, start=attempt), 400, "invalid_field")
    assert server.songs_held() == before + len(songs)
    for song, name in zip(songs, itertools.cycle(ATTEMPTS), strict=False):
        assert server.song(song.sha1).json()["song_name"] == name
    for answer, song, name in zip(answers, songs, ATTEMPTS, strict=False):
        assert server.get(f"/api/fetch/{answer.json()['token']}").content == answer.content
        assert [(result["file_sha1"], result["song_name"]) for result in answer.json()["results"]] == [
            (song.sha1, name)
        ]
