"""Candidates to an answer: merged, judged against the catalogue's size, the best kept."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import oracles
import pytest

from dejavu.config.settings import (
    CERTAIN_SCORE,
    CHANCE_DISPERSION,
    EVEN_SCORE,
    FEWEST_SONGS,
    MATCH_SCORE,
    SETTLED_PEAK_SHARE,
    TOPN,
)
from dejavu.matching.rank import Ranking, confidence, rank, score
from dejavu.model import UNCHANGED, Candidate, Song, Warp

ASKED = 500

STRONG = CHANCE_DISPERSION * (CERTAIN_SCORE + 5)
"""A surprise that is beyond doubt in any catalogue of these tests."""


def song(number: int, song_id: int | None = None, total_hashes: int = 3000) -> Song:
    sha1 = hashlib.sha1(b"%d" % number).hexdigest()
    return Song(number if song_id is None else song_id, f"song {number}", sha1, total_hashes)


def candidate(number: int, surprise: float, song_id: int | None = None) -> Candidate:
    return Candidate(
        song=song(number, song_id),
        delta=10 * number + 0.25,
        aligned_hashes=20 + number,
        asked_hashes=ASKED + number,
        surprise=surprise,
        peak_share=0.5,
    )


def names(ranking: Ranking) -> list[str]:
    return [match.song.name for match in ranking.matches]


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    surprises = rng.uniform(0, 4 * CERTAIN_SCORE, int(rng.integers(0, 12)))
    candidates = [candidate(int(rng.integers(0, 6)), surprise) for surprise in surprises]
    songs = int(10 ** rng.uniform(0, 5))
    expected = oracles.rank(candidates, songs)
    ranking = rank(candidates, songs)
    assert [(match.song, match.delta, match.hashes_matched) for match in ranking.matches] == [
        (best.song, best.delta, best.aligned_hashes) for _, best in expected
    ]
    assert [match.confidence for match in ranking.matches] == [confidence(score) for score, _ in expected]
    assert ranking.certain == (bool(expected) and expected[0][0] >= CERTAIN_SCORE)


def test_nobody_is_no_match():
    nothing = Ranking((), certain=False, settled=False)
    assert rank([], 1) == rank([], 0) == nothing


def test_first_song_is_found_while_the_catalogue_still_counts_none():
    first = [candidate(1, STRONG)]
    assert rank(first, 0) == rank(first, 1)
    assert rank(first, 0).matches


@pytest.mark.parametrize("songs", [1, 100, 1_000_000])
def test_threshold_is_honoured_to_the_last_digit(songs):
    passing = CHANCE_DISPERSION * (MATCH_SCORE + math.log10(max(songs, FEWEST_SONGS))) + 1e-9
    assert names(rank([candidate(1, passing)], songs)) == ["song 1"]
    assert rank([candidate(1, passing - 2e-9)], songs).matches == ()


def test_weak_candidates_do_not_come_along_with_a_strong_one():
    found = rank([candidate(1, CHANCE_DISPERSION * MATCH_SCORE - 0.1), candidate(2, STRONG), candidate(3, 0.0)], 1)
    assert names(found) == ["song 2"]


def test_at_most_topn_the_best_first():
    candidates = [candidate(number, STRONG + number) for number in range(TOPN + 4)]
    expected = [f"song {number}" for number in reversed(range(4, TOPN + 4))]
    for order in (candidates, candidates[::-1], candidates[3:] + candidates[:3]):
        assert names(rank(order, 10)) == expected


def test_every_result_carries_its_own_song():
    candidates = [candidate(number, STRONG - number / 10) for number in range(TOPN)]
    ranking = rank(candidates, 10)
    assert [match.song for match in ranking.matches] == [song(number) for number in range(TOPN)]
    assert [match.delta for match in ranking.matches] == [10 * number + 0.25 for number in range(TOPN)]
    assert [match.hashes_matched for match in ranking.matches] == [20 + number for number in range(TOPN)]
    assert [match.input_hashes for match in ranking.matches] == [ASKED + number for number in range(TOPN)]
    wires = [match.to_wire() for match in ranking.matches]
    for field in ("song_id", "song_name", "file_sha1", "offset", "hashes_matched_in_input", "confidence"):
        assert len({wire[field] for wire in wires}) == (1 if field == "confidence" else TOPN), field


def test_copies_of_one_file_are_one_result_the_better_one():
    found = (candidate(1, STRONG), candidate(2, STRONG + 1, song_id=77), candidate(1, STRONG + 2, song_id=99))
    copies = [*found, candidate(1, 0.0)]
    ranking = rank(copies, 10)
    assert [(match.song.name, match.song.song_id) for match in ranking.matches] == [("song 1", 99), ("song 2", 77)]


def test_same_name_or_same_id_on_two_instances_is_not_the_same_song():
    one, other = candidate(1, STRONG, song_id=5), candidate(2, STRONG + 1, song_id=5)
    other = replace(other, song=replace(other.song, name=one.song.name))
    assert [match.song for match in rank([one, other], 10).matches] == [other.song, one.song]


def test_confidence_falls_with_the_catalogue_until_nothing_matches():
    surprise = CHANCE_DISPERSION * (MATCH_SCORE + math.log10(FEWEST_SONGS) + 3.5)
    rankings = [rank([candidate(1, surprise)], FEWEST_SONGS * 10**power) for power in range(6)]
    found = [ranking.matches[0].confidence for ranking in rankings if ranking.matches]
    assert len(found) == 4
    assert found == sorted(set(found), reverse=True)
    assert [bool(ranking.matches) for ranking in rankings] == [True] * 4 + [False] * 2


def test_certain_is_more_than_a_match():
    assert CERTAIN_SCORE > MATCH_SCORE
    for songs in (1, 1000):
        enough = CHANCE_DISPERSION * (CERTAIN_SCORE + math.log10(max(songs, FEWEST_SONGS))) + 1e-9
        assert rank([candidate(2, 0.0), candidate(1, enough)], songs).certain
        assert not rank([candidate(1, enough - 2e-9)], songs).certain


def test_confidence_is_a_probability_that_grows_with_the_score():
    scores = np.linspace(-20, 400, 900)
    found = [confidence(float(score)) for score in scores]
    assert all(0 <= value <= 1 for value in found)
    assert found == sorted(found)
    assert confidence(EVEN_SCORE) == 0.5
    assert confidence(MATCH_SCORE) > 0.5
    assert confidence(CERTAIN_SCORE) > 0.95


def test_shares_are_of_what_was_asked_and_of_the_song():
    (match,) = rank([candidate(30, STRONG)], 10).matches
    assert (match.input_hashes, match.hashes_matched) == (ASKED + 30, 50)
    assert match.input_confidence == 50 / (ASKED + 30)
    assert match.fingerprinted_confidence == 50 / 3000


@pytest.mark.parametrize("more", [0.0, 1e-9, -1e-9])
def test_settled_is_certain_of_a_song_that_has_its_peaks(more):
    enough = CHANCE_DISPERSION * (CERTAIN_SCORE + math.log10(FEWEST_SONGS)) + 1e-9
    for surprise, certain in ((enough, True), (enough - 2e-9, False)):
        found = rank([replace(candidate(1, surprise), peak_share=SETTLED_PEAK_SHARE + more)], 1)
        assert (found.certain, found.settled) == (certain, certain and more >= 0)


def test_settled_looks_at_the_best_candidate_only():
    with_peaks = replace(candidate(1, STRONG), peak_share=1.0)
    without = replace(candidate(2, STRONG + 1), peak_share=0.0)
    assert not rank([with_peaks, without], 1).settled
    assert rank([with_peaks, replace(without, surprise=STRONG - 1)], 1).settled
    copy = replace(with_peaks, surprise=STRONG + 1, peak_share=0.0)
    assert not rank([with_peaks, copy], 1).settled, "of copies, the better one counts"


def test_better_of_two_ways_of_playing_is_told():
    # The same song as found in two steps: as it is, and at another speed.
    plain = candidate(1, STRONG)
    faster = replace(plain, warp=Warp(1.08, 1.08), delta=77.5, aligned_hashes=9, asked_hashes=100, peak_share=0.75)
    for plain_gain, faster_gain, best in ((0, 1, faster), (1, 0, plain)):
        one, other = (
            replace(found, surprise=STRONG + gain) for found, gain in ((plain, plain_gain), (faster, faster_gain))
        )
        for order in ([one, other], [other, one]):
            (match,) = rank(order, 10).matches
            assert (match.warp, match.delta, match.hashes_matched) == (best.warp, best.delta, best.aligned_hashes)
            assert match.input_hashes == best.asked_hashes


def test_warp_reaches_the_wire_with_its_match():
    warps = {"song 1": UNCHANGED, "song 2": Warp(1.06, 1.06), "song 3": Warp(0.9, 1.0)}
    found = rank([replace(candidate(n, STRONG - n), warp=warps[f"song {n}"]) for n in (1, 2, 3)], 10).matches
    assert {match.song.name: match.warp for match in found} == dict(list(warps.items())[:TOPN])


def test_score_is_about_the_catalogue_as_a_whole():
    one = candidate(1, STRONG)
    assert score(one, 1) == pytest.approx(STRONG / CHANCE_DISPERSION - math.log10(FEWEST_SONGS))
    assert score(one, FEWEST_SONGS) - score(one, 1000 * FEWEST_SONGS) == pytest.approx(3)
    assert score(one, 0) == score(one, 1) == score(one, FEWEST_SONGS)
