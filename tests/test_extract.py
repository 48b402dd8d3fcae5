"""Sound to fingerprints: streams of any blocks, the sparse and the dense side, and that they fit each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import signals

from dejavu.config import settings
from dejavu.fingerprint.extract import _segments, extract_query, extract_reference
from dejavu.fingerprint.landmarks import pair_peaks, unpack
from dejavu.fingerprint.peaks import POOL, find_peaks, interpolated
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.model import ClipPeaks, Fingerprints, Query

LONG_SECONDS = 100.0
"""Three segments and a rest."""

DENSE_SAMPLES = int(settings.QUERY_DENSE_SECONDS * settings.ANALYSIS_FS)


@pytest.fixture(scope="module")
def long_song() -> signals.Samples:
    return signals.song(LONG_SECONDS, seed=1)


def in_one_piece(samples: signals.Samples) -> set[tuple[int, int]]:
    """Hash and offset of every landmark of a recording, transformed as a whole."""
    peaks = find_peaks(power_spectrogram(samples), settings.REFERENCE_BOX_FRAMES, settings.REFERENCE_BOX_BINS)
    found = pair_peaks(peaks.best(settings.REFERENCE_PEAKS_PER_CELL), settings.REFERENCE_FAN_OUT)
    return set(zip(found.hashes.tolist(), found.offsets.tolist(), strict=True))


def dense_loop(samples: signals.Samples) -> list[tuple[int, int, int]]:
    """Rank, hash and offset of every landmark of a short clip, in the order of asking."""
    found: dict[tuple[int, int], int] = {}
    for shift in range(settings.QUERY_SHIFTS):
        shifted = samples[shift * settings.HOP_LENGTH // settings.QUERY_SHIFTS :]
        peaks = find_peaks(power_spectrogram(shifted), settings.QUERY_BOX_FRAMES, settings.QUERY_BOX_BINS)
        landmarks = pair_peaks(peaks.best(settings.QUERY_PEAKS_PER_CELL), settings.QUERY_FAN_OUT)
        for key in zip(landmarks.hashes.tolist(), landmarks.offsets.tolist(), landmarks.ranks.tolist(), strict=True):
            found[key[:2]] = min(key[2], found.get(key[:2], key[2]))
    return sorted((rank, *key) for key, rank in found.items())


def pairs(found: Fingerprints | Query) -> list[tuple[int, int]]:
    return list(zip(found.hashes.tolist(), found.offsets.tolist(), strict=True))


def assert_same(one: Fingerprints | Query, other: Fingerprints | Query) -> None:
    assert np.array_equal(one.hashes, other.hashes)
    assert np.array_equal(one.offsets, other.offsets)


def assert_same_query(one: Query, other: Query) -> None:
    assert_same(one, other)
    assert np.array_equal(one.ranks, other.ranks)
    assert_same_peaks(one.peaks, other.peaks)


def assert_same_peaks(one: ClipPeaks, other: ClipPeaks) -> None:
    for column in ("frames", "bins", "ranks"):
        assert np.array_equal(getattr(one, column), getattr(other, column))


def peaks_in_one_piece(samples: signals.Samples) -> ClipPeaks:
    """Of a clip on its first grid, as many as a query has."""
    power = power_spectrogram(samples)
    found = find_peaks(power, settings.QUERY_BOX_FRAMES, settings.QUERY_BOX_BINS)
    return interpolated(power, found.best(settings.QUERY_PEAKS_PER_CELL))


def test_stream_gives_what_one_transform_of_it_all_gives(long_song):
    streamed = extract_reference(signals.blocks(long_song, [20_000]))
    assert set(pairs(streamed)) == in_one_piece(long_song)
    assert len(streamed) > LONG_SECONDS * 10


@pytest.mark.parametrize("sizes", [[3000], [1_000_000], [1, 0, 65_537, 255], [337_000, 11_025, 0, 0, 500_000]])
def test_reference_does_not_depend_on_the_sizes_of_blocks(long_song, sizes):
    assert_same(extract_reference(signals.blocks(long_song, sizes)), extract_reference([long_song]))


@pytest.mark.parametrize("extra_samples", [-1, 0, 1, 9000])
def test_query_does_not_depend_on_the_sizes_of_blocks(long_song, extra_samples):
    # Around the length from which on a clip is looked at less closely.
    clip = long_song[: DENSE_SAMPLES + extra_samples]
    whole = extract_query([clip])
    for sizes in ([10_000], [clip.size - 1, 1], [0, clip.size, 0]):
        assert_same_query(extract_query(signals.blocks(clip, sizes)), whole)
    dense = len(whole) > settings.QUERY_DENSE_SECONDS * 100
    assert dense == (extra_samples <= 0)


def test_no_more_sound_is_held_than_a_segment_with_its_margins(long_song):
    block = 5000
    taken = 0

    def counted() -> Iterator[signals.Samples]:
        nonlocal taken
        for part in signals.blocks(long_song, [block]):
            taken += part.size
            yield part

    passed = []
    for first_frame, samples, margin, _ in _segments(counted()):
        passed.append(first_frame + margin)
        assert taken - first_frame * settings.HOP_LENGTH < samples.size + block
        assert samples.size < 60 * settings.ANALYSIS_FS
    assert len(passed) >= 4
    assert passed == sorted(passed)


def test_segments_own_every_frame_once(long_song):
    next_frame = 0
    for first_frame, samples, margin, n_frames in _segments([long_song]):
        assert first_frame + margin == next_frame
        assert np.array_equal(samples[:10], long_song[first_frame * settings.HOP_LENGTH :][:10])
        next_frame += n_frames
    assert next_frame * settings.HOP_LENGTH >= long_song.size


def test_reference_is_sorted_distinct_and_sparse(long_song):
    found = extract_reference([long_song])
    assert (found.hashes.dtype, found.offsets.dtype) == (np.uint32, np.uint32)
    assert pairs(found) == sorted(set(pairs(found)))
    most = settings.REFERENCE_PEAKS_PER_CELL * settings.REFERENCE_FAN_OUT / settings.RANK_CELL_FRAMES
    assert len(found) <= most * (long_song.size / settings.HOP_LENGTH + settings.RANK_CELL_FRAMES)
    assert found.offsets.max() * settings.HOP_LENGTH < long_song.size


def test_peaks_of_a_reference_are_those_its_landmarks_were_paired_from(long_song):
    found = extract_reference(signals.blocks(long_song, [20_000]))
    whole = find_peaks(power_spectrogram(long_song), settings.REFERENCE_BOX_FRAMES, settings.REFERENCE_BOX_BINS)
    stored = whole.best(settings.REFERENCE_PEAKS_PER_CELL)
    assert np.array_equal(found.peaks.frames, stored.frames)
    assert np.array_equal(found.peaks.bins, stored.bins)
    assert (found.peaks.frames.dtype, found.peaks.bins.dtype) == (np.uint32, np.float32)
    places = list(zip(found.peaks.frames.tolist(), found.peaks.bins.tolist(), strict=True))
    assert places == sorted(set(places))
    anchors, _, _ = unpack(found.hashes)
    assert set(zip(found.offsets.tolist(), anchors.tolist(), strict=True)) <= set(places)


def test_query_asks_for_the_most_salient_first():
    clip = signals.song(4.0, seed=2)
    query = extract_query([clip])
    expected = dense_loop(clip)
    assert query.ranks.tolist() == [rank for rank, _, _ in expected]
    asked = sorted((rank, *pair) for rank, pair in zip(query.ranks.tolist(), pairs(query), strict=True))
    assert asked == expected
    assert (query.hashes.dtype, query.offsets.dtype, query.ranks.dtype) == (np.uint32, np.uint32, np.uint8)


def test_query_is_cut_to_the_most_salient(monkeypatch):
    clip = signals.song(3.0, seed=3)
    whole = extract_query([clip])
    monkeypatch.setattr(settings, "QUERY_MAX_HASHES", len(whole) // 2)
    cut = extract_query([clip])
    assert len(cut) == len(whole) // 2
    assert pairs(cut) == pairs(whole)[: len(cut)]
    assert cut.ranks.max() <= whole.ranks[len(cut) :].min()


@pytest.mark.parametrize("seconds", [0.5, 3.0, 29.99, 30.0])
def test_peaks_of_a_query_are_all_of_a_clip_of_moderate_length(long_song, seconds):
    clip = long_song[: int(seconds * settings.ANALYSIS_FS)]
    peaks = extract_query([clip]).peaks
    assert_same_peaks(peaks, peaks_in_one_piece(clip))
    assert len(peaks) > 20 * seconds
    assert (peaks.frames.dtype, peaks.bins.dtype, peaks.ranks.dtype) == (np.float32, np.float32, np.uint8)
    assert (np.diff(peaks.frames) >= 0).all()
    assert peaks.ranks.max() < settings.QUERY_PEAKS_PER_CELL


@pytest.mark.parametrize("sizes", [[DENSE_SAMPLES + 1], [5000], [1, 1_000_000]])
def test_peaks_of_a_query_are_those_of_the_beginning_of_a_long_clip(long_song, sizes):
    clip = long_song[: 2 * DENSE_SAMPLES]
    query = extract_query(signals.blocks(clip, sizes))
    assert_same_peaks(query.peaks, extract_query([clip[:DENSE_SAMPLES]]).peaks)
    assert query.peaks.frames.max() * settings.HOP_LENGTH < DENSE_SAMPLES < query.offsets.max() * settings.HOP_LENGTH


def test_long_clip_that_begins_in_silence_has_landmarks_and_no_peaks():
    query = extract_query(
        [np.zeros(DENSE_SAMPLES, np.float32), np.zeros(20_000, np.float32), signals.song(5.0, seed=9)]
    )
    assert len(query) > 100
    assert query.offsets.min() * settings.HOP_LENGTH >= DENSE_SAMPLES
    assert len(query.peaks) == query.peaks.bins.size == query.peaks.ranks.size == 0


def test_peaks_of_a_query_have_what_is_stored_of_the_song():
    song = signals.song(12.0, seed=10)
    stored = extract_reference([song]).peaks
    # Between two frames of the song, and a little noisy.
    frames = 100 + 3 / 8
    first = round(frames * settings.HOP_LENGTH)
    heard = extract_query([signals.add_noise(song[first : first + 6 * settings.ANALYSIS_FS], 20, seed=11)]).peaks
    inside = (stored.frames > 110) & (stored.frames < 340)
    apart_frames = np.abs(heard.frames[:, None] + frames - stored.frames[inside])
    apart_bins = np.abs(heard.bins[:, None] - stored.bins[inside])
    found = ((apart_frames <= 1) & (apart_bins <= 1)).any(axis=0)
    assert found.sum() > 0.8 * np.count_nonzero(inside) > 60


@pytest.mark.parametrize("gain", [2.0**-6, 2.0**-3, 2.0**5])
def test_gain_does_not_change_fingerprints(gain):
    samples = signals.song(8.0, seed=4)
    louder = samples * np.float32(gain)
    assert len(extract_reference([samples])) > 80
    assert_same(extract_reference([louder]), extract_reference([samples]))


def test_any_gain_changes_next_to_nothing():
    samples = signals.song(8.0, seed=5)
    for gain in (0.02, 0.7, 3.3):
        kept = set(pairs(extract_reference([samples * np.float32(gain)]))) & set(pairs(extract_reference([samples])))
        assert len(kept) >= 0.98 * len(extract_reference([samples]))


def test_silence_in_front_moves_offsets_and_changes_nothing_else():
    song = signals.delay(signals.song(8.0, seed=6), 5 * settings.RANK_CELL_FRAMES)
    frames = POOL * settings.RANK_CELL_FRAMES
    before, after = extract_reference([song]), extract_reference([signals.delay(song, frames)])
    assert np.array_equal(after.hashes, before.hashes)
    assert np.array_equal(after.offsets, before.offsets + frames)


def test_query_holds_most_of_what_is_stored():
    song = signals.song(12.0, seed=7)
    # Half a frame beside the grid of the song: the worst place to cut.
    first = 100 * settings.HOP_LENGTH + settings.HOP_LENGTH // 2
    clip = song[first : first + 6 * settings.ANALYSIS_FS]
    asked = set(pairs(extract_query([signals.add_noise(clip, 20, seed=8)])))
    inside = [pair for pair in pairs(extract_reference([song])) if 110 < pair[1] < 270]
    found = [pair for pair in inside if any((pair[0], pair[1] - 100 - late) in asked for late in (0, 1))]
    assert len(found) > 0.6 * len(inside) > 30


NOTHING = {
    "no blocks": [],
    "an empty block": [np.empty(0, np.float32)],
    "one sample": [np.ones(1, np.float32)],
    "less than a frame": [np.ones(settings.N_FFT - 1, np.float32)],
    "one frame": [signals.noise(1.0, 1)[: settings.N_FFT]],
    "too short for a pair": [
        signals.noise(1.0, 1)[: settings.N_FFT + (settings.MIN_TARGET_FRAMES - 1) * settings.HOP_LENGTH]
    ],
    "silence": [signals.silence(300)],
    "long silence": [signals.silence(2000)] * 3,
    "direct current": [np.full(50_000, 0.9, np.float32)],
}


@pytest.mark.parametrize("blocks", NOTHING.values(), ids=NOTHING)
def test_where_there_is_nothing_to_fingerprint_the_result_is_empty(blocks):
    reference, query = extract_reference(blocks), extract_query(blocks)
    assert len(reference) == len(query) == 0
    columns = (reference.hashes, reference.offsets, query.hashes, query.offsets, query.ranks)
    assert [column.dtype.itemsize for column in columns] == [4, 4, 4, 4, 1]
    peaks = query.peaks
    assert [column.dtype for column in (peaks.frames, peaks.bins, peaks.ranks)] == [np.float32, np.float32, np.uint8]
