"""The benchmark of load: when requests are due, and what is concluded from how they ended."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.load_figures import (
    ANSWERED,
    PARTIAL,
    REFUSED,
    Asked,
    Health,
    Rate,
    Stretch,
    Usage,
    arrival_times,
    doubling,
    find_knee,
    make_deck,
    outcome_of,
    refusals,
    waiting,
    whole_seconds,
)
from benchmarks.load_report import Measured, tables, targets
from benchmarks.report import CORES


def asked(due: float, seconds: float, outcome: str = ANSWERED, kind: str = "known", **more: object) -> Asked:
    """One request that was sent when it was due."""
    return replace(Asked(kind, due, due, due + seconds, outcome), **more)


def rates(*points: tuple[float, float, int]) -> list[Rate]:
    return [Rate(*point) for point in points]


# --- When requests are due, and which ones --------------------------------------------------------------------------


def test_as_many_requests_are_due_as_the_rate_says_in_order_and_in_time():
    times = arrival_times(12.5, 40.0, (1, 2))
    assert times.size == 500
    assert (np.diff(times) >= 0).all()
    assert 0 <= times[0] < times[-1] < 40
    assert arrival_times(0.01, 10.0, (1, 2)).size == 0


def test_a_seed_is_a_set_of_times_and_another_one_another():
    assert np.array_equal(arrival_times(10, 9, (1, 2)), arrival_times(10, 9, (1, 2)))
    assert not np.isin(arrival_times(10, 9, (1, 2)), arrival_times(10, 9, (1, 3))).any()


def test_requests_are_due_as_in_a_poisson_process():
    """Pauses are exponential and counts of any second Poisson; evenly spaced requests would show no queue at all."""
    times = arrival_times(20, 1000, (1,))
    pauses = np.diff(times)
    assert pauses.std() / pauses.mean() == pytest.approx(1, abs=0.05)
    assert np.quantile(pauses, [0.5, 0.95]) == pytest.approx([math.log(2) / 20, math.log(20) / 20], rel=0.05)
    counts = np.bincount(times.astype(int), minlength=1000)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("most", "numbers"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (16, [1, 2, 4, 8, 16]), (20, [1, 2, 4, 8, 16, 20])]
)
def test_numbers_of_clients_double(most, numbers):
    assert doubling(most) == numbers


def test_a_deck_has_each_group_in_its_share_and_each_clip_of_it_equally_often():
    groups = {"known": ["a", "b", "c"], "unknown": ["x"], "hard": ["h", "i"]}
    deck = make_deck(groups, {"known": 2, "unknown": 1, "hard": 1}, 80, 1)
    counts = Counter(deck)
    assert counts["a"] + counts["b"] + counts["c"] == 40
    assert (counts["x"], counts["h"], counts["i"]) == (20, 10, 10)
    assert {counts[clip] for clip in "abc"} == {13, 14}


def test_a_deck_is_well_mixed_and_the_same_for_the_same_seed():
    groups = {"known": ["k"], "unknown": ["u"]}
    decks = [make_deck(groups, {"known": 1, "unknown": 1}, 200, seed) for seed in (1, 1, 2)]
    assert decks[0] == decks[1] != decks[2]
    assert all(5 < deck[start : start + 40].count("k") < 35 for deck in decks for start in range(0, 200, 40))


def test_shares_that_do_not_divide_still_fill_the_deck():
    shares = {"a": 1, "b": 1, "c": 1}
    assert sorted(Counter(make_deck({name: [name] for name in shares}, shares, 10, 1)).values()) == [3, 3, 4]


def test_only_a_group_that_is_wanted_has_to_have_clips():
    assert make_deck({"known": ["k"], "hard": []}, {"known": 1, "hard": 0}, 3, 1) == ["k"] * 3
    with pytest.raises(ValueError, match="hard"):
        make_deck({"known": ["k"], "hard": []}, {"known": 1, "hard": 1}, 4, 1)


# --- What ends amount to --------------------------------------------------------------------------------------------


def test_a_request_waits_from_when_it_was_due_and_not_from_when_it_could_be_sent():
    held_back = Asked("known", due=1.0, sent=3.0, ended=3.25, outcome=ANSWERED)
    assert waiting([held_back])["median_ms"] == 2250
    figures = Stretch(10, [held_back], [held_back, asked(4, 0.25)], 2, 2, Usage()).figures()
    assert figures["held_back"] == 1


def test_percentiles_and_right_answers_are_those_of_answered_requests():
    ends = [asked(0, seconds, right=seconds < 0.5) for seconds in np.linspace(0, 1, 101)]
    found = waiting([*ends, asked(0, 60, "TimeoutError"), asked(0, 9, REFUSED)])
    assert found == {"answered": 101, "right_percent": 49.5, "median_ms": 500, "p95_ms": 950, "p99_ms": 990}
    assert math.isnan(waiting([])["p95_ms"])


def test_throughput_is_what_ended_in_time_and_waiting_that_of_all_who_were_due():
    early, whole, late, later = asked(1, 1.5), asked(3, 1), asked(11, 30), asked(11.5, 0.75)
    after, lost = asked(12.5, 1), asked(5, 2, "503 overloaded", "hard")
    usage = Usage(server=6, databases=3, clients=1, machine=15)
    stretch = Stretch.of([early, whole, late, later, after, lost], 2.0, 12.0, usage, Health(0.5, 7))
    figures = stretch.figures()
    assert stretch.due == [whole, late, later, lost]
    assert (stretch.ended, stretch.answered) == (3, 2)
    assert figures["offered_per_second"] == 0.4
    assert figures["per_second"] == 0.2
    assert figures["answered"] == 3
    assert figures["p99_ms"] > 29_000
    assert {kind: row["answered"] for kind, row in figures["kinds"].items()} == {"known": 3, "hard": 0}
    assert figures["server_cpu_seconds_per_request"] == 2
    assert [figures[f"cores_used_by_{who}"] for who in ("server", "databases", "clients", "others")] == [
        0.6,
        0.3,
        0.1,
        0.5,
    ]
    assert (figures["health_longest_ms"], figures["most_waiting"]) == (500, 7)


def test_errors_and_refusals_count_also_before_a_load_has_settled():
    ends = [asked(0.1, 0.1, REFUSED), asked(0.2, 1, "TimeoutError"), asked(3, 1), asked(3, 1, PARTIAL)]
    figures = Stretch.of(ends, 2.0, 12.0, Usage(), None).figures()
    assert figures["errors"] == {PARTIAL: 1, REFUSED: 1, "TimeoutError": 1}
    assert figures["refusals"]["count"] == 1


def test_two_stretches_add_up():
    one = Stretch.of([asked(0, 1), asked(1, 1, REFUSED)], 0.0, 4.0, Usage(1, 2, 3, 8), None)
    other = Stretch.of([asked(0, 3)], 0.0, 6.0, Usage(1, 0, 1, 4), None)
    figures = (one + other).figures()
    assert figures["seconds"] == 10
    assert figures["requests"] == 3
    assert figures["per_second"] == 0.2
    assert figures["median_ms"] == 2000
    assert figures["errors"] == {REFUSED: 1}
    assert figures["cores_used_by_others"] == 0.4


def test_refusals_say_how_soon_they_came_and_whether_they_say_when_to_come_back():
    found = refusals(
        [
            asked(0, 0.1, REFUSED, retry_after_seconds=10),
            asked(0, 0.3, REFUSED),
            asked(0, 10.0, REFUSED, retry_after_seconds=10),
            asked(0, 20.0, "503 instances_unavailable"),
            asked(0, 5.0),
        ]
    )
    assert found["count"] == 3
    assert found["percent"] == 60
    assert found["without_retry_after"] == 1
    assert found["median_ms"] == 300
    assert found["at_once_percent"] == pytest.approx(66.67)
    assert refusals([asked(0, 1)])["count"] == 0


@pytest.mark.parametrize(
    ("header", "seconds"), [("10", 10), (None, None), ("", None), ("0", None), ("-1", None), ("soon", None)]
)
def test_only_a_number_of_seconds_says_when_to_come_back(header, seconds):
    assert whole_seconds(header) == seconds


@pytest.mark.parametrize(
    ("status", "document", "outcome"),
    [
        (200, {"unavailable": []}, ANSWERED),
        (200, {"unavailable": ["instances[1]"]}, PARTIAL),
        (503, {"code": "overloaded"}, REFUSED),
        (503, {"code": "instances_unavailable"}, "503 instances_unavailable"),
        (500, {}, "500 without a code"),
    ],
)
def test_an_outcome_tells_refusals_from_failures_and_whole_answers_from_parts(status, document, outcome):
    assert outcome_of(status, document) == outcome


# --- The knee -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "knee"),
    [
        (rates((5, 110, 0), (7, 250, 0), (9, 900, 0)), 7),
        (rates((9, 900, 0), (5, 110, 0), (7, 300, 0)), 7),
        (rates((5, 110, 0), (7, 120, 0), (9, 130, 0)), 9),
        (rates((5, 110, 0), (7, 120, 1), (9, 130, 0)), 5),
        (rates((5, 110, 0), (7, 301, 0), (9, 200, 0)), 5),
        (rates((5, 110, 0), (7, math.nan, 0)), 5),
        (rates((5, 301, 0), (7, 120, 0)), None),
        ([], None),
    ],
    ids=[
        "waiting grows",
        "in any order, the bound included",
        "none beyond",
        "refused",
        "luck above",
        "nothing answered",
        "too much at once",
        "nothing offered",
    ],
)
def test_the_knee_is_the_highest_rate_up_to_which_all_is_well(points, knee):
    found = find_knee(points, low_p95_ms=100, most_times=3)
    assert (found.offered if found else None) == knee


# --- What is concluded ----------------------------------------------------------------------------------------------


def stretch(
    per_second: float, seconds: float, *others: Asked, cpu_seconds: float = 0.02, watched: bool = False
) -> Stretch:
    """Ten seconds in which that many requests were answered, each after so long, and these others besides."""
    ends = [asked(float(due), seconds) for due in np.linspace(0, 9.9, round(10 * per_second))]
    usage = Usage(server=cpu_seconds * len(ends))
    health = Health(0.01, 3) if watched else None
    return Stretch(10.0, [*ends, *others], [*ends, *others], len(ends), len(ends), usage, health)


def measured(at_rates: dict[float, Stretch], together: Stretch, crowd: Stretch | None = None) -> Measured:
    alone = stretch(10, 0.1)
    return Measured(
        alone=(alone + alone).figures(),
        again=alone.figures(),
        together={1: alone.figures(), 20: together.figures()},
        rates={rate: one.figures() for rate, one in at_rates.items()},
        crowd={150: crowd.figures()} if crowd else {},
    )


def reached(found: Measured) -> dict[str, bool]:
    return {target.what: target.reached for target in targets(found, found.knee(3))}


def test_a_service_that_does_all_that_is_asked_reaches_everything():
    polite = [asked(1, 0.01, REFUSED, retry_after_seconds=10)] * 40
    found = measured(
        {20.0: stretch(20, 0.15, watched=True), 80.0: stretch(40, 0.5, *polite, watched=True)},
        stretch(0.8 * CORES / 0.02, 0.39 * 20 / CORES),
        stretch(40, 0.5, *polite, watched=True),
    )
    knee = found.knee(3)
    assert knee is not None and knee.offered == 20
    assert found.capacity == 0.8 * CORES / 0.02
    assert [*found.beyond(knee)] == ["80 a second", "150 clients"]
    assert all(reached(found).values()), reached(found)
    assert found.document(knee)["knee_per_second"] == 20
    text = "\n".join(map(str, tables(found, knee, 3)))
    assert all(name in text for name in found.by_name())


def test_what_a_service_does_not_do_is_not_reached():
    sad = stretch(
        4, 1.0 + 0.4 * 20 / CORES, asked(1, 1, "500 internal_error"), asked(1, 1, PARTIAL), cpu_seconds=CORES / 100
    )
    rude = stretch(40, 0.5, asked(1, 9, REFUSED), asked(1, 9, PARTIAL), watched=True)
    found = measured({20.0: stretch(20, 0.15, asked(1, 1, PARTIAL), watched=True), 80.0: rude}, sad)
    assert found.knee(3) is not None
    assert not any(done for what, done in reached(found).items() if not what.startswith("throughput")), reached(found)
    assert found.ratios()["one client"] == pytest.approx(4 * 0.02 / CORES, abs=0.001)
    assert not reached(found)["throughput over cores / CPU seconds of one request (one client)"]


def test_where_there_is_no_knee_nothing_is_said_to_be_free_of_errors_up_to_it():
    found = measured({5.0: stretch(5, 3.0, watched=True)}, stretch(10, 0.1))
    assert found.knee(3) is None
    assert [*found.beyond(None)] == ["5 a second"]
    assert not reached(found)["errors at rates up to the knee"]
    assert "none" in "\n".join(map(str, tables(found, None, 3)))
