"""How common hashes are taken to be, and the order in which a clip's are asked."""

from __future__ import annotations

import numpy as np
import pytest
import signals

from dejavu.config import settings
from dejavu.fingerprint.commonness import asking_order, expected_postings, in_asking_order
from dejavu.fingerprint.extract import extract_query
from dejavu.fingerprint.landmarks import pack
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import ClipPeaks, Query

EMPTY, SMALL, LARGE = 0, 600_000, 2_000_000_000
"""Fingerprints of nothing, of a few hundred songs, and of more than a million."""


@pytest.fixture(scope="module")
def query() -> Query:
    return extract_query([signals.song(5.0, seed=1)])


def all_hashes() -> np.ndarray:
    """Of every pair of peaks that there can be."""
    distances = np.arange(-settings.MAX_TARGET_BINS, settings.MAX_TARGET_BINS + 1)
    frames = np.arange(settings.MIN_TARGET_FRAMES, settings.MAX_TARGET_FRAMES + 1)
    grid = np.meshgrid(np.arange(BAND_BINS), distances, frames, indexing="ij")
    anchor_bins, distance, between = (values.ravel() for values in grid)
    inside = (anchor_bins + distance >= 0) & (anchor_bins + distance < BAND_BINS)
    return pack(anchor_bins[inside], (anchor_bins + distance)[inside], between[inside])


def rows(query: Query) -> list[tuple[int, int, int]]:
    return list(zip(query.hashes.tolist(), query.offsets.tolist(), query.ranks.tolist(), strict=True))


def test_any_hash_is_expected_now_and_then():
    expected = expected_postings(all_hashes(), SMALL)
    assert expected.min() > 0
    assert expected.max() < SMALL / 1000
    assert expected.dtype == np.float64


def test_expected_postings_of_all_hashes_are_about_all_there_are():
    # Anchor and target are taken to be independent, so that some are expected of pairs that would leave the band.
    assert 0.7 * SMALL < expected_postings(all_hashes(), SMALL).sum() < 1.01 * SMALL


def test_expected_postings_grow_with_the_catalogue():
    hashes = all_hashes()[::1000]
    one = expected_postings(hashes, 1)
    assert expected_postings(hashes, SMALL) == pytest.approx(SMALL * one)
    assert not expected_postings(hashes, EMPTY).any()


def test_low_and_held_notes_are_more_common_than_high_leaps():
    held = pack(np.array([20]), np.array([20]), np.array([10]))
    leap = pack(np.array([420]), np.array([370]), np.array([10]))
    assert expected_postings(held, SMALL) > 20 * expected_postings(leap, SMALL)


def test_asking_order_weighs_what_a_landmark_promises_against_its_postings():
    ranks = np.array([9, 0, 0, 30, 0], np.uint8)
    expected = np.array([0.0, 1000.0, 0.0, 0.0, 1e7])
    # RANK_SCALE ranks weigh as much as costing three times as much; 1000 postings cost twenty times as much as none.
    assert asking_order(ranks, expected).tolist() == [2, 0, 3, 1, 4]


def test_equally_promising_landmarks_stay_as_they_are():
    ranks = np.repeat([1, 0], [50, 50]).astype(np.uint8)
    assert asking_order(ranks, np.full(100, 7.0)).tolist() == [*range(50, 100), *range(50)]


@pytest.mark.parametrize("held", [EMPTY, SMALL, LARGE])
def test_all_that_a_query_has_is_put_in_order(query, held):
    ordered, _ = in_asking_order(query, held)
    assert sorted(rows(ordered)) == sorted(rows(query))
    assert ordered.peaks is query.peaks
    assert (ordered.hashes.dtype, ordered.offsets.dtype, ordered.ranks.dtype) == (np.uint32, np.uint32, np.uint8)


@pytest.mark.parametrize("held", [SMALL, LARGE])
def test_postings_add_up_in_the_order_of_asking(query, held):
    ordered, postings = in_asking_order(query, held)
    each = np.diff(postings, prepend=0)
    assert (each > 0).all()
    assert each == pytest.approx(expected_postings(ordered.hashes, held), rel=1e-6)
    # What a landmark costs for what it promises only grows.
    worth = ordered.ranks / settings.RANK_SCALE + np.log(settings.LOOK_UP_COST + each)
    assert np.diff(worth).min() > -1e-6


def test_an_empty_catalogue_is_asked_the_most_salient_first(query):
    ordered, postings = in_asking_order(query, EMPTY)
    assert rows(ordered) == rows(query)
    assert not postings.any()


def test_a_small_catalogue_is_asked_the_salient_first_and_a_large_one_the_rare(query):
    first = settings.ASK_HASHES // 8
    of_small, of_large = (in_asking_order(query, held)[0] for held in (SMALL, LARGE))
    assert np.median(of_small.ranks[:first]) < np.median(of_large.ranks[:first])
    common = [expected_postings(asked.hashes[:first], LARGE).sum() for asked in (of_small, of_large, query)]
    assert 2 * common[1] < common[0] <= common[2]


def test_the_larger_a_catalogue_the_fewer_postings_does_the_same_number_of_hashes_cost_of_it(query):
    first = len(query) // 4
    shares = [in_asking_order(query, 10**digits)[1][first] / 10**digits for digits in range(5, 12)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0] / 3


def test_nothing_to_ask_stays_nothing():
    none = Query(
        np.empty(0, np.uint32),
        np.empty(0, np.uint32),
        np.empty(0, np.uint8),
        ClipPeaks(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.uint8)),
    )
    ordered, postings = in_asking_order(none, SMALL)
    assert len(ordered) == postings.size == 0


def test_anchor_and_target_are_taken_to_be_independent():
    anchors, rng = np.arange(70, 370), np.random.default_rng(2)
    distances = rng.integers(-settings.MAX_TARGET_BINS, settings.MAX_TARGET_BINS + 1, anchors.size)
    frames = rng.integers(settings.MIN_TARGET_FRAMES, settings.MAX_TARGET_FRAMES + 1, anchors.size)
    other = rng.permutation(anchors)
    own = expected_postings(pack(anchors, anchors + distances, frames), SMALL)
    others = expected_postings(pack(other, other + distances, frames), SMALL)
    # The same anchors with one target each: what is left is the anchors' alone.
    plain = np.full(anchors.size, 10)
    assert own / others == pytest.approx(
        expected_postings(pack(anchors, anchors, plain), SMALL) / expected_postings(pack(other, other, plain), SMALL)
    )
