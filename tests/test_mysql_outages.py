"""What the MySQL driver says and does while its server is away, silent or unwilling, and after that."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from driver_data import EVERYTHING, as_set, expected, fingerprints, sha1
from mariadb import HOST, PASSWORD, USER, MariaDB
from processes import eventually, freeze

from dejavu.config import settings
from dejavu.config.database import ServerDatabase
from dejavu.errors import StoreUnavailable
from dejavu.store.driver import Driver
from dejavu.store.mysql import MysqlDriver

pytestmark = pytest.mark.server

SONG_ID = int(sha1(1)[:8], 16)


def set_up(database: ServerDatabase) -> MysqlDriver:
    driver = MysqlDriver(database)
    driver.setup()
    driver.insert("a song", sha1(1), fingerprints(1))
    return driver


def assert_unavailable(verb: Callable[[], object], reason: str, within_seconds: float = 1.0) -> None:
    """It has to say so soon, and name neither user nor password."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=reason) as raised:
        verb()
    assert time.monotonic() - began < within_seconds
    assert not {word for word in (USER, PASSWORD, HOST) if word in str(raised.value)}


def every_verb(driver: Driver) -> list[Callable[[], object]]:
    return [
        driver.setup,
        driver.check,
        driver.counts,
        driver.revision,
        lambda: driver.find_song(sha1(1)),
        lambda: driver.songs([SONG_ID]),
        lambda: driver.postings(EVERYTHING),
        lambda: driver.insert("another", sha1(2), fingerprints(2)),
        lambda: driver.delete(SONG_ID),
    ]


def test_a_killed_server_is_an_outage_and_used_again_once_it_is_back(own_mariadb: MariaDB) -> None:
    driver = set_up(own_mariadb.database("music"))
    own_mariadb.kill()
    for verb in every_verb(driver):
        assert_unavailable(verb, "cannot be reached|closed the connection")
    own_mariadb.start()
    assert as_set(driver.postings(EVERYTHING)) == expected({SONG_ID: fingerprints(1)}, EVERYTHING)
    driver.insert("another", sha1(2), fingerprints(2))
    driver.close()


def test_a_restart_between_two_uses_is_not_noticed(own_mariadb: MariaDB) -> None:
    driver = set_up(own_mariadb.database("music"))
    own_mariadb.kill()
    own_mariadb.start()
    assert driver.counts().songs == 1
    driver.insert("another", sha1(2), fingerprints(2))
    driver.close()


def test_sessions_that_the_server_has_ended_are_not_used_again(
    mariadb: MariaDB, mysql_database: ServerDatabase
) -> None:
    driver = set_up(mysql_database)
    sessions = mariadb.sessions(mysql_database)
    for session in sessions:
        mariadb.execute("KILL CONNECTION %s", session)
    eventually(lambda: not sessions & mariadb.sessions(mysql_database))
    assert driver.counts().songs == 1
    driver.insert("another", sha1(2), fingerprints(2))
    driver.close()


def test_a_server_that_falls_silent_is_an_outage(own_mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("LOOK_UP_TIMEOUT_SECONDS", "INSERT_TIMEOUT_SECONDS", "DATABASE_CONNECT_TIMEOUT_SECONDS"):
        monkeypatch.setattr(settings, setting, 1.0)
    driver = set_up(own_mariadb.database("music"))
    freeze(own_mariadb.process.pid)
    for verb in (
        driver.counts,  # on a kept connection
        driver.counts,  # on a new one
        lambda: driver.insert("another", sha1(2), fingerprints(2)),
    ):
        assert_unavailable(verb, "did not answer in time", within_seconds=2.0)
    own_mariadb.process.send_signal(signal.SIGCONT)
    assert driver.counts().songs == 1
    driver.insert("another", sha1(2), fingerprints(2))
    driver.close()


def test_an_address_that_takes_connections_and_says_nothing_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_CONNECT_TIMEOUT_SECONDS", 1.0)
    with socket.create_server((HOST, 0)) as listener:
        driver = MysqlDriver(ServerDatabase("mysql", HOST, listener.getsockname()[1], "music", USER, PASSWORD))
        assert_unavailable(driver.setup, "did not answer in time", within_seconds=2.0)
        assert_unavailable(driver.counts, "did not answer in time", within_seconds=2.0)


def test_where_nobody_listens_the_sentence_says_what_to_look_at() -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        driver = MysqlDriver(ServerDatabase("mysql", HOST, unused.getsockname()[1], "music", USER, PASSWORD))
        assert_unavailable(driver.setup, r"cannot be reached; is it running, and are host and port right \(error 2002")
    nowhere = MysqlDriver(ServerDatabase("mysql", "no-such-host.invalid", 3306, "music"))
    assert_unavailable(nowhere.setup, "cannot be found; is its host name right", within_seconds=20.0)


def test_localhost_means_the_configured_port(mariadb: MariaDB, mysql_database: ServerDatabase) -> None:
    driver = set_up(replace(mysql_database, host="localhost"))
    assert driver.counts().songs == 1
    driver.close()


# --- What the user may not do ----------------------------------------------------------------------------------------


def test_a_wrong_password_is_called_that(mariadb: MariaDB, mysql_database: ServerDatabase) -> None:
    for wrong in (replace(mysql_database, password="wrong"), replace(mysql_database, user="nobody", password=None)):
        assert_unavailable(MysqlDriver(wrong).setup, "refuses the user or the password of the configuration")


def test_a_user_who_may_not_create_is_told_what_an_administrator_has_to_do(own_mariadb: MariaDB) -> None:
    own_mariadb.execute("CREATE USER visitor IDENTIFIED BY 'secret'")
    visitor = MysqlDriver(own_mariadb.database("music", "visitor", "secret"))
    told = (
        r"CREATE DATABASE `music`, and GRANT (ALTER, CREATE, SELECT, INSERT, UPDATE, DELETE) ON `music`\.\* to the user"
    )
    assert_unavailable(visitor.setup, told)
    own_mariadb.execute("CREATE DATABASE music")
    own_mariadb.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON music.* TO visitor")
    assert_unavailable(visitor.setup, told)
    administrator = MysqlDriver(own_mariadb.database("music"))
    administrator.setup()
    administrator.close()
    visitor.setup()
    visitor.insert("a song", sha1(1), fingerprints(1))
    visitor.delete(SONG_ID)
    own_mariadb.execute("REVOKE INSERT ON music.* FROM visitor")
    visitor.close()
    assert_unavailable(lambda: visitor.insert("a song", sha1(1), fingerprints(1)), told)
    own_mariadb.execute("DROP DATABASE music")
    assert_unavailable(visitor.counts, told)


def test_what_the_sentence_grants_is_enough(own_mariadb: MariaDB) -> None:
    own_mariadb.execute("CREATE DATABASE music")
    own_mariadb.execute("CREATE USER visitor IDENTIFIED BY 'secret'")
    own_mariadb.execute("GRANT ALTER, CREATE, SELECT, INSERT, UPDATE, DELETE ON music.* TO visitor")
    visitor = set_up(own_mariadb.database("music", "visitor", "secret"))
    visitor.rename(SONG_ID, "another name")
    assert [song.name for song in visitor.list_songs(-1, 10)] == ["another name"]
    visitor.delete(SONG_ID)
    assert visitor.check().startswith("MariaDB 1")
    visitor.close()


def test_a_table_that_is_gone_is_an_outage(mariadb: MariaDB, mysql_database: ServerDatabase) -> None:
    driver = set_up(mysql_database)
    mariadb.execute(f"DROP TABLE {mariadb.quoted(mysql_database)}.posting")
    assert_unavailable(lambda: driver.postings(EVERYTHING), "misses a table")
    assert_unavailable(lambda: driver.insert("another", sha1(2), fingerprints(2)), "misses a table")
    assert driver.find_song(sha1(2)) is None
    driver.close()
