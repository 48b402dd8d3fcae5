"""The table of how common hashes are: how it is made, that the code reads it, and whether it is of any use."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media import tune

from benchmarks import hash_shares
from dejavu.audio.decode import decode
from dejavu.config.settings import (
    MAX_TARGET_BINS,
    MAX_TARGET_FRAMES,
    MIN_TARGET_FRAMES,
    REFERENCE_BOX_BINS,
    REFERENCE_BOX_FRAMES,
)
from dejavu.fingerprint import commonness
from dejavu.fingerprint.commonness import SHARES_FILE, expected_postings
from dejavu.fingerprint.extract import extract_reference
from dejavu.fingerprint.landmarks import unpack
from dejavu.fingerprint.spectrogram import BAND_BINS
from dejavu.model import UInt32s

HELD = 1_000_000

RECORDINGS = 12
"""Of real music that is not in the table: enough to see a trend, and decoded in a second or two."""


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as columns:
        return dict(columns)


def hashes_of(path: Path) -> UInt32s:
    with path.open("rb") as file:
        return extract_reference(decode(file)).hashes


def make_table(folder: Path, roles: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The table made of a tune for each role; those with seed 1, 2, …"""
    with (folder / "manifest.csv").open("w", newline="") as file:
        manifest = csv.DictWriter(file, ["file", "role", "codec", "duration_s"])
        manifest.writeheader()
        for seed, role in enumerate(roles, 1):
            (folder / f"{seed}.flac").write_bytes(tune("flac", 8.0, seed=seed))
            manifest.writerow({"file": f"{seed}.flac", "role": role, "codec": "flac", "duration_s": 8.0})
    monkeypatch.setenv("TUNESCOUT_AUDIO", str(folder))
    monkeypatch.setattr("sys.argv", ["hash_shares", "--out", str(folder / "made.npz")])
    hash_shares.main()
    return load(folder / "made.npz")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, np.ndarray]]:
    """A table of two tunes, which the code reads for the time of a test."""
    table = make_table(tmp_path, ["reference", "reference"], monkeypatch)
    monkeypatch.setattr(commonness, "SHARES_FILE", tmp_path / "made.npz")
    commonness._shares.cache_clear()
    yield table
    commonness._shares.cache_clear()


def assert_sound(table: dict[str, np.ndarray]) -> None:
    assert set(table) == {"anchors", "targets"}
    assert table["anchors"].shape == (BAND_BINS,)
    assert table["targets"].shape == (2 * MAX_TARGET_BINS + 1, MAX_TARGET_FRAMES + 1)
    for column in table.values():
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
        # Nothing is impossible, so that no hash is taken to cost nothing.
        assert column.min() > 0
        assert column.sum(dtype=np.float64) == pytest.approx(1, abs=0.01)


def test_table_of_the_project_is_sound():
    assert_sound(load(SHARES_FILE))
    assert SHARES_FILE.stat().st_size < 100_000


def test_table_of_the_project_has_seen_all_of_the_band_and_no_two_peaks_in_a_box():
    table = load(SHARES_FILE)
    assert table["anchors"].min() > 2 * hash_shares._LEAST_SHARE
    # Smoothed, what is beside the box reaches into it; its middle is as empty as it was counted.
    level = slice(MAX_TARGET_BINS - REFERENCE_BOX_BINS // 4, MAX_TARGET_BINS + REFERENCE_BOX_BINS // 4 + 1)
    inside = table["targets"][level, MIN_TARGET_FRAMES]
    beyond = table["targets"][level, REFERENCE_BOX_FRAMES // 2 + 2 : 2 * REFERENCE_BOX_FRAMES]
    assert inside.max() < 0.01 * beyond.min()


def test_a_made_table_is_sound_and_what_the_code_reads(made):
    assert_sound(made)
    files = commonness.SHARES_FILE.parent.glob("*.flac")
    hashes = np.unique(np.concatenate([hashes_of(path) for path in files]))[::10]
    expected = [
        HELD * float(made["anchors"][anchor]) * float(made["targets"][target - anchor + MAX_TARGET_BINS, between])
        for anchor, target, between in zip(*unpack(hashes), strict=True)
    ]
    assert expected_postings(hashes, HELD) == pytest.approx(expected)
    assert len(expected) > 20


def test_a_made_table_is_of_the_references_alone(tmp_path, monkeypatch):
    (tmp_path / "all").mkdir()
    (tmp_path / "some").mkdir()
    some = make_table(tmp_path / "some", ["reference"], monkeypatch)
    all_ = make_table(tmp_path / "all", ["reference", "unknown"], monkeypatch)
    both = make_table(tmp_path / "all", ["reference", "reference"], monkeypatch)
    for column in some:
        assert np.array_equal(some[column], all_[column])
        assert not np.allclose(some[column], both[column])


def test_table_says_which_hashes_of_other_music_are_common(audio_folder):
    with (audio_folder / "manifest.csv").open(newline="") as file:
        unknown = [row["file"] for row in csv.DictReader(file) if row["role"] == "unknown"][:RECORDINGS]
    recordings = [hashes_of(audio_folder / name) for name in unknown]
    asked = np.unique(np.concatenate(recordings[::2]))
    held = np.concatenate(recordings[1::2])
    postings = np.bincount(held, minlength=int(asked[-1]) + 1)[asked]
    expected = expected_postings(asked, held.size)
    rarest, *_, common, commonest = np.array_split(postings[np.argsort(expected)], 5)
    assert commonest.mean() > common.mean() > 5 * rarest.mean()
    # Songs have their notes in common with each other, so that more come than independent anchors and targets would
    # bring; `settings.FIRST_ASK_POSTINGS` counts on several times as many.
    assert expected.sum() < postings.sum() < 10 * expected.sum()
