"""Candidates compared with the songs' own peaks, which a driver keeps in stretches of a minute."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from dejavu.config.settings import STRETCH_FRAMES
from dejavu.fingerprint.stretches import join, unpack
from dejavu.matching.align import Alignment
from dejavu.matching.chance import combined
from dejavu.matching.fit import anchored, fit, snapped
from dejavu.matching.placement import Placement, stretch_of
from dejavu.matching.verify import Agreement, agreement, agreements, evidence
from dejavu.model import UNCHANGED, Candidate, ClipPeaks, Peaks, Song
from dejavu.service.probe import Probe
from dejavu.store.driver import Driver

_log = logging.getLogger(__name__)

_MARGIN_FRAMES = 8
"""Peaks beside the stretch that a placement may reach while it is fitted."""

_CLOSELY = 8
"""Of the alignments, how many are fitted: more than TOPN, since fitting may change their order."""

_LEAST_SURPRISE = 3.0
"""What is less surprising before it is fitted passes in no catalogue, however small."""

_FIT_GAIN = 3.0
"""Decimal logarithm. A clip counts as played at another speed or pitch where that makes its agreement with the song
this much less of an accident; fitting as such gains one or two."""


_MOST_FITS = 4
"""Two mostly do."""


@dataclass(frozen=True, slots=True)
class Verified:
    """An alignment, where exactly the clip lies in the song, and how far their peaks agree there.

    peak_surprise : what that says for the song: by counting what agrees while the best place is looked for, and at last
        by weighing it (`matching.verify.evidence`).
    ways : in how many ways the clip may have been played, of which this is one.
    """

    alignment: Alignment
    placement: Placement
    agreement: Agreement
    peak_surprise: float
    ways: int

    @property
    def surprise(self) -> float:
        """How unlikely it is that an unrelated song agrees as well, of landmarks and peaks together."""
        return combined(self.alignment.surprise, self.peak_surprise, self.ways)

    def candidate(self, song: Song, asked_hashes: int) -> Candidate:
        """The same for whoever judges it."""
        return Candidate(
            song=song,
            delta=self.placement.delta,
            aligned_hashes=self.alignment.aligned_hashes,
            asked_hashes=asked_hashes,
            surprise=self.surprise,
            peak_share=self.agreement.share,
            warp=self.placement.warp,
        )


def verified(driver: Driver, alignments: Sequence[Alignment], probe: Probe) -> list[Verified]:
    """Look closely at each alignment, with one question to the database."""
    placed = [(found, Placement(float(found.delta), probe.warps[found.variant])) for found in alignments]
    needed = {(found.song_id, number) for found, place in placed for number in _stretches(probe.peaks, place)}
    packed = driver.stretches(sorted(needed)) if needed else {}
    stored = [_stored(packed, found.song_id, _stretches(probe.peaks, place)) for found, place in placed]
    counted = agreements([(peaks, place) for peaks, (_, place) in zip(stored, placed, strict=True)], probe.peaks)
    looked_at = [
        (Verified(found, place, agreed, agreed.surprise, len(probe.warps)), peaks)
        for (found, place), agreed, peaks in zip(placed, counted, stored, strict=True)
    ]
    looked_at.sort(key=lambda pair: pair[0].surprise, reverse=True)
    improve = _fitted if probe.scaled else _adjusted
    return [
        _judged(improve(one, peaks, probe.peaks), peaks, probe.peaks)
        for one, peaks in looked_at[:_CLOSELY]
        if one.surprise >= _LEAST_SURPRISE
    ]


def _moved(one: Verified, place: Placement, stored: Peaks, clip: ClipPeaks) -> Verified:
    """The same at another place."""
    counted = agreement(stored, clip, place)
    return replace(one, placement=place, agreement=counted, peak_surprise=counted.surprise)


def _judged(one: Verified, stored: Peaks, clip: ClipPeaks) -> Verified:
    """The same, with each peak weighed, so that what rhythm and harmony alone agree in counts for little."""
    return replace(one, peak_surprise=evidence(stored, clip, one.placement))


def _fitted(one: Verified, stored: Peaks, clip: ClipPeaks) -> Verified:
    """The same, moved from the nearest of the warps to how the clip was played."""
    return _moved(one, _settled(stored, clip, one.placement), stored, clip)


def _adjusted(one: Verified, stored: Peaks, clip: ClipPeaks) -> Verified:
    """The same, moved to where its peaks lie closest, at another speed or pitch where these say so clearly."""
    changed = _settled(stored, clip, one.placement)
    if changed.warp != UNCHANGED:
        better = _moved(one, changed, stored, clip)
        if better.peak_surprise >= one.peak_surprise + _FIT_GAIN:
            return _closer(better, stored, clip)
    moved = _moved(one, anchored(stored, clip, one.placement), stored, clip)
    return moved if moved.peak_surprise >= one.peak_surprise else replace(one, placement=moved.placement)


def _closer(one: Verified, stored: Peaks, clip: ClipPeaks) -> Verified:
    """The same, fitted for as long as that gains anything: a warp that nobody suspected is seldom met in one go."""
    for _ in range(_MOST_FITS):
        again = _moved(one, _settled(stored, clip, one.placement), stored, clip)
        if again.peak_surprise <= one.peak_surprise:
            break
        one = again
    return one


def _settled(stored: Peaks, clip: ClipPeaks, place: Placement) -> Placement:
    """Where the clip lies and how it was played, fitted, and said as simply as it can be."""
    fitted = fit(stored, clip, place)
    return anchored(stored, clip, Placement(fitted.delta, snapped(fitted.warp)))


def _stretches(peaks: ClipPeaks, place: Placement) -> range:
    """The numbers of the stretches that a clip lies in."""
    first, last = stretch_of(peaks, place)
    return range(
        max(0, int(first - _MARGIN_FRAMES)) // STRETCH_FRAMES, max(0, int(last + _MARGIN_FRAMES)) // STRETCH_FRAMES + 1
    )


def _stored(packed: Mapping[tuple[int, int], bytes], song_id: int, numbers: range) -> Peaks:
    """The stored peaks of these stretches; none where none are stored, or what is stored cannot be read."""
    found = {number: packed[song_id, number] for number in numbers if (song_id, number) in packed}
    try:
        return join(found)
    except ValueError:
        return join({number: part for number, part in found.items() if _readable(song_id, number, part)})


def _readable(song_id: int, number: int, part: bytes) -> bool:
    try:
        unpack(number, part)
    except ValueError:
        _warn_of_damage(song_id, number)
        return False
    return True


@lru_cache(maxsize=1024)
def _warn_of_damage(song_id: int, number: int) -> None:
    """Say it once: a damaged stretch of a song that is often played is read again and again."""
    _log.warning("stretch damaged song_id=%d number=%d; delete the song and add it again", song_id, number)
