"""Candidates to an answer: merged, judged against the catalogue's size, the best kept."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import oracles
import pytest

from dejavu.config.settings import CERTAIN_SCORE, CHANCE_DISPERSION, EVEN_SCORE, MATCH_SCORE, TOPN
from dejavu.matching.rank import Ranking, confidence, rank
from dejavu.model import Candidate, Song

ASKED = 500


def song(number: int, song_id: int | None = None, total_hashes: int = 3000) -> Song:
    sha1 = hashlib.sha1(b"%d" % number).hexdigest()
    return Song(number if song_id is None else song_id, f"song {number}", sha1, total_hashes)


def candidate(number: int, surprise: float, song_id: int | None = None) -> Candidate:
    return Candidate(song(number, song_id), delta=10 * number, aligned_hashes=20 + number, surprise=surprise)


def numbers(ranking: Ranking) -> list[str]:
    return [match.song.name for match in ranking.matches]


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    surprises = rng.uniform(0, 4 * CERTAIN_SCORE, int(rng.integers(0, 12)))
    candidates = [candidate(int(rng.integers(0, 6)), surprise) for surprise in surprises]
    songs = int(10 ** rng.uniform(0, 5))
    expected = oracles.rank(candidates, songs)
    ranking = rank(candidates, ASKED, songs)
    assert [(match.song, match.delta, match.hashes_matched) for match in ranking.matches] == [
        (best.song, best.delta, best.aligned_hashes) for _, best in expected
    ]
    assert [match.confidence for match in ranking.matches] == [confidence(score) for score, _ in expected]
    assert ranking.certain == (bool(expected) and expected[0][0] >= CERTAIN_SCORE)


def test_nobody_is_no_match():
    assert rank([], ASKED, 1) == Ranking((), certain=False)
    assert rank([], 0, 0) == Ranking((), certain=False)


def test_first_song_is_found_while_the_catalogue_still_counts_none():
    first = [candidate(1, 90.0)]
    assert rank(first, ASKED, 0) == rank(first, ASKED, 1)
    assert rank(first, ASKED, 0).matches


@pytest.mark.parametrize("songs", [1, 100, 1_000_000])
def test_threshold_is_honoured_to_the_last_digit(songs):
    passing = CHANCE_DISPERSION * (MATCH_SCORE + math.log10(songs)) + 1e-9
    assert numbers(rank([candidate(1, passing)], ASKED, songs)) == ["song 1"]
    assert rank([candidate(1, passing - 2e-9)], ASKED, songs).matches == ()


def test_weak_candidates_do_not_come_along_with_a_strong_one():
    found = rank([candidate(1, MATCH_SCORE - 0.1), candidate(2, 100.0), candidate(3, 0.0)], ASKED, 1)
    assert numbers(found) == ["song 2"]


def test_at_most_topn_the_best_first():
    candidates = [candidate(number, 50.0 + number) for number in range(TOPN + 4)]
    expected = [f"song {number}" for number in reversed(range(4, TOPN + 4))]
    for order in (candidates, candidates[::-1], candidates[3:] + candidates[:3]):
        assert numbers(rank(order, ASKED, 10)) == expected


def test_every_result_carries_its_own_song():
    candidates = [candidate(number, 80.0 - number) for number in range(TOPN)]
    ranking = rank(candidates, ASKED, 10)
    assert [match.song for match in ranking.matches] == [song(number) for number in range(TOPN)]
    assert [match.delta for match in ranking.matches] == [10 * number for number in range(TOPN)]
    assert [match.hashes_matched for match in ranking.matches] == [20 + number for number in range(TOPN)]
    wires = [match.to_wire() for match in ranking.matches]
    for field in ("song_id", "song_name", "file_sha1", "offset", "hashes_matched_in_input", "confidence"):
        assert len({wire[field] for wire in wires}) == (1 if field == "confidence" else TOPN), field


def test_copies_of_one_file_are_one_result_the_better_one():
    copies = [candidate(1, 30.0), candidate(2, 40.0, song_id=77), candidate(1, 50.0, song_id=99), candidate(1, 20.0)]
    ranking = rank(copies, ASKED, 10)
    assert [(match.song.name, match.song.song_id) for match in ranking.matches] == [("song 1", 99), ("song 2", 77)]


def test_same_name_or_same_id_on_two_instances_is_not_the_same_song():
    one, other = candidate(1, 40.0, song_id=5), candidate(2, 41.0, song_id=5)
    other = replace(other, song=replace(other.song, name=one.song.name))
    assert [match.song for match in rank([one, other], ASKED, 10).matches] == [other.song, one.song]


def test_confidence_falls_with_the_catalogue_until_nothing_matches():
    surprise = CHANCE_DISPERSION * (MATCH_SCORE + 3.5)
    rankings = [rank([candidate(1, surprise)], ASKED, 10**power) for power in range(6)]
    found = [ranking.matches[0].confidence for ranking in rankings if ranking.matches]
    assert len(found) == 4
    assert found == sorted(set(found), reverse=True)
    assert [bool(ranking.matches) for ranking in rankings] == [True] * 4 + [False] * 2


def test_certain_is_more_than_a_match():
    assert CERTAIN_SCORE > MATCH_SCORE
    for songs in (1, 1000):
        enough = CHANCE_DISPERSION * (CERTAIN_SCORE + math.log10(songs)) + 1e-9
        assert rank([candidate(2, 0.0), candidate(1, enough)], ASKED, songs).certain
        assert not rank([candidate(1, enough - 2e-9)], ASKED, songs).certain


def test_confidence_is_a_probability_that_grows_with_the_score():
    scores = np.linspace(-20, 400, 900)
    found = [confidence(float(score)) for score in scores]
    assert all(0 <= value <= 1 for value in found)
    assert found == sorted(found)
    assert confidence(EVEN_SCORE) == 0.5
    assert confidence(MATCH_SCORE) > 0.5
    assert confidence(CERTAIN_SCORE) > 0.95


def test_shares_are_of_what_was_asked_and_of_the_song():
    (match,) = rank([candidate(30, 90.0)], ASKED, 10).matches
    assert (match.input_hashes, match.hashes_matched) == (ASKED, 50)
    assert match.input_confidence == 50 / ASKED
    assert match.fingerprinted_confidence == 50 / 3000
