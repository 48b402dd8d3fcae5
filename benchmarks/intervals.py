"""A share with what its number of trials lets one say of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scipy.stats import binomtest

from benchmarks.report import percent


def share(count: int, n: int) -> dict[str, Any]:
    """`count` of `n` in percent, its exact two-sided 95 % interval, and the most it is with 95 % confidence.

    The last is one-sided (Clopper and Pearson): with none of n it is about 300 / n percent.
    """
    if not n:
        return {"n": 0, "count": 0, "percent": float("nan"), "interval_95": [0.0, 100.0], "at_most_95": 100.0}
    interval = binomtest(count, n).proportion_ci(0.95, "exact")
    highest = binomtest(count, n, alternative="less").proportion_ci(0.95, "exact").high
    return {
        "n": n,
        "count": count,
        "percent": percent(count, n),
        "interval_95": [round(100 * interval.low, 2), round(100 * interval.high, 2)],
        "at_most_95": round(100 * highest, 4),
    }


def share_of(outcomes: Iterable[bool]) -> dict[str, Any]:
    """The share of those that are true."""
    listed = list(outcomes)
    return share(sum(listed), len(listed))


def pooled(shares: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several shares as one."""
    listed = list(shares)
    return share(sum(one["count"] for one in listed), sum(one["n"] for one in listed))
