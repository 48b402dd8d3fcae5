"""What a media file says of itself: artist, title, album and ISRC.

Tags are as hostile as the rest of a file, so that only short, printable text leaves this module.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from dejavu.audio.decode import SeekableFile, open_media
from dejavu.config.settings import TAG_MAX_CHARACTERS
from dejavu.model import About

_NAMES = (
    ("artist", "album_artist", "author", "performer"),
    ("title",),
    ("album",),
    ("isrc", "tsrc"),
)
"""What artist, title, album and ISRC are called in the containers that libav reads, in its words."""

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")


def read_tags(file: SeekableFile) -> About:
    """The tags of a media file; raises like `decode` for what is none."""
    container, stream = open_media(file)
    with container:
        return about_of([container.metadata, stream.metadata])


def about_of(sources: Iterable[Mapping[str, str]]) -> About:
    """What tags say, those of the first source that says something; their names in any case."""
    tags: dict[str, str] = {}
    for source in sources:
        for name, text in source.items():
            if cleaned := clean(text):
                tags.setdefault(name.lower(), cleaned)
    artist, title, album, isrc = (next((tags[name] for name in names if name in tags), None) for names in _NAMES)
    return About(artist, title, album, _isrc(isrc))


def clean(text: str) -> str:
    """Text as one line of at most TAG_MAX_CHARACTERS printable characters; perhaps nothing is left."""
    # Longer than any tag that is meant, and what follows is never looked at.
    text = text[: 4 * TAG_MAX_CHARACTERS]
    printable = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return " ".join(printable.replace("\N{REPLACEMENT CHARACTER}", " ").split())[:TAG_MAX_CHARACTERS].strip()


def _isrc(text: str | None) -> str | None:
    """The code without the hyphens it is printed with; None for what is none."""
    code = re.sub(r"[\s-]", "", text or "").upper()
    return code if _ISRC.fullmatch(code) else None
