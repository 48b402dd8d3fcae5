"""Peaks packed into stretches: nothing is lost but half a bin, and what is damaged is refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from driver_data import NO_PEAKS, assert_same_peaks, peaks, stored_peaks

from dejavu.config.settings import (
    ANALYSIS_FS,
    BAND_FIRST_BIN,
    BAND_LAST_BIN,
    HOP_LENGTH,
    PEAK_BIN_STEP,
    RANK_CELL_FRAMES,
    REFERENCE_PEAKS_PER_CELL,
    STRETCH_FRAMES,
)
from dejavu.fingerprint.stretches import MOST_PEAKS, join, pack, unpack
from dejavu.model import Peaks

DAY_FRAMES = 24 * 3600 * ANALYSIS_FS // HOP_LENGTH
BAND_BINS = BAND_LAST_BIN - BAND_FIRST_BIN


def made(frames: list[int], bins: list[float] | None = None) -> Peaks:
    return Peaks(np.array(frames, np.uint32), np.array(bins or [0] * len(frames), np.float32))


@pytest.mark.parametrize("seed", range(20))
def test_peaks_come_out_as_they_went_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, frames = int(rng.integers(1, 5000)), int(10 ** rng.uniform(1, 7))
    before = peaks(seed, size, frames)
    packed = pack(before)
    assert_same_peaks(join(packed), stored_peaks(before))
    assert set(packed) == set((before.frames // STRETCH_FRAMES).tolist())


def test_each_stretch_holds_its_own_peaks() -> None:
    before = stored_peaks(peaks(1, 2000, frames=10 * STRETCH_FRAMES))
    packed = pack(before)
    assert len(packed) == 10
    for number, part in packed.items():
        own = before.frames // STRETCH_FRAMES == number
        assert_same_peaks(unpack(number, part), Peaks(before.frames[own], before.bins[own]))


def test_what_was_stored_can_be_stored_again_and_stays() -> None:
    packed = pack(peaks(2, 3000))
    assert pack(join(packed)) == packed


@pytest.mark.parametrize("frame", [0, 1, 254, 255, 256, 509, 510, 511, STRETCH_FRAMES - 1, STRETCH_FRAMES, 2**32 - 1])
def test_gaps_may_have_any_length(frame: int) -> None:
    for before in (made([frame]), made([0, frame]), made([frame] * 3, [1, 90, 200]), made([frame, 2**32 - 1])):
        assert_same_peaks(join(pack(before)), stored_peaks(before))


def test_every_bin_of_the_band_is_kept_to_its_step() -> None:
    before = made([7] * BAND_BINS, [float(number) for number in range(BAND_BINS)])
    after = join(pack(before))
    assert np.abs(after.bins - before.bins).max() == (PEAK_BIN_STEP - 1) / 2
    assert np.array_equal(np.unique(after.bins), np.arange((PEAK_BIN_STEP - 1) / 2, BAND_BINS, PEAK_BIN_STEP))


def test_silence_takes_nothing() -> None:
    assert pack(NO_PEAKS) == {}
    assert_same_peaks(join({}), NO_PEAKS)
    assert list(pack(made([3, DAY_FRAMES]))) == [0, DAY_FRAMES // STRETCH_FRAMES]


def test_a_day_of_the_densest_music_fits_its_share_of_a_database() -> None:
    cells = DAY_FRAMES // RANK_CELL_FRAMES
    rng = np.random.default_rng(3)
    within = np.sort(rng.integers(0, RANK_CELL_FRAMES, (cells, REFERENCE_PEAKS_PER_CELL)), axis=1)
    frames = (np.arange(cells)[:, np.newaxis] * RANK_CELL_FRAMES + within).ravel()
    # Bins without any order, and even without any that are more common: the worst there can be.
    before = Peaks(frames.astype(np.uint32), rng.integers(0, BAND_BINS, frames.size).astype(np.float32))
    packed = pack(before)
    assert 8 * sum(map(len, packed.values())) < 11.5 * frames.size
    assert_same_peaks(join(packed), stored_peaks(before))


NO_ORDER = {
    "columns of different lengths": (Peaks(np.zeros(2, np.uint32), np.zeros(1, np.float32)), "differ in shape"),
    "falling frames": (made([5, 4]), "fall"),
    "below the band": (made([1], [-0.5]), "bins"),
    "above the band": (made([1], [float(BAND_BINS)]), "bins"),
    "no number": (made([1], [float("nan")]), "bins"),
    "too many": (made([3] * (MOST_PEAKS + 1)), "at most"),
}


@pytest.mark.parametrize(("wrong", "told"), NO_ORDER.values(), ids=NO_ORDER)
def test_what_are_no_peaks_is_not_packed(wrong: Peaks, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pack(wrong)


def test_as_many_peaks_as_a_stretch_may_have_fit_any_database() -> None:
    rng = np.random.default_rng(4)
    frames = np.sort(rng.integers(0, STRETCH_FRAMES, MOST_PEAKS)).astype(np.uint32)
    before = Peaks(frames, rng.integers(0, BAND_BINS, MOST_PEAKS).astype(np.float32))
    (packed,) = pack(before).values()
    assert len(packed) < 2**16
    assert_same_peaks(unpack(0, packed), stored_peaks(before))


def deflated(*columns: bytes) -> bytes:
    return b"".join(zlib.compress(column, wbits=-15) for column in columns)


DAMAGED = {
    "nothing": b"",
    "noise": bytes(range(200, 256)),
    "one column": deflated(b"\1"),
    "three columns": deflated(b"\1", b"\1", b"\1"),
    "no peaks": deflated(b"", b""),
    "more gaps": deflated(b"\1\1", b"\1"),
    "more bins": deflated(b"\1", b"\1\1"),
    "a gap without end": deflated(b"\1\xff", b"\1"),
    "beyond the stretch": deflated(b"\xff" * 12 + b"\0", b"\1"),
    "beyond the band": deflated(b"\1", b"\xff"),
    "inflating for ever": deflated(b"\0" * 10_000_000, b"\0" * 10_000_000),
    "cut off": deflated(b"\1" * 50, b"\1" * 50)[:-2],
}


@pytest.mark.parametrize("packed", DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="Stretch 7 of a recording is damaged"):
        unpack(7, packed)


def test_any_damage_is_refused_or_gives_peaks_of_the_stretch() -> None:
    rng = np.random.default_rng(5)
    (packed,) = pack(peaks(5, 300, STRETCH_FRAMES)).values()
    for _ in range(500):
        damaged = bytearray(packed)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        try:
            found = unpack(3, bytes(damaged))
        except ValueError:
            continue
        assert set((found.frames // STRETCH_FRAMES).tolist()) == {3}
        assert 0 <= found.bins.min() <= found.bins.max() < BAND_BINS
        assert np.all(np.diff(found.frames.astype(np.int64)) >= 0)
