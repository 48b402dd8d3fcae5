"""From sound to an answer through real databases, without HTTP and processes, on songs made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import signals
from scipy.signal import resample_poly
from sound_catalogue import filled

from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.matching.rank import Ranking
from dejavu.model import UNCHANGED, Fingerprints, Match
from dejavu.service.instance import Instance
from dejavu.service.search import search

SONGS = 6
SONG_SECONDS = 20.0


class Catalogue:
    """Instances, asked about sound."""

    def __init__(self, instances: list[Instance]) -> None:
        self._instances = instances

    def recognise(self, clip: signals.Samples, max_speed_change: int = 12) -> Ranking:
        return search(self._instances, extract_query([clip]), max_speed_change).ranking


def full_song(number: int) -> signals.Samples:
    return signals.song(SONG_SECONDS, seed=100 + number)


@pytest.fixture(scope="module")
def references() -> dict[int, Fingerprints]:
    return {number: extract_reference([full_song(number)]) for number in range(SONGS)}


@pytest.fixture(scope="module")
def catalogue(references: dict[int, Fingerprints], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with filled(tmp_path_factory.mktemp("catalogue"), references) as instances:
        yield Catalogue(instances)


def assert_found(ranking: Ranking, number: int, start_seconds: float) -> Match:
    match = ranking.matches[0]
    assert match.song.name == f"song {number}"
    assert abs(match.delta - start_seconds * ANALYSIS_FS / HOP_LENGTH) <= 1.5
    assert match.offset_seconds == pytest.approx(start_seconds, abs=0.04)
    assert match.confidence > 0.9
    assert 0 < match.input_confidence <= 1
    assert 0 < match.fingerprinted_confidence <= 1
    return match


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
        match = assert_found(catalogue.recognise(degrade(clip)), number, start_seconds)
        assert match.warp == UNCHANGED


def test_clip_that_starts_before_the_song_has_a_negative_offset(catalogue):
    clip = np.concatenate((0.1 * signals.noise(2.5, seed=2), signals.cut(full_song(2), 0.0, 4.0)))
    assert_found(catalogue.recognise(clip), 2, -2.5)


def test_clip_delayed_by_frames_is_found_as_many_frames_earlier(catalogue):
    clip = signals.cut(full_song(4), 6.0, 4.0)
    (before,), (after,) = (catalogue.recognise(sound).matches for sound in (clip, signals.delay(clip, 44)))
    assert after.delta == pytest.approx(before.delta - 44, abs=0.5)


def test_two_songs_in_one_clip_are_two_results_each_where_it_is(catalogue):
    clip = np.concatenate((signals.cut(full_song(0), 3.0, 4.0), signals.cut(full_song(1), 9.0, 4.0)))
    found = {match.song.name: match.offset_seconds for match in catalogue.recognise(clip).matches}
    assert found == {"song 0": pytest.approx(3.0, abs=0.04), "song 1": pytest.approx(5.0, abs=0.04)}


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
    assert catalogue.recognise(make_clip()) == Ranking((), certain=False, settled=False)


def test_two_tunes_to_the_same_metronome_are_not_the_same(tmp_path):
    song, other = signals.song(40.0, seed=1), signals.song(10.0, seed=2)
    beat = signals.metronome(50.0, frames=20.4)
    with filled(tmp_path, {0: extract_reference([song + beat[: song.size]])}) as instances:
        catalogue = Catalogue(instances)
        assert catalogue.recognise(other + beat[1500:][: other.size]).matches == ()
        found = catalogue.recognise(signals.cut(song + beat[: song.size], 20.0, 10.0))
        assert found.matches[0].offset_seconds == pytest.approx(20.0, abs=0.04)


def test_answer_does_not_depend_on_how_songs_are_spread_over_instances(references, tmp_path):
    clips = [signals.add_noise(signals.cut(full_song(number), 5.0, 3.0), 3, seed=number) for number in range(3)]
    clips.append(np.concatenate(clips))
    answers = []
    for number in (1, 2, 3, SONGS):
        with filled(tmp_path, references, number) as instances:
            answers.append([places(Catalogue(instances).recognise(clip)) for clip in clips])
    assert all(answers[0])
    # Which hashes are asked depends on how many fingerprints an instance has, and they say where to a part of a frame.
    assert all(answer == [pytest.approx(found, abs=1) for found in answers[0]] for answer in answers)


def places(ranking: Ranking) -> dict[str, float]:
    return {match.song.name: match.delta for match in ranking.matches}


# --- Other speeds -----------------------------------------------------------------------------------------------------


def faster(number: int, speed: float) -> signals.Samples:
    """A song as a turntable plays it that goes too fast."""
    return resample_poly(full_song(number), 100, round(100 * speed)).astype(np.float32)


def rushed(number: int, tempo: float) -> signals.Samples:
    return signals.song(SONG_SECONDS / tempo, 100 + number, tempo=tempo)


def raised(number: int, pitch: float) -> signals.Samples:
    return signals.song(SONG_SECONDS, 100 + number, pitch=pitch)


CHANGES = {
    "speed": (faster, lambda factor: (factor, factor)),
    "tempo": (rushed, lambda factor: (factor, 1.0)),
    "pitch": (raised, lambda factor: (1.0, factor)),
}


@pytest.mark.parametrize("factor", [0.92, 1.02, 1.06, 1.11])
@pytest.mark.parametrize(("play", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_clip_played_otherwise_is_found_with_how_it_was_played(
    catalogue: Catalogue,
    play: Callable[[int, float], signals.Samples],
    expected: Callable[[float], tuple[float, float]],
    factor: float,
) -> None:
    speed, pitch = expected(factor)
    for number, start_seconds in ((1, 3.3), (4, 9.876)):
        clip = signals.cut(play(number, factor), start_seconds / speed, 5.0)
        match = assert_found(catalogue.recognise(clip), number, start_seconds)
        assert match.warp.speed == pytest.approx(speed, abs=0.005)
        assert match.warp.pitch == pytest.approx(pitch, abs=0.005)


def test_other_speeds_are_looked_for_as_far_as_is_asked(catalogue):
    clip = signals.cut(faster(2, 1.2), 5.0, 6.0)
    assert catalogue.recognise(clip, 0).matches == ()
    assert catalogue.recognise(clip, 10).matches == ()
    match = assert_found(catalogue.recognise(clip, 25), 2, 6.0)
    assert match.warp.speed == pytest.approx(1.2, abs=0.005)
