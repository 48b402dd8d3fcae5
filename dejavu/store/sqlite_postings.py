"""How postings are packed into rows of SQLite: arrays in, arrays out, no SQL.

A row of its own for every posting costs 14 bytes in a filled b-tree, 10 of them overhead. Here a row holds all postings
of a *bucket*, 64 neighbouring hashes, made by a *generation*, 1024 consecutive songs, as an array of six-byte entries:

    row id: generation << 26 | bucket     bucket: hash >> 6     generation: song key >> 10
    entry:  offset (uint32), tag (uint16: the song key's low 10 bits << 6 | the hash's low 6 bits)

A new song appends to rows of the newest generation alone. So an insert costs no more in a large catalogue than in a
small one, and a deleted song is taken out by reading its generation, without an index that would double the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dejavu.model import Fingerprints, UInt32s

HASH_BITS = 6
KEY_BITS = 16 - HASH_BITS
BUCKET_BITS = 32 - HASH_BITS
SONGS_PER_GENERATION = 1 << KEY_BITS

_HASH_MASK = np.uint16((1 << HASH_BITS) - 1)
_BUCKET_MASK = (1 << BUCKET_BITS) - 1

_ENTRY = np.dtype([("offset", "<u4"), ("tag", "<u2")])

Row = tuple[int, bytes]
"""Row id and entries."""

PackedRows = tuple[NDArray[np.int64], NDArray[np.int64], bytes | memoryview]
"""Row ids, bytes of each row's entries (0 for none), and the entries, one row's after the other's."""


def buckets_of(hashes: UInt32s) -> list[int]:
    """The distinct buckets of some hashes (uint32[n], any order), ascending."""
    buckets: list[int] = np.unique(hashes >> HASH_BITS).tolist()
    return buckets


def generation_rows(key: int) -> tuple[int, int]:
    """The first and the last row id that may hold postings of the song with this key."""
    first = (key >> KEY_BITS) << BUCKET_BITS
    return first, first | _BUCKET_MASK


def pack(key: int, fingerprints: Fingerprints) -> Iterator[Row]:
    """What to append to which row for a song; `fingerprints` are sorted by hash, as they always are."""
    first_row, _ = generation_rows(key)
    buckets = fingerprints.hashes >> HASH_BITS
    entries = np.empty(len(fingerprints), _ENTRY)
    entries["offset"] = fingerprints.offsets
    entries["tag"] = (key % SONGS_PER_GENERATION << HASH_BITS) | (fingerprints.hashes & _HASH_MASK)
    packed = entries.tobytes()
    distinct, starts = np.unique(buckets, return_index=True)
    bounds = (np.append(starts, len(fingerprints)) * _ENTRY.itemsize).tolist()
    rows = zip(distinct.tolist(), itertools.pairwise(bounds), strict=True)
    return ((first_row | bucket, packed[start:end]) for bucket, (start, end) in rows)


def packed_rows(rows: Sequence[Row]) -> PackedRows:
    """Rows as columns."""
    ids, packed = zip(*rows, strict=True) if rows else ((), ())
    sizes = np.fromiter(map(len, packed), np.int64, len(rows))
    return np.fromiter(ids, np.int64, len(rows)), sizes, b"".join(packed)


def unpack(batches: Iterable[PackedRows], hashes: UInt32s) -> tuple[UInt32s, NDArray[np.int64], UInt32s]:
    """The postings of some hashes among the rows of their buckets: hashes, song keys and offsets, as columns.

    batches : all rows from `buckets_of(hashes)`, of any generation, so many at a time. Of ten entries nine are of other
        hashes; looked through while they are in the processor's cache, they take half the time.
    hashes : uint32[n], distinct.
    """
    buckets, places = np.unique(hashes >> HASH_BITS, return_inverse=True)
    asked = np.zeros((buckets.size, 1 << HASH_BITS), np.bool_)
    asked[places, hashes & _HASH_MASK] = True
    nothing = packed_rows([])
    parts = [_asked_entries(rows, buckets, asked.reshape(-1)) for rows in itertools.chain([nothing], batches)]
    row_ids, tags, offsets = (np.concatenate(column) for column in zip(*parts, strict=True))
    found = ((row_ids & _BUCKET_MASK) << HASH_BITS | tags & _HASH_MASK).astype(np.uint32)
    return found, row_ids >> BUCKET_BITS << KEY_BITS | tags >> HASH_BITS, offsets


def _asked_entries(
    rows: PackedRows, buckets: UInt32s, asked: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.uint16], UInt32s]:
    """Row id, tag and offset of the entries whose hashes are `asked` (a flag for each hash of each of the buckets)."""
    row_ids, sizes, entries = _columns(rows)
    tags = entries["tag"]
    # A table of the asked buckets fits in the processor's cache; searching each entry's hash takes three times as long.
    firsts = (np.searchsorted(buckets, row_ids & _BUCKET_MASK) << HASH_BITS).astype(np.int32)
    wanted = np.flatnonzero(asked.take(np.repeat(firsts, sizes) + (tags & _HASH_MASK)))
    of_rows = np.diff(np.searchsorted(wanted, np.append(0, np.cumsum(sizes))))
    return np.repeat(row_ids, of_rows), tags[wanted], entries["offset"][wanted].astype(np.uint32)


def by_generation(keys: Iterable[int]) -> list[list[int]]:
    """The song keys of each generation that has any of these."""
    return [list(group) for _, group in itertools.groupby(sorted(keys), lambda key: key >> KEY_BITS)]


def unpack_songs(batches: Iterable[Sequence[Row]], keys: Sequence[int]) -> dict[int, tuple[UInt32s, UInt32s]]:
    """The hashes and offsets of whole songs of one generation, sorted, each under its key.

    batches : all rows of the generation, so many at a time.
    keys : song keys of the generation; one without any posting among the rows gets empty columns.
    """
    wanted = np.zeros(SONGS_PER_GENERATION, np.bool_)
    wanted[np.array(keys) % SONGS_PER_GENERATION] = True
    parts = [_entries_of_songs(rows, wanted) for rows in itertools.chain([[]], batches)]
    slots, hashes, offsets = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((offsets, hashes, slots))
    slots, hashes, offsets = slots[order], hashes[order], offsets[order]
    songs = {}
    for key in keys:
        first, end = np.searchsorted(slots, [key % SONGS_PER_GENERATION, key % SONGS_PER_GENERATION + 1])
        # Copies, so that one song kept does not keep the others.
        songs[key] = hashes[first:end].copy(), offsets[first:end].copy()
    return songs


def without_song(rows: Sequence[Row], key: int) -> Iterator[Row]:
    """Those of a generation's `rows` that hold postings of the song with this key, with these taken out."""
    _, sizes, entries = _columns(packed_rows(rows))
    others = entries["tag"] >> HASH_BITS != key % SONGS_PER_GENERATION
    starts = np.cumsum(sizes) - sizes
    for index in np.flatnonzero(np.add.reduceat(~others, starts, dtype=np.int64)).tolist():
        part = slice(starts[index], starts[index] + sizes[index])
        yield rows[index][0], entries[part][others[part]].tobytes()


def _entries_of_songs(rows: Sequence[Row], wanted: NDArray[np.bool_]) -> tuple[UInt32s, UInt32s, UInt32s]:
    """Key within the generation, hash and offset of the entries of `wanted` songs (one flag for each such key)."""
    row_ids, sizes, entries = _columns(packed_rows(rows))
    slots = entries["tag"] >> HASH_BITS
    chosen = np.flatnonzero(wanted[slots])
    hashes = (np.repeat(row_ids, sizes)[chosen] & _BUCKET_MASK) << HASH_BITS | entries["tag"][chosen] & _HASH_MASK
    return slots[chosen].astype(np.uint32), hashes.astype(np.uint32), entries["offset"][chosen].astype(np.uint32)


def _columns(rows: PackedRows) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]:
    """Row ids, number of entries of each row, and all entries, one row's after the other's."""
    row_ids, sizes, packed = rows
    return row_ids, sizes // _ENTRY.itemsize, np.frombuffer(packed, _ENTRY)
