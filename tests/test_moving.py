"""Songs on their way between instances: on SQLite files, with others interfering at the worst moments."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from commands import held, put, read_config, set_up, wanted_by, write_config
from driver_data import sha1
from driver_processes import processes

from dejavu.config import settings
from dejavu.errors import StoreError, StoreUnavailable
from dejavu.service import moving
from dejavu.service.catalogue import Catalogue, open_catalogue
from dejavu.service.moving import Move, carry_out, loads, misplaced, surplus

SONGS = range(40)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recognitions are under way here that originals would have to be kept for."""
    monkeypatch.setattr(settings, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(settings, "PAGE_SONGS", 7)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path, instances=3)
    set_up(path)
    return path


def rebalance(config: Path) -> list[tuple[str, str | None]]:
    """Move what is misplaced: the SHA-1 of each song, and why it was kept."""
    with open_catalogue(read_config(config)) as catalogue:
        return carry_out_all(misplaced(catalogue, catalogue.shelf_by_shelf()))


def carry_out_all(moves: Any) -> list[tuple[str, str | None]]:
    reported: list[tuple[str, str | None]] = []
    carry_out(moves, lambda move, reason: reported.append((move.copy.song.sha1, reason)))
    return reported


def test_every_song_goes_where_placement_wants_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MOVE_BATCH_HASHES", 3000)
    put(config, 0, *SONGS)
    wanted = {sha1(seed): [wanted_by(config, seed)] for seed in SONGS}
    with open_catalogue(read_config(config)) as catalogue:
        planned = loads(misplaced(catalogue, catalogue.shelf_by_shelf()))
    assert {(source.name, target.name): load.songs for (source, target), load in planned.items()} == {
        ("instances[0]", f"instances[{index}]"): list(wanted.values()).count([index]) for index in (1, 2)
    }
    reported = rebalance(config)
    assert sorted(reported) == sorted((file, None) for file, where in wanted.items() if where != [0])
    assert held(config) == wanted
    assert rebalance(config) == []


def test_songs_too_many_for_one_batch_and_one_too_long_for_any(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MOVE_BATCH_HASHES", 1000)
    monkeypatch.setattr(moving, "_ASKED_AT_ONCE", 100)
    put(config, 0, *range(8), size=2500)
    rebalance(config)
    assert held(config) == {sha1(seed): [wanted_by(config, seed)] for seed in range(8)}


def test_a_copy_that_is_there_already_stays_and_the_misplaced_one_goes(config: Path) -> None:
    home = wanted_by(config, 1)
    for instance in range(3):
        put(config, instance, 1)
    rebalance(config)
    assert held(config) == {sha1(1): [home]}


def test_a_sweep_keeps_the_copy_that_placement_prefers(config: Path) -> None:
    with open_catalogue(read_config(config)) as catalogue:
        first, second, third = (int(shelf.name[-2]) for shelf in catalogue.in_order_of_preference(sha1(1)))
    for instance in (second, third):
        put(config, instance, 1)
    put(config, first, 2)
    with open_catalogue(read_config(config)) as catalogue:
        assert carry_out_all(surplus(catalogue, catalogue.shelf_by_shelf())) == [(sha1(1), None)]
    assert held(config) == {sha1(1): [second], sha1(2): [first]}


def test_copies_made_by_other_code_may_differ_but_not_be_torn(config: Path) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, home, 1, size=300)
    put(config, away, 1, size=400)
    assert rebalance(config) == [(sha1(1), None)]
    assert held(config) == {sha1(1): [home]}
    put(config, away, 1, size=400)
    tear(config, home)
    assert rebalance(config) == [
        (sha1(1), f"instances[{home}] did not give back what it was given; the original was kept")
    ]


def test_a_copy_without_its_peaks_does_not_replace_the_original(config: Path) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, home, 1)
    put(config, away, 1)
    tear(config, home, "stretch")
    assert rebalance(config) == [
        (sha1(1), f"instances[{home}] did not give back what it was given; the original was kept")
    ]
    with open_catalogue(read_config(config)) as catalogue:
        assert [shelf.find(sha1(1)) is not None for shelf in catalogue.shelves].count(True) == 2


def test_a_torn_original_is_not_copied(config: Path) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)
    tear(config, away)
    reason = "some of its fingerprints are missing; delete it, and upload the file anew"
    assert rebalance(config) == [(sha1(1), reason)]


# --- Others at the same time -----------------------------------------------------------------------------------------


class Meddler:
    """A driver after one of whose verbs somebody else does something, once."""

    def __init__(self, driver: Any, verb: str, meddle: Callable[[], object]) -> None:
        self._driver, self._verb, self._meddle = driver, verb, meddle

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._driver, name)
        if name != self._verb:
            return verb

        def meddled(*arguments: Any) -> Any:
            answer = verb(*arguments)
            self._verb = ""
            self._meddle()
            return answer

        return meddled


def rebalance_with(
    config: Path, shelf: int, verb: str, meddle: Callable[[Catalogue], object]
) -> list[tuple[str, str | None]]:
    """Rebalance; somebody else meddles after the first such verb of one instance."""
    with open_catalogue(read_config(config)) as others, open_catalogue(read_config(config)) as catalogue:
        shelves = list(catalogue.shelves)
        shelves[shelf] = replace(shelves[shelf], driver=Meddler(shelves[shelf].driver, verb, lambda: meddle(others)))
        meddled = Catalogue(shelves)
        return carry_out_all(list(misplaced(meddled, meddled.shelf_by_shelf())))


@pytest.mark.parametrize(("on_target", "verb"), [(False, "fingerprints"), (True, "insert"), (True, "postings")])
def test_a_song_deleted_on_its_way_does_not_come_back(config: Path, on_target: bool, verb: str) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)
    reported = rebalance_with(config, home if on_target else away, verb, lambda others: others.delete(sha1(1)))
    assert reported == [(sha1(1), None)]
    assert held(config) == {}


def test_who_deletes_a_song_sees_a_copy_made_meanwhile(config: Path) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)
    with open_catalogue(read_config(config)) as catalogue:
        shelves = list(catalogue.shelves)
        meddler = Meddler(shelves[2].driver, "find_song", lambda: put(config, home, 1))
        shelves[2] = replace(shelves[2], driver=meddler)  # the last one asked: where the song is, is known then
        Catalogue(shelves).delete(sha1(1))
    assert held(config) == {}


@pytest.mark.parametrize(("on_target", "verb"), [(False, "fingerprints"), (True, "insert"), (True, "postings")])
def test_a_song_renamed_on_its_way_keeps_its_new_name(config: Path, on_target: bool, verb: str) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)
    rebalance_with(config, home if on_target else away, verb, lambda others: others.rename(sha1(1), "new"))
    with open_catalogue(read_config(config)) as catalogue:
        assert [(copy.song.name, copy.shelf.name) for copy in catalogue.copies()] == [("new", f"instances[{home}]")]


def test_an_original_stays_where_its_copy_has_gone(config: Path) -> None:
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)

    def delete_the_copy(others: Catalogue) -> None:
        (copy,) = (copy for copy in others.find(sha1(1)) if copy.shelf.name == f"instances[{home}]")
        copy.delete()

    reported = rebalance_with(config, away, "find_song", delete_the_copy)
    assert reported == [(sha1(1), f"somebody has deleted the copy on instances[{home}]; the original was kept")]
    assert held(config) == {sha1(1): [away]}


def test_an_original_stays_until_nobody_can_be_looking_for_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SETTLE_SECONDS", 0.2)
    home = wanted_by(config, 1)
    away = (home + 1) % 3
    put(config, away, 1)
    copied_at: list[float] = []
    rebalance_with(config, home, "insert", lambda _: copied_at.append(time.monotonic()))
    assert time.monotonic() - copied_at[0] >= settings.SETTLE_SECONDS
    assert held(config) == {sha1(1): [home]}


@pytest.mark.server
def test_two_who_rebalance_at_once_move_every_song_once(config: Path) -> None:
    put(config, 0, *SONGS)
    movers = [processes.Process(target=_rebalance, args=(config, None)) for _ in range(2)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert [mover.exitcode for mover in movers] == [0, 0]
    assert held(config) == {sha1(seed): [wanted_by(config, seed)] for seed in SONGS}


def test_a_database_that_fails_is_named_and_nothing_is_lost(config: Path) -> None:
    put(config, 0, *SONGS)

    def break_it(_: Catalogue) -> None:
        raise StoreUnavailable("The server cannot be reached.")

    with pytest.raises(StoreError, match=r"^instances\[1\]: The server cannot be reached\.$"):
        rebalance_with(config, 1, "insert", break_it)
    assert held(config).keys() == {sha1(seed) for seed in SONGS}


# --- Killed at any moment --------------------------------------------------------------------------------------------


@pytest.mark.server
def test_killing_it_at_any_moment_loses_nothing_and_doubles_nothing(config: Path) -> None:
    put(config, 0, *SONGS)
    stored = {sha1(seed) for seed in SONGS}
    moments = random.Random(1)
    for _ in range(4):
        moved, end = processes.Pipe(duplex=False)
        mover = processes.Process(target=_rebalance, args=(config, end))
        mover.start()
        end.close()
        for _ in range(moments.randrange(1, 5)):
            if not moved.poll(30):
                break
            moved.recv()
        assert mover.pid is not None
        os.kill(mover.pid, signal.SIGKILL)
        mover.join()
        assert held(config).keys() == stored
    rebalance(config)
    assert held(config) == {sha1(seed): [wanted_by(config, seed)] for seed in SONGS}


def _rebalance(config: Path, moved: Connection | None) -> None:
    """In a process of its own: move everything, a few songs at a time, and tell of each."""
    settings.SETTLE_SECONDS = 0.0
    settings.MOVE_BATCH_HASHES = 2000

    def report(move: Move, reason: str | None) -> None:
        assert reason is None
        if moved is not None:
            moved.send(move.copy.song.sha1)

    with open_catalogue(read_config(config)) as catalogue:
        carry_out(misplaced(catalogue, catalogue.shelf_by_shelf()), report)


def tear(config: Path, instance: int, table: str = "postings") -> None:
    """Take some rows of its only song away, as no driver does."""
    database: Any = read_config(config).instances[instance].database
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} LIMIT 3)")
        connection.commit()
