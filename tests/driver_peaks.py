"""What every fingerprint database has to do with the peaks of its songs; part of the contract."""

from __future__ import annotations

import numpy as np
import pytest
from driver_data import fingerprints, from_pairs, peaks, sha1
from driver_processes import Opener

from dejavu.config.settings import STRETCH_FRAMES
from dejavu.fingerprint.stretches import pack
from dejavu.model import Peaks
from dejavu.store.driver import Driver


class PeaksContract:
    """Inherit from this and provide `opener` and `driver`, as `DriverContract` does."""

    def test_stretches_of_peaks_are_found_by_song_and_number(self, driver: Driver, opener: Opener) -> None:
        stored = {driver.insert(f"song {n}", sha1(n), fingerprints(n)).song_id: fingerprints(n).peaks for n in range(5)}
        whole = {(song_id, n): part for song_id, own in stored.items() for n, part in pack(own).items()}
        assert len(whole) > 5 * 3
        elsewhere = opener()
        for reader in (driver, elsewhere):
            assert reader.stretches(list(whole)) == whole
            for pair, part in whole.items():
                assert reader.stretches([pair]) == {pair: part}
            assert reader.stretches([]) == {}
        elsewhere.close()

    def test_what_is_no_stretch_is_left_out(self, driver: Driver) -> None:
        frames = np.array([5, 3 * STRETCH_FRAMES, 2**32 - 1], np.uint32)
        own = Peaks(frames, np.array([0, 445, 7], np.float32))
        song_id = driver.insert("with pauses", "ff" * 20, from_pairs([1], [1], own)).song_id
        other = driver.insert("without peaks", sha1(1), from_pairs([1], [1])).song_id
        last = (2**32 - 1) // STRETCH_FRAMES
        numbers = [*range(6), last - 1, last, last + 1, 2**32 - 1]
        found = driver.stretches([(id_, number) for id_ in (song_id, other, 12345) for number in numbers])
        assert found == {(song_id, number): part for number, part in pack(own).items()}
        assert {number for _, number in found} == {0, 3, last}

    def test_many_stretches_are_found_at_once_and_asked_for_twice(self, driver: Driver) -> None:
        own = peaks(1, 40_000, frames=700 * STRETCH_FRAMES)
        song_id = driver.insert("a day", sha1(1), from_pairs([1], [1], own)).song_id
        whole = {(song_id, number): part for number, part in pack(own).items()}
        assert len(whole) == 700
        assert driver.stretches([*whole, *whole]) == whole

    def test_stretches_of_a_deleted_song_are_gone_and_those_of_others_stay(self, driver: Driver) -> None:
        gone, kept = (driver.insert(f"song {n}", sha1(n), fingerprints(n)).song_id for n in range(2))
        pairs = [(song_id, number) for song_id in (gone, kept) for number in range(4)]
        driver.delete(gone)
        assert driver.stretches(pairs) == {(kept, n): part for n, part in pack(fingerprints(1).peaks).items()}
        assert driver.insert("other", sha1(0), fingerprints(7)).song_id == gone
        back = {(gone, n): part for n, part in pack(fingerprints(7).peaks).items()}
        assert driver.stretches(pairs[:4]) == back

    def test_peaks_that_cannot_be_packed_leave_nothing(self, driver: Driver) -> None:
        backwards = Peaks(np.array([9, 8], np.uint32), np.zeros(2, np.float32))
        with pytest.raises(ValueError, match="fall"):
            driver.insert("broken", sha1(1), from_pairs([1], [1], backwards))
        assert driver.find_song(sha1(1)) is None
        driver.insert("whole", sha1(1), fingerprints(1))
