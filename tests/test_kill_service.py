"""The service killed at random moments of a bulk upload: what was acknowledged is there, once and whole."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import media
import pytest
from clickhouse import ClickHouseServer
from fleet import SAMPLE_RATE, section
from mariadb import MariaDB
from servers import PROJECT, TOKEN, Server

from dejavu.config.database import Database, SqliteDatabase
from dejavu.model import Song
from dejavu.store.open import open_driver

pytestmark = pytest.mark.server

KILLS = 20
FILES = 200
FILE_SECONDS = 3
WORKERS = 4
LONGEST_LIFE_SECONDS = 0.2  # of an upload, from the first song that it adds on
DEADLINE_SECONDS = 60.0


@pytest.fixture
def databases(clickhouse: ClickHouseServer, mariadb: MariaDB, tmp_path: Path) -> Iterator[Mapping[str, Database]]:
    """One of every kind, so that every upload writes to all of them."""
    name = f"killed {uuid.uuid4().hex}"
    with mariadb.fresh_database() as database:
        yield {
            "ClickHouse": clickhouse.database(name),
            "MariaDB": database,
            "SQLite": SqliteDatabase(tmp_path / "fingerprints.sqlite"),
        }
    clickhouse.drop_database(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Music to upload."""
    music = tmp_path / "music"
    music.mkdir()
    for seed in range(FILES):
        samples = media.music(FILE_SECONDS, sample_rate=SAMPLE_RATE, seed=seed)
        (music / f"{seed:03}.wav").write_bytes(media.wav(samples, SAMPLE_RATE))
    return music


def start_upload(server: Server, folder: Path, report: Path) -> subprocess.Popen[bytes]:
    arguments = ["--server", server.url, "--token", TOKEN, "--workers", str(WORKERS), "--report", str(report)]
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "tunescout_uploader.py"), *arguments, str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def acknowledged(report: Path) -> dict[str, dict[str, str]]:
    """The rows of the files of which the uploader knows that they are in the catalogue, by SHA-1."""
    with report.open(encoding="utf-8", newline="") as file:
        return {row["sha1"]: row for row in csv.DictReader(file) if "fingerprinted" in row["status"]}


def stored_songs(databases: Mapping[str, Database]) -> dict[str, Song]:
    """Every song that there is, by its SHA-1: none of them twice, and each with all of its fingerprints."""
    found: dict[str, Song] = {}
    for name, database in databases.items():
        with closing(open_driver(database)) as driver:
            songs = driver.list_songs(-1, FILES + 1)
            whole = driver.fingerprints([song.song_id for song in songs])
        assert {song.song_id: song.total_hashes for song in songs} == {
            song_id: len(fingerprints) for song_id, fingerprints in whole.items()
        }, f"a song is only half on {name}"
        for song in songs:
            assert song.sha1 not in found, f"a song is on {name} and elsewhere"
            found[song.sha1] = song
    return found


def no_leftovers(databases: Mapping[str, Database]) -> bool:
    """Whether there are no fingerprints but those of the songs."""
    swept = 0
    for database in databases.values():
        with closing(open_driver(database)) as driver:
            swept += driver.sweep()
    return swept == 0


def stop(upload: subprocess.Popen[bytes]) -> None:
    upload.kill()
    upload.wait()


def test_twenty_kills_lose_nothing_and_leave_no_half(
    databases: Mapping[str, Database], folder: Path, tmp_path: Path
) -> None:
    moments = random.Random(1)
    known: set[str] = set()
    with ExitStack() as opened:
        server = Server(tmp_path, instances=[section(database) for database in databases.values()])
        opened.push(server)
        for life in range(KILLS):
            report = tmp_path / f"report-{life}.csv"
            server.launch()
            server.url = server.wait_for(r"listening on (\S+)").group(1)
            upload = start_upload(server, folder, report)
            opened.callback(stop, upload)
            server.wait_for("song added")
            with suppress(subprocess.TimeoutExpired):
                upload.wait(moments.uniform(0, LONGEST_LIFE_SECONDS))
            server.kill()
            stop(upload)
            known |= acknowledged(report).keys()
            assert known <= stored_songs(databases).keys()
        before = stored_songs(databases)
        assert len(before) < FILES, "the kills came too late"

        server.start()
        report = tmp_path / "report.csv"
        assert start_upload(server, folder, report).wait(DEADLINE_SECONDS) == 0
        last = acknowledged(report)
        songs = stored_songs(databases)
        assert last.keys() == songs.keys()
        assert {sha1 for sha1, row in last.items() if row["status"] == "already_fingerprinted"} == before.keys()
        assert server.songs_held() == FILES
        for row in list(last.values())[:: FILES // 10]:
            answer = server.recognize(Path(row["path"]).read_bytes()).json()
            assert [result["file_sha1"] for result in answer["results"]] == [row["sha1"]]
    assert no_leftovers(databases)
