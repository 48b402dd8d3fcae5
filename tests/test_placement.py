"""Placement: even, stable, and the same for everybody."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from dejavu.store.placement import by_preference

KEYS = [hashlib.sha1(b"%d" % number).hexdigest() for number in range(6000)]
IDENTITIES = [f"mysql:db-{number}:3306/tunescout" for number in range(5)]


def home(key: str, identities: list[str]) -> str:
    return by_preference(key, identities)[0]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_new_database_takes_its_share_and_nothing_else_moves(count: int) -> None:
    before, after = IDENTITIES[:count], IDENTITIES[: count + 1]
    moved = [key for key in KEYS if home(key, before) != home(key, after)]
    assert all(home(key, after) == IDENTITIES[count] for key in moved)
    assert len(moved) == pytest.approx(len(KEYS) / (count + 1), rel=0.1)


def test_without_a_database_only_its_keys_move_and_each_to_its_next() -> None:
    for key in KEYS[:500]:
        first, *others = by_preference(key, IDENTITIES)
        assert by_preference(key, [identity for identity in IDENTITIES if identity != first]) == others


def test_every_database_gets_as_much() -> None:
    shares = Counter(home(key, IDENTITIES) for key in KEYS)
    assert len(shares) == 5
    for share in shares.values():
        assert share == pytest.approx(len(KEYS) / 5, rel=0.1)


def test_the_order_of_the_configuration_makes_no_difference() -> None:
    for key in KEYS[:100]:
        assert by_preference(key, IDENTITIES) == by_preference(key, IDENTITIES[::-1])


def test_the_order_is_the_same_in_every_version() -> None:
    """Where stored songs and results are follows from these numbers."""
    orders = ["".join(by_preference(key, "abcd")) for key in ("x", "y", "é")]
    assert orders == ["adcb", "dcba", "dabc"]


def test_nothing_to_choose_from() -> None:
    assert by_preference("key", []) == []
