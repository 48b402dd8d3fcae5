"""One instance: two-step look-ups, failing, and coming back. The databases are real files, broken by real means."""

from __future__ import annotations

import hashlib
import sqlite3
import threading

import numpy as np
import pytest
from catalogue import eventually
from driver_data import NO_PEAKS

from dejavu.config import settings
from dejavu.errors import AlreadyFingerprinted, Overloaded, StoreUnavailable
from dejavu.fingerprint.landmarks import pack
from dejavu.model import ClipPeaks, Fingerprints, Query
from dejavu.service.instance import Instance
from dejavu.service.probe import plain_probe
from dejavu.store.sqlite import SqliteDriver

SONG_FRAMES = 3000

NO_CLIP_PEAKS = ClipPeaks(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.uint8))


def sha1_of(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()


def random_hashes(random: np.random.Generator, count: int, first_bin: int, last_bin: int) -> np.ndarray:
    anchors = random.integers(first_bin, last_bin, count)
    return pack(anchors, anchors + random.integers(-20, 20, count), random.integers(2, 63, count))


def make_fingerprints(seed: int, count: int = 2000) -> Fingerprints:
    random = np.random.default_rng(seed)
    hashes = random_hashes(random, count, 200, 400)
    pairs = np.unique(np.stack([hashes, random.integers(0, SONG_FRAMES, count)], axis=1), axis=0)
    return Fingerprints(pairs[:, 0].astype(np.uint32), pairs[:, 1].astype(np.uint32), NO_PEAKS)


def make_query(fingerprints: Fingerprints, first_frame: int, noise: int = 200, seed: int = 99) -> Query:
    """The song from `first_frame` on, with hashes mixed in that are in no song, in random order."""
    random = np.random.default_rng(seed)
    heard = fingerprints.offsets >= first_frame
    hashes = np.concatenate([fingerprints.hashes[heard], random_hashes(random, noise, 50, 150)])
    offsets = np.concatenate([fingerprints.offsets[heard] - np.uint32(first_frame), np.zeros(noise, np.uint32)])
    order = random.permutation(hashes.size)
    return Query(hashes[order], offsets[order], np.zeros(hashes.size, np.uint8), NO_CLIP_PEAKS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fingerprints.db"


@pytest.fixture
def new_instance(path):
    instance = Instance("instances[0]", f"sqlite:{path}", SqliteDriver(path))
    yield instance
    instance.close()


@pytest.fixture
def instance(new_instance):
    new_instance.set_up()
    return new_instance


def ask(instance, question):
    return instance.answer(instance.ask(question))


def match(instance, query, hashes=None, earlier=None):
    """What an instance makes of the first `hashes` hashes of a query, or of all."""
    probe = plain_probe(query, len(query) if hashes is None else hashes)
    return ask(instance, lambda i: i.match(probe, earlier))


# --- Matching ---------------------------------------------------------------------------------------------------------


def test_finds_the_song_and_where_the_clip_starts_in_it(instance):
    songs = [instance.insert(f"song {seed}", sha1_of(seed), make_fingerprints(seed)) for seed in range(3)]
    query = make_query(make_fingerprints(1), first_frame=1200)
    sighting = match(instance, query)
    best = sighting.candidates[0]
    assert best.song == songs[1]
    assert best.delta == 1200
    assert best.aligned_hashes >= 1000
    assert best.asked_hashes == len(query)
    assert sighting.asked.tolist() == np.unique(query.hashes).tolist()


def test_asking_in_two_steps_finds_what_one_step_finds(instance):
    for seed in range(3):
        instance.insert(f"song {seed}", sha1_of(seed), make_fingerprints(seed))
    query = make_query(make_fingerprints(2), first_frame=500)
    whole = match(instance, query)
    first = match(instance, query, 100)
    second = match(instance, query, earlier=first)
    assert 0 < len(first.postings) < len(second.postings)
    assert second.candidates == whole.candidates
    assert sorted(columns(second.postings)) == sorted(columns(whole.postings))


def columns(postings):
    return zip(postings.hashes.tolist(), postings.song_ids.tolist(), postings.offsets.tolist(), strict=True)


def test_hashes_that_come_again_later_are_looked_up_once(instance):
    fingerprints = make_fingerprints(5)
    instance.insert("song", sha1_of(5), fingerprints)
    query = make_query(fingerprints, first_frame=0, noise=0)
    twice = Query(np.tile(query.hashes, 2), np.tile(query.offsets, 2), np.tile(query.ranks, 2), query.peaks)
    first = match(instance, twice, len(query))
    second = match(instance, twice, earlier=first)
    assert len(second.postings) == len(first.postings) == len(fingerprints)


def test_a_deleted_song_is_no_candidate(instance):
    fingerprints = make_fingerprints(7)
    song = instance.insert("song", sha1_of(7), fingerprints)
    query = make_query(fingerprints, first_frame=0)
    assert match(instance, query).candidates
    instance._driver.delete(song.song_id)
    assert not match(instance, query).candidates


def test_own_inserts_are_counted_at_once(instance):
    assert instance.songs_held == 0
    instance.insert("song", sha1_of(1), make_fingerprints(1))
    query = make_query(make_fingerprints(1), first_frame=0)
    match(instance, query, 10)
    assert instance.songs_held == instance.status().songs == 1
    assert instance.fingerprints_held == len(make_fingerprints(1))


def test_the_same_file_twice_is_refused_and_says_nothing_about_health(instance):
    song = instance.insert("song", sha1_of(1), make_fingerprints(1))
    with pytest.raises(AlreadyFingerprinted) as refusal:
        instance.insert("other name", sha1_of(1), make_fingerprints(1))
    assert refusal.value.song == song
    assert instance.up


# --- Failing and coming back ------------------------------------------------------------------------------------------


def test_a_directory_in_place_of_the_database_marks_it_down_until_it_is_gone(path, new_instance):
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        ask(new_instance, Instance.set_up)
    status = new_instance.status()
    assert not status.up
    assert status.songs is None
    assert status.reason
    assert str(path) not in status.reason
    path.rmdir()
    assert eventually(lambda: new_instance.up)
    assert new_instance.status().reason is None
    assert new_instance.insert("song", sha1_of(1), make_fingerprints(1)).name == "song"


def test_while_it_is_down_nothing_reaches_the_database(path, new_instance):
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        ask(new_instance, Instance.set_up)
    reached = threading.Event()
    with pytest.raises(StoreUnavailable):
        new_instance.ask(lambda i: reached.set())
    with pytest.raises(StoreUnavailable):
        new_instance.insert("song", sha1_of(1), make_fingerprints(1))
    assert not reached.is_set()
    assert not new_instance.probe()


def test_a_database_destroyed_under_way_marks_it_down(path, instance):
    instance.insert("song", sha1_of(1), make_fingerprints(1))
    instance.close()
    path.write_bytes(b"This was a database once. " * 4096)
    for leftover in path.parent.glob(f"{path.name}-*"):
        leftover.unlink()
    reopened = Instance("instances[0]", instance.identity, SqliteDriver(path))
    with pytest.raises(StoreUnavailable):
        ask(reopened, lambda i: i.find_song(sha1_of(1)))
    assert not reopened.up
    reopened.close()


def test_a_question_past_its_deadline_marks_it_down_and_the_next_probe_up(instance, monkeypatch):
    monkeypatch.setattr(settings, "LOOK_UP_TIMEOUT_SECONDS", 0.01)
    stuck = threading.Event()
    with pytest.raises(StoreUnavailable, match="in time"):
        ask(instance, lambda i: stuck.wait())
    stuck.set()
    assert eventually(lambda: instance.up)


def test_a_write_lock_that_somebody_holds_delays_only_inserts(path, instance, monkeypatch):
    monkeypatch.setattr(settings, "INSERT_TIMEOUT_SECONDS", 0.05)
    instance.insert("song", sha1_of(1), make_fingerprints(1))
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert ask(instance, lambda i: i.find_song(sha1_of(1))).name == "song"
        with pytest.raises(StoreUnavailable, match="in time"):
            instance.insert("late", sha1_of(2), make_fingerprints(2))
        holder.execute("ROLLBACK")
    holder.close()
    assert eventually(lambda: instance.up)


def test_a_full_lane_refuses_questions_at_once_and_does_not_mark_it_down(instance):
    release = threading.Event()
    taken = [instance.ask(lambda i: release.wait()) for _ in range(settings.LANE_THREADS + settings.LANE_WAITING)]
    with pytest.raises(StoreUnavailable):
        instance.ask(lambda i: None)
    assert instance.up
    assert instance.insert("song", sha1_of(1), make_fingerprints(1)).name == "song"
    release.set()
    assert all(instance.answer(pending) for pending in taken)


def test_a_full_insert_lane_is_an_overload_and_no_outage(path, instance):
    fingerprints = make_fingerprints(1)
    places = settings.WRITE_LANE_THREADS + settings.WRITE_LANE_WAITING
    outcomes = []

    def insert(number):
        try:
            outcomes.append(instance.insert(f"song {number}", sha1_of(number), fingerprints))
        except Overloaded as refusal:
            outcomes.append(refusal)

    writers = [threading.Thread(target=insert, args=(number,)) for number in range(places + 1)]
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for writer in writers:
            writer.start()
        assert eventually(lambda: len(outcomes) == 1)
        holder.execute("ROLLBACK")
    holder.close()
    for writer in writers:
        writer.join()
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 1
    assert instance.up


def test_a_catalogue_that_vanishes_stays_down_and_does_not_come_back_empty(path, tmp_path, instance):
    instance.insert("song", sha1_of(1), make_fingerprints(1))
    away = tmp_path / "away"
    away.mkdir()
    files = list(tmp_path.glob(f"{path.name}*"))
    for file in files:
        file.rename(away / file.name)
    with pytest.raises(StoreUnavailable):
        ask(instance, lambda i: i.find_song(sha1_of(1)))
    assert not instance.probe()
    assert not path.exists()
    for file in files:
        (away / file.name).rename(file)
    assert eventually(lambda: instance.up)
    assert ask(instance, lambda i: i.find_song(sha1_of(1))).name == "song"
