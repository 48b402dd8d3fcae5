"""When a database that is down is asked again."""

from __future__ import annotations

import pytest

from dejavu.config.settings import FIRST_PROBE_PAUSE_SECONDS, LONGEST_PROBE_PAUSE_SECONDS, STEADY_SECONDS
from dejavu.store.breaker import Breaker


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


def test_starts_closed(breaker, clock):
    clock.now += 7
    assert breaker.closed
    assert breaker.reason is None
    assert breaker.seconds_in_state == 7


def test_one_failure_opens_it_and_a_probe_follows_soon(breaker, clock):
    assert breaker.trip("It does not answer.")
    assert not breaker.closed
    assert breaker.reason == "It does not answer."
    assert breaker.seconds_to_probe == pytest.approx(FIRST_PROBE_PAUSE_SECONDS)
    clock.now += FIRST_PROBE_PAUSE_SECONDS
    assert breaker.seconds_to_probe == 0


def test_stragglers_do_not_put_off_the_probe(breaker, clock):
    breaker.trip("first")
    clock.now += FIRST_PROBE_PAUSE_SECONDS / 2
    assert not breaker.trip("second")
    assert breaker.reason == "first"
    assert breaker.seconds_to_probe == pytest.approx(FIRST_PROBE_PAUSE_SECONDS / 2)


def test_pauses_double_up_to_the_longest(breaker, clock):
    breaker.trip("down")
    pauses = []
    for _ in range(12):
        pauses.append(breaker.seconds_to_probe)
        clock.now += breaker.seconds_to_probe
        breaker.probe_failed("still down")
    assert pauses[:3] == pytest.approx([FIRST_PROBE_PAUSE_SECONDS * factor for factor in (1, 2, 4)])
    assert pauses[-1] == pytest.approx(LONGEST_PROBE_PAUSE_SECONDS)
    assert breaker.reason == "still down"


def test_down_time_counts_from_the_failure_and_not_from_the_last_probe(breaker, clock):
    breaker.trip("down")
    clock.now += 3
    breaker.probe_failed("still down")
    clock.now += 4
    assert breaker.seconds_in_state == 7


def test_closing_gives_no_reason_and_starts_counting_anew(breaker, clock):
    breaker.trip("down")
    clock.now += 10
    breaker.close()
    assert breaker.closed
    assert breaker.reason is None
    assert breaker.seconds_in_state == 0


@pytest.mark.parametrize(("well_for_seconds", "factor"), [(STEADY_SECONDS, 1), (STEADY_SECONDS - 1, 4)])
def test_pauses_are_forgotten_only_by_a_database_that_stays_well(breaker, clock, well_for_seconds, factor):
    breaker.trip("down")
    breaker.probe_failed("still down")
    breaker.close()
    clock.now += well_for_seconds
    breaker.trip("down again")
    assert breaker.seconds_to_probe == pytest.approx(factor * FIRST_PROBE_PAUSE_SECONDS)
