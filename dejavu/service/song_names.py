"""Which names a song may have."""

from __future__ import annotations

import unicodedata

from dejavu.config.settings import SONG_NAME_MAX_CHARACTERS
from dejavu.errors import InvalidField

_UNPRINTABLE = {"Cc": "control characters", "Cs": "broken Unicode", "Zl": "line breaks", "Zp": "line breaks"}
"""Categories of characters that tear a log line, a terminal or a column apart."""


def check_song_name(name: str) -> None:
    """Raise `InvalidField` for a name that cannot be kept."""
    if not name.strip():
        raise InvalidField("song_name: a song needs a name; send one, or a file that has one.")
    if len(name) > SONG_NAME_MAX_CHARACTERS:
        raise InvalidField(f"song_name: expected at most {SONG_NAME_MAX_CHARACTERS} characters, got {len(name)}.")
    for character in name:
        if (kind := unicodedata.category(character)) in _UNPRINTABLE:
            raise InvalidField(f"song_name: a name cannot hold {_UNPRINTABLE[kind]}; send another one.")
