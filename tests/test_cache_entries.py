"""Entries of the posting cache: packed and unpacked as plain loops would, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from driver_data import as_set, fingerprints

from dejavu.model import Postings, UInt32s
from dejavu.store.cache_entries import pack, seal_of, unpack

SEAL = seal_of("a revision")
NOTHING = np.empty(0, np.uint32)


def some_postings(seed: int = 1) -> tuple[UInt32s, Postings]:
    """Hashes, ascending, a third of which have postings; these in no order."""
    random = np.random.default_rng(seed)
    prints = fingerprints(seed, size=300, hash_values=100)
    order = random.permutation(len(prints))
    song_ids = random.integers(0, 2**32, len(prints), dtype=np.uint32)
    return np.arange(300, dtype=np.uint32), Postings(prints.hashes[order], song_ids, prints.offsets[order])


def test_an_entry_is_what_its_description_says() -> None:
    hashes, postings = some_postings()
    entries = pack(SEAL, hashes, postings)
    for value, entry in zip(hashes.tolist(), entries, strict=True):
        assert entry[:12] == b"TSp1" + hashlib.blake2b(b"a revision", digest_size=8).digest()
        assert set(struct.iter_unpack("<II", entry[16:])) == {
            (song_id, offset) for other, song_id, offset in as_set(postings) if other == value
        }


def test_what_is_packed_is_unpacked() -> None:
    hashes, postings = some_postings()
    found = unpack(SEAL, hashes, list(pack(SEAL, hashes, postings)))
    assert as_set(found.postings) == as_set(postings)
    assert (found.missing.size, found.damaged) == (0, 0)


def test_the_extremes_of_every_column_survive() -> None:
    hashes = np.array([0, 2**32 - 1], np.uint32)
    postings = Postings(hashes, hashes[::-1].copy(), hashes)
    assert as_set(unpack(SEAL, hashes, list(pack(SEAL, hashes, postings))).postings) == as_set(postings)


def test_nothing_is_packed_and_unpacked() -> None:
    nothing = Postings(NOTHING, NOTHING, NOTHING)
    assert pack(SEAL, NOTHING, nothing) == []
    found = unpack(SEAL, NOTHING, [])
    assert (len(found.postings), found.missing.size, found.damaged) == (0, 0, 0)


def test_what_is_not_there_is_missing() -> None:
    hashes, postings = some_postings()
    values = [None if value % 3 else entry for value, entry in enumerate(pack(SEAL, hashes, postings))]
    found = unpack(SEAL, hashes, values)
    assert found.missing.tolist() == [value for value in hashes.tolist() if value % 3]
    assert as_set(found.postings) == {row for row in as_set(postings) if row[0] % 3 == 0}
    assert found.damaged == 0


def test_an_entry_of_another_revision_is_missing_and_not_damaged() -> None:
    hashes, postings = some_postings()
    found = unpack(seal_of("another"), hashes, list(pack(SEAL, hashes, postings)))
    assert len(found.postings) == 0
    assert found.missing.tolist() == hashes.tolist()
    assert found.damaged == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_no_entry_is_missing_and_damaged(seed: int) -> None:
    hashes, postings = some_postings(seed)
    entries = pack(SEAL, hashes, postings)
    random = np.random.default_rng(seed)
    entry = entries[7]
    bit = int(random.integers(12 * 8, len(entry) * 8))
    flipped = (int.from_bytes(entry, "little") ^ 1 << bit).to_bytes(len(entry), "little")
    damaged = {
        1: b"",
        2: random.bytes(40),
        3: b"TS",
        4: entry[:15],
        5: entry + bytes(8),
        6: entry + b"\n",
        7: flipped,
        8: entry,  # another hash's
        9: SEAL,
        10: SEAL + bytes(20),
        11: b"\x80\x04\x95 a pickle",
    }
    found = unpack(SEAL, hashes, [damaged.get(value, entry) for value, entry in enumerate(entries)])
    assert found.missing.tolist() == list(damaged)
    assert as_set(found.postings) == {row for row in as_set(postings) if row[0] not in damaged}
    assert found.damaged == len(damaged)
