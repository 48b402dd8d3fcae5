"""The digest that tells catalogues of one format from those of another."""

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
