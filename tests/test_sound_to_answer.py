"""The numeric rooms together, from sound to an answer, on songs made for it."""

from __future__ import annotations

import numpy as np
import pytest
import signals

from dejavu.config.settings import ANALYSIS_FS, CANDIDATES_PER_INSTANCE, HOP_LENGTH
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.matching.align import align
from dejavu.matching.rank import Ranking, rank
from dejavu.model import Candidate, Fingerprints, Postings, Song

SONGS = 6
SONG_SECONDS = 20.0


class Catalogue:
    """References in memory, spread over instances; what the service does with databases between."""

    def __init__(self, references: dict[int, Fingerprints], instances: int = 1) -> None:
        self._songs = {n: Song(n, f"song {n}", f"{n:040x}", len(found)) for n, found in references.items()}
        self._instances = [
            {number: found for number, found in references.items() if number % instances == instance}
            for instance in range(instances)
        ]

    def recognise(self, clip: signals.Samples) -> Ranking:
        query = extract_query([clip])
        candidates = []
        for held in self._instances:
            columns = [(f.hashes, np.full(len(f), number, np.uint32), f.offsets) for number, f in held.items()]
            postings = Postings(*(np.concatenate(column) for column in zip(*columns, strict=True)))
            for found in align(postings, query.hashes, query.offsets, CANDIDATES_PER_INSTANCE):
                of_song = self._songs[found.song_id]
                candidates.append(Candidate(of_song, found.delta, found.aligned_hashes, found.surprise))
        return rank(candidates, len(query), len(self._songs))


def full_song(number: int) -> signals.Samples:
    return signals.song(SONG_SECONDS, seed=100 + number)


@pytest.fixture(scope="module")
def references() -> dict[int, Fingerprints]:
    return {number: extract_reference([full_song(number)]) for number in range(SONGS)}


@pytest.fixture(scope="module")
def catalogue(references: dict[int, Fingerprints]) -> Catalogue:
    return Catalogue(references)


def assert_found(ranking: Ranking, number: int, start_seconds: float) -> None:
    match = ranking.matches[0]
    assert match.song.song_id == number
    assert abs(match.delta - start_seconds * ANALYSIS_FS / HOP_LENGTH) <= 1.5
    assert match.offset_seconds == pytest.approx(start_seconds, abs=0.04)
    assert match.confidence > 0.9
    assert 0 < match.input_confidence <= 1
    assert 0 < match.fingerprinted_confidence <= 1


DEGRADATIONS = {
    "clean": lambda clip: clip,
    "quiet": lambda clip: clip / 300,
    "noisy": lambda clip: signals.add_noise(clip, 6, seed=1),
    "clipped": lambda clip: np.clip(clip, -0.1, 0.1),
    "hollow": lambda clip: clip[:-5] + clip[5:],
}


@pytest.mark.parametrize("degrade", DEGRADATIONS.values(), ids=DEGRADATIONS)
def test_degraded_clip_is_found_where_it_was_cut(catalogue, degrade):
    for number, start_seconds in ((0, 0.0), (3, 7.321), (5, 14.999)):
        clip = signals.cut(full_song(number), start_seconds, 5.0)
        assert_found(catalogue.recognise(degrade(clip)), number, start_seconds)


def test_clip_that_starts_before_the_song_has_a_negative_offset(catalogue):
    clip = np.concatenate((0.1 * signals.noise(2.5, seed=2), signals.cut(full_song(2), 0.0, 4.0)))
    assert_found(catalogue.recognise(clip), 2, -2.5)


def test_clip_delayed_by_frames_is_found_as_many_frames_earlier(catalogue):
    clip = signals.cut(full_song(4), 6.0, 4.0)
    (before,), (after,) = (catalogue.recognise(sound).matches for sound in (clip, signals.delay(clip, 44)))
    assert after.delta == before.delta - 44


def test_two_songs_in_one_clip_are_two_results_each_where_it_is(catalogue):
    clip = np.concatenate((signals.cut(full_song(0), 3.0, 4.0), signals.cut(full_song(1), 9.0, 4.0)))
    found = {match.song.song_id: match.offset_seconds for match in catalogue.recognise(clip).matches}
    assert found == {0: pytest.approx(3.0, abs=0.04), 1: pytest.approx(5.0, abs=0.04)}


UNKNOWN = {
    "another song": lambda: signals.song(6.0, seed=999),
    "noise": lambda: signals.noise(6.0, seed=999),
    "a song played backwards": lambda: full_song(1)[: 6 * ANALYSIS_FS][::-1],
    "a steady tone": lambda: np.sin(np.arange(6 * ANALYSIS_FS) / 5).astype(np.float32),
    "silence": lambda: signals.silence(250),
    "nothing": lambda: signals.silence(0),
}


@pytest.mark.parametrize("make_clip", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_in_the_catalogue_is_no_match(catalogue, make_clip):
    assert catalogue.recognise(make_clip()) == Ranking((), certain=False)


def test_two_tunes_to_the_same_metronome_are_not_the_same():
    song, other = signals.song(40.0, seed=1), signals.song(10.0, seed=2)
    beat = signals.metronome(50.0, frames=20.4)
    catalogue = Catalogue({0: extract_reference([song + beat[: song.size]])})
    assert catalogue.recognise(other + beat[1500:][: other.size]).matches == ()
    found = catalogue.recognise(signals.cut(song + beat[: song.size], 20.0, 10.0))
    assert found.matches[0].offset_seconds == pytest.approx(20.0, abs=0.04)


def test_answer_does_not_depend_on_how_songs_are_spread_over_instances(references):
    clips = [signals.add_noise(signals.cut(full_song(number), 5.0, 3.0), 3, seed=number) for number in range(3)]
    clips.append(np.concatenate(clips))
    for clip in clips:
        answers = [Catalogue(references, instances).recognise(clip) for instances in (1, 2, 3, SONGS)]
        assert answers[0].matches
        assert all(answer == answers[0] for answer in answers)
