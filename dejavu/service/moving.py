"""Moving songs between instances while services go on answering from them.

A song is copied, the copy read back and compared, and the original deleted only then: at every moment it is on one
instance at least, whenever this is stopped or killed. Copies are merged by their SHA-1 at query time, so two of them
harm nobody, and who runs the same again goes on from there.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dejavu.config import settings
from dejavu.errors import AlreadyFingerprinted
from dejavu.fingerprint import stretches
from dejavu.model import Fingerprints, UInt32s
from dejavu.service.catalogue import Catalogue, Copy, Shelf

_ASKED_AT_ONCE = 50_000
"""Hashes looked up at a time when a copy is read back: an hour of sound."""


@dataclass(frozen=True, slots=True)
class Move:
    """A copy that is to go, and the instance that has the song instead of it, or is to get it."""

    copy: Copy
    to: Shelf


@dataclass(frozen=True, slots=True)
class Load:
    """How much goes from one instance to another."""

    songs: int
    fingerprints: int


Loads = dict[tuple[Shelf, Shelf], Load]
"""From where to where, and how much."""

Report = Callable[[Move, str | None], None]
"""Called for every move that is over, with the reason where it was not carried out."""


def misplaced(catalogue: Catalogue, copies: Iterable[Copy]) -> Iterator[Move]:
    """Those of the `copies` that are not where placement wants them."""
    for copy in copies:
        wanted, *_ = catalogue.in_order_of_preference(copy.song.sha1)
        if wanted != copy.shelf:
            yield Move(copy, wanted)


def surplus(catalogue: Catalogue, copies: Iterable[Copy]) -> Iterator[Move]:
    """Those of the `copies` that an instance which placement prefers has as well."""
    for copy in copies:
        order = catalogue.in_order_of_preference(copy.song.sha1)
        for shelf in order[: order.index(copy.shelf)]:
            if shelf.find(copy.song.sha1) is not None:
                yield Move(copy, shelf)
                break


def loads(moves: Iterable[Move]) -> Loads:
    """How much goes from where to where."""
    totals: Loads = {}
    for move in moves:
        add_load(totals, move)
    return totals


def add_load(totals: Loads, move: Move) -> None:
    """Count one move more."""
    way = move.copy.shelf, move.to
    load = totals.get(way, Load(0, 0))
    totals[way] = Load(load.songs + 1, load.fingerprints + move.copy.song.total_hashes)


def carry_out(moves: Iterable[Move], report: Report) -> None:
    """Carry out moves, all of one instance's after the other's; raises `StoreError` where a database fails.

    An original stays for `settings.SETTLE_SECONDS` beside its copy, during which others are copied.
    """
    settling: deque[tuple[float, Move]] = deque()
    for batch in _batches(moves):
        for move in _copied(batch, report):
            settling.append((time.monotonic() + settings.SETTLE_SECONDS, move))
        while settling and settling[0][0] <= time.monotonic():
            report(settling[0][1], _delete_original(settling.popleft()[1]))
    for due, move in settling:
        time.sleep(max(0.0, due - time.monotonic()))
        report(move, _delete_original(move))


def _batches(moves: Iterable[Move]) -> Iterator[list[Move]]:
    """Moves from one instance each, of as many songs as fit in memory."""
    for _, of_one in itertools.groupby(moves, key=lambda move: move.copy.shelf):
        batch: list[Move] = []
        hashes = 0
        for move in of_one:
            if batch and hashes + move.copy.song.total_hashes > settings.MOVE_BATCH_HASHES:
                yield batch
                batch, hashes = [], 0
            batch.append(move)
            hashes += move.copy.song.total_hashes
        if batch:
            yield batch


def _copied(batch: list[Move], report: Report) -> Iterator[Move]:
    """Copy songs of one instance; those that are whole in both places then."""
    shelf = batch[0].copy.shelf
    originals = shelf.ask(lambda driver: driver.fingerprints([move.copy.song.song_id for move in batch]))
    for move in batch:
        original = originals.pop(move.copy.song.song_id, None)
        if original is None:
            report(move, None)  # somebody has deleted or moved it since it was listed
        elif len(original) != move.copy.song.total_hashes:
            report(move, "some of its fingerprints are missing; delete it, and upload the file anew")
        elif _copy(move, original):
            yield move
        else:
            report(move, f"{move.to.name} did not give back what it was given; the original was kept")


def _copy(move: Move, original: Fingerprints) -> bool:
    """Make sure that the instance has the song, and see whether all of it is there, or the song gone altogether."""
    song = move.copy.song
    try:
        copy, made = (
            Copy(move.to.ask(lambda driver: driver.insert(song.name, song.sha1, original, song.about)), move.to),
            True,
        )
    except AlreadyFingerprinted as exc:
        copy, made = Copy(exc.song, move.to), False
    whole = _is_whole(copy, original)
    now = move.copy.shelf.find(song.sha1)
    if made and (now is None or not whole):
        # Whoever deleted the song meanwhile did not know of this copy, perhaps, and must not see it come back.
        copy.delete()
    elif made and now is not None and now.song.name != song.name:
        copy.rename(now.song.name)
    return whole or now is None


def _is_whole(copy: Copy, original: Fingerprints) -> bool:
    """Read a copy back and compare it. One made from the file by other code may differ, but must be complete."""
    song_id, total_hashes = copy.song.song_id, copy.song.total_hashes
    if total_hashes != len(original):
        found = copy.shelf.ask(lambda driver: driver.fingerprints([song_id]))
        return song_id in found and len(found[song_id]) == total_hashes
    hashes = np.unique(original.hashes)
    parts = [_part(copy, hashes[start : start + _ASKED_AT_ONCE]) for start in range(0, hashes.size, _ASKED_AT_ONCE)]
    found_hashes, offsets = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((offsets, found_hashes))
    same_hashes = np.array_equal(found_hashes[order], original.hashes)
    return same_hashes and np.array_equal(offsets[order], original.offsets) and _has_peaks(copy, original)


def _part(copy: Copy, hashes: UInt32s) -> tuple[UInt32s, UInt32s]:
    """Hashes and offsets that the song has under some hashes."""
    postings = copy.shelf.ask(lambda driver: driver.postings(hashes))
    own = postings.song_ids == copy.song.song_id
    return postings.hashes[own], postings.offsets[own]


def _has_peaks(copy: Copy, original: Fingerprints) -> bool:
    packed = {(copy.song.song_id, number): part for number, part in stretches.pack(original.peaks).items()}
    return copy.shelf.ask(lambda driver: driver.stretches(list(packed))) == packed


def _delete_original(move: Move) -> str | None:
    """Delete what was copied; where it must stay, the reason."""
    sha1 = move.copy.song.sha1
    original = move.copy.shelf.find(sha1)
    if original is None:
        return None
    if move.to.find(sha1) is None:
        return f"somebody has deleted the copy on {move.to.name}; the original was kept"
    original.delete()
    return None
