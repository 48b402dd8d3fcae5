"""What every fingerprint database has to do, as tests that each driver's file runs.

A subclass gives the fixture `opener`: a picklable callable that opens a driver on one database, the same one every
time, which is empty and not set up when a test begins.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier, Event

import numpy as np
import pytest
from driver_data import EVERYTHING, NAMES, NO_PEAKS, NOT_SHA1S, as_set, expected, fingerprints, from_pairs, sha1
from driver_peaks import PeaksContract
from driver_processes import Opener, join, kill, processes, torn_songs, write_for_ever
from driver_songs import SongsContract
from driver_upkeep import UpkeepContract

from dejavu.config import settings
from dejavu.errors import AlreadyFingerprinted, FormatMismatch
from dejavu.model import Counts, Fingerprints, Song
from dejavu.store.driver import Driver


class DriverContract(UpkeepContract, SongsContract, PeaksContract):
    """Inherit from this and provide `opener`."""

    @pytest.fixture
    def driver(self, opener: Opener) -> Iterator[Driver]:
        driver = opener()
        driver.setup()
        yield driver
        driver.close()

    # --- One song ----------------------------------------------------------------------------------------------------

    def test_a_new_database_is_empty(self, driver: Driver) -> None:
        assert driver.counts() == Counts(songs=0, fingerprints=0)
        assert driver.find_song(sha1(1)) is None
        assert driver.songs([0, 1]) == []
        assert as_set(driver.postings(np.array([0, 1], np.uint32))) == set()

    def test_a_stored_song_is_found_by_file_by_id_and_by_hash(self, driver: Driver, opener: Opener) -> None:
        prints = fingerprints(1)
        song = driver.insert("a song", sha1(1), prints)
        assert (song.name, song.sha1, song.total_hashes) == ("a song", sha1(1), len(prints))
        elsewhere = opener()
        for reader in (driver, elsewhere):
            assert reader.find_song(sha1(1)) == song
            assert reader.songs([song.song_id]) == [song]
            assert as_set(reader.postings(prints.hashes[:0])) == set()
            hashes = np.unique(prints.hashes)
            assert as_set(reader.postings(hashes)) == expected({song.song_id: prints}, hashes)
            assert reader.counts() == Counts(1, len(prints))
        elsewhere.close()

    def test_the_id_is_made_from_the_file(self, driver: Driver) -> None:
        assert driver.insert("a", "0123456789abcdef" * 2 + "00" * 4, fingerprints(1)).song_id == 0x01234567

    def test_files_that_begin_alike_get_ids_of_their_own(self, driver: Driver) -> None:
        files = ["aa" * 4 + "bb" * 4 + f"{number:02x}" * 12 for number in (1, 2, 3)]
        stored = {driver.insert(f"{n}", file, fingerprints(n)).song_id: fingerprints(n) for n, file in enumerate(files)}
        assert list(stored) == [0xAAAAAAAA, 0xBBBBBBBB, 0x03030303]
        driver.delete(0xAAAAAAAA)
        del stored[0xAAAAAAAA]
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_name_is_kept_to_the_letter(self, driver: Driver, name: str) -> None:
        song = driver.insert(name, sha1(1), fingerprints(1))
        assert song.name == name
        assert driver.find_song(sha1(1)) == song
        assert driver.songs([song.song_id]) == [song]

    def test_what_is_no_sha1_finds_nothing_and_harms_nothing(self, driver: Driver) -> None:
        song = driver.insert("a song", sha1(1), fingerprints(1))
        assert [driver.find_song(text) for text in NOT_SHA1S] == [None] * len(NOT_SHA1S)
        assert driver.find_song(sha1(1)) == song

    def test_the_extremes_of_every_column_survive(self, driver: Driver) -> None:
        top = 2**32 - 1
        prints = from_pairs([0, 0, 31, 32, top, top], [0, top, 1, 65_535, 65_536, top])
        song = driver.insert("extremes", "ff" * 20, prints)
        assert song.song_id == top
        hashes = np.array([0, 31, 32, top], np.uint32)
        assert as_set(driver.postings(hashes)) == expected({top: prints}, hashes)
        assert driver.songs([top]) == [song]

    # --- Revisions ---------------------------------------------------------------------------------------------------

    def test_every_song_that_comes_or_goes_makes_a_revision_of_its_own(self, driver: Driver) -> None:
        revisions = [driver.revision()]
        song = driver.insert("before", sha1(1), fingerprints(1))
        revisions.append(driver.revision())
        driver.insert("another", sha1(2), fingerprints(2))
        revisions.append(driver.revision())
        driver.delete(song.song_id)
        revisions.append(driver.revision())
        driver.insert("after", sha1(1), fingerprints(3))
        revisions.append(driver.revision())
        driver.delete(song.song_id)
        driver.insert("the same again", sha1(1), fingerprints(3))
        revisions.append(driver.revision())
        assert len(set(revisions)) == len(revisions)

    def test_a_revision_is_the_same_for_everybody_and_stays(self, driver: Driver, opener: Opener) -> None:
        driver.insert("a song", sha1(1), fingerprints(1))
        revision = driver.revision()
        elsewhere = opener()
        elsewhere.setup()
        elsewhere.find_song(sha1(1))
        with pytest.raises(AlreadyFingerprinted):
            elsewhere.insert("again", sha1(1), fingerprints(1))
        assert elsewhere.revision() == driver.revision() == revision
        elsewhere.insert("another", sha1(2), fingerprints(2))
        assert driver.revision() == elsewhere.revision() != revision
        elsewhere.close()

    # --- Many songs --------------------------------------------------------------------------------------------------

    def test_songs_share_hashes_without_mixing(self, driver: Driver) -> None:
        stored = {driver.insert(f"song {n}", sha1(n), fingerprints(n)).song_id: fingerprints(n) for n in range(8)}
        hashes = np.random.default_rng(0).permutation(2000)[:600].astype(np.uint32)
        assert as_set(driver.postings(hashes)) == expected(stored, hashes)
        ids = [*stored, 12345]
        assert sorted(song.song_id for song in driver.songs(ids)) == sorted(stored)
        assert driver.counts() == Counts(8, sum(len(prints) for prints in stored.values()))

    def test_a_hundred_thousand_hashes_are_looked_up_at_once(self, driver: Driver) -> None:
        prints = fingerprints(1, size=5000, hash_values=2**24)
        song = driver.insert("a song", sha1(1), prints)
        others = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
        found = driver.postings(np.union1d(prints.hashes, others))
        assert as_set(found) == expected({song.song_id: prints}, prints.hashes)

    def test_deleting_takes_a_song_out_and_leaves_the_others(self, driver: Driver) -> None:
        stored = {driver.insert(f"song {n}", sha1(n), fingerprints(n)).song_id: fingerprints(n) for n in range(4)}
        gone, *_ = stored
        driver.postings(EVERYTHING)
        driver.delete(gone)
        driver.delete(gone)
        del stored[gone]
        assert driver.find_song(sha1(0)) is None
        assert driver.songs([gone]) == []
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
        assert driver.counts() == Counts(3, sum(len(prints) for prints in stored.values()))

    def test_a_deleted_song_can_come_back_otherwise(self, driver: Driver) -> None:
        song_id = driver.insert("before", sha1(1), fingerprints(1)).song_id
        driver.delete(song_id)
        assert as_set(driver.postings(EVERYTHING)) == set()
        song = driver.insert("after", sha1(1), fingerprints(2))
        assert song == Song(song_id, "after", sha1(1), len(fingerprints(2)))
        assert as_set(driver.postings(EVERYTHING)) == expected({song_id: fingerprints(2)}, EVERYTHING)

    def test_the_last_song_can_be_deleted_and_the_next_one_stored(self, driver: Driver) -> None:
        driver.insert("first", sha1(1), fingerprints(1))
        driver.delete(driver.insert("second", sha1(2), fingerprints(2)).song_id)
        third = driver.insert("third", sha1(3), fingerprints(3))
        hashes = np.setdiff1d(fingerprints(3).hashes, fingerprints(1).hashes)
        assert as_set(driver.postings(hashes)) == expected({third.song_id: fingerprints(3)}, hashes)

    # --- All or nothing ----------------------------------------------------------------------------------------------

    def test_the_same_file_again_changes_nothing(self, driver: Driver) -> None:
        song = driver.insert("first", sha1(1), fingerprints(1))
        with pytest.raises(AlreadyFingerprinted) as raised:
            driver.insert("second", sha1(1), fingerprints(2))
        assert raised.value.song == song
        assert driver.counts() == Counts(1, len(fingerprints(1)))
        assert as_set(driver.postings(EVERYTHING)) == expected({song.song_id: fingerprints(1)}, EVERYTHING)

    def test_a_song_that_cannot_be_stored_leaves_nothing(self, driver: Driver) -> None:
        broken = Fingerprints(np.arange(3, dtype=np.uint32), np.arange(2, dtype=np.uint32), NO_PEAKS)
        with pytest.raises(ValueError, match="shape"):
            driver.insert("broken", sha1(1), broken)
        assert driver.find_song(sha1(1)) is None
        assert driver.counts() == Counts(0, 0)
        driver.insert("whole", sha1(1), fingerprints(1))

    def test_of_several_threads_one_stores_the_file(self, driver: Driver, opener: Opener) -> None:
        other = opener()
        together = threading.Barrier(6)
        with ThreadPoolExecutor(6) as pool:
            outcomes = list(pool.map(lambda turn: _insert_at_once([driver, other][turn % 2], together), range(6)))
        other.close()
        assert sorted(outcomes) == ["AlreadyFingerprinted"] * 5 + ["Song"]
        assert driver.counts() == Counts(1, len(fingerprints(1)))

    def test_of_two_processes_that_set_up_at_once_one_stores_the_file(self, opener: Opener) -> None:
        together, outcomes = processes.Barrier(2), processes.SimpleQueue()
        racers = [processes.Process(target=_race, args=(opener, together, outcomes)) for _ in range(2)]
        for racer in racers:
            racer.start()
        assert sorted(outcomes.get() for _ in racers) == ["AlreadyFingerprinted", "Song"]
        join(racers)

    def test_readers_in_other_processes_see_whole_songs_only(self, driver: Driver, opener: Opener) -> None:
        written = processes.Event()
        ends = [processes.Pipe(duplex=False) for _ in range(2)]
        readers = [processes.Process(target=_read_until, args=(opener, written, end)) for _, end in ends]
        for reader in readers:
            reader.start()
        for result, _ in ends:
            assert result.recv() == "reading"
        for seed in range(12):
            driver.insert(f"song {seed}", sha1(seed), fingerprints(seed, size=3000))
            if seed % 3 == 2:
                driver.delete(int(sha1(seed)[:8], 16))
        written.set()
        assert [result.recv() for result, _ in ends] == [[], []]
        join(readers)

    def test_killing_a_writer_leaves_only_whole_songs_and_all_acknowledged_ones(
        self, driver: Driver, opener: Opener
    ) -> None:
        acknowledgements, end = processes.Pipe(duplex=False)
        writer = processes.Process(target=write_for_ever, args=(opener, end))
        writer.start()
        acknowledged = [acknowledgements.recv() for _ in range(3)]
        kill(writer)  # the fourth song takes long enough to be on its way
        stored = {seed: song for seed in range(10) if (song := driver.find_song(sha1(seed)))}
        assert set(acknowledged) <= stored.keys()
        assert torn_songs(driver) == []
        assert driver.counts() == Counts(len(stored), sum(song.total_hashes for song in stored.values()))
        driver.insert("the next", sha1(99), fingerprints(99))
        assert torn_songs(driver) == []

    # --- Format ------------------------------------------------------------------------------------------------------

    def test_setting_up_again_keeps_everything(self, driver: Driver, opener: Opener) -> None:
        song = driver.insert("a song", sha1(1), fingerprints(1))
        driver.setup()
        again = opener()
        again.setup()
        assert again.find_song(sha1(1)) == song
        again.close()

    @pytest.mark.parametrize("setting", ["N_FFT", "HOP_LENGTH", "FINGERPRINT_VERSION"])
    def test_a_catalogue_of_another_format_is_refused(
        self, driver: Driver, opener: Opener, monkeypatch: pytest.MonkeyPatch, setting: str
    ) -> None:
        monkeypatch.setattr(settings, setting, getattr(settings, setting) + 1)
        other = opener()
        with pytest.raises(FormatMismatch, match="use the version that made it, or upload the files anew"):
            other.setup()
        other.close()


# --- What other processes and threads do -----------------------------------------------------------------------------


def _insert_at_once(driver: Driver, together: threading.Barrier | Barrier) -> str:
    together.wait()
    try:
        return type(driver.insert("a song", sha1(1), fingerprints(1))).__name__
    except AlreadyFingerprinted as exc:
        assert exc.song.sha1 == sha1(1)
        return type(exc).__name__


def _race(opener: Opener, together: Barrier, outcomes: multiprocessing.SimpleQueue[str]) -> None:
    driver = opener()
    together.wait()
    driver.setup()
    outcomes.put(_insert_at_once(driver, together))
    driver.close()


def _read_until(opener: Opener, written: Event, result: Connection) -> None:
    driver = opener()
    torn = torn_songs(driver)
    result.send("reading")
    while not written.is_set():
        torn += torn_songs(driver)
    result.send(torn)
    driver.close()
