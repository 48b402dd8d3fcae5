"""The ids that a song may have: 32 bits of its SHA-1, so that every database gives the same file the same one."""

from __future__ import annotations


def possible_song_ids(sha1: str) -> list[int]:
    """The id of the file with this SHA-1 (40 hexadecimal digits), then the next where another song has the former."""
    digest = bytes.fromhex(sha1)
    return [int.from_bytes(digest[start : start + 4], "big") for start in range(0, len(digest), 4)]
