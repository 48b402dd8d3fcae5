"""A request taken apart: stages are timed where they are called, floors do the same work, and figures are sums."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import media
import numpy as np
import pytest
import signals
from clickhouse import ClickHouseServer
from driver_data import as_set, fingerprints, sha1

from benchmarks import floors
from benchmarks.bare_server import ANSWER_BYTES, bare_server
from benchmarks.by_hand import by_hand
from benchmarks.client import Client, Reply, Request
from benchmarks.log_stages import log_lines
from benchmarks.material import Clip
from benchmarks.media_stages import DECODE, FRAMES_ALONE, PAIRS, PEAKS, STFT
from benchmarks.search_stages import ALIGN, ASK, LOOK_UP, REST, split
from benchmarks.stage_tables import FLOORS, HAND_OVER, HTTP, SPOOL, Sample, remaining, summary, tables
from benchmarks.stopwatch import Call, Stopwatch, Watched
from dejavu.audio.decode import decode
from dejavu.config.database import Database, ServerDatabase, SqliteDatabase
from dejavu.config.settings import BAND_FIRST_BIN, BAND_LAST_BIN, PEAK_POWER_FLOOR
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.model import Postings
from dejavu.store import sqlite_postings
from dejavu.store.driver import Driver
from dejavu.store.mysql_postings import to_postings
from dejavu.store.open import open_driver, open_results_store

LINE = (
    "2026-11-26 01:00:00,000 INFO dejavu.web.request_log request id={id} client=127.0.0.1 method=POST "
    "route=/api/recognize status=200 ms=71.0 fingerprint_ms=40.5 look_up_ms=20.0 align_ms=3.0 store_ms=1.5 "
    "asked_hashes=1000"
)

HASHES = np.unique(np.random.default_rng(1).integers(0, 1000, 300).astype(np.uint32))


def reply(request_id: str) -> Reply:
    return Reply(200, request_id, 0.08, {})


# --- The server's log -----------------------------------------------------------------------------------------------


def test_each_reply_finds_its_own_line_of_the_log():
    log = "\n".join([LINE.format(id="aa"), "something else", LINE.format(id="bb").replace("40.5", "50.5")])
    lines = log_lines(log, [reply("bb"), reply("aa")])
    assert [(line["fingerprint"], line["asked"]) for line in lines] == [("50.5", "1000"), ("40.5", "1000")]


def test_a_reply_that_left_no_stages_in_the_log_ends_the_command():
    with pytest.raises(SystemExit, match="1 requests were not answered"):
        log_lines(LINE.format(id="aa"), [reply("aa"), reply("cc")])


# --- The stopwatch --------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched_functions(clock: Clock) -> SimpleNamespace:
    """A module, as it were, of an outer function that takes 3 s and two inner ones that take 1 s each, within it."""
    functions = SimpleNamespace()

    def inner(value: int) -> int:
        clock.now += 1
        return 2 * value

    def outer(value: int) -> int:
        clock.now += 1
        return functions.inner(value) + functions.inner(value + 1)

    functions.inner, functions.outer = inner, outer
    return functions


def test_a_call_takes_what_it_took_itself_without_the_watched_calls_within_it():
    clock = Clock()
    functions = watched_functions(clock)
    stopwatch = Stopwatch(clock)
    with stopwatch.watching(Watched(functions, "inner", "in"), Watched(functions, "outer", "out")):
        assert functions.outer(3) == 14
    calls = stopwatch.calls()
    assert [(call.stage, call.seconds, call.arguments, call.result) for call in calls] == [
        ("in", 1.0, (3,), 6),
        ("in", 1.0, (4,), 8),
        ("out", 1.0, (3,), 14),
    ]
    assert {call.thread for call in calls} == {threading.current_thread().name}
    assert stopwatch.calls() == []


def test_a_call_on_another_thread_is_not_within_the_one_that_waits_for_it():
    clock = Clock()
    functions = watched_functions(clock)

    def wait() -> None:
        thread = threading.Thread(target=functions.inner, args=(1,), name="other")
        thread.start()
        thread.join()

    functions.wait = wait
    stopwatch = Stopwatch(clock)
    with stopwatch.watching(Watched(functions, "inner", "in"), Watched(functions, "wait", "waiting")):
        functions.wait()
    assert {call.stage: (call.seconds, call.thread) for call in stopwatch.calls()} == {
        "in": (1.0, "other"),
        "waiting": (1.0, threading.current_thread().name),
    }


def test_functions_are_what_they_were_when_they_are_no_longer_watched():
    functions = watched_functions(Clock())
    inner = functions.inner
    stopwatch = Stopwatch()
    with pytest.raises(TypeError), stopwatch.watching(Watched(functions, "inner", "in")):
        functions.inner("not a number", "nor two")
    assert functions.inner is inner
    assert stopwatch.calls() == []


# --- Floors do the work of their stages -----------------------------------------------------------------------------


def test_the_transform_is_that_of_the_frames_of_the_spectrogram():
    samples = signals.song(3.0, 1)
    spectrum = floors.transform(samples)()
    band = np.square(np.abs(spectrum[:, BAND_FIRST_BIN:BAND_LAST_BIN]))
    assert np.allclose(band, power_spectrogram(samples), rtol=1e-3, atol=PEAK_POWER_FLOOR)


@pytest.mark.parametrize("box", [(9, 15), (9, 17), (1, 1), (2, 3)])
def test_the_passes_of_the_maximum_cover_the_whole_box(box: tuple[int, int]):
    frames, bins = box
    power = np.random.default_rng(1).random((40, 60), np.float32)
    before = power.copy()
    found = floors.maxima(power, frames, bins)()
    whole = [[power[i : i + frames, j : j + bins].max() for j in range(61 - bins)] for i in range(41 - frames)]
    assert np.array_equal(found[: 41 - frames, : 61 - bins], whole)
    assert np.array_equal(power, before)


def test_resampling_in_one_call_gives_the_samples_that_decoding_gives():
    sound = media.tune("mp3")
    decoded = np.concatenate(list(decode(io.BytesIO(sound))))
    assert np.allclose(floors.decode_and_resample(sound), decoded, atol=1e-4)
    assert floors.decode_frames(sound) == pytest.approx(4 * decoded.size, abs=8)


# --- Statements by hand find what the drivers find ------------------------------------------------------------------


@contextmanager
def filled(database: Database) -> Iterator[Driver]:
    with closing(open_driver(database)) as driver:
        driver.setup()
        for number in range(3):
            driver.insert(f"song {number}", sha1(number), fingerprints(number))
        yield driver


def assert_the_same_by_hand(database: Database, driver: Driver, of_rows: Callable[..., Postings]) -> None:
    with closing(by_hand(database)) as hand:
        expected = as_set(driver.postings(HASHES))
        assert expected
        assert as_set(of_rows(hand.look_up(HASHES)())) == expected
        songs = driver.list_songs(-1, 10)
        wanted = [(song.song_id, number) for song in songs for number in (0, 1)]
        packed = {bytes(row[-1]) for row in hand.stretches(wanted)()}
        assert packed == set(driver.stretches(wanted).values()) and packed
        assert {row[2] for row in hand.songs([song.song_id for song in songs])()} == {song.sha1 for song in songs}


def test_sqlite_by_hand(tmp_path: Path):
    database = SqliteDatabase(tmp_path / "fingerprints.sqlite")
    with filled(database) as driver:
        numbers = {song.sha1: song.song_id for song in driver.list_songs(-1, 10)}

        def of_rows(rows: list[sqlite_postings.Row]) -> Postings:
            found, keys, offsets = sqlite_postings.unpack([sqlite_postings.packed_rows(rows)], HASHES)
            ids = np.array([numbers[sha1(key - 1)] for key in keys.tolist()], np.uint32)  # keys count from 1
            return Postings(found, ids, offsets)

        assert_the_same_by_hand(database, driver, of_rows)


def test_answers_kept_by_hand_in_sqlite_are_there(tmp_path: Path):
    database = SqliteDatabase(tmp_path / "results.sqlite")
    with closing(open_results_store(database)) as results:
        results.setup()
        with closing(by_hand(database)) as hand:
            hand.keep("an answer")()
        with closing(sqlite3.connect(database.path)) as connection:
            ((token,),) = connection.execute("SELECT token FROM result").fetchall()
        assert results.get(token) == "an answer"


@pytest.mark.server
def test_clickhouse_by_hand(clickhouse: ClickHouseServer, clickhouse_database: str):
    database = clickhouse.database(clickhouse_database)
    with filled(database) as driver:
        assert_the_same_by_hand(database, driver, lambda columns: Postings(*columns))


@pytest.mark.server
def test_mysql_by_hand(mysql_database: ServerDatabase):
    with filled(mysql_database) as driver:
        assert_the_same_by_hand(mysql_database, driver, to_postings)


@pytest.mark.server
def test_the_bare_server_takes_whole_requests_and_answers_as_long_as_asked():
    clip = Clip(Path("clip.wav"), "song.flac", "reference", "clean", 10.0, 0.0, 1)
    with bare_server() as address, Client(address) as client:
        for length in (2, 500, 20):
            answered = client.recognise(Request("known", clip, b"", {ANSWER_BYTES: str(length)}, b"x" * 100_000))
            assert answered.status == 200
            assert len(answered.document) == length - 2  # a JSON string, without its quotes


# --- Figures --------------------------------------------------------------------------------------------------------


def call(stage: str, seconds: float, thread: str) -> Call:
    return Call(stage, stage, seconds, thread, (), None)


def test_of_instances_that_work_at_the_same_time_the_slowest_counts():
    calls = [
        call(ASK, 0.1, "MainThread"),
        call(LOOK_UP, 0.5, "instances[0]-ask_0"),
        call(ALIGN, 0.1, "instances[0]-ask_1"),
        call(LOOK_UP, 0.4, "instances[1]-ask_0"),
        call(ALIGN, 0.4, "instances[1]-ask_0"),
        call(REST, 1.0, "MainThread"),  # with the wait for the instances
    ]
    by_instance, stages, kept = split(calls)
    assert by_instance["instances[0]"] == {LOOK_UP: 0.5, ALIGN: 0.1}
    assert stages == pytest.approx({ASK: 0.1, LOOK_UP: 0.4, ALIGN: 0.4, REST: 0.2})
    assert [one.thread for one in kept if one.stage == LOOK_UP] == ["instances[1]-ask_0"]


def test_what_remains_of_the_request_and_of_the_fingerprint_is_http_and_the_hand_over():
    stages = {SPOOL: 2, ASK: 1, REST: 3, DECODE: 10, FRAMES_ALONE: 10, STFT: 4, PEAKS: 3, PAIRS: 2, LOOK_UP: 7}
    logged = {"fingerprint": 22, "look_up": 8, "align": 5, "store": 4}
    assert remaining(50, logged, stages) == {HTTP: 50 - 39 - 6, HAND_OVER: 22 - 19}


def sample(whole: float, stages: dict[str, float], least: dict[str, float]) -> Sample:
    logged = {"fingerprint": 0.0, "look_up": whole / 2, "align": 0.0, "store": 0.0}
    instances = {"instances[0]": {LOOK_UP: stages.get(LOOK_UP, 0.0)}}
    return Sample("known clean", whole > 0.01, whole, logged, stages, least, instances, 1000)


def test_figures_are_medians_of_stages_floors_and_sums():
    made = summary(
        [
            sample(0.010, {DECODE: 0.004, FRAMES_ALONE: 0.004, LOOK_UP: 0.001}, {DECODE: 0.002, FRAMES_ALONE: 0.001}),
            sample(0.020, {DECODE: 0.006, FRAMES_ALONE: 0.006, LOOK_UP: 0.009}, {DECODE: 0.003, FRAMES_ALONE: 0.001}),
            sample(0.060, {DECODE: 0.009, FRAMES_ALONE: 0.009}, {DECODE: 0.004, FRAMES_ALONE: 0.001, LOOK_UP: 0.002}),
        ]
    )
    assert made["stages"] == {
        DECODE: {"ms": 6.0, "floor_ms": 3.0, "ratio": 2.0},
        FRAMES_ALONE: {"ms": 6.0, "floor_ms": 1.0, "ratio": 6.0},
        LOOK_UP: {"ms": 1.0, "floor_ms": 0.0, "ratio": None},
    }
    # Sums of 5, 15 and 9 ms, and of 2, 3 and 6: frames alone are a part of decoding.
    assert made["all_stages"] == {"ms": 9.0, "floor_ms": 3.0, "ratio": 3.0}
    assert (made["whole_ms"], made["whole_over_floors"], made["right_percent"]) == (20.0, 6.67, 66.67)
    assert made["logged"]["look_up"] == {"log_ms": 10.0, "apart_ms": 1.0}


def test_tables_show_every_stage_that_was_and_no_ratio_to_nothing():
    kinds = {"known clean": summary([sample(0.010, {DECODE: 0.004, REST: 0.001}, {DECODE: 0.002})])}
    stages, whole, *_ = tables(kinds, "sqlite")
    assert [row[:4] for row in stages.rows] == [
        (DECODE, 4.0, 2.0, 2.0),
        (REST, 1.0, "-", "-"),
        ("all stages", 5.0, 2.0, 2.5),
    ]
    assert stages.rows[0][4] == FLOORS[DECODE]
    assert whole.rows[0][-4:] == (10.0, 5.0, 2.0, 5.0)
