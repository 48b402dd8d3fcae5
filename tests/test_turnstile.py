"""A few at a time, and who has to wait, is let in or is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import eventually

from dejavu.config import settings
from dejavu.errors import Overloaded
from dejavu.service.turnstile import Turnstile


def pass_through(turnstile: Turnstile, go: threading.Event, passed: list[int], number: int) -> float:
    with turnstile.entered() as waited:
        passed.append(number)
        assert go.wait(10)
        return waited


def test_so_many_at_a_time_then_so_many_wait_in_order_and_the_rest_is_refused() -> None:
    turnstile, go, passed = Turnstile(1, 3), threading.Event(), list[int]()
    with ThreadPoolExecutor(4) as threads:
        asked = []
        for number in range(4):
            asked.append(threads.submit(pass_through, turnstile, go, passed, number))
            eventually(lambda number=number: len(passed) + turnstile.waiting == number + 1)
        assert (passed, turnstile.waiting) == ([0], 3)
        with pytest.raises(Overloaded) as refusal:
            turnstile.require_room()
        assert 1 <= refusal.value.retry_after_seconds <= settings.OVERLOAD_RETRY_SECONDS
        with pytest.raises(Overloaded), turnstile.entered():
            pass
        go.set()
        waits = [one.result() for one in asked]
    assert passed == [0, 1, 2, 3]
    assert min(waits[1:]) > waits[0]
    turnstile.require_room()
    assert turnstile.waiting == 0


def test_who_has_waited_too_long_is_refused_and_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "QUEUE_WAIT_SECONDS", 0.05)
    turnstile = Turnstile(1, 1)
    with turnstile.entered(), pytest.raises(Overloaded), turnstile.entered():
        pass
    assert turnstile.waiting == 0
    with turnstile.entered() as waited:
        assert waited < 0.05


def test_a_place_is_given_back_whatever_happens() -> None:
    turnstile = Turnstile(1, 0)
    with pytest.raises(ZeroDivisionError), turnstile.entered():
        raise ZeroDivisionError
    with turnstile.entered(), pytest.raises(Overloaded):
        turnstile.require_room()
