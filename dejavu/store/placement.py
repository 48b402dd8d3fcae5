"""Rendezvous hashing: which database a key belongs to, without a table that anybody has to keep.

Every (key, database) pair gets a number, and the key belongs to the database with the highest. Adding the n-th database
moves one key in n, and only to the new one; removing one moves only its own. (Thaler and Ravishankar, 1998.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def by_preference(key: str, identities: Iterable[str]) -> list[str]:
    """The `identities` of databases in the order in which `key` prefers them, whatever order they come in."""
    return sorted(identities, key=lambda identity: (_weight(key, identity), identity), reverse=True)


def _weight(key: str, identity: str) -> bytes:
    # Each part is hashed by itself, so that no two pairs look alike when put together.
    return hashlib.blake2b(key.encode(), key=hashlib.blake2b(identity.encode()).digest(), digest_size=8).digest()
