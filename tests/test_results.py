"""Stored answers: byte for byte, spread over databases, and honest while one of them is down."""

from __future__ import annotations

import secrets
import sqlite3
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dejavu.config.database import ServerDatabase, SqliteDatabase
from dejavu.config.deployment import ResultsConfig
from dejavu.errors import ConfigError, FormatMismatch, InstancesUnavailable, StoreUnavailable, UnknownToken
from dejavu.store.open import open_driver, open_results
from dejavu.store.placement import by_preference
from dejavu.store.results import ResultShard, ResultShards
from dejavu.store.sqlite import SqliteDriver
from dejavu.store.sqlite_results import SqliteResults

ANSWER = '{"status": "success",  "results": [{"song_name": "Sigur Rós – ( ) 🎵", "confidence": 1.0}]}\n'


def new_token() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / str(number) / "results.db" for number in range(3)]


@pytest.fixture
def shards(paths: list[Path]) -> Iterator[ResultShards]:
    shards = open_shards(paths)
    yield shards
    shards.close()


def open_shards(paths: list[Path]) -> ResultShards:
    configs = [ResultsConfig(f"results[{index}]", SqliteDatabase(path)) for index, path in enumerate(paths)]
    shards = open_results(configs)
    shards.setup()
    return shards


def tokens_in(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    tokens = {token for (token,) in connection.execute("SELECT token FROM result")}
    connection.close()
    return tokens


def order_of(token: str, paths: list[Path]) -> list[Path]:
    by_identity = {SqliteDatabase(path).identity: path for path in paths}
    return [by_identity[identity] for identity in by_preference(token, by_identity)]


def break_file(path: Path) -> None:
    """Put a folder where the file was."""
    path.rename(path.with_suffix(".kept"))
    path.mkdir()


def mend_file(path: Path) -> None:
    path.rmdir()
    path.with_suffix(".kept").rename(path)


def test_an_answer_comes_back_to_the_letter(shards: ResultShards, paths: list[Path]) -> None:
    token = new_token()
    shards.put(token, ANSWER)
    assert shards.get(token) == ANSWER
    again = open_shards(paths)
    assert again.get(token) == ANSWER
    again.close()


def test_each_answer_is_in_the_one_database_its_token_prefers(shards: ResultShards, paths: list[Path]) -> None:
    tokens = {new_token() for _ in range(60)}
    for token in tokens:
        shards.put(token, token)
    stored = {path: tokens_in(path) for path in paths}
    assert all(stored.values())
    for token in tokens:
        assert [path for path in paths if token in stored[path]] == order_of(token, paths)[:1]
        assert shards.get(token) == token


@pytest.mark.parametrize("token", ["0aB" * 6 + "1C", "", "' OR '1'='1", "x'; DROP TABLE result; --", "🎵" * 20, "%"])
def test_an_unknown_token_is_unknown_and_harms_nothing(shards: ResultShards, token: str) -> None:
    known = new_token()
    shards.put(known, ANSWER)
    with pytest.raises(UnknownToken):
        shards.get(token)
    assert shards.get(known) == ANSWER


def test_while_the_home_is_down_the_next_one_stands_in_and_is_found_ever_after(
    shards: ResultShards, paths: list[Path]
) -> None:
    token = new_token()
    home, stand_in, _ = order_of(token, paths)
    break_file(home)
    shards.put(token, ANSWER)
    assert tokens_in(stand_in) == {token}
    assert shards.get(token) == ANSWER
    shards.close()
    mend_file(home)
    later = open_shards(paths)
    assert later.get(token) == ANSWER
    later.close()


def test_what_may_be_in_a_database_that_is_down_is_not_called_unknown(shards: ResultShards, paths: list[Path]) -> None:
    token = new_token()
    shards.put(token, ANSWER)
    break_file(order_of(token, paths)[0])
    down = f"results[{paths.index(order_of(token, paths)[0])}]"
    for _ in range(2):
        with pytest.raises(InstancesUnavailable) as raised:
            shards.get(token)
        assert down in str(raised.value)
    assert {status.name: status.up for status in shards.status()}[down] is False


def test_all_down_is_said_and_not_taken_for_unknown(shards: ResultShards, paths: list[Path]) -> None:
    for path in paths:
        break_file(path)
    with pytest.raises(InstancesUnavailable, match="could not be kept"):
        shards.put(new_token(), ANSWER)
    with pytest.raises(InstancesUnavailable, match="may be in"):
        shards.get(new_token())
    for status in shards.status():
        assert not status.up
        assert status.reason is not None
        assert str(paths[0].parent.parent) not in status.reason


def test_a_database_that_is_down_at_the_start_is_used_once_it_is_up(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.mkdir()
    shard = ResultShard("results[0]", "identity", SqliteResults(path))
    shards = ResultShards([shard])
    shards.setup()
    assert [status.up for status in shards.status()] == [False]
    assert not shard.probe()
    path.rmdir()
    assert shard.probe()
    token = new_token()
    shards.put(token, ANSWER)
    assert shards.get(token) == ANSWER
    assert [(status.name, status.up, status.reason) for status in shards.status()] == [("results[0]", True, None)]
    shards.close()


def test_a_token_is_never_given_another_answer(tmp_path: Path) -> None:
    store = SqliteResults(tmp_path / "results.db")
    store.setup()
    token = new_token()
    store.put(token, ANSWER)
    with pytest.raises(StoreUnavailable):
        store.put(token, "another")
    assert store.get(token) == ANSWER
    store.close()


def test_a_catalogue_is_not_taken_for_results(tmp_path: Path) -> None:
    driver = SqliteDriver(tmp_path / "file.db")
    driver.setup()
    driver.close()
    with pytest.raises(FormatMismatch, match="made for something else"):
        open_shards([tmp_path / "file.db"])


def test_mysql_without_its_library_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("MySQLdb", "dejavu.store.mysql", "dejavu.store.mysql_results"):
        monkeypatch.setitem(sys.modules, module, None)
    database = ServerDatabase("mysql", "127.0.0.1", 3306, "tunescout", password="hidden")
    with pytest.raises(ConfigError, match="`make run` installs it") as raised:
        open_driver(database)
    assert "hidden" not in str(raised.value)
    with pytest.raises(ConfigError, match="`make run` installs it"):
        open_results([ResultsConfig("results[0]", database)])
