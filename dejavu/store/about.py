"""What is known of a song as one column of text, and the key that songs are listed and searched by.

The key is made here, once, and compared byte by byte everywhere: what databases make of case, accents and trailing
spaces differs, and pages of several of them are merged.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict

from dejavu.config.settings import SEARCH_KEY_MAX_BYTES
from dejavu.model import NOTHING_KNOWN, About, Song

_BETWEEN = "\n"
"""Between the parts of a key; before every letter in order, and in no part."""


def pack(about: About) -> str:
    """As JSON text, without what is not known."""
    known = {name: value for name, value in asdict(about).items() if value is not None}
    return json.dumps(known, ensure_ascii=False) if known else ""


def unpack(packed: str) -> About:
    """What `pack` was given; of another version's names those that are ours."""
    if not packed:
        return NOTHING_KNOWN
    known = json.loads(packed)
    return About(**{name: known.get(name) for name in About.__dataclass_fields__})


def song(song_id: int, name: str, sha1: str, total_hashes: int, packed: str) -> Song:
    """A row of any database as a song."""
    return Song(int(song_id), name, sha1, total_hashes, unpack(packed))


def folded(text: str) -> str:
    """Text without regard to case and accents: Björk and BJORK are the same."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in parts if not unicodedata.combining(character)).casefold()


def search_key(name: str, about: About) -> str:
    """Name, artist, title, album and ISRC, folded; at most SEARCH_KEY_MAX_BYTES, and never nothing."""
    parts = [part for part in (name, about.artist, about.title, about.album, about.isrc) if part]
    key = _BETWEEN.join(folded(" ".join(part.split())) for part in parts)
    return key.encode()[:SEARCH_KEY_MAX_BYTES].decode(errors="ignore") or _BETWEEN
