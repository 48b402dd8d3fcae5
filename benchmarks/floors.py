"""What cannot be done faster: the least work that any service in Python with these libraries has to do in a stage.

Each function here prepares a piece of work on what the stage itself was given, and leaves carrying it out to whoever
takes the time.
"""

from __future__ import annotations

import io
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence

import av
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from dejavu.audio.convert import _FILTER
from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH, N_FFT
from dejavu.fingerprint.spectrogram import _WINDOW
from dejavu.model import Postings, UInt32s

Work = Callable[[], object]

_RAW = -zlib.MAX_WBITS


def seconds_of(works: Iterable[Work]) -> float:
    """How long some pieces of work take, one after the other."""
    began = time.perf_counter()
    for work in works:
        work()
    return time.perf_counter() - began


def write_file(media: bytes) -> None:
    """Put the bytes of a clip into a file that has a descriptor."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(media)


def decode_frames(media: bytes) -> int:
    """PyAV's loop over the frames, which are left as they are; how many samples they have."""
    with av.open(io.BytesIO(media), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def decode_and_resample(media: bytes) -> NDArray[np.float32]:
    """The same, and all frames mixed down and resampled in one call, with the service's own filter.

    A call for each frame, as one writes it at first, takes longer.
    """
    fifo = av.AudioFifo()
    resampler = av.AudioResampler("flt", "mono", ANALYSIS_FS, options=_FILTER)
    with av.open(io.BytesIO(media), "r") as container:
        for frame in container.decode(audio=0):
            frame.pts = None
            fifo.write(frame)
        pieces = [piece for whole in (fifo.read(), None) for piece in resampler.resample(whole) if piece is not None]
    return np.concatenate([np.frombuffer(memoryview(piece.planes[0]), np.float32, piece.samples) for piece in pieces])


def transform(samples: NDArray[np.float32]) -> Work:
    """The FFT, by scipy, of all frames of some samples, which are cut and windowed beforehand, in one call."""
    frames = windowed(samples)
    return lambda: fft.rfft(frames, axis=1)


def windowed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frames that a spectrogram of these samples is made of, times the window."""
    frames: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP_LENGTH] * _WINDOW
    return frames


def maxima(power: NDArray[np.float32], box_frames: int, box_bins: int) -> Work:
    """`highest_nearby` of a spectrogram with this box, in memory that is there already.

    A peak is what equals the highest value of its box, so this is what finding peaks cannot do without. scipy's
    `maximum_filter` is no floor: it takes many times as long.
    """
    spare = np.empty(power.size, np.float32), np.empty(power.size, np.float32)
    return lambda: highest_nearby(power, box_frames, box_bins, spare)


def highest_nearby(
    power: NDArray[np.float32],
    box_frames: int,
    box_bins: int,
    spare: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The highest value of the box that begins at each place; at the edges, where none fits, anything.

    As few passes of `numpy.maximum` as the doubling of a window allows, over the rows as one, which numpy goes through
    four times as fast as row by row.

    power : float32[frames, bins]; spare : float32[frames * bins] each, written to.
    """
    values: NDArray[np.float32] = np.ascontiguousarray(power).reshape(-1)
    written, other = spare
    for width, stride in ((box_bins, 1), (box_frames, power.shape[1])):
        covered = 1
        while covered < width:
            step = min(covered, width - covered)
            np.maximum(values[: -step * stride], values[step * stride :], out=written[: -step * stride])
            written[-step * stride :] = values[-step * stride :]
            values, written, other = written, other, written
            covered += step
    return values.reshape(power.shape)


def sort(values: NDArray[np.unsignedinteger]) -> Work:
    """Sort these numbers."""
    return lambda: np.sort(values)


def in_order(hashes: UInt32s, offsets: UInt32s) -> NDArray[np.uint64]:
    """Landmarks as sortable numbers, in the order in which they are given."""
    keys: NDArray[np.uint64] = hashes.astype(np.uint64) << np.uint64(32) | offsets
    return keys


def by_song(postings: Postings) -> NDArray[np.uint64]:
    """Postings likewise."""
    return in_order(postings.song_ids, postings.offsets)


def inflate(stretches: Sequence[bytes]) -> Work:
    """Decompress the two columns of each stretch."""

    def work() -> None:
        for packed in stretches:
            for _ in range(2):
                column = zlib.decompressobj(_RAW)
                column.decompress(packed)
                packed = column.unused_data

    return work
