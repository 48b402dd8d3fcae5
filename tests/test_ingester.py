"""Adding songs: once, in one place, whatever else happens at the same time."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import media
import numpy as np
import pytest
from catalogue import break_database, eventually, make_deployment, song, uploaded

from dejavu.config.settings import SONG_NAME_MAX_CHARACTERS
from dejavu.errors import (
    AlreadyFingerprinted,
    InstancesUnavailable,
    InvalidField,
    NoAudio,
    UnknownSong,
    UnsupportedMedia,
)
from dejavu.service.ingester import Ingester
from dejavu.service.instance import Instance
from dejavu.service.service import open_instances
from dejavu.service.workers import WorkerPool

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def pool():
    pool = WorkerPool(1)
    yield pool
    pool.close()


@pytest.fixture
def deployment(tmp_path):
    return make_deployment(tmp_path)


@pytest.fixture
def instances(deployment):
    instances = open_instances(deployment)
    yield instances
    for instance in instances:
        instance.close()


@pytest.fixture
def ingester(pool, instances):
    return Ingester(pool, instances)


def add(ingester, data, name="a song"):
    with uploaded(data) as file:
        return ingester.fingerprint(file, name)


def holders(instances, sha1) -> list[Instance]:
    return [instance for instance in instances if instance.answer(instance.ask(lambda i: i.find_song(sha1)))]


def test_a_song_is_added_and_found_by_its_file(ingester):
    added = add(ingester, song(1), "Sigur Rós – ( )")
    assert added.name == "Sigur Rós – ( )"
    assert added.sha1 == hashlib.sha1(song(1)).hexdigest()
    assert added.total_hashes > 0
    assert ingester.find(added.sha1) == added
    assert ingester.find(added.sha1.upper()) == added


def test_the_very_same_file_again_is_refused_with_the_song_that_is_there(ingester):
    added = add(ingester, song(1), "first")
    with pytest.raises(AlreadyFingerprinted) as refusal:
        add(ingester, song(1), "second")
    assert refusal.value.song == added


def test_the_same_file_ten_times_at_once_is_added_once(ingester, instances):
    data = song(2)

    def attempt(number):
        try:
            return add(ingester, data, f"name {number}")
        except AlreadyFingerprinted as refusal:
            return refusal

    with ThreadPoolExecutor(10) as threads:
        outcomes = list(threads.map(attempt, range(10)))
    refusals = [outcome for outcome in outcomes if isinstance(outcome, AlreadyFingerprinted)]
    (added,) = (outcome for outcome in outcomes if not isinstance(outcome, AlreadyFingerprinted))
    assert len(refusals) == 9
    assert all(refusal.song == added for refusal in refusals)
    assert len(holders(instances, added.sha1)) == 1


def test_two_services_that_add_the_same_file_at_once_meet_in_one_place(pool, deployment, instances):
    others, data = open_instances(deployment), song(1)

    def attempt(ingester):
        try:
            return add(ingester, data)
        except AlreadyFingerprinted as refusal:
            return refusal.song

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(attempt, [Ingester(pool, instances), Ingester(pool, others[::-1])])
    for instance in others:
        instance.close()
    assert one == other
    assert len(holders(instances, one.sha1)) == 1


def short_song(seed):
    return media.wav(media.music(2, seed=seed))


def test_songs_spread_over_the_instances(ingester, instances):
    sha1s = [add(ingester, short_song(seed)).sha1 for seed in range(12)]
    places = {holder.name for sha1 in sha1s for holder in holders(instances, sha1)}
    assert places == {"instances[0]", "instances[1]"}


def test_while_one_instance_is_down_songs_go_to_the_others(deployment, instances, ingester):
    break_database(deployment, instances[0])
    for seed in range(4):
        added = add(ingester, short_song(seed))
        assert [holder.name for holder in holders(instances[1:], added.sha1)] == ["instances[1]"]
    with pytest.raises(UnknownSong, match=r"without instances\[0\]"):
        ingester.find("0" * 40)


def test_with_no_instance_left_nothing_is_decoded_and_nothing_claimed(deployment, instances):
    for instance in instances:
        break_database(deployment, instance)
    without_pool = Ingester(None, instances)
    with pytest.raises(InstancesUnavailable):
        add(without_pool, song(1))
    with pytest.raises(InstancesUnavailable):
        without_pool.find("0" * 40)


def test_a_copy_that_an_outage_let_in_can_still_be_found_twice(deployment, instances, ingester):
    added = add(ingester, song(1))
    (home,) = holders(instances, added.sha1)
    mend = break_database(deployment, home)
    copy = add(ingester, song(1), "the copy")
    mend()
    assert eventually(lambda: home.up)
    assert len(holders(instances, added.sha1)) == 2
    assert ingester.find(added.sha1) in (added, copy)
    with pytest.raises(AlreadyFingerprinted):
        add(ingester, song(1))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"This is no media file.", UnsupportedMedia),
        (media.wav(np.zeros(5 * 44_100, np.float32)), NoAudio),
        (media.wav(media.music(0.05)), NoAudio),
    ],
    ids=["text", "silence", "50 ms"],
)
def test_a_file_that_cannot_be_fingerprinted_leaves_nothing_behind(ingester, data, error):
    for _ in range(2):
        with pytest.raises(error):
            add(ingester, data)
    with pytest.raises(UnknownSong):
        ingester.find(hashlib.sha1(data).hexdigest())


@pytest.mark.parametrize(
    "name",
    ["", "   ", "a\nb", "a\x00b", "a\x1b[31mb", "a\x7fb", "a\u2028b", "a\ud800b", "a" * (SONG_NAME_MAX_CHARACTERS + 1)],
)
def test_names_that_cannot_be_kept_are_refused_before_anything_is_done(name):
    with pytest.raises(InvalidField, match="song_name"):
        add(Ingester(None, []), song(1), name)


@pytest.mark.parametrize(
    "name", ["AC/DC - T.N.T.", "'; DROP TABLE song; --", " \U0001f469‍\U0001f3a4 ", "مرحبا", "a" * 500]
)
def test_any_other_name_is_kept_to_the_letter(ingester, name):
    assert ingester.find(add(ingester, song(1), name).sha1).name == name


@pytest.mark.parametrize("sha1", ["", "xyz", "0" * 39, "0" * 41, "' OR 1=1 --" + "0" * 29, "0" * 40])
def test_what_is_no_sha1_of_a_song_is_unknown(ingester, sha1):
    with pytest.raises(UnknownSong):
        ingester.find(sha1)
