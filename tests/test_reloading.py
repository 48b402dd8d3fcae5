"""SIGHUP: another configuration without an end of service, or none of it."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import catalogue
import pytest
from processes import eventually
from servers import TOKEN, Server, make_config, wait_until_gone
from wire import assert_error

pytestmark = pytest.mark.server


def configure(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps(make_config(**changes)))


def test_another_token_counts_after_a_reload_and_no_clip_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert server.song("0" * 40).status_code == 404
        configure(tmp_path, fingerprinting={"token": "another"})
        clip, is_over, answered = catalogue.clip(20, 2.0, 3.0), threading.Event(), []

        def keep_asking() -> None:
            while not is_over.is_set():
                answered.append(server.recognize(clip).status_code)

        with ThreadPoolExecutor(4) as clients:
            asking = [clients.submit(keep_asking) for _ in range(4)]
            old = server.decoders()
            server.signal(signal.SIGHUP)
            server.wait_for("reload done")
            wait_until_gone(old)
            so_far = len(answered)
            eventually(lambda: len(answered) > so_far + 8)
            is_over.set()
            for each in asking:
                each.result()
        assert set(answered) == {200}
        assert_error(server.song("0" * 40), 401, "not_authorized")
        assert server.song("0" * 40, token="another").status_code == 404


def test_who_asks_twice_gets_the_last_one(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        configure(tmp_path, fingerprinting={"token": "second"})
        server.signal(signal.SIGHUP)
        server.wait_for("reload begins")
        configure(tmp_path, fingerprinting={"token": "third"})
        server.signal(signal.SIGHUP)
        eventually(lambda: server.log.count("reload done") == 2)
        eventually(lambda: server.song("0" * 40, token="third").status_code == 404)
        assert len(server.get("/api/health").json()["instances"]) == 2


def test_told_to_stop_while_it_reloads_it_stops(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.signal(signal.SIGHUP)
        server.wait_for("reload begins")
        server.signal(signal.SIGHUP)  # a second one is waiting then
        started = server.descendants()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "reload refused" not in server.log
        wait_until_gone(started)


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "not valid JSON"), (json.dumps({**make_config(), "colour": "blue"}), "colour: unknown key")],
)
def test_what_would_not_start_is_refused_as_a_whole(tmp_path: Path, content: str, told: str) -> None:
    with Server(tmp_path) as server:
        before = (tmp_path / "config.json").read_text()
        (tmp_path / "config.json").write_text(content)
        server.signal(signal.SIGHUP)
        server.wait_for(f"ERROR .* reload refused: .*{told}")
        assert server.song("0" * 40, token=TOKEN).status_code == 404
        (tmp_path / "config.json").write_text(before)


def test_a_catalogue_that_is_none_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
            other.execute("CREATE TABLE something (else_ TEXT)")
            other.execute("PRAGMA application_id = 5")
        configure(tmp_path, instances=[{"database_type": "sqlite", "database": {"path": "other.sqlite"}}])
        server.signal(signal.SIGHUP)
        server.wait_for("the old configuration goes on")
        assert len(server.get("/api/health").json()["instances"]) == 2
