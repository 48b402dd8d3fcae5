"""Results in ClickHouse, on a real server: the contract of every results database, and what only a server can do."""

from __future__ import annotations

from functools import partial

import pytest
from clickhouse import ClickHouseServer
from results_contract import ANSWER, Opener, ResultsContract, new_token

from dejavu.errors import FormatMismatch, StoreUnavailable
from dejavu.store.clickhouse import ClickHouseDriver
from dejavu.store.clickhouse_results import ClickHouseResults

pytestmark = pytest.mark.server


class TestClickHouseResults(ResultsContract):
    @pytest.fixture
    def opener(self, clickhouse: ClickHouseServer, clickhouse_database: str) -> Opener:
        return partial(ClickHouseResults, clickhouse.database(clickhouse_database))


def test_a_catalogue_and_results_may_share_a_database(clickhouse: ClickHouseServer, clickhouse_database: str) -> None:
    database = clickhouse.database(clickhouse_database)
    driver, results = ClickHouseDriver(database), ClickHouseResults(database)
    driver.setup()
    results.setup()
    token = new_token()
    results.put(token, ANSWER)
    driver.setup()
    assert results.get(token) == ANSWER
    driver.close()
    results.close()


def test_somebody_elses_table_is_refused(clickhouse: ClickHouseServer, clickhouse_database: str) -> None:
    results = ClickHouseResults(clickhouse.database(clickhouse_database))
    results.setup()
    clickhouse.execute("DROP TABLE result", clickhouse_database)
    clickhouse.execute("CREATE TABLE result (x UInt8) ENGINE = Log", clickhouse_database)
    for verb in (results.setup, results.check):
        with pytest.raises(FormatMismatch, match="result of this ClickHouse database is laid out otherwise"):
            verb()
    results.close()


def test_a_killed_server_is_used_again_once_it_is_back(own_clickhouse: ClickHouseServer) -> None:
    results = ClickHouseResults(own_clickhouse.database("results"))
    results.setup()
    token = new_token()
    results.put(token, ANSWER)
    own_clickhouse.kill()
    with pytest.raises(StoreUnavailable):
        results.get(token)
    with pytest.raises(StoreUnavailable):
        results.put(new_token(), ANSWER)
    own_clickhouse.start()
    assert results.get(token) == ANSWER
    results.close()
