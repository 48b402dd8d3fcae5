"""The client for Python programs against the real service, good days and bad."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import catalogue
import pytest
from readme import PROJECT
from servers import TOKEN, Server

from dejavu.client import AlreadyFingerprinted, Busy, NotAuthorized, NotFound, ServiceError, TuneScout, Unreachable

pytestmark = pytest.mark.server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def scout(own_server: Server) -> Iterator[TuneScout]:
    with TuneScout(own_server.url, TOKEN) as client:
        yield client


def test_a_song_is_added_found_and_looked_after(scout: TuneScout, tmp_path: Path) -> None:
    file = tmp_path / 'Sigur "Rós" – ( ).wav'
    file.write_bytes(catalogue.song(30))
    song = scout.fingerprint(file)
    assert (song.name, song.sha1) == ('Sigur "Rós" – ( )', hashlib.sha1(file.read_bytes()).hexdigest())
    assert song.duration_seconds == pytest.approx(catalogue.SONG_SECONDS, abs=0.05) and not song.extra
    with pytest.raises(AlreadyFingerprinted) as known:
        scout.fingerprint(str(file), song_name="another")
    assert (known.value.sha1, known.value.song_id, known.value.name) == (song.sha1, song.song_id, song.name)
    answer = scout.recognize(catalogue.clip(30, 2.0, 8.0), start=1, duration=5.5)
    assert answer.best is not None and answer.best.song == song and answer.best.confidence > 0.9
    assert answer.best.offset_seconds == pytest.approx(3.0, abs=0.1) and answer.best.speed == answer.best.pitch == 1
    assert scout.fetch(answer.token) == answer
    assert scout.picture(answer.token).startswith(b"\x89PNG")
    assert scout.song(song.sha1) == song
    assert scout.rename(song.sha1, "Ágætis byrjun").name == "Ágætis byrjun"
    assert [one.name for one in scout.songs("byrjun")] == ["Ágætis byrjun"]
    assert scout.delete(song.sha1).sha1 == song.sha1
    assert list(scout.songs()) == [] and scout.recognize(catalogue.clip(30, 2.0, 8.0)).best is None
    for ask in (lambda: scout.song(song.sha1), lambda: scout.delete(song.sha1), lambda: scout.fetch("no/such?token")):
        with pytest.raises(NotFound):
            ask()


def test_open_files_and_all_pages(scout: TuneScout, tmp_path: Path) -> None:
    for seed in range(3):
        scout.fingerprint(catalogue.song(31 + seed), song_name=f"song {seed}")
    (tmp_path / "open.wav").write_bytes(catalogue.song(34))
    with (tmp_path / "open.wav").open("rb") as file:
        file.seek(100)
        assert scout.fingerprint(file).name == "open"
    scout_pages = [song.name for song in scout.songs()]
    assert scout_pages == ["open", "song 0", "song 1", "song 2"]
    assert scout.health()["status"] == "success"


def test_refusals_say_what_the_service_says(own_server: Server) -> None:
    with TuneScout(own_server.url + "/", "wrong") as scout:
        with pytest.raises(NotAuthorized) as refused:
            scout.fingerprint(catalogue.song(30))
        assert (refused.value.status, refused.value.code) == (401, "not_authorized")
        with pytest.raises(ServiceError, match="start") as wrong:
            scout.recognize(b"x", start=-1)
        assert wrong.value.request_id in own_server.log
        with pytest.raises(ServiceError) as media:
            scout.recognize(b"no clip")
        assert media.value.code == "unsupported_media"


def test_a_busy_service_is_asked_again_as_it_says(tmp_path: Path) -> None:
    with Server(tmp_path, rate_limit={"recognizing": "1 per 2 second"}) as slow:
        with TuneScout(slow.url) as patient:
            for _ in range(2):
                assert patient.recognize(catalogue.clip(30, 2.0, 4.0)).best is None
        with TuneScout(slow.url, retries=0) as impatient, pytest.raises(Busy) as busy:
            impatient.recognize(catalogue.clip(30, 2.0, 4.0))
        assert busy.value.code == "rate_limited" and busy.value.retry_after_seconds is not None


def test_a_service_that_comes_back_is_found_again(own_server: Server) -> None:
    port = str(own_server.address[1])
    own_server.stop()
    with TuneScout(f"http://127.0.0.1:{port}", retries=0) as scout, pytest.raises(Unreachable):
        scout.recognize(catalogue.clip(30, 2.0, 4.0))
    back = threading.Timer(1.0, lambda: own_server.start({"PORT": port}))
    back.start()
    with TuneScout(f"http://127.0.0.1:{port}", retries=6) as scout:
        assert scout.recognize(catalogue.clip(30, 2.0, 4.0)).best is None
    back.join()


def test_a_file_that_shrinks_while_it_is_sent_is_not_stored(
    scout: TuneScout, own_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "shrinking.wav"
    file.write_bytes(catalogue.song(35))
    with file.open("rb") as opened:
        size = file.stat().st_size
        opened.seek(0)

        class Shrinking:
            name = "shrinking.wav"

            def seek(self, offset: int, whence: int = 0) -> int:
                return opened.seek(offset, whence)

            def read(self, wanted: int) -> bytes:
                return opened.read(wanted) if opened.tell() < size // 2 else b""

        with TuneScout(own_server.url, TOKEN) as once, pytest.raises(ServiceError, match="became shorter"):
            once.fingerprint(Shrinking())  # type: ignore[arg-type]
    assert list(scout.songs()) == []


def test_it_needs_requests_alone() -> None:
    code = "import sys, dejavu.client; print(sorted({'numpy', 'flask', 'av', 'scipy', 'redis'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    tree = ast.parse((PROJECT / "dejavu" / "client.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert not {name for name in imported if name.startswith("dejavu")}
