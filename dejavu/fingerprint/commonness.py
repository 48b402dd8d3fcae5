"""How common a hash is in music, and which hashes of a clip are worth asking first.

Few hashes make most of a catalogue: low notes, held notes, quick successions. A posting of one of them costs as much as
any other and says little. How common each is, is known beforehand from the statistics of real music
(`hash_shares.npz`, made by `benchmarks/hash_shares.py`), so that no database has to be asked.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dejavu.config import settings
from dejavu.fingerprint.landmarks import unpack
from dejavu.model import Query, UInt32s

SHARES_FILE = Path(__file__).with_name("hash_shares.npz")
"""`anchors`: float32[bins], the share of landmarks with the anchor in each bin; `targets`: float32[bins to the target +
MAX_TARGET_BINS, frames to it], the share with the target there."""


def expected_postings(hashes: UInt32s, fingerprints_held: int) -> NDArray[np.float64]:
    """How many of `fingerprints_held` fingerprints of any music have each of these hashes; float64[n].

    Anchor and target are taken to be independent.
    """
    anchors, targets = _shares()
    anchor_bins, target_bins, frames = unpack(hashes)
    shares = anchors[anchor_bins] * targets[target_bins - anchor_bins + settings.MAX_TARGET_BINS, frames]
    expected: NDArray[np.float64] = fingerprints_held * shares
    return expected


def asking_order(ranks: NDArray[np.uint8], expected: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of landmarks, those first that promise most for what they cost.

    A landmark is stored with a probability that falls exponentially with its rank, and costs a look-up and the postings
    that are expected of it.
    """
    return np.argsort(ranks / settings.RANK_SCALE + np.log(settings.LOOK_UP_COST + expected), kind="stable")


def in_asking_order(query: Query, fingerprints_held: int) -> tuple[Query, NDArray[np.float64]]:
    """A query sorted for a catalogue of this size, and how many postings its first 1, 2, … landmarks are to bring."""
    expected = expected_postings(query.hashes, fingerprints_held)
    order = asking_order(query.ranks, expected)
    ordered = Query(query.hashes[order], query.offsets[order], query.ranks[order], query.peaks)
    return ordered, np.cumsum(expected[order])


@cache
def _shares() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with np.load(SHARES_FILE, allow_pickle=False) as columns:
        return columns["anchors"].astype(np.float64), columns["targets"].astype(np.float64)
