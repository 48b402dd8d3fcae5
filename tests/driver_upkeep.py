"""What every fingerprint database has to do for whoever looks after a catalogue; part of the contract."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from driver_data import (
    EVERYTHING,
    NAMES,
    as_set,
    assert_same_peaks,
    expected,
    fingerprints,
    from_pairs,
    sha1,
    stored_peaks,
)
from driver_processes import Opener, kill, processes, torn_songs, write_for_ever

from dejavu.config import settings
from dejavu.errors import AlreadyFingerprinted, FormatMismatch, NotSetUp
from dejavu.store.driver import Driver


class UpkeepContract:
    """Inherit from this and provide `opener` and `driver`, as `DriverContract` does."""

    def test_songs_are_listed_by_id_page_after_page(self, driver: Driver) -> None:
        stored = [driver.insert(f"song {n}", sha1(n), fingerprints(n)) for n in range(7)]
        stored.append(driver.insert("the first id", "00" * 20, fingerprints(8)))
        stored.append(driver.insert("the last id", "ff" * 20, fingerprints(9)))
        pages, after = [], -1
        while page := driver.list_songs(after, 4):
            pages.append(page)
            after = page[-1].song_id
        assert [len(page) for page in pages] == [4, 4, 1]
        assert [song for page in pages for song in page] == sorted(stored, key=lambda song: song.song_id)

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_song_gets_another_name_and_stays_what_it_is(self, driver: Driver, opener: Opener, name: str) -> None:
        stored = [driver.insert(f"song {n}", sha1(n), fingerprints(n)) for n in range(3)]
        driver.rename(stored[1].song_id, "on the way")
        driver.rename(stored[1].song_id, name)
        driver.rename(12345, "of nothing")
        stored[1] = replace(stored[1], name=name)
        elsewhere = opener()
        for reader in (driver, elsewhere):
            assert reader.find_song(sha1(1)) == stored[1]
            assert sorted(reader.songs([song.song_id for song in stored]), key=stored.index) == stored
            assert reader.counts().songs == 3
        elsewhere.close()
        prints = {song.song_id: fingerprints(n) for n, song in enumerate(stored)}
        assert as_set(driver.postings(EVERYTHING)) == expected(prints, EVERYTHING)
        with pytest.raises(AlreadyFingerprinted):
            driver.insert("again", sha1(1), fingerprints(1))
        driver.delete(stored[1].song_id)
        assert driver.find_song(sha1(1)) is None

    def test_whole_songs_come_out_as_they_went_in(self, driver: Driver) -> None:
        prints = {driver.insert(f"song {n}", sha1(n), fingerprints(n)).song_id: fingerprints(n) for n in range(6)}
        top = 2**32 - 1
        prints[top] = from_pairs([0, 0, 31, 32, top, top], [0, top, 1, 65_535, 65_536, top])
        driver.insert("extremes", "ff" * 20, prints[top])
        deleted, *asked = prints
        driver.delete(deleted)
        found = driver.fingerprints([*asked[1:], deleted, 12345])
        assert found.keys() == set(asked[1:])
        for song_id, whole in found.items():
            assert np.array_equal(whole.hashes, prints[song_id].hashes)
            assert np.array_equal(whole.offsets, prints[song_id].offsets)
            assert whole.hashes.dtype == whole.offsets.dtype == np.uint32
            assert_same_peaks(whole.peaks, stored_peaks(prints[song_id].peaks))
        assert driver.fingerprints([]) == {}

    def test_a_song_taken_out_can_be_stored_again_just_as_it_was(self, driver: Driver) -> None:
        song_id = driver.insert("a song", sha1(1), fingerprints(1)).song_id
        wanted = [(song_id, number) for number in range(4)]
        first, packed = driver.fingerprints([song_id])[song_id], driver.stretches(wanted)
        driver.delete(song_id)
        driver.insert("a song", sha1(1), first)
        assert driver.stretches(wanted) == packed
        assert_same_peaks(driver.fingerprints([song_id])[song_id].peaks, first.peaks)

    def test_checking_needs_a_catalogue_of_this_format_and_changes_nothing(
        self, opener: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new = opener()
        for _ in range(2):
            with pytest.raises(NotSetUp):
                new.check()
        new.setup()
        assert re.fullmatch(r"[A-Z]\w+ \d[\w.+-]*", new.check())
        monkeypatch.setattr(settings, "FINGERPRINT_VERSION", settings.FINGERPRINT_VERSION + 1)
        with pytest.raises(FormatMismatch, match="use the version that made it, or upload the files anew"):
            new.check()
        new.close()

    def test_sweeping_leaves_whole_songs_only_and_harms_none(self, driver: Driver, opener: Opener) -> None:
        acknowledgements, end = processes.Pipe(duplex=False)
        writer = processes.Process(target=write_for_ever, args=(opener, end))
        writer.start()
        acknowledged = []
        for _ in range(3):
            driver.sweep()  # while the next song is on its way
            acknowledged.append(acknowledgements.recv())
        kill(writer)
        driver.sweep()
        assert torn_songs(driver) == []
        assert all(driver.find_song(sha1(seed)) for seed in acknowledged)
