"""How likely it is that an agreement is an accident; the only place that knows the model of chance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from dejavu.config import settings

_LEAST_EXPECTED = 1e-9
"""Less than this is expected of nothing."""


_SURVIVALS = (0.03, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9)
"""Shares of a song's peaks that a clip may still have: from the noisiest that can be told from chance to a copy."""


def surprise(
    landmarks: NDArray[np.int64], expected: NDArray[np.float64], deltas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How unlikely it is that a song which has nothing to do with a clip agrees with it on some delta.

    Hits of an unrelated song scatter over all deltas, so that those in one window follow a Poisson distribution, and
    there are as many chances as deltas.

    Parameters
    ----------
    landmarks : int64[n]
        Independent landmarks that agree.
    expected : float64[n]
        Landmarks of the song that fall into one window by chance, on average; above 0.
    deltas : float64[n]
        How many deltas the song could have agreed on.

    Returns
    -------
    float64[n]
        Minus the decimal logarithm of the probability (more exactly of a bound on it that is tight in the tail); at
        least 0.
    """
    surprises: NDArray[np.float64] = np.maximum(0.0, poisson_surprise(landmarks, expected) - np.log10(deltas))
    return surprises


def poisson_surprise(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the decimal logarithm of the probability of at least so many, where so many are expected.

    counts : int64[n]; expected : float64[n]. Returns float64[n], at least 0, and 0 where no more came than expected.
    """
    expected = np.maximum(expected, _LEAST_EXPECTED)
    ln_most_likely = counts * np.log(expected) - expected - gammaln(counts + 1)
    # The tail beyond k is below a geometric series with the ratio of its first two terms.
    ratio = np.minimum(expected / (counts + 1), 0.999)
    ln_tail = np.where(counts > expected, ln_most_likely - np.log1p(-ratio), 0.0)
    # Where little more came than expected, the series is far above what is left of the tail, and even above 1.
    surprises: NDArray[np.float64] = np.maximum(0.0, -ln_tail / np.log(10))
    return surprises


def weight_of_evidence(
    ratios: NDArray[np.float64], places: NDArray[np.int64], n_peaks: int, n_places: int
) -> NDArray[np.float64]:
    """How much what is seen at a song's peaks speaks for the song, for each of several places of the clip in it.

    Each of the song's peaks has survived in the clip with some probability, and else shows what chance shows. At each
    place the survival that explains the clip best is taken, so that a clip may be as noisy as it likes.

    Parameters
    ----------
    ratios : float64[n]
        For every peak of which something is seen at a place: how much likelier that is if it has survived than by
        chance. For a song that has nothing to do with the clip that is 1 on average, with 0 for what is not seen.
    places : int64[n]
        At which place that is, from 0 to n_places - 1; for each place a peak occurs once.
    n_peaks, n_places : int
        Peaks of the song, seen or not, and places.

    Returns
    -------
    float64[n_places]
        The decimal logarithm of the likelihood ratio: the "bans" of Good, "Probability and the Weighing of Evidence"
        (1950). The probability that chance reaches w is at most 10 to the minus w (Markov's inequality), but for the
        choice among survivals, and as far as peaks come independently.
    """
    weights = np.full(n_places, -np.inf)
    for survival in _SURVIVALS:
        # A peak of which nothing is seen is lost; what is seen of others adds to that.
        gains = np.log1p(ratios * (survival / (1 - survival)))
        lost = n_peaks * np.log(1 - survival)
        np.maximum(weights, lost + np.bincount(places, gains, n_places), out=weights)
    in_decades: NDArray[np.float64] = weights / np.log(10)
    return in_decades


def combined(landmarks: float, peaks: float, ways: int = 1) -> float:
    """The surprise of a candidate whose landmarks and whose peaks are this surprising.

    ways : in how many ways, each at a speed and pitch of its own, the clip was looked for; each is a chance to agree.
    """
    return max(0.0, settings.LANDMARK_WEIGHT * landmarks + peaks - math.log10(ways))


def catalogue_score(surprise_of_one: float, songs: int) -> float:
    """What decides: the surprise of one song, less what the best of so many unrelated songs has by accident.

    In units of CHANCE_DISPERSION decades, so that a catalogue ten times as large takes off 1.
    """
    return surprise_of_one / settings.CHANCE_DISPERSION - math.log10(max(settings.FEWEST_SONGS, songs))
