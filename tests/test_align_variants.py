"""A query asked in several variants: songs agree with one of them."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import oracles
import pytest
from alignment import (
    MOST_VARIANTS,
    align_rows,
    align_variants,
    melody,
    postings_of,
    query_of,
    random_case,
    random_hashes,
    random_variants,
    stored,
)

from dejavu.config.settings import CHANCE_DISPERSION, MATCH_SCORE


@pytest.mark.parametrize("base", [0, (1 << 31) - 200])
@pytest.mark.parametrize("seed", range(25))
def test_alignments_of_variants_are_those_of_the_loop(seed, base):
    rows, pairs = random_case(seed, base)
    variants = random_variants(seed, len(pairs))
    found = align_variants(rows, pairs, variants)
    loop = oracles.align(postings_of(rows), *query_of(pairs), variants)
    expected = {song: replace(a, surprise=pytest.approx(a.surprise, abs=1e-9)) for song, a in loop.items()}
    assert {a.song_id: a for a in found} == expected
    assert [a.surprise for a in found] == sorted((a.surprise for a in found), reverse=True)


@pytest.mark.parametrize("right", [0, 1, 117, MOST_VARIANTS - 1])
def test_variant_that_agrees_is_named_and_a_song_is_found_once(right):
    landmarks = melody(80, 400, seed=18)
    rows = stored(landmarks, 1, later=2000) + stored(landmarks[:20], 2, later=50)
    rng = np.random.default_rng(19)
    pairs, variants = list(landmarks), [right] * len(landmarks)
    for other in {0, 1, 116, 117, 118, MOST_VARIANTS - 1} - {right}:
        # The same hashes at other places, so that every variant hits both songs.
        pairs += [(hash_, int(offset)) for (hash_, _), offset in zip(landmarks, rng.integers(0, 400, 80), strict=True)]
        variants += [other] * 80
    best, second = align_variants(rows, pairs, variants)
    assert (best.song_id, best.variant, best.delta, best.aligned_hashes) == (1, right, 2000, 80)
    assert (second.song_id, second.variant, second.delta, second.aligned_hashes) == (2, right, 50, 20)
    assert best.surprise > CHANCE_DISPERSION * MATCH_SCORE


def test_landmarks_of_different_variants_never_agree():
    clip = melody(90, 400, seed=20)
    rows = stored(clip, 3, later=700)
    for parts in (2, 3, 90):
        variants = [place % parts for place in range(90)]
        (found,) = align_variants(rows, clip, variants)
        own = [pair for pair, variant in zip(clip, variants, strict=True) if variant == found.variant]
        assert found.aligned_hashes == len(own) == 90 // parts


def test_other_variants_change_nothing_about_one():
    clip = melody(40, 300, seed=21)
    rows = stored(clip, 5, later=900)
    unknown = next(hash_ for hash_ in random_hashes(np.random.default_rng(22), 99) if hash_ not in dict(clip))
    (alone,) = align_rows(rows, clip)
    assert align_variants(rows, [*clip, (unknown, 0)], [0] * 40 + [MOST_VARIANTS - 1]) == [alone]


def test_a_single_variant_is_the_query_as_it_is():
    for seed in range(40, 55):
        rows, pairs = random_case(seed)
        assert align_variants(rows, pairs, [0] * len(pairs)) == align_rows(rows, pairs)


def test_each_song_gets_its_own_variant_as_if_it_was_alone():
    for seed in range(80, 100):
        rows, pairs = random_case(seed)
        variants = random_variants(seed, len(pairs))
        together = align_variants(rows, pairs, variants)
        songs = sorted({song for _, song, _ in rows})
        apart = [a for song in songs for a in align_variants([row for row in rows if row[1] == song], pairs, variants)]
        assert len({a.song_id for a in together}) == len(together)
        assert sorted(map(astuple, apart)) == sorted(map(astuple, together))


def test_limit_counts_songs_and_not_variants():
    clip = melody(60, 200, seed=23)
    rows = [row for song in range(12) for row in stored(clip[: 60 - 3 * song], song, later=10 * song)]
    pairs, variants = clip * 3, [variant for variant in (4, 2, 9) for _ in clip]
    everything = align_variants(rows, pairs, variants)
    assert [(found.song_id, found.variant) for found in everything] == [(song, 2) for song in range(12)]
    for limit in (1, 3, 11, 12, 13):
        assert align_variants(rows, pairs, variants, limit) == everything[:limit]


def test_variants_and_songs_and_offsets_fit_one_key():
    clip = melody(30, 100, seed=24)
    ids = [0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
    rows = [row for song in ids for later in (0, (1 << 31) - 200) for row in stored(clip, song, later)]
    crowd = [(clip[0][0], song, 0) for song in range(2, 30_000)]
    pairs, variants = clip + clip[:3], [MOST_VARIANTS - 1] * 30 + [0] * 3
    found = align_variants(rows + crowd, pairs, variants, limit=len(ids))
    assert sorted((a.song_id, a.variant, a.delta, a.aligned_hashes) for a in found) == [
        (song, MOST_VARIANTS - 1, 0, 30) for song in ids
    ]


def test_no_landmarks_under_any_variant_align_nothing():
    assert align_variants([], [], []) == []
    assert align_variants(stored(melody(9, 90, seed=25), 1), [], []) == []
    assert align_variants([], [(12345, 0)], [7]) == []
