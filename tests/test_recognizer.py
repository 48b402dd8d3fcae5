"""From a clip to an answer that can be trusted, also when databases are missing."""

from __future__ import annotations

import json
import re
import shutil

import media
import numpy as np
import pytest
from catalogue import SAMPLE_RATE, break_database, clip, make_deployment, samples, song, uploaded

from dejavu.errors import InstancesUnavailable, NoAudio, UnknownToken
from dejavu.model import UNCHANGED
from dejavu.service.ingester import Ingester
from dejavu.service.recognizer import Recognizer
from dejavu.service.service import open_instances
from dejavu.service.workers import WorkerPool
from dejavu.store.open import open_results

pytestmark = pytest.mark.server

SONGS = range(1, 5)


@pytest.fixture(scope="module")
def pool():
    pool = WorkerPool(1)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def filled(pool, tmp_path_factory):
    """A folder of databases with a few songs in them, and the SHA-1 of each by its seed."""
    folder = tmp_path_factory.mktemp("filled")
    instances = open_instances(make_deployment(folder))
    ingester = Ingester(pool, instances)
    sha1s = {seed: add(ingester, seed).sha1 for seed in SONGS}
    for instance in instances:
        instance.close()
    return folder, sha1s


@pytest.fixture
def catalogue(filled, tmp_path):
    """A copy of it that a test may break; the SHA-1 of each song by its seed."""
    folder, sha1s = filled
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return sha1s


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
def results(deployment):
    results = open_results(deployment.results)
    results.setup()
    yield results
    results.close()


@pytest.fixture
def recognizer(pool, instances, results):
    return Recognizer(pool, instances, results)


def add(ingester, seed):
    with uploaded(song(seed)) as file:
        return ingester.fingerprint(file, f"song {seed}")


def home_of(instances, sha1):
    (home,) = (instance for instance in instances if instance.answer(instance.ask(lambda i: i.find_song(sha1))))
    return home


def recognize(recognizer, data, *stretch):
    with uploaded(data) as file:
        return recognizer.recognize(file, *stretch)


def test_a_clip_gives_its_song_and_the_place_in_it(catalogue, recognizer):
    for seed in SONGS:
        recognition = recognize(recognizer, clip(seed, start_seconds=6.5, seconds=6))
        best = recognition.matches[0]
        assert best.song.sha1 == catalogue[seed]
        assert best.offset_seconds == pytest.approx(6.5, abs=0.1)
        assert best.warp == UNCHANGED
        assert 0 < best.hashes_matched <= best.input_hashes
        assert recognition.timings.asked_hashes > 0
        assert recognition.unavailable == ()


def test_offset_is_that_of_what_was_heard_where_the_request_names_a_start(catalogue, recognizer):
    recognition = recognize(recognizer, song(2), 5.0, 6.0)
    assert recognition.matches[0].song.sha1 == catalogue[2]
    assert recognition.matches[0].offset_seconds == pytest.approx(5.0, abs=0.1)


def test_offset_is_negative_where_the_clip_starts_before_the_song(catalogue, recognizer):
    before, during = samples(77)[: 3 * SAMPLE_RATE], samples(3)[: 6 * SAMPLE_RATE]
    recognition = recognize(recognizer, media.wav(np.concatenate([before, during])))
    assert recognition.matches[0].song.sha1 == catalogue[3]
    assert recognition.matches[0].offset_seconds == pytest.approx(-3.0, abs=0.1)


def test_an_unknown_recording_gives_nothing_but_a_token(catalogue, recognizer):
    recognition = recognize(recognizer, song(500))
    assert recognition.matches == ()
    assert recognition.unavailable == ()
    assert recognizer.fetch(recognition.token) == recognition.to_json()


def test_an_empty_catalogue_knows_nothing(recognizer):
    assert recognize(recognizer, clip(1, 2, 5)).matches == ()


def test_the_answer_is_fetched_as_it_was_given_also_by_the_next_service(catalogue, recognizer, deployment, pool):
    recognition = recognize(recognizer, clip(1, 5, 6))
    assert re.fullmatch("[A-Za-z0-9]{20}", recognition.token)
    assert json.loads(recognition.to_json())["results"]
    assert recognizer.fetch(recognition.token) == recognition.to_json()
    reopened = open_results(deployment.results)
    assert Recognizer(pool, [], reopened).fetch(recognition.token) == recognition.to_json()
    reopened.close()


def test_each_answer_has_a_token_of_its_own(catalogue, recognizer):
    assert recognize(recognizer, clip(1, 5, 6)).token != recognize(recognizer, clip(1, 5, 6)).token


@pytest.mark.parametrize("token", ["", "x" * 20, "x" * 19, "é" * 20, "' OR '1'='1' -- xxxx", "x" * 10_000])
def test_any_other_token_is_unknown(recognizer, token):
    with pytest.raises(UnknownToken):
        recognizer.fetch(token)


def test_longer_clips_are_truncated_to_the_configured_maximum(catalogue, pool, instances, results):
    recognizer = Recognizer(pool, instances, results, max_duration_seconds=6.0)
    longer, shorter = recognize(recognizer, song(1)), recognize(recognizer, song(1), 0.0, 6.0)
    assert longer.matches == shorter.matches
    unlimited = recognize(Recognizer(pool, instances, results), song(1), 0.0, 3.0)
    assert unlimited.matches == recognize(recognizer, song(1), 0.0, 3.0).matches


def test_a_start_past_the_end_is_no_audio(catalogue, recognizer):
    with pytest.raises(NoAudio):
        recognize(recognizer, song(1), 1000.0)


def test_a_missing_instance_is_named_and_the_others_still_answer(catalogue, recognizer, deployment, instances):
    break_database(deployment, instances[0])
    for seed in SONGS:
        recognition = recognize(recognizer, clip(seed, 5, 6))
        assert recognition.unavailable == ("instances[0]",)
        found = [match.song.sha1 for match in recognition.matches]
        at_home = instances[1].answer(instances[1].ask(lambda i, seed=seed: i.find_song(catalogue[seed])))
        assert found == ([catalogue[seed]] if at_home else [])


def test_with_no_instance_left_there_is_no_answer_at_all(catalogue, recognizer, deployment, instances):
    for instance in instances:
        break_database(deployment, instance)
    with pytest.raises(InstancesUnavailable):
        recognize(recognizer, clip(1, 5, 6))


def test_copies_of_one_file_are_one_result(catalogue, recognizer, deployment, instances, pool):
    home = home_of(instances, catalogue[1])
    mend = break_database(deployment, home)
    add(Ingester(pool, instances), 1)
    mend()
    assert home.probe()
    recognition = recognize(recognizer, clip(1, 5, 6))
    assert [match.song.sha1 for match in recognition.matches] == [catalogue[1]]


def test_stages_are_timed(catalogue, recognizer):
    timings = recognize(recognizer, clip(1, 5, 6)).timings
    assert min(timings.fingerprint, timings.look_up, timings.align, timings.store) > 0
