"""Synthetic tracks: made like real ones, the same every time, copies of nothing, and stored where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import signals
from driver_data import as_set, expected, fingerprints

from benchmarks.filling import fill, make_tracks, name_of, sha1_of
from benchmarks.material import recordings
from benchmarks.memory_index import MemoryIndex
from benchmarks.surrogates import (
    FRAMES_PER_SECOND,
    SEMITONES,
    TRACK_SECONDS,
    Source,
    _moved_bins,
    _spare_constellation,
    load_source,
    make_source,
    make_track,
    stored_part,
)
from dejavu.audio.decode import decode
from dejavu.config import settings
from dejavu.fingerprint.extract import extract_query, extract_reference, reference_of
from dejavu.fingerprint.landmarks import unpack
from dejavu.fingerprint.peaks import Constellation, find_peaks
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.matching.align import align
from dejavu.model import Counts, Fingerprints, Query
from dejavu.store.sqlite import SqliteDriver

SONG_SECONDS = 45.0

NUMBERS = range(8)


def constellation(seed: int) -> Constellation:
    power = power_spectrogram(signals.song(SONG_SECONDS, seed))
    peaks = find_peaks(power, settings.REFERENCE_BOX_FRAMES, settings.REFERENCE_BOX_BINS)
    return peaks.best(2 * settings.REFERENCE_PEAKS_PER_CELL)


@pytest.fixture(scope="module")
def source() -> Source:
    return make_source({f"song {seed}": constellation(seed) for seed in range(4)})


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[SqliteDriver]:
    driver = SqliteDriver(tmp_path / "fingerprints.sqlite")
    driver.setup()
    yield driver
    driver.close()


def pairs(track: Fingerprints) -> set[tuple[int, int]]:
    return set(zip(track.hashes.tolist(), track.offsets.tolist(), strict=True))


def surprise(track: Fingerprints, clip: Query) -> float:
    postings = MemoryIndex([track]).postings(np.unique(clip.hashes), 1)
    best = align(postings, clip.hashes, clip.offsets, 1)
    return best[0].surprise if best else 0.0


# --- Tracks ---------------------------------------------------------------------------------------------------------


def test_seed_and_number_make_a_track_and_no_other(source: Source) -> None:
    tracks = [pairs(make_track(source, seed, number)) for seed in (1, 2) for number in (0, 1, 2)]
    assert tracks == [pairs(make_track(source, seed, number)) for seed in (1, 2) for number in (0, 1, 2)]
    for number, track in enumerate(tracks):
        assert all(len(track & other) < 0.1 * len(track) for other in tracks[number + 1 :])


def test_tracks_are_as_long_as_tracks_are(source: Source) -> None:
    seconds = [int(make_track(source, 1, number).peaks.frames[-1]) / FRAMES_PER_SECOND for number in range(40)]
    shortest, usual, longest = TRACK_SECONDS
    assert shortest - 2 < min(seconds) < usual - 20
    assert usual + 20 < max(seconds) <= longest


@pytest.mark.parametrize("seconds", [5.0, 33.3, 700.0])
def test_a_track_is_as_long_as_it_is_to_be(source: Source, seconds: float) -> None:
    frames = make_track(source, 1, 1, seconds).peaks.frames
    assert seconds - 1 < (int(frames[-1]) + 1) / FRAMES_PER_SECOND <= seconds


def test_peaks_are_in_order_in_the_band_and_no_more_than_are_found_in_sound(source: Source) -> None:
    for number in NUMBERS:
        peaks = make_track(source, 1, number).peaks
        places = peaks.frames.astype(np.int64) << 9 | peaks.bins.astype(np.int64)
        assert (np.diff(places) > 0).all()
        assert peaks.bins.min() >= 0
        assert peaks.bins.max() < settings.BAND_LAST_BIN - settings.BAND_FIRST_BIN
        assert np.bincount(peaks.frames // settings.RANK_CELL_FRAMES).max() <= settings.REFERENCE_PEAKS_PER_CELL


def test_hashes_are_in_order_and_of_the_peaks(source: Source) -> None:
    track = make_track(source, 1, 1)
    assert (np.diff(track.hashes.astype(np.int64) << 32 | track.offsets) > 0).all()
    peaks = set(zip(track.peaks.frames.tolist(), track.peaks.bins.tolist(), strict=True))
    anchor_bins, target_bins, frames = unpack(track.hashes)
    offsets = track.offsets.astype(np.int64)
    assert set(zip(offsets.tolist(), anchor_bins.tolist(), strict=True)) <= peaks
    assert set(zip((offsets + frames).tolist(), target_bins.tolist(), strict=True)) <= peaks


def test_tracks_have_as_many_hashes_a_second_as_what_they_are_made_of(source: Source) -> None:
    real = sum(len(reference_of(stored_part(peaks))) for peaks in source.constellations)
    made = sum(len(make_track(source, 1, number, SONG_SECONDS)) for number in range(40)) / 10
    assert made == pytest.approx(real, rel=0.05)


def test_no_clip_of_a_recording_finds_a_track(source: Source) -> None:
    tracks = [make_track(source, 1, number) for number in NUMBERS]
    for seed, peaks in enumerate(source.constellations):
        clip = extract_query([signals.cut(signals.song(SONG_SECONDS, seed), 17.3, 10)])
        own = surprise(reference_of(stored_part(peaks)), clip)
        assert max(surprise(track, clip) for track in tracks) < own / 10


@pytest.mark.parametrize("semitones", SEMITONES)
def test_notes_become_notes(semitones: int) -> None:
    bin_hz = settings.ANALYSIS_FS / settings.N_FFT
    moved = _moved_bins(np.random.default_rng(1), semitones)
    for key in range(-12, 42):
        hz = 440 * 2 ** (key / 12)
        before, after = (round(pitch / bin_hz) for pitch in (hz, hz * 2 ** (semitones / 12)))
        if before >= settings.BAND_FIRST_BIN:
            assert moved[before - settings.BAND_FIRST_BIN] == after - settings.BAND_FIRST_BIN
    assert all(0 <= higher - lower <= 3 for lower, higher in pairwise(moved.tolist()))


# --- Sources --------------------------------------------------------------------------------------------------------


def test_other_recordings_are_another_source(source: Source) -> None:
    first, *others = zip(source.files, source.constellations, strict=True)
    assert make_source(dict([first, *others])).digest == source.digest
    assert make_source(dict(others)).digest != source.digest


def test_silence_is_of_no_use(source: Source) -> None:
    silent = Constellation(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))
    with_silence = dict(zip(source.files, source.constellations, strict=True)) | {"silent": silent}
    assert make_source(with_silence) == source
    with pytest.raises(ValueError, match="peaks"):
        make_source({"silent": silent})


def test_a_source_knows_what_is_stored_of_a_recording(audio_folder: Path) -> None:
    for recording in recordings("reference", "unknown")[:3]:
        assert recording.path.parent == audio_folder
        with recording.path.open("rb") as file:
            stored = extract_reference(decode(file))
        made = reference_of(stored_part(_spare_constellation(recording)))
        assert pairs(made) == pairs(stored)
        assert np.array_equal(made.peaks.frames, stored.peaks.frames)
        assert np.array_equal(made.peaks.bins, stored.peaks.bins)


def test_without_music_it_says_which_folder_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESCOUT_AUDIO", str(tmp_path))
    with pytest.raises(SystemExit, match="TUNESCOUT_AUDIO"):
        load_source()
    (tmp_path / "manifest.csv").write_text("file,role,codec,duration_s\n")
    with pytest.raises(SystemExit, match="no recordings"):
        load_source()


# --- Filling --------------------------------------------------------------------------------------------------------


def test_a_store_holds_the_tracks_once(driver: SqliteDriver, source: Source) -> None:
    assert fill(driver, source, 1, NUMBERS) == len(NUMBERS)
    tracks = list(make_tracks(source, 1, NUMBERS))
    assert driver.counts() == Counts(len(NUMBERS), sum(map(len, tracks)))
    for number, track in zip(NUMBERS, tracks, strict=True):
        song = driver.find_song(sha1_of(source, 1, number))
        assert song is not None
        assert song.name == name_of(1, number)
        assert pairs(driver.fingerprints([song.song_id])[song.song_id]) == pairs(track)


def test_filling_goes_on_where_it_was_broken_off(driver: SqliteDriver, source: Source) -> None:
    assert fill(driver, source, 1, range(0, 8, 2)) == 4
    assert fill(driver, source, 1, NUMBERS) == 4
    assert fill(driver, source, 1, NUMBERS) == 0
    assert fill(driver, source, 2, range(2)) == 2
    assert driver.counts().songs == 10


def test_a_track_that_somebody_else_stored_meanwhile_is_not_counted(driver: SqliteDriver, source: Source) -> None:
    assert fill(driver, source, 1, [5, 5, 5]) == 1
    assert driver.counts().songs == 1


# --- The index in memory --------------------------------------------------------------------------------------------


def test_the_index_in_memory_finds_what_a_database_would() -> None:
    tracks = {number: fingerprints(number) for number in range(6)}
    index = MemoryIndex(list(tracks.values()))
    hashes = np.arange(100, 900, dtype=np.uint32)
    assert as_set(index.postings(hashes, 6)) == expected(tracks, hashes)
    some = {number: track for number, track in tracks.items() if number < 4 and number != 2}
    assert as_set(index.postings(hashes, 4, left_out=2)) == expected(some, hashes)
    assert as_set(index.postings(np.empty(0, np.uint32), 6)) == set()
