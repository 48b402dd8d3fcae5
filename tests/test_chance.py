"""How unlikely an agreement is, against the exact distribution."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from scipy.special import logsumexp, pdtrc
from scipy.stats import poisson

from dejavu.config import settings
from dejavu.matching.chance import combined, poisson_surprise, surprise, weight_of_evidence

LANDMARKS = np.array([1, 2, 3, 5, 8, 13, 40, 150, 1000])
EXPECTED = np.array([1e-6, 0.003, 0.1, 0.9, 1.0, 2.5, 30.0, 140.0, 990.0])
DELTAS = np.array([1.0, 300.0, 1e6])


def every_combination() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    landmarks, expected, deltas = np.meshgrid(LANDMARKS, EXPECTED, DELTAS)
    return landmarks.ravel(), expected.ravel(), deltas.ravel()


def test_surprise_is_the_exact_one_but_for_what_the_bound_on_the_tail_gives_away():
    landmarks, expected, deltas = every_combination()
    tail = pdtrc(landmarks - 1, expected)  # of Poisson's distribution
    computable = tail > 0
    landmarks, expected, deltas = landmarks[computable], expected[computable], deltas[computable]
    assert landmarks.size > 200
    exact = np.maximum(0.0, -np.log10(tail[computable] * deltas))
    found = surprise(landmarks, expected, deltas)
    assert (found >= 0).all()
    assert (found <= exact * (1 + 1e-9) + 1e-12).all(), "never more than there is"
    # The tail is at least its first two terms, 1 + r of the first; the bound is 1 / (1 - r) of it.
    ratio = expected / (landmarks + 1)
    above = landmarks > expected
    given_away = -np.log10(1 - ratio[above] ** 2)
    assert (found[above] >= (exact[above] - given_away) * (1 - 1e-9) - 1e-9).all()
    assert given_away.min() < 1e-9, "tight in the tail"


def test_surprise_is_that_of_the_loop():
    columns = every_combination()
    loop = [oracles.surprise(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    assert surprise(*columns) == pytest.approx(np.array(loop), rel=1e-9, abs=1e-9)


def test_surprise_grows_with_landmarks():
    landmarks = np.arange(400)
    for expected in (1e-4, 0.5, 3.7, 90.0):
        found = surprise(landmarks, np.full(400, expected), np.full(400, 1000.0))
        assert (np.diff(found) >= 0).all()
        assert (np.diff(found)[found[1:] > 0] > 0).all()
        assert found[-1] > 100


def test_surprise_falls_with_what_chance_has_to_work_with():
    landmarks = np.full(60, 12)
    by_hits = surprise(landmarks, np.geomspace(1e-3, 20, 60), np.full(60, 1000.0))
    assert (np.diff(by_hits) <= 0).all()
    assert by_hits[0] > 20 > by_hits[-1] == 0
    by_deltas = surprise(landmarks, np.full(60, 0.5), np.geomspace(1, 1e9, 60))
    assert by_deltas[0] - by_deltas[9] == pytest.approx(9 * 9 / 59)


def test_no_more_than_expected_is_no_surprise():
    assert surprise(np.array([0, 3, 7]), np.array([0.1, 3.0, 7.5]), np.array([10.0, 1.0, 1.0])).tolist() == [0, 0, 0]


def test_nothing_in_nothing_out():
    assert surprise(np.empty(0, np.int64), np.empty(0), np.empty(0)).shape == (0,)


# --- Without a choice of deltas --------------------------------------------------------------------------------------


def exact_poisson_surprise(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """From the sum of the tail's terms, as logarithms, so that it is exact where the tail itself is below any float."""
    terms = counts[:, None] + np.arange(4000)
    return -logsumexp(poisson.logpmf(terms, expected[:, None]), axis=1) / np.log(10)


def counts_and_expected() -> tuple[np.ndarray, np.ndarray]:
    counts, expected = np.meshgrid(np.append(0, LANDMARKS), np.append(EXPECTED, [1e-9, 7.9, 39.5, 149.0, 999.9]))
    return counts.ravel(), expected.ravel()


def test_poisson_surprise_is_the_exact_one_but_for_what_the_bound_on_the_tail_gives_away():
    counts, expected = counts_and_expected()
    exact = exact_poisson_surprise(counts, expected)
    computable = (tail := poisson.sf(counts - 1, expected)) > 1e-290
    assert exact[computable] == pytest.approx(-np.log10(tail[computable]), rel=1e-7, abs=1e-9)
    found = poisson_surprise(counts, expected)
    assert (found >= 0).all()
    assert (found[counts <= expected] == 0).all()
    assert (found <= exact * (1 + 1e-9) + 1e-9).all(), "never more than there is"
    above = counts > expected
    given_away = -np.log10(1 - (expected / (counts + 1))[above] ** 2)
    assert (found[above] >= (exact[above] - given_away) * (1 - 1e-9) - 1e-9).all()
    rare = counts > 2 * expected
    assert found[rare] == pytest.approx(exact[rare], rel=0.01, abs=0.15)
    assert found.max() > 1000


def test_little_more_than_expected_is_never_less_than_no_surprise():
    expected = np.geomspace(0.01, 5000, 400)
    for more in (1e-9, 0.01, 0.5, 1.0):
        assert (poisson_surprise(np.floor(expected + more).astype(np.int64), expected) >= 0).all()


def test_nothing_expected_and_nothing_come_is_no_surprise():
    found = poisson_surprise(np.array([0, 1, 2]), np.zeros(3))
    assert found[0] == 0
    assert 8 < found[1] < 10 < found[2] < 20
    assert poisson_surprise(np.array(0), np.array(0.0)) == 0
    assert poisson_surprise(np.empty(0, np.int64), np.empty(0)).shape == (0,)


# --- Weighing one by one ----------------------------------------------------------------------------------------------


def weights_of(ratios: np.ndarray) -> np.ndarray:
    """Of a whole table of peaks and places."""
    peaks, places = np.nonzero(ratios)
    return weight_of_evidence(ratios[peaks, places], places, *ratios.shape)


def test_weight_is_the_logarithm_of_the_likelihood_ratio_under_the_best_survival():
    rng = np.random.default_rng(1)
    ratios = rng.exponential(1.0, (40, 7)) * (rng.random((40, 7)) < 0.4)
    survivals = np.array([0.03, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9])[:, None, None]
    exact = np.log10(1 - survivals + survivals * ratios).sum(axis=1).max(axis=0)
    assert weights_of(ratios) == pytest.approx(exact)


def test_nothing_seen_weighs_less_than_nothing_and_a_copy_as_much_as_it_has_peaks():
    weights = weights_of(np.repeat([[0.0, 1.0, 100.0]], 50, axis=0))
    assert weights[0] < weights[1] == pytest.approx(0)
    assert weights[2] == pytest.approx(50 * np.log10(0.1 + 90))
    assert weights_of(np.empty((0, 3))).tolist() == [0, 0, 0]


def test_chance_reaches_a_weight_no_more_often_than_it_says():
    rng = np.random.default_rng(2)
    # Every peak is seen one time in twenty by chance, and is then twenty times as likely to be the song's.
    weights = weights_of(20.0 * (rng.random((60, 20_000)) < 0.05))
    for least in (1, 2, 3):
        assert np.mean(weights >= least) <= 10.0**-least


def test_every_way_a_clip_is_looked_for_is_one_more_chance_to_agree():
    plain = combined(8.0, 5.0)
    assert plain == pytest.approx(settings.LANDMARK_WEIGHT * 8 + 5)
    assert combined(8.0, 5.0, 100) == pytest.approx(plain - 2)
    assert combined(0.5, 1.0, 109) == 0, "never less than no surprise"
