"""SIGHUP: another configuration without an end of service, or none of it."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from processes import eventually
from servers import TOKEN, Server, make_config
from wire import assert_error

pytestmark = pytest.mark.server


def configure(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps(make_config(**changes)))


def test_another_token_counts_after_a_reload_and_nobody_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert server.song("0" * 40).status_code == 404
        configure(tmp_path, fingerprinting={"token": "another"})
        server.signal(signal.SIGHUP)
        while "reload done" not in server.log:
            assert server.get("/api/health").status_code == 200
        eventually(lambda: server.song("0" * 40, token="another").status_code == 404)
        eventually(lambda: server.song("0" * 40).status_code == 401)
        assert_error(server.song("0" * 40), 401, "not_authorized")


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
