"""Candidates compared with the songs' own peaks, as a real database has them, or has them no more."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import signals
from driver_data import NO_PEAKS
from sound_catalogue import filled, path_of

from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH, STRETCH_FRAMES
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.model import Candidate, Fingerprints
from dejavu.service.instance import Instance, Sighting
from dejavu.service.probe import Probe, plain_probe

SONG_SECONDS = 20.0
LONG_SECONDS = 80.0
STRETCH_SECONDS = STRETCH_FRAMES * HOP_LENGTH / ANALYSIS_FS


@pytest.fixture(scope="module")
def reference() -> Fingerprints:
    return extract_reference([signals.song(SONG_SECONDS, seed=1)])


@pytest.fixture(scope="module")
def long_reference() -> Fingerprints:
    """Of a song that is kept in two stretches."""
    return extract_reference([signals.song(LONG_SECONDS, seed=3)])


@pytest.fixture
def instance(reference: Fingerprints, long_reference: Fingerprints, tmp_path: Path) -> Iterator[Instance]:
    with filled(tmp_path, {0: reference, 1: long_reference}) as (instance,):
        yield instance


def probe(seconds: float, start: float, length: float, seed: int) -> Probe:
    query = extract_query([signals.cut(signals.song(seconds, seed), start, length)])
    return plain_probe(query, len(query))


def match(instance: Instance, asked: Probe, earlier: Sighting | None = None) -> Sighting:
    return instance.answer(instance.ask(lambda i: i.match(asked, earlier)))


def best(instance: Instance, asked: Probe) -> Candidate:
    return match(instance, asked).candidates[0]


def change(folder: Path, statement: str) -> None:
    """Do something to the database that the service never does."""
    with closing(sqlite3.connect(path_of(folder))) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.mark.parametrize("first", ["the song", "the look-alike"])
def test_of_songs_with_as_many_aligned_hashes_that_with_the_clips_peaks_is_first(reference, tmp_path, first):
    lookalike = replace(reference, peaks=extract_reference([signals.song(SONG_SECONDS, seed=2)]).peaks)
    songs = [reference, lookalike] if first == "the song" else [lookalike, reference]
    with filled(tmp_path, dict(enumerate(songs))) as (instance,):
        right, wrong = match(instance, probe(SONG_SECONDS, 5.0, 5.0, seed=1)).candidates
    assert right.song.name == ("song 0" if first == "the song" else "song 1")
    assert right.aligned_hashes == wrong.aligned_hashes
    assert right.surprise > wrong.surprise
    assert right.peak_share > 0.9 > 0.3 > wrong.peak_share


def test_a_clip_in_two_stretches_is_compared_with_both(instance, tmp_path):
    asked = probe(LONG_SECONDS, STRETCH_SECONDS - 2.5, 5.0, seed=3)
    whole = best(instance, asked)
    assert whole.peak_share > 0.9
    change(tmp_path, "DELETE FROM stretch WHERE id % 2 = 1")
    half = best(instance, asked)
    assert half.song == whole.song
    assert half.surprise < whole.surprise


def test_a_song_without_peaks_is_still_a_candidate(reference, tmp_path):
    with filled(tmp_path, {0: replace(reference, peaks=NO_PEAKS)}) as (instance,):
        found = best(instance, probe(SONG_SECONDS, 5.0, 5.0, seed=1))
    assert found.delta == pytest.approx(5.0 * ANALYSIS_FS / HOP_LENGTH, abs=1.5)
    assert found.surprise > 20
    assert found.peak_share == 0


def test_a_song_that_is_deleted_while_it_is_looked_for_does_no_harm(instance):
    asked = probe(SONG_SECONDS, 5.0, 5.0, seed=1)
    earlier = match(instance, asked)
    song = earlier.candidates[0].song
    assert song.name == "song 0"
    instance._driver.delete(song.song_id)
    # Its postings are those of before, its peaks and itself are gone.
    later = match(instance, asked, earlier)
    assert len(later.postings) == len(earlier.postings)
    assert song not in [found.song for found in later.candidates]


DAMAGE = ("x''", "x'00'", "substr(packed, 1, length(packed) / 2)", "CAST(packed || x'ff' AS BLOB)")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_stretch_counts_as_not_stored_and_is_logged_once(long_reference, tmp_path, caplog, damage):
    asked = probe(LONG_SECONDS, STRETCH_SECONDS - 2.5, 5.0, seed=3)
    number = 10 + DAMAGE.index(damage)  # another song each time, for it is logged once by a process
    with filled(tmp_path, {number: long_reference}) as (instance,):
        change(tmp_path, f"UPDATE stretch SET packed = {damage} WHERE id % 2 = 1")
        with caplog.at_level(logging.WARNING):
            damaged = [match(instance, asked).candidates for _ in range(3)]
        song_id = damaged[0][0].song.song_id
        change(tmp_path, "DELETE FROM stretch WHERE id % 2 = 1")
        assert damaged == [match(instance, asked).candidates] * 3
    assert caplog.text.count(f"stretch damaged song_id={song_id} number=1;") == 1
