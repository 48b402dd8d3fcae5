"""What is kept under a token: the answer to the letter, and the clip's peaks, from which its picture can be drawn.

The text is the answer, one line of JSON, and in a second line the peaks. Answers of versions that kept no peaks are the
first line alone. The clip's sound is not kept: of a few hundred peaks nobody can make it again.

Peaks are packed as columns, little-endian: frames * 8 and bins * 32 as uint16, ranks as uint8; compressed, in base64.
What is finer than that is less than a pixel of any picture.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dejavu.model import ClipPeaks

_VERSION = "1:"
_PARTS_OF_FRAME = 8
_PARTS_OF_BIN = 32
_BYTES_OF_PEAK = 5
_MOST_PEAKS = 20_000
"""Ten times those of QUERY_DENSE_SECONDS."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was sent, and the peaks of its clip as they are `packed`; "" where none were kept."""

    answer: str
    packed: str = ""

    @classmethod
    def of(cls, answer: str, peaks: ClipPeaks) -> Kept:
        """An answer and the peaks it was found by."""
        return cls(answer, _VERSION + _packed(peaks))

    @classmethod
    def from_text(cls, text: str) -> Kept:
        """What was stored."""
        answer, _, packed = text.partition("\n")
        return cls(answer, packed)

    def to_text(self) -> str:
        """What is stored."""
        return f"{self.answer}\n{self.packed}"

    @property
    def peaks(self) -> ClipPeaks | None:
        """The peaks of the clip; None where none were kept, or they cannot be read."""
        return _unpacked(self.packed.removeprefix(_VERSION)) if self.packed.startswith(_VERSION) else None


def _packed(peaks: ClipPeaks) -> str:
    columns = (
        _scaled(peaks.frames, _PARTS_OF_FRAME),
        _scaled(peaks.bins, _PARTS_OF_BIN),
        peaks.ranks.astype("u1"),
    )
    return base64.b64encode(zlib.compress(b"".join(column.tobytes() for column in columns))).decode()


def _unpacked(text: str) -> ClipPeaks | None:
    try:
        inflate = zlib.decompressobj()
        packed = inflate.decompress(base64.b64decode(text, validate=True), _MOST_PEAKS * _BYTES_OF_PEAK + 1)
    except (binascii.Error, ValueError, zlib.error):
        return None
    count, rest = divmod(len(packed), _BYTES_OF_PEAK)
    if rest or count > _MOST_PEAKS or not inflate.eof:
        return None
    frames = np.frombuffer(packed, "<u2", count).astype(np.float32) / np.float32(_PARTS_OF_FRAME)
    bins = np.frombuffer(packed, "<u2", count, 2 * count).astype(np.float32) / np.float32(_PARTS_OF_BIN)
    if np.any(frames[1:] < frames[:-1]):
        return None
    return ClipPeaks(frames, bins, np.frombuffer(packed, np.uint8, count, 4 * count))


def _scaled(values: NDArray[np.float32], parts: int) -> NDArray[np.uint16]:
    scaled: NDArray[np.uint16] = np.clip(np.rint(values * parts), 0, np.iinfo(np.uint16).max).astype("<u2")
    return scaled
