"""Postings and a query to aligned candidates: which songs have the clip's landmarks in the clip's order?

Landmarks of a clip that was cut from a song all lie at the same distance from where the song has them. So the
distances (`delta` = song offset − clip offset) of its hits pile up at one value, where those of other songs scatter:
Wang's histogram of time differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dejavu.config.settings import ALIGN_HITS
from dejavu.fingerprint.landmarks import HASH_BITS, unpack
from dejavu.matching.chance import surprise
from dejavu.model import Postings, UInt32s

DELTA_TOLERANCE = 1
"""Frames that a delta may be off: the grids of song and clip differ by up to half a frame at each end of a landmark."""

_SONG_BITS = 32
"""A contestant is a song under one variant of the query: the variant's number above these bits of the song's id."""

_KEY_BITS = 63
"""Of a sortable key, which is never negative."""

_HASH_MASK = np.uint32((1 << HASH_BITS) - 1)

_ENDING_BITS = 16
_ENDING = np.int64((1 << _ENDING_BITS) - 1)

_RUNNERS_UP = 4
_RUNNERS_UP_OF_VARIANTS = 16
"""Contestants looked at for each song that is wanted: those with the most hits are not the most surprising, and one
song may be found under many neighbouring variants."""

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one song agrees with a query, at the delta where it agrees best.

    delta : song offset minus clip offset, in frames; negative where the clip starts before the song.
    aligned_hashes : distinct query hashes that agree on this delta within DELTA_TOLERANCE.
    surprise : how unlikely it is that a song which has nothing to do with the clip agrees as well (`chance.surprise`).
    variant : which variant of the query agreed.
    """

    song_id: int
    delta: int
    aligned_hashes: int
    surprise: float
    variant: int = 0


class _Hits:
    """Pairs of a posting and a query landmark with the same hash.

    There may be a million of them, of which a few thousand matter. So only what has to be known of all is a column,
    `contestants` and `deltas` (int64[n]), and the rest is looked up.
    """

    def __init__(
        self, postings: Postings, offsets: UInt32s, variants: Int64s | None, posting: Int64s, landmark: Int64s
    ) -> None:
        """`posting` and `landmark` (int64[n]) are places in the columns of the postings and of the query."""
        self._postings, self._posting = postings, posting
        self.contestants = postings.song_ids[posting].astype(np.int64)
        if variants is not None:
            self.contestants |= variants[landmark] << _SONG_BITS
        self.deltas = postings.offsets[posting] - offsets.astype(np.int64)[landmark]

    def hashes(self, chosen: Int64s) -> UInt32s:
        """The hashes of the hits at these places."""
        return self._postings.hashes[self._posting[chosen]]

    def song_offsets(self, chosen: Int64s) -> Int64s:
        """The anchors' frames in the songs, likewise."""
        return self._postings.offsets[self._posting[chosen]].astype(np.int64)


def align(
    postings: Postings, hashes: UInt32s, offsets: UInt32s, limit: int, variants: Int64s | None = None
) -> list[Alignment]:
    """The songs that agree best with a query.

    Parameters
    ----------
    postings : Postings
        What the index has for the query's hashes; other hashes do no harm.
    hashes, offsets : uint32[n]
        The query's landmarks and their anchors' frames in the clip. A pair occurs once; hashes and offsets repeat.
    limit : int
        How many songs to return, at most.
    variants : int64[n], optional
        Which variant of the query each landmark is of, 0 and up. Landmarks of different variants do not agree. Each
        variant is one more chance to agree by accident, which whoever judges has to take into account
        (`chance.combined`).

    Returns
    -------
    list of Alignment
        One for each song, the most surprising first.
    """
    if not hashes.size:
        return []
    hits = _join(postings, hashes, offsets, variants)
    if not hits.deltas.size:
        return []
    clip_frames = int(offsets.max()) + 1
    runners_up = _RUNNERS_UP if variants is None else _RUNNERS_UP_OF_VARIANTS
    numbers, deltas = _best_deltas(hits.contestants, hits.deltas, runners_up * limit)
    chosen, owners = _of(hits.contestants, numbers)
    scatter = _scatter(owners, hits.song_offsets(chosen), numbers.size, clip_frames)
    agree = np.abs(hits.deltas[chosen] - deltas[owners]) <= DELTA_TOLERANCE
    members, owners = chosen[agree], owners[agree]
    hashes = hits.hashes(members)
    independent = _independent_landmarks(hashes, hits.song_offsets(members), owners, numbers.size)
    aligned = _count_distinct(owners, hashes, numbers.size)
    # A hash that agrees again and again is a loop; another song may hold the same one, as long and as steady.
    surprises = surprise(np.minimum(independent, aligned), *scatter)
    song_ids, of_variant = numbers & ((1 << _SONG_BITS) - 1), numbers >> _SONG_BITS
    best = _first_of_each(song_ids, np.argsort(-surprises, kind="stable"))[:limit]
    columns = (song_ids, deltas, aligned, surprises, of_variant)
    return [Alignment(*row) for row in zip(*(column[best].tolist() for column in columns), strict=True)]


def _join(postings: Postings, hashes: UInt32s, offsets: UInt32s, variants: Int64s | None) -> _Hits:
    """Every posting with every query landmark of its hash."""
    order = np.argsort(hashes, kind="stable")
    sorted_hashes = hashes[order]
    begins = _begins(sorted_hashes)
    # Of a table of all hashes few pages are ever read, so that it takes a tenth of the time of searching.
    place = np.zeros(1 << HASH_BITS, np.min_scalar_type(begins.size))
    place[sorted_hashes[begins] & _HASH_MASK] = np.arange(1, begins.size + 1)
    asked = np.where(postings.hashes > _HASH_MASK, 0, place[postings.hashes & _HASH_MASK])
    count = _affordable(np.append(0, np.diff(begins, append=hashes.size)), asked)[asked]
    posting = np.repeat(np.arange(len(postings)), count)
    first = np.append(0, begins)[asked] - (np.cumsum(count) - count)
    landmark = order[np.repeat(first, count) + np.arange(posting.size)]
    return _Hits(postings, offsets, variants, posting, landmark)


def _affordable(counts: Int64s, asked: Int64s) -> Int64s:
    """How often each of the query's hashes is to be paired: `counts`, but 0 for the most common ones past ALIGN_HITS.

    A note that is held meets itself again and again, in the clip and in every song, and says next to nothing.
    """
    hits = np.bincount(asked, minlength=counts.size) * counts
    order = np.argsort(hits, kind="stable")
    too_many = order[np.cumsum(hits[order]) > ALIGN_HITS]
    counts[too_many] = 0
    return counts


def _first_of_each(values: Int64s, order: Int64s) -> Int64s:
    """Of places in this `order`, the first with each value, in the same order."""
    _, first = np.unique(values[order], return_index=True)
    return order[np.sort(first)]


def _best_deltas(contestants: Int64s, deltas: Int64s, limit: int) -> tuple[Int64s, Int64s]:
    """The delta with the most hits within DELTA_TOLERANCE, of the `limit` contestants with the most of such hits.

    Keys are sorted and never put back into the order of the hits, which takes ten times as long; who needs the hits of
    the few that are left looks for them (`_of`).

    Returns
    -------
    numbers, deltas : int64[m]
        The contestants, those with the most first.
    """
    lowest = deltas.min()
    bits = int(deltas.max() - lowest).bit_length() + 1  # one to keep the deltas of neighbouring contestants apart
    names = None
    if int(contestants.max()).bit_length() + bits > _KEY_BITS:
        names, contestants = np.unique(contestants, return_inverse=True)
    keys = _gathered(np.sort(contestants << bits | (deltas - lowest)), bits, limit)
    begins = _begins(keys)
    distinct, counts = keys[begins], np.diff(begins, append=keys.size)
    adjacent = np.diff(distinct) <= DELTA_TOLERANCE
    agreeing = counts.copy()
    agreeing[1:] += np.where(adjacent, counts[:-1], 0)
    agreeing[:-1] += np.where(adjacent, counts[1:], 0)
    begins = _begins(distinct >> bits)
    chosen = _largest(np.maximum.reduceat(agreeing, begins), limit)
    ends = np.append(begins[1:], distinct.size)[chosen]
    best = np.array([begin + np.argmax(agreeing[begin:end]) for begin, end in zip(begins[chosen], ends, strict=True)])
    numbers, deltas = distinct[best] >> bits, (distinct[best] & ((1 << bits) - 1)) + lowest
    return numbers if names is None else names[numbers], deltas


def _gathered(keys: Int64s, bits: int, limit: int) -> Int64s:
    """Those of the ascending keys that another one agrees with, where that leaves `limit` contestants; else all.

    Most hits of most songs agree with no other, and who has nothing but such is not among the best.
    """
    agree = np.diff(keys) <= DELTA_TOLERANCE
    gathered = keys[np.append(agree, False) | np.append(False, agree)]
    return gathered if _begins(gathered >> bits).size >= limit else keys


def _largest(values: Int64s, limit: int) -> Int64s:
    """Indices of the `limit` largest values, the largest first and of equal ones the first first."""
    if values.size > limit:
        least = np.partition(values, values.size - limit)[values.size - limit]
        more, equal = np.flatnonzero(values > least), np.flatnonzero(values == least)
        candidates = np.sort(np.concatenate((more, equal[: limit - more.size])))
    else:
        candidates = np.arange(values.size)
    return candidates[np.argsort(-values[candidates], kind="stable")]


def _of(contestants: Int64s, numbers: Int64s) -> tuple[Int64s, Int64s]:
    """Which of the hits, each of a contestant, are of these `numbers`: indices, and the place in `numbers` of each."""
    order = np.argsort(numbers)
    ascending = numbers[order]
    # Few of the others end alike, and looking into a small table takes a tenth of the time of searching.
    alike = np.zeros(1 << _ENDING_BITS, np.bool_)
    alike[numbers & _ENDING] = True
    candidates = np.flatnonzero(alike[contestants & _ENDING])
    place = np.minimum(np.searchsorted(ascending, contestants[candidates]), ascending.size - 1)
    found = ascending[place] == contestants[candidates]
    return candidates[found], order[place[found]]


def _begins(ascending: NDArray[np.integer]) -> Int64s:
    """Where each run of equal values begins; what is sorted need not be sorted again, nor hashed, to be told apart."""
    changes = np.empty(ascending.size, bool)
    changes[:1] = True
    np.not_equal(ascending[1:], ascending[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _independent_landmarks(hashes: UInt32s, song_offsets: Int64s, owners: Int64s, n_owners: int) -> Int64s:
    """How many of each song's agreeing landmarks say something that the others do not; int64[n_owners].

    Landmarks are the edges of a graph over peaks. Where two peaks are joined already by others, one more edge between
    them comes for free: the peaks are there, at those distances. What counts is the edges of a spanning forest, that is
    peaks minus groups of peaks.
    """
    anchor_bins, target_bins, frames = unpack(hashes)
    anchors = song_offsets << 9 | anchor_bins
    targets = (song_offsets + frames) << 9 | target_bins
    peaks, place = np.unique(
        np.concatenate((owners, owners)) << 40 | np.concatenate((anchors, targets)), return_inverse=True
    )
    edges = coo_array(
        (np.ones(owners.size, np.int8), (place[: owners.size], place[owners.size :])), shape=(peaks.size, peaks.size)
    )
    n_groups, group = connected_components(edges, directed=False)
    group_owner = np.empty(n_groups, np.int64)
    group_owner[group] = peaks >> 40
    return np.bincount(peaks >> 40, minlength=n_owners) - np.bincount(group_owner, minlength=n_owners)


def _count_distinct(owners: Int64s, values: UInt32s, n_owners: int) -> Int64s:
    """How many distinct values each owner has; int64[n_owners]."""
    return np.bincount(np.unique(owners << 32 | values) >> 32, minlength=n_owners)


def _scatter(
    owners: Int64s, song_offsets: Int64s, n_owners: int, clip_frames: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What chance has to work with for each owner: hits expected in one window of deltas, and how many deltas.

    owners, song_offsets : int64[hits], of all hits of the owners.
    """
    count = np.bincount(owners, minlength=n_owners)
    highest = np.zeros(n_owners, np.int64)
    np.maximum.at(highest, owners, song_offsets)
    # The last hit of a song is before its end by a spacing of hits; offsets of hits count from 0, the song's start.
    deltas = highest * (1 + 1 / count) + clip_frames
    return count * (2 * DELTA_TOLERANCE + 1) / deltas, deltas
