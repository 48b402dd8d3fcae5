"""The rows of some buckets, read from a SQLite file.

Python's sqlite3 lets go of the interpreter and takes it again for every row, and a look-up reads ten thousands. Threads
that do so at the same time hand the interpreter to each other at each, and together take twice the CPU and longer than
one after the other (benchmarks/README.md). So SQLite hands over hundreds of rows as one value.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import cache

import numpy as np

from dejavu.store.sqlite_postings import BUCKET_BITS, KEY_BITS, PackedRows, packed_rows

_BUCKETS_AT_ONCE = 256
"""Their rows in one generation take a quarter of a megabyte at most; much larger values take SQLite longer to grow."""

_ROWS_AT_ONCE = 512

_GENERATIONS = f"""
    WITH RECURSIVE generation (number) AS (
        SELECT 0
        UNION ALL
        SELECT number + 1 FROM generation WHERE number < (SELECT max(key) FROM song) >> {KEY_BITS}
    )
"""  # noqa: S608 - the numbers are constants of this program

# A bucket without a row has length 0. The lengths are in the order of the array, as it is what the join goes along;
# `||` joins byte for byte.
_TOGETHER = f"""
    {_GENERATIONS}
    SELECT generation.number, part.key, (
        SELECT CAST(
            group_concat(ifnull(length(postings.entries), 0)) || ' ' || ifnull(group_concat(postings.entries, ''), '')
            AS BLOB
        )
        FROM json_each(part.value) AS bucket
        LEFT JOIN postings ON postings.id = (generation.number << {BUCKET_BITS}) + bucket.value
    )
    FROM generation CROSS JOIN json_each(?) AS part
"""  # noqa: S608

_ONE_BY_ONE = f"""
    {_GENERATIONS}
    SELECT postings.id, postings.entries
    FROM generation CROSS JOIN json_each(?) AS bucket
    CROSS JOIN postings ON postings.id = (generation.number << {BUCKET_BITS}) + bucket.value
"""  # noqa: S608


def rows_of(connection: sqlite3.Connection, buckets: list[int]) -> Iterator[PackedRows]:
    """All rows of these buckets, of every generation, some at a time and as of one moment."""
    return together(connection, buckets) if joins_bytes() else one_by_one(connection, buckets)


def together(connection: sqlite3.Connection, buckets: list[int]) -> Iterator[PackedRows]:
    """See `rows_of`; for a SQLite that `joins_bytes`."""
    parts = [buckets[first : first + _BUCKETS_AT_ONCE] for first in range(0, len(buckets), _BUCKETS_AT_ONCE)]
    columns = [np.array(part, np.int64) for part in parts]
    for generation, part, value in connection.execute(_TOGETHER, (json.dumps(parts),)):
        end = value.index(b" ")
        sizes = np.fromstring(value[:end].decode(), np.int64, sep=",")
        yield generation << BUCKET_BITS | columns[part], sizes, memoryview(value)[end + 1 :]


def one_by_one(connection: sqlite3.Connection, buckets: list[int]) -> Iterator[PackedRows]:
    """See `rows_of`; for every SQLite."""
    cursor = connection.execute(_ONE_BY_ONE, (json.dumps(buckets),))
    return map(packed_rows, iter(lambda: cursor.fetchmany(_ROWS_AT_ONCE), []))


@cache
def joins_bytes() -> bool:
    """Whether this SQLite's group_concat is for all bytes; that of some years ago ends at the first zero."""
    with_zeros = b"a\0b\0"
    connection = sqlite3.connect(":memory:")
    try:
        (joined,) = connection.execute("SELECT CAST(group_concat(?, '') AS BLOB)", (with_zeros,)).fetchone()
    finally:
        connection.close()
    return bool(joined == with_zeros)
