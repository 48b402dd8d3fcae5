"""Posting lists as byte strings, as a cache keeps them under their hash: arrays in, bytes out, and back again.

    entry:  seal (12 bytes), checksum (4 bytes), then 8 bytes for each posting: song id, offset
    seal:   "TSp1" (4 bytes), digest of the revision that the list was read from (8 bytes)

All numbers are unsigned, of four bytes, little endian. The checksum is of the postings and of their hash, so that
neither a part of an entry nor another hash's passes. A hash without postings has an entry, too: most of a query's have
none, and that is worth knowing.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.model import Postings, UInt32s

_MAGIC = b"TSp1"
_WORD = np.dtype("<u4")
_PAIR_BYTES = 2 * _WORD.itemsize
_HEADER_PAIRS = 2

# Odd, so that every single bit of an entry makes a difference, and without a pattern.
_SONG_FACTOR = np.uint32(0x9E3779B1)
_OFFSET_FACTOR = np.uint32(0x85EBCA77)
_PER_POSTING = np.uint32(0xC2B2AE3D)


@dataclass(frozen=True, slots=True)
class Found:
    """What entries say.

    postings : those of all hashes that have a valid entry.
    missing : uint32[m], ascending: the hashes that have none, or one of another revision.
    damaged : how many of these have something that was never written as an entry.
    """

    postings: Postings
    missing: UInt32s
    damaged: int


def seal_of(revision: str) -> bytes:
    """What the entries of a revision begin with."""
    return _MAGIC + hashlib.blake2b(revision.encode(), digest_size=8).digest()


def pack(seal: bytes, hashes: UInt32s, postings: Postings) -> list[bytes]:
    """The entry of each hash (uint32[n], ascending); `postings` are all of these hashes', in any order."""
    order = np.argsort(postings.hashes, kind="stable")
    song_ids, offsets = postings.song_ids[order], postings.offsets[order]
    starts = np.searchsorted(postings.hashes[order], hashes)
    counts = np.diff(starts, append=order.size)
    headers, is_posting = _layout(counts)
    pairs = np.empty((is_posting.size, 2), _WORD)
    pairs[is_posting, 0] = song_ids
    pairs[is_posting, 1] = offsets
    first, second, third = np.frombuffer(seal, _WORD)
    pairs[headers] = first, second
    pairs[headers + 1, 0] = third
    pairs[headers + 1, 1] = _checksums(hashes, song_ids, offsets, counts)
    packed = pairs.tobytes()
    bounds = (np.append(headers, is_posting.size) * _PAIR_BYTES).tolist()
    return [packed[start:end] for start, end in itertools.pairwise(bounds)]


def unpack(seal: bytes, hashes: UInt32s, values: Sequence[bytes | None]) -> Found:
    """What is kept under each hash (uint32[n], ascending), where it is an entry with this seal; None is nothing."""
    sizes = np.fromiter((len(value) if value else 0 for value in values), np.int64, hashes.size)
    sealed = np.fromiter((value is not None and value.startswith(seal) for value in values), np.bool_, hashes.size)
    whole = sealed & (sizes % _PAIR_BYTES == 0) & (sizes >= _HEADER_PAIRS * _PAIR_BYTES)
    joined = b"".join([value for value, chosen in zip(values, whole.tolist(), strict=True) if chosen and value])
    pairs = np.frombuffer(joined, _WORD).reshape(-1, 2)
    counts = sizes[whole] // _PAIR_BYTES - _HEADER_PAIRS
    headers, is_posting = _layout(counts)
    song_ids, offsets = (pairs[is_posting, column].astype(np.uint32) for column in (0, 1))
    correct = pairs[headers + 1, 1] == _checksums(hashes[whole], song_ids, offsets, counts)
    valid = whole.copy()
    valid[whole] = correct
    kept = np.repeat(correct, counts)
    found = np.repeat(hashes[whole], counts)
    others = [value for value, is_sealed in zip(values, sealed.tolist(), strict=True) if not is_sealed]
    foreign = sum(value is not None and not value.startswith(_MAGIC) for value in others)
    damaged = foreign + int(sealed.sum() - valid.sum())
    return Found(Postings(found[kept], song_ids[kept], offsets[kept]), hashes[~valid], damaged)


def _layout(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where among the pairs of words of entries with so many postings each header begins, and which are postings."""
    sizes = counts + _HEADER_PAIRS
    headers = np.cumsum(sizes) - sizes
    is_posting = np.ones(int(sizes.sum()), np.bool_)
    is_posting[headers] = False
    is_posting[headers + 1] = False
    return headers, is_posting


def _checksums(hashes: UInt32s, song_ids: UInt32s, offsets: UInt32s, counts: NDArray[np.int64]) -> UInt32s:
    """One for each hash, whose postings follow each other in columns, so many for each."""
    mixed = song_ids * _SONG_FACTOR + offsets * _OFFSET_FACTOR + _PER_POSTING
    sums = np.concatenate((np.zeros(1, np.uint32), np.cumsum(mixed, dtype=np.uint32)))
    ends = np.cumsum(counts)
    checksums: UInt32s = hashes + sums[ends] - sums[ends - counts]
    return checksums
