"""The digest that tells catalogues of one format from those of another, and that settings fit each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dejavu.config import settings


def test_every_setting_of_the_format_is_in_its_digest() -> None:
    source = Path(settings.__file__).read_text("utf-8")
    group = source.split("# --- Format")[1].split("# --- ")[0]
    names = re.findall(r"^([A-Z][A-Z0-9_]*) =", group, re.MULTILINE)
    assert set(names) - {"FORMAT_SETTINGS"} == set(settings.FORMAT_SETTINGS)


@pytest.mark.parametrize("name", settings.FORMAT_SETTINGS)
def test_each_setting_of_the_format_changes_the_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.format_digest()
    monkeypatch.setattr(settings, name, getattr(settings, name) + 1)
    assert settings.format_digest() != before


def test_a_hash_has_room_for_every_pair_of_peaks() -> None:
    assert settings.BAND_LAST_BIN - settings.BAND_FIRST_BIN <= 1 << 9
    assert settings.MAX_TARGET_BINS < 1 << 6
    assert 0 < settings.MIN_TARGET_FRAMES < settings.MAX_TARGET_FRAMES < 1 << 6


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("REFERENCE_PEAKS_PER_CELL", "QUERY_PEAKS_PER_CELL"),
        ("SCALED_PEAKS_PER_CELL", "QUERY_PEAKS_PER_CELL"),
        ("REFERENCE_FAN_OUT", "SCALED_FAN_OUT"),
        ("SCALED_FAN_OUT", "QUERY_FAN_OUT"),
        ("SCALED_LEAST_PAIRS", "SCALED_PAIRS"),
        ("FIRST_ASK_HASHES", "ASK_HASHES"),
        ("FIRST_ASK_POSTINGS", "ASK_POSTINGS"),
        ("ASK_HASHES", "QUERY_MAX_HASHES"),
        ("TOPN", "CANDIDATES_PER_INSTANCE"),
        ("MATCH_SCORE", "CERTAIN_SCORE"),
        ("MAX_SPEED_CHANGE_PERCENT", "MOST_SPEED_CHANGE_PERCENT"),
    ],
)
def test_settings_fit_each_other(less: str, more: str) -> None:
    assert 0 < getattr(settings, less) <= getattr(settings, more)


def test_a_clip_lies_in_two_stretches_at_most() -> None:
    # However much faster it was played.
    fastest = 1 / (1 - settings.MOST_SPEED_CHANGE_PERCENT / 100)
    frames = settings.QUERY_DENSE_SECONDS * settings.ANALYSIS_FS / settings.HOP_LENGTH
    assert frames * fastest < settings.STRETCH_FRAMES
