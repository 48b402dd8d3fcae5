"""The steps of a search: what each of them asks, and what becomes of instances that drop out between them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import signals
from scipy.signal import resample_poly
from sound_catalogue import filled, path_of, sha1_of

from dejavu.config import settings
from dejavu.config.settings import FIRST_ASK_HASHES
from dejavu.errors import InstancesUnavailable, StoreUnavailable
from dejavu.fingerprint.extract import extract_query, extract_reference
from dejavu.model import Fingerprints, Query
from dejavu.service.instance import Instance
from dejavu.service.probe import plain_probe, scaled_probe
from dejavu.service.search import Search, _commonness, search

SONGS = 4
SONG_SECONDS = 20.0
INSTANCES = 2


@pytest.fixture(scope="module")
def references() -> dict[int, Fingerprints]:
    return {number: extract_reference([song(number)]) for number in range(SONGS)}


@pytest.fixture
def instances(references: dict[int, Fingerprints], tmp_path: Path) -> Iterator[list[Instance]]:
    """The songs with even numbers on the first, the others on the second."""
    with filled(tmp_path, references, INSTANCES) as made:
        yield made


def song(number: int) -> signals.Samples:
    return signals.song(SONG_SECONDS, seed=100 + number)


def clip_of(*numbers: int) -> Query:
    """Three seconds of each of these songs."""
    return extract_query([np.concatenate([signals.cut(song(number), 5.0, 3.0) for number in numbers])])


def turned_faster(number: int) -> Query:
    return extract_query([signals.cut(resample_poly(song(number), 50, 53).astype(np.float32), 5.0, 5.0)])


def names(found: Search) -> set[str]:
    return {match.song.name for match in found.ranking.matches}


def take_away(folder: Path, instance: Instance, number: int) -> None:
    """Put something else in place of the database, and let the instance notice."""
    path = path_of(folder, number, INSTANCES)
    for file in folder.glob(f"{path.name}*"):
        file.rename(file.with_name(f"away {file.name}"))
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        instance.answer(instance.ask(lambda i: i.find_song(sha1_of(number))))


# --- What is asked ----------------------------------------------------------------------------------------------------


def test_a_clip_that_is_certain_is_asked_about_once(instances):
    found = search(instances, clip_of(1), 12)
    assert names(found) == {"song 1"}
    assert found.ranking.settled
    assert 0 < found.asked_hashes <= FIRST_ASK_HASHES
    assert found.look_up_seconds > 0 < found.align_seconds


def test_an_unknown_clip_is_asked_about_in_every_way(instances):
    query = extract_query([signals.song(5.0, seed=999)])
    plain, all_ = search(instances, query, 0), search(instances, query, 12)
    assert plain.ranking.matches == all_.ranking.matches == ()
    assert np.unique(query.hashes[:FIRST_ASK_HASHES]).size < plain.asked_hashes < all_.asked_hashes
    assert search(instances, query, 25).asked_hashes > all_.asked_hashes


def test_of_an_instance_that_holds_much_less_is_asked(instances, tmp_path):
    few = search(instances, clip_of(1), 0)
    with closing(sqlite3.connect(path_of(tmp_path, 0, INSTANCES))) as connection, connection:
        connection.execute("UPDATE song SET total_hashes = 1000000000")
    instances[0].count()
    assert instances[0].fingerprints_held == 2_000_000_000
    many = search(instances, clip_of(1), 0)
    assert 0 < many.asked_hashes < few.asked_hashes


def test_the_second_step_goes_by_what_the_first_has_brought(instances, tmp_path, monkeypatch):
    """Where far fewer postings come than are expected of so much music, more can be asked."""
    query = extract_query([signals.song(5.0, seed=999)])
    honest = search(instances, query, 0)
    with closing(sqlite3.connect(path_of(tmp_path, 0, INSTANCES))) as connection, connection:
        connection.execute("UPDATE song SET total_hashes = 1000000000")
    instances[0].count()
    assert search(instances, query, 0).asked_hashes > 0.9 * honest.asked_hashes
    # And where all that may be asked for has come, nothing more is asked.
    monkeypatch.setattr(settings, "ASK_POSTINGS", 1)
    assert search(instances, query, 0).asked_hashes <= FIRST_ASK_HASHES


@pytest.mark.parametrize(
    ("postings", "expected", "commonness"), [(0, 0.0, 1.0), (3, 0.5, 1.0), (120_000, 60_000.0, 2.0), (0, 60_000.0, 0.0)]
)
def test_how_common_a_clip_is_shows_in_the_postings_that_come(postings, expected, commonness):
    assert _commonness(postings, expected) == pytest.approx(commonness, abs=0.02)


@pytest.mark.parametrize("change", [0, 12])
def test_a_clip_without_a_landmark_is_no_match(instances, change):
    found = search(instances, extract_query([signals.silence(100)]), change)
    assert (found.ranking.matches, found.unavailable) == ((), ())


def test_steps_add_up(instances):
    query = clip_of(0, 1)
    found = Search(instances)
    found.ask(plain_probe(query, 50))
    first = found.asked_hashes
    assert first == np.unique(query.hashes[:50]).size
    found.ask(plain_probe(query, len(query)), more=True)
    assert found.asked_hashes == np.unique(query.hashes).size
    assert names(found) == {"song 0", "song 1"}
    scaled = scaled_probe(query, 12, 1000)
    found.ask(scaled)
    assert found.asked_hashes == np.unique(query.hashes).size + np.unique(scaled.hashes).size
    assert names(found) == {"song 0", "song 1"}


def test_one_step_finds_as_much_as_the_same_in_two(instances):
    query = clip_of(2, 3)
    one, two = Search(instances), Search(instances)
    one.ask(plain_probe(query, len(query)))
    two.ask(plain_probe(query, 200))
    two.ask(plain_probe(query, len(query)), more=True)
    assert [match.song for match in one.ranking.matches] == [match.song for match in two.ranking.matches]
    assert [match.delta for match in one.ranking.matches] == [match.delta for match in two.ranking.matches]


def test_a_clip_at_another_speed_is_found_by_the_last_step_only(instances):
    query = turned_faster(3)
    assert names(search(instances, query, 0)) == set()
    found = search(instances, query, 12)
    assert names(found) == {"song 3"}
    assert found.ranking.matches[0].warp.speed == pytest.approx(1.06, abs=0.005)


# --- Instances that drop out ------------------------------------------------------------------------------------------


def test_an_instance_that_drops_out_between_steps_counts_as_not_asked(instances, tmp_path):
    query = clip_of(0, 1)
    found = Search(instances)
    found.ask(plain_probe(query, 1000))
    assert names(found) == {"song 0", "song 1"}
    assert found.unavailable == ()
    take_away(tmp_path, instances[1], 1)
    found.ask(plain_probe(query, len(query)), more=True)
    assert names(found) == {"song 0"}
    assert found.unavailable == ("instances[1]",)
    found.ask(scaled_probe(query, 12, 1000))
    assert names(found) == {"song 0"}
    assert found.unavailable == ("instances[1]",)


def test_one_that_is_back_for_the_last_step_stays_left_out(instances, tmp_path):
    found = Search(instances)
    query = clip_of(0, 1)
    found.ask(plain_probe(query, 1000))
    take_away(tmp_path, instances[1], 1)
    found.ask(plain_probe(query, len(query)), more=True)
    path_of(tmp_path, 1, INSTANCES).rmdir()
    for file in tmp_path.glob("away *"):
        file.rename(tmp_path / file.name.removeprefix("away "))
    assert instances[1].probe()
    found.ask(scaled_probe(query, 12, 1000))
    assert found.unavailable == ("instances[1]",)
    assert names(found) == {"song 0"}
    assert names(search(instances, query, 12)) == {"song 0", "song 1"}


def test_where_all_drop_out_there_is_no_answer(instances, tmp_path):
    query = clip_of(0, 1)
    found = Search(instances)
    found.ask(plain_probe(query, 1000))
    for number, instance in enumerate(instances):
        take_away(tmp_path, instance, number)
    with pytest.raises(InstancesUnavailable):
        found.ask(plain_probe(query, len(query)), more=True)
    with pytest.raises(InstancesUnavailable):
        search(instances, query, 12)


def test_without_instances_there_is_no_answer():
    with pytest.raises(InstancesUnavailable):
        search([], clip_of(0), 12)
