"""Postings and a query to aligned songs: against loops, by properties, and on what the forerunners got wrong."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import pairwise

import numpy as np
import oracles
import pytest
from alignment import (
    MANY,
    align_rows,
    join_rows,
    melody,
    postings_of,
    query_of,
    random_case,
    random_hashes,
    random_variants,
    stored,
)

import dejavu.matching.align as align
from dejavu.config.settings import CHANCE_DISPERSION, MATCH_SCORE
from dejavu.fingerprint.landmarks import pack
from dejavu.matching.align import _best_deltas, _Hits, _independent_landmarks, _largest, _of


@pytest.mark.parametrize("base", [0, 100_000, (1 << 31) - 200])
@pytest.mark.parametrize("seed", range(25))
def test_alignments_are_those_of_the_loop(seed, base):
    rows, pairs = random_case(seed, base)
    found = align_rows(rows, pairs)
    loop = oracles.align(postings_of(rows), *query_of(pairs))
    expected = {song: replace(a, surprise=pytest.approx(a.surprise, abs=1e-9)) for song, a in loop.items()}
    assert {a.song_id: a for a in found} == expected
    assert [a.surprise for a in found] == sorted((a.surprise for a in found), reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_join_pairs_each_posting_with_each_landmark_of_its_hash(seed):
    rows, pairs = random_case(seed)
    variants = random_variants(seed, len(pairs))
    hits = join_rows(rows, pairs, variants)
    expected = [
        (hash_, offset, offset - asked, variant << 32 | song)
        for hash_, song, offset in rows
        for (h, asked), variant in zip(pairs, variants, strict=True)
        if h == hash_
    ]
    assert sorted(zip(*_columns(hits), hits.contestants.tolist(), strict=True)) == sorted(expected)


def test_hashes_that_no_clip_has_meet_nothing():
    hits = join_rows([(5 + (1 << 22), 1, 0), (5, 2, 9), ((1 << 32) - 1, 3, 0)], [(5, 4)], [0])
    assert (hits.contestants.tolist(), hits.deltas.tolist()) == ([2], [5])


@pytest.mark.parametrize("seed", range(10))
def test_best_delta_and_its_landmarks_are_those_of_the_loop(seed):
    rows, pairs = random_case(seed)
    hits = join_rows(rows, pairs, random_variants(seed, len(pairs)))
    contestants = hits.contestants
    numbers, deltas = _best_deltas(contestants, hits.deltas, MANY)
    chosen, owners = _of(contestants, numbers)
    assert numbers[owners].tolist() == contestants[chosen].tolist() == contestants.tolist(), "no limit, all of them"
    agree = np.abs(hits.deltas - deltas[owners]) <= 1
    members, owners = chosen[agree], owners[agree]
    independent = _independent_landmarks(hits.hashes(members), hits.song_offsets(members), owners, numbers.size)
    assert sorted(numbers.tolist()) == sorted(set(contestants.tolist()))
    for place, (number, delta) in enumerate(zip(numbers.tolist(), deltas.tolist(), strict=True)):
        own = [hit[1:] for hit in zip(contestants.tolist(), *_columns(hits), strict=True) if hit[0] == number]
        agreeing = [hit for hit in own if abs(hit[2] - delta) <= 1]
        assert delta == oracles.best_delta([hit[2] for hit in own])
        assert np.count_nonzero(owners == place) == len(agreeing)
        assert independent[place] == oracles.independent_landmarks(agreeing)


def test_the_largest_are_those_of_a_stable_sort_whatever_the_limit():
    rng = np.random.default_rng(0)
    for size in (1, 2, 50):
        values = rng.integers(0, 6, size)
        for limit in (1, 3, size, 2 * size):
            assert _largest(values, limit).tolist() == np.argsort(-values, kind="stable")[:limit].tolist()


def test_what_is_too_common_to_be_paired_is_left_out_and_the_rest_is_not(monkeypatch):
    clip = melody(60, 200, seed=23)
    held = random_hashes(np.random.default_rng(24), 400)[-1]
    rows = stored(clip, 1, later=90) + [(held, 1, offset) for offset in range(500)]
    pairs = [*clip, *((held, offset) for offset in range(40))]
    monkeypatch.setattr(align, "ALIGN_HITS", 10_000)
    assert align_rows(rows, pairs) == align_rows(rows, clip)
    monkeypatch.setattr(align, "ALIGN_HITS", 100_000)
    (everything,) = align_rows(rows, pairs)
    assert everything.aligned_hashes == 61


@pytest.mark.parametrize("limit", [1, 5, 20, MANY])
@pytest.mark.parametrize("bits", [4, 30, 42, 55])
def test_best_deltas_are_the_same_whatever_the_contestants_are_called(bits, limit):
    rng = np.random.default_rng(bits)
    deltas = rng.integers(-5, 200, 300)
    deltas[0], few = 1 << 33, rng.integers(0, 12, 300)
    names = np.sort(rng.choice(1 << bits, 12, replace=False))
    numbers, best = _best_deltas(few, deltas, limit)
    named, same = _best_deltas(names[few], deltas, limit)
    assert (named.tolist(), same.tolist()) == (names[numbers].tolist(), best.tolist())
    by_loop = {number: oracles.best_delta(deltas[few == number].tolist()) for number in range(12)}
    assert [by_loop[number] for number in numbers.tolist()] == best.tolist()


def test_hits_of_a_few_contestants_are_found_among_those_of_many():
    rng = np.random.default_rng(1)
    contestants = rng.integers(0, 40, 500)
    numbers = np.array([31, 2, 17])
    chosen, owners = _of(contestants, numbers)
    assert chosen.tolist() == [i for i, number in enumerate(contestants.tolist()) if number in (31, 2, 17)]
    assert numbers[owners].tolist() == contestants[chosen].tolist()
    alike = contestants + (rng.integers(0, 2, 500) << 16)
    chosen, _ = _of(alike, numbers)
    assert chosen.tolist() == [i for i, number in enumerate(alike.tolist()) if number in (31, 2, 17)]


def _columns(hits: _Hits) -> list[list[int]]:
    """Hashes, song offsets and deltas."""
    everything = np.arange(hits.deltas.size)
    return [column.tolist() for column in (hits.hashes(everything), hits.song_offsets(everything), hits.deltas)]


def test_landmarks_that_follow_from_others_do_not_count():
    # Three peaks at (0, bin 100), (5, bin 110), (9, bin 90): the third side of the triangle is there for free.
    sides = [(100, 110, 5, 0), (110, 90, 4, 5), (100, 90, 9, 0)]
    rows, pairs = [], []
    for anchor_bin, target_bin, frames, offset in sides:
        (hash_,) = pack(np.array([anchor_bin]), np.array([target_bin]), np.array([frames])).tolist()
        rows.append((hash_, 7, 1000 + offset))
        pairs.append((hash_, offset))
    (triangle,) = align_rows(rows, pairs)
    (open_path,) = align_rows(rows[:2], pairs)
    assert (triangle.aligned_hashes, open_path.aligned_hashes) == (3, 2)
    assert triangle.surprise < open_path.surprise


@pytest.mark.parametrize("frames", [1, 2, 500, 1_000_000])
def test_shift_by_frames_shifts_every_delta(frames):
    for seed in range(10):
        rows, pairs = random_case(seed, base=100)
        plain = {found.song_id: found for found in align_rows(rows, pairs)}
        song_later = align_rows([(hash_, song, offset + frames) for hash_, song, offset in rows], pairs)
        clip_later = align_rows(rows, [(hash_, offset + frames) for hash_, offset in pairs])
        assert {found.song_id: found.delta - frames for found in song_later} == {i: a.delta for i, a in plain.items()}
        assert {found.song_id: found.delta + frames for found in clip_later} == {i: a.delta for i, a in plain.items()}
        assert {a.song_id: a.aligned_hashes for a in song_later} == {i: a.aligned_hashes for i, a in plain.items()}


@pytest.mark.parametrize("later", [0, 5000, (1 << 31) - 1000])
def test_clip_is_found_where_it_was_cut(later):
    landmarks = melody(300, 900, seed=1)
    clip = [(hash_, offset - 400) for hash_, offset in landmarks if 400 <= offset < 600]
    (found,) = align_rows(stored(landmarks, 3, later), clip)
    assert (found.song_id, found.delta, found.aligned_hashes) == (3, 400 + later, len(clip))
    assert found.surprise > CHANCE_DISPERSION * MATCH_SCORE


@pytest.mark.parametrize("frames_before", [1, 250, 100_000])
def test_delta_is_negative_where_the_clip_starts_before_the_song(frames_before):
    landmarks = melody(200, 500, seed=2)
    (found,) = align_rows(stored(landmarks, 4), [(hash_, offset + frames_before) for hash_, offset in landmarks])
    assert (found.delta, found.aligned_hashes) == (-frames_before, len(landmarks))
    assert found.surprise > CHANCE_DISPERSION * MATCH_SCORE


def test_a_frame_of_difference_still_agrees_and_two_do_not():
    landmarks = melody(60, 2000, seed=3)
    wobbling = [(hash_, offset + 50 + place % 3) for place, (hash_, offset) in enumerate(landmarks)]
    (found,) = align_rows(stored(landmarks, 5, later=51), wobbling)
    assert (found.delta, found.aligned_hashes) == (0, 60)
    apart = [(hash_, offset + 50 + 2 * (place % 3)) for place, (hash_, offset) in enumerate(landmarks)]
    (found,) = align_rows(stored(landmarks, 5, later=51), apart)
    assert found.aligned_hashes < 30


def test_hashes_that_match_but_do_not_agree_in_time_never_count():
    # A jingle: it has every hash of the clip, four times, in another order; the song has a tenth of them.
    clip = melody(200, 400, seed=4)
    rng = np.random.default_rng(5)
    jingle = [(hash_, 1, offset) for hash_, _ in clip for offset in rng.integers(0, 6000, 4).tolist()]
    song = stored(clip[::10], 2, later=2000) + stored(melody(700, 6000, seed=6), 2)
    best, other = align_rows(jingle + song, clip)
    assert (best.song_id, best.delta, best.aligned_hashes) == (2, 2000, 20)
    assert best.surprise > CHANCE_DISPERSION * MATCH_SCORE > other.surprise
    assert other.aligned_hashes < 10


def test_song_that_repeats_itself_is_no_better_than_one_that_does_not():
    clip = melody(30, 150, seed=7)
    rest = stored(melody(400, 3000, seed=8), 0)
    once = rest + stored(clip, 0, later=1000)
    repeating = rest + [row for later in range(0, 2800, 200) for row in stored(clip, 0, later)]
    (plain,), (looped,) = align_rows(once, clip), align_rows(repeating, clip)
    assert plain.delta == 1000
    assert looped.delta % 200 == 0
    assert looped.aligned_hashes == plain.aligned_hashes == 30
    assert looped.surprise < plain.surprise


def test_a_hash_counts_once_however_often_it_agrees():
    hash_ = random_hashes(np.random.default_rng(9), 1)[0]
    beats = [(hash_, 37 * beat) for beat in range(20)]
    (found,) = align_rows(stored(beats, 6), beats)
    assert (found.delta, found.aligned_hashes) == (0, 1)
    assert found.surprise < 1


def test_order_of_postings_and_of_the_query_does_not_matter():
    rng = np.random.default_rng(10)
    for seed in range(25, 40):
        rows, pairs = random_case(seed)
        expected = align_rows(rows, pairs)
        for _ in range(3):
            rng.shuffle(rows)
            rng.shuffle(pairs)
            assert align_rows(rows, pairs) == expected


def test_songs_are_judged_alone_so_it_does_not_matter_which_instance_holds_them():
    for seed in range(40, 55):
        rows, pairs = random_case(seed)
        songs = sorted({song for _, song, _ in rows})
        apart = [found for song in songs for found in align_rows([row for row in rows if row[1] == song], pairs)]
        assert sorted(map(astuple, apart)) == sorted(map(astuple, align_rows(rows, pairs)))


def test_hashes_nobody_asked_for_do_no_harm():
    rows, pairs = random_case(55)
    asked = {hash_ for hash_, _ in pairs}
    strange = [row for row in stored(melody(300, 50, seed=11), rows[0][1]) if row[0] not in asked]
    assert align_rows(rows + strange, pairs) == align_rows(rows, pairs)


def test_limit_keeps_the_most_surprising():
    clip = melody(60, 200, seed=12)
    rows = [row for song in range(30) for row in stored(clip[: 60 - song], song, later=10 * song)]
    everything = align_rows(rows, clip)
    assert [found.song_id for found in everything] == list(range(30))
    for limit in (1, 3, 29, 30, 31):
        assert align_rows(rows, clip, limit) == everything[:limit]


def test_most_surprising_comes_first_even_where_another_has_more_hits():
    clip = melody(100, 300, seed=13)
    rng = np.random.default_rng(14)
    # Song 1 agrees a little more, but has so many hits everywhere that this is no wonder.
    everywhere = [(hash_, 1, offset) for hash_, _ in clip for offset in rng.integers(0, 300, 60).tolist()]
    rows = everywhere + stored(clip[:40], 2, later=500)
    first, second = align_rows(rows, clip)
    assert (first.song_id, second.song_id) == (2, 1)
    assert second.aligned_hashes > first.aligned_hashes
    assert align_rows(rows, clip, limit=1) == [first]


def test_surprise_grows_with_landmarks():
    clip = melody(50, 200, seed=15)
    frame = stored([clip[0], clip[-1]], 8, later=300)
    found = [align_rows(frame + stored(clip[1:size], 8, later=300), clip)[0] for size in range(2, 49)]
    assert [a.aligned_hashes for a in found] == list(range(3, 50))
    assert all(less.surprise < more.surprise for less, more in pairwise(found))


@pytest.mark.parametrize("song_id", [0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_song_ids_use_all_of_32_bits(song_id):
    clip = melody(20, 90, seed=16)
    (found,) = align_rows(stored(clip, song_id, later=77), clip)
    assert (found.song_id, found.delta, found.aligned_hashes) == (song_id, 77, 20)


def test_nothing_stored_or_nothing_asked_aligns_nothing():
    clip = melody(20, 90, seed=17)
    strangers = [(hash_ ^ 1, 1, offset) for hash_, offset in clip if (hash_ ^ 1) not in dict(clip)]
    assert align_rows([], clip) == []
    assert align_rows(stored(clip, 1), []) == []
    assert align_rows([], []) == []
    assert align_rows(strangers, clip) == []


def test_one_hit_is_no_surprise():
    (found,) = align_rows([(12345, 9, 0)], [(12345, 0)])
    assert (found.song_id, found.delta, found.aligned_hashes) == (9, 0, 1)
    assert found.surprise < 1
