"""The worker pool: right answers, and what happens when processes die, hang, grow, or are attacked."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO

import numpy as np
import pytest
from media import FORMATS, encode, music, tune, upload, wav
from processes import eventually, freeze, gone, on_linux

from dejavu.audio.decode import decode
from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH
from dejavu.errors import DecodeTimeout, NoAudio, Overloaded, UnsupportedMedia
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.model import About, Query
from dejavu.service import worker, workers
from dejavu.service.workers import WorkerPool

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[WorkerPool]:
    """Two workers, for tests that harm none."""
    pool = WorkerPool(2)
    yield pool
    pool.close()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """One worker, to be harmed."""
    pool = WorkerPool(1)
    yield pool
    pool.close()


@pytest.fixture
def song() -> Iterator[BinaryIO]:
    """An upload: an anonymous temporary file."""
    with upload(tune("mp3", 10.0)) as file:
        yield file


def test_fingerprints_are_those_made_in_this_process(shared_pool, song):
    recording = shared_pool.fingerprint(song)
    found = recording.fingerprints

    expected = extract_reference(decode(song))
    assert len(found) > 50
    assert np.array_equal(found.hashes, expected.hashes)
    assert np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(found.peaks.frames, expected.peaks.frames)
    assert np.array_equal(found.peaks.bins, expected.peaks.bins)
    assert (found.peaks.frames.dtype, found.peaks.bins.dtype) == (np.uint32, np.float32)
    assert recording.about == About(duration_seconds=pytest.approx(10.0, abs=0.1))


def test_queries_are_those_made_in_this_process(shared_pool, song):
    found = shared_pool.query(song, 2.5, 5.0)

    expected = extract_query(decode(song, start_seconds=2.5, duration_seconds=5.0))
    assert_same_query(found, expected)
    assert len(found) > 50
    assert len(found.peaks) > 50


@pytest.mark.parametrize("silent_seconds", [0, 32], ids=["music", "silence first"])
def test_queries_of_long_clips_are_those_made_in_this_process(shared_pool, silent_seconds):
    samples = music(35.0, sample_rate=ANALYSIS_FS).copy()
    samples[: silent_seconds * ANALYSIS_FS] = 0
    with upload(wav(samples, ANALYSIS_FS)) as file:
        found = shared_pool.query(file)

        assert_same_query(found, extract_query(decode(file)))
    # Peaks are of the first half minute: none may be there where there are landmarks.
    assert found.offsets.max() * HOP_LENGTH > 30 * ANALYSIS_FS
    assert (len(found.peaks) == 0) == bool(silent_seconds)


def assert_same_query(found: Query, expected: Query) -> None:
    for one, other, columns in (
        (found, expected, ("hashes", "offsets", "ranks")),
        (found.peaks, expected.peaks, ("frames", "bins", "ranks")),
    ):
        for column in columns:
            assert np.array_equal(getattr(one, column), getattr(other, column))
            assert getattr(one, column).dtype == getattr(other, column).dtype


def test_a_files_position_stays(shared_pool, song):
    song.seek(100)

    shared_pool.fingerprint(song)

    assert song.tell() == 100


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", UnsupportedMedia, "Nothing in this file"),
        (b"text " * 1000, UnsupportedMedia, "Nothing in this file"),
        (b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n", UnsupportedMedia, "Nothing in this file"),
        (wav(np.zeros(5 * 44_100, np.float32)), NoAudio, r"nothing to fingerprint in 5\.00 s"),
        (wav(music(0.05)), NoAudio, r"nothing to fingerprint in 0\.05 s"),
        (encode(np.empty(0, np.float32), FORMATS["mov"], video_seconds=1.0), NoAudio, "without an audio stream"),
    ],
    ids=["empty", "text", "playlist", "silence", "50 ms", "silent film"],
)
def test_what_is_wrong_with_a_file_is_said(shared_pool, content, error, message):
    before = shared_pool.pids()
    with upload(content) as file:
        with pytest.raises(error, match=message):
            shared_pool.fingerprint(file)
        with pytest.raises(error, match=message):
            shared_pool.query(file)
    assert shared_pool.pids() == before


def test_a_start_past_the_end_is_said(shared_pool, song):
    with pytest.raises(NoAudio, match=r"past the end: the file holds 10\.0 s"):
        shared_pool.query(song, 99.0)


def test_damage_anywhere_ends_in_an_answer(shared_pool):
    rng = np.random.default_rng(5)
    before = shared_pool.pids()
    for kind in ("mp3", "m4a", "webm", "ogg vorbis", "flac", "wma", "mpeg ts", "amr"):
        for _ in range(5):
            damaged = np.frombuffer(tune(kind, 2.0), np.uint8).copy()
            damaged[rng.integers(0, min(1500, damaged.size), 6)] = rng.integers(0, 256, 6)
            with (
                upload(damaged[: rng.integers(100, damaged.size)].tobytes()) as file,
                suppress(UnsupportedMedia, NoAudio),
            ):
                shared_pool.query(file)
    assert shared_pool.pids() == before


def test_many_threads_share_the_workers(shared_pool):
    songs = [tune("flac", 4.0, seed=seed) for seed in range(3)] * 4

    def fingerprint(content: bytes) -> bytes:
        with upload(content) as file:
            return shared_pool.fingerprint(file).fingerprints.hashes.tobytes()

    with ThreadPoolExecutor(len(songs)) as threads:
        found = list(threads.map(fingerprint, songs))

    assert len(set(found)) == 3
    assert found[:3] * 4 == found
    assert shared_pool.status() == workers.PoolStatus(size=2, busy=0, waiting=0, restarts=0)


def test_a_killed_worker_costs_one_request(pool, song, caplog):
    (victim,) = pool.pids()
    freeze(victim)
    with ThreadPoolExecutor(2) as threads:
        doomed = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        other = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)
        os.kill(victim, signal.SIGKILL)

        with pytest.raises(UnsupportedMedia, match="could not be processed"):
            doomed.result()
        assert len(other.result().fingerprints) > 50

    assert pool.status().restarts == 1
    assert "worker died" in caplog.text


def test_a_worker_killed_while_idle_is_replaced(pool, song):
    (victim,) = pool.pids()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: gone(victim))

    assert len(pool.fingerprint(song).fingerprints) > 50


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
def test_a_file_is_not_blamed_where_no_worker_starts(monkeypatch, pool, song, executable):
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", executable)
        os.kill(pool.pids()[0], signal.SIGKILL)
        for _ in range(2):
            eventually(lambda: gone(pool.pids()[0]))
            with pytest.raises(Overloaded, match="No process to work on the file can be started"):
                pool.fingerprint(song)
        eventually(lambda: gone(pool.pids()[0]))

    assert len(pool.fingerprint(song).fingerprints) > 50


def test_a_hanging_worker_is_replaced(song):
    pool = WorkerPool(1, timeout_seconds=0.2)
    (victim,) = pool.pids()
    freeze(victim)

    with pytest.raises(DecodeTimeout, match=r"longer than the 0\.2 s"):
        pool.fingerprint(song)

    assert gone(victim)
    assert len(pool.fingerprint(song).fingerprints) > 50
    pool.close()


def test_songs_to_be_added_leave_a_worker_for_clips(song):
    pool = WorkerPool(2)
    for process in pool.pids():
        freeze(process)
    with ThreadPoolExecutor(3) as threads:
        adding = [threads.submit(pool.fingerprint, song) for _ in range(2)]
        eventually(lambda: (pool.status().busy, pool.status().waiting) == (1, 1))
        asking = threads.submit(pool.query, song)
        eventually(lambda: (pool.status().busy, pool.status().waiting) == (2, 1))
        for process in pool.pids():
            os.kill(process, signal.SIGCONT)
        assert len(asking.result()) > 50
        assert all(len(added.result().fingerprints) > 50 for added in adding)
    assert (pool.status().busy, pool.status().waiting) == (0, 0)
    pool.close()


def test_who_cannot_wait_is_turned_away(monkeypatch, song):
    monkeypatch.setattr(workers, "QUEUE_WAIT_SECONDS", 0.3)
    pool = WorkerPool(1, queue_limit=1)
    freeze(pool.pids()[0])
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        waiting = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)

        with pytest.raises(Overloaded):  # the queue is full
            pool.fingerprint(song)
        with pytest.raises(Overloaded):  # the wait is over
            waiting.result()
        os.kill(pool.pids()[0], signal.SIGCONT)
        assert len(working.result().fingerprints) > 50

    assert len(pool.fingerprint(song).fingerprints) > 50
    pool.close()


def test_closing_ends_every_process_and_every_wait(song):
    pool = WorkerPool(1)
    (process,) = pool.pids()
    freeze(process)
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().busy == 1)
        waiting = threads.submit(pool.fingerprint, song)
        eventually(lambda: pool.status().waiting == 1)

        pool.close()

        assert isinstance(working.exception(), Overloaded)
        assert isinstance(waiting.exception(), Overloaded)
    with pytest.raises(Overloaded):
        pool.fingerprint(song)
    assert gone(process)


@on_linux
def test_a_worker_that_grew_is_replaced(monkeypatch, pool, song):
    before = pool.pids()
    monkeypatch.setattr(worker, "WORKER_RECYCLE_BYTES", 1 << 20)

    pool.fingerprint(song)

    assert pool.pids() != before
    assert pool.status().restarts == 1


def test_signals_to_the_process_group_do_not_end_a_worker(pool, song):
    before = pool.pids()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(before[0], number)

    assert len(pool.fingerprint(song).fingerprints) > 50
    assert pool.pids() == before
