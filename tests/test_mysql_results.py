"""Results in MySQL, on a real MariaDB server: the contract of every results database, and what only MySQL can do."""

from __future__ import annotations

from functools import partial

import pytest
from driver_data import fingerprints, sha1
from mariadb import MariaDB
from results_contract import ANSWER, Opener, ResultsContract, new_token

from dejavu.config.database import ServerDatabase
from dejavu.errors import FormatMismatch, StoreError, StoreUnavailable
from dejavu.store.mysql import MysqlDriver
from dejavu.store.mysql_results import MysqlResults

pytestmark = pytest.mark.server


class TestMysqlResults(ResultsContract):
    @pytest.fixture
    def opener(self, mysql_database: ServerDatabase) -> Opener:
        return partial(MysqlResults, mysql_database)


def test_a_token_is_never_given_another_answer_nor_found_by_its_like(mysql_database: ServerDatabase) -> None:
    results = MysqlResults(mysql_database)
    results.setup()
    token = new_token()
    results.put(token, ANSWER)
    with pytest.raises(StoreError) as raised:
        results.put(token, "another")
    assert not isinstance(raised.value, StoreUnavailable)
    assert results.get(token) == ANSWER
    assert results.get(f"{token} ") is None
    results.close()


def test_a_catalogue_and_results_may_share_a_database(mysql_database: ServerDatabase) -> None:
    driver, results = MysqlDriver(mysql_database), MysqlResults(mysql_database)
    results.setup()
    driver.setup()
    token = new_token()
    results.put(token, ANSWER)
    driver.insert("a song", sha1(1), fingerprints(1))
    results.setup()
    assert results.get(token) == ANSWER
    assert driver.counts().songs == 1
    driver.close()
    results.close()


def test_somebody_elses_table_is_refused(mariadb: MariaDB, mysql_database: ServerDatabase) -> None:
    mariadb.execute(f"CREATE DATABASE {mariadb.quoted(mysql_database)}")
    mariadb.execute(f"CREATE TABLE {mariadb.quoted(mysql_database)}.result (x INT)")
    results = MysqlResults(mysql_database)
    for verb in (results.setup, results.check):
        with pytest.raises(FormatMismatch, match="a table result that was made for something else"):
            verb()
    results.close()


def test_a_killed_server_is_used_again_once_it_is_back(own_mariadb: MariaDB) -> None:
    results = MysqlResults(own_mariadb.database("results"))
    results.setup()
    token = new_token()
    results.put(token, ANSWER)
    own_mariadb.kill()
    with pytest.raises(StoreUnavailable):
        results.get(token)
    with pytest.raises(StoreUnavailable):
        results.put(new_token(), ANSWER)
    own_mariadb.start()
    assert results.get(token) == ANSWER
    results.close()
