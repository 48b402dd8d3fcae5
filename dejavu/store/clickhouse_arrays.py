"""Columns of UInt32 as numpy arrays, straight from the bytes that the server sends.

clickhouse-driver can do so itself, but imports pandas for it: 70 MB and 0.4 s in every process, for nothing that is
used here. Without either it makes a Python integer of every value, which for the 125,000 postings of a usual look-up
in eight million takes 20 ms and keeps all other threads waiting; this takes 1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from clickhouse_driver.columns.intcolumn import UInt32Column
from clickhouse_driver.columns.service import column_by_type
from clickhouse_driver.result import QueryResult

from dejavu.model import UInt32s


class _UInt32Array(UInt32Column):  # type: ignore[misc]  # the library has no types
    def read_items(self, n_items: int, buf: Any) -> UInt32s:
        return np.frombuffer(buf.read(n_items * 4), "<u4")


# The library has no other way to choose how a type is read. It holds for every connection of the process, so whoever
# reads rows gets numpy's integers in them.
column_by_type["UInt32"] = _UInt32Array


class ColumnsResult(QueryResult):  # type: ignore[misc]  # the library has no types
    """Joins the blocks of a columnar result without looking at their values; rows are left to the library."""

    def store(self, packet: Any) -> None:
        """Keep the block of a packet that has one."""
        block = getattr(packet, "block", None)
        if not self.columnar:
            super().store(packet)
        elif block is not None and block.num_rows:
            self.data.append(block.get_columns())

    def get_result(self) -> Any:
        """The columns, or none at all where there are no rows."""
        if not self.columnar:
            return super().get_result()
        for packet in self.packet_generator:
            self.store(packet)
        return [_joined(chunks) for chunks in zip(*self.data, strict=True)]


def _joined(chunks: Sequence[Any]) -> UInt32s:
    # Columns that are nearly all 0 may come as a list, from servers that send only the rest.
    return np.concatenate([np.asarray(chunk, np.uint32) for chunk in chunks])
