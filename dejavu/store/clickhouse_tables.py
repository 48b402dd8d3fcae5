"""Creating what is missing in a ClickHouse database, and refusing what is not ours."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from dejavu.errors import FormatMismatch, NotSetUp, Outdated, StoreError, StoreUnavailable
from dejavu.store import clickhouse_sql as sql
from dejavu.store.clickhouse_client import ClickHouse
from dejavu.store.clickhouse_errors import NotAllowed, UnknownDatabase, UnknownSetting

_log = logging.getLogger(__name__)


def create_missing(clickhouse: ClickHouse, tables: Sequence[sql.Table]) -> None:
    """Create the database and those of its tables that are not there.

    Raises `FormatMismatch` where a table of that name has other columns, and `StoreUnavailable` with what an operator
    can do about it where the server's user may not create them.
    """
    try:
        present = _columns(clickhouse, tables)
    except UnknownDatabase:
        _create_database(clickhouse)
        present = _columns(clickhouse, tables)
    _require_our_layout(present, tables)
    for table in tables:
        if table.name not in present:
            _create(clickhouse, table)
        else:
            _add_columns(clickhouse, table, present[table.name])


def require_all(clickhouse: ClickHouse, tables: Sequence[sql.Table]) -> None:
    """Raise `NotSetUp` where a table is missing, `Outdated` where a later column is, `FormatMismatch` for others."""
    try:
        present = _columns(clickhouse, tables)
    except UnknownDatabase as exc:
        raise NotSetUp from exc
    if len(present) < len(tables):
        raise NotSetUp
    _require_our_layout(present, tables)
    if any(not present[table.name].issuperset(table.added) for table in tables):
        raise Outdated


def _columns(clickhouse: ClickHouse, tables: Sequence[sql.Table]) -> Mapping[str, set[str]]:
    columns: defaultdict[str, set[str]] = defaultdict(set)
    for table, column in clickhouse.rows(sql.COLUMNS_OF, tables=tuple(table.name for table in tables)):
        columns[table].add(column)
    return columns


def _require_our_layout(present: Mapping[str, set[str]], tables: Sequence[sql.Table]) -> None:
    for table in tables:
        if table.name in present and present[table.name] | set(table.added) != table.columns.keys():
            raise FormatMismatch(
                f"The table {table.name} of this ClickHouse database is laid out otherwise; configure an empty "
                "database, or use the version of TuneScout that made it."
            )


def _add_columns(clickhouse: ClickHouse, table: sql.Table, present: set[str]) -> None:
    """Bring a table of an earlier version up to date; another service may be doing so, too."""
    for column in table.added:
        if column not in present:
            try:
                clickhouse.run(table.add(column))
            except StoreError:
                if column not in _columns(clickhouse, [table])[table.name]:
                    raise


def _create_database(clickhouse: ClickHouse) -> None:
    quoted = clickhouse.name.replace("\\", "\\\\").replace("`", "\\`")
    try:
        clickhouse.run_outside(sql.CREATE_DATABASE.format(f"`{quoted}`"))
    except NotAllowed as exc:
        raise StoreUnavailable(
            "The ClickHouse database does not exist and the user may not create it; create it, or let the user do so."
        ) from exc


def _create(clickhouse: ClickHouse, table: sql.Table) -> None:
    try:
        try:
            clickhouse.run(table.create_tuned)
        except UnknownSetting:
            clickhouse.run(table.create)
            _look_at_profile(clickhouse)
    except NotAllowed as exc:
        raise StoreUnavailable(
            f"The table {table.name} is missing in the ClickHouse database and the user may not create it; create it, "
            "or let the user do so."
        ) from exc


def _look_at_profile(clickhouse: ClickHouse) -> None:
    ((block_bytes,),) = clickhouse.rows(sql.BLOCK_BYTES)
    if block_bytes > sql.SMALL_BLOCK_BYTES:
        _log.warning(
            "database slow: this ClickHouse server takes no block sizes for a table, and look-ups take three times as "
            "long with its usual ones; set %s in its default profile",
            sql.SMALL_BLOCKS,
        )
