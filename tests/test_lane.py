"""A lane bounds what one database can hold up."""

from __future__ import annotations

import threading

import pytest

from dejavu.service.lane import Lane, LaneFull, LaneTimeout


@pytest.fixture
def gate():
    """Work that waits for this runs until the test opens it, or ends."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def lane(gate):
    lane = Lane("test", threads=1, waiting=1)
    yield lane
    gate.set()
    lane.close()


def test_gives_what_the_work_returned(lane):
    assert lane.start(lambda: 42, timeout_seconds=10).result() == 42


def test_gives_what_the_work_raised(lane):
    with pytest.raises(ZeroDivisionError):
        lane.start(lambda: 1 // 0, timeout_seconds=10).result()


def test_refuses_at_once_when_all_places_are_taken(lane, gate):
    running = lane.start(gate.wait, timeout_seconds=10)
    waiting = lane.start(lambda: "second", timeout_seconds=10)
    with pytest.raises(LaneFull):
        lane.start(lambda: "third", timeout_seconds=10)
    gate.set()
    assert running.result()
    assert waiting.result() == "second"
    assert lane.start(lambda: "fourth", timeout_seconds=10).result() == "fourth"


def test_waiting_ends_at_the_deadline_while_the_work_goes_on(lane, gate):
    with pytest.raises(LaneTimeout):
        lane.start(gate.wait, timeout_seconds=0.01).result()


def test_work_that_waited_past_its_deadline_is_not_begun(lane, gate):
    lane.start(gate.wait, timeout_seconds=10)
    begun = threading.Event()
    late = lane.start(begun.set, timeout_seconds=0.0)
    gate.set()
    with pytest.raises(LaneFull):
        late.future.result(10)
    assert not begun.is_set()


def test_work_that_only_waited_is_given_up_and_its_place_with_it(lane, gate):
    lane.start(gate.wait, timeout_seconds=10)
    for _ in range(3):
        with pytest.raises(LaneFull, match="waited past its deadline"):
            lane.start(lambda: 42, timeout_seconds=0.01).result()
