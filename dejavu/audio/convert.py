"""Decoded frames -> mono samples of one rate, many frames at once: a call for each would cost as much as decoding."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from dejavu.errors import UnsupportedMedia

Samples = NDArray[np.float32]

_CHUNK_SAMPLES = 32_768
"""Decoded samples that are resampled at once."""

_CHUNK_VALUES = 1 << 20
"""The same bound, counted over all channels: a file may claim hundreds of them."""

_MIN_SAMPLE_RATE, _MAX_SAMPLE_RATE = 2_000, 3_000_000
"""Hz. Below, nothing can be recognised and a sample would become thousands; above, there is nothing, not even DSD."""

_FILTER = {"filter_size": "16", "kaiser_beta": "5"}
"""The anti-aliasing filter. libav's own takes nearly twice the time to let through 1 dB more at 4.8 kHz and to keep
what is over 6.5 kHz 90 dB down instead of 60; no peak notices."""


class Converter:
    """Mixes down and resamples frames of one format, many of them at once."""

    def __init__(self, frame: AudioFrame, sample_rate: int) -> None:
        if not _MIN_SAMPLE_RATE <= frame.sample_rate <= _MAX_SAMPLE_RATE:
            raise UnsupportedMedia(f"A sample rate of {frame.sample_rate} Hz is not supported; send 8 to 192 kHz.")
        self._sample_rate = frame.sample_rate
        self._format = frame.format.name
        self._channels = frame.layout.nb_channels
        self._chunk = min(_CHUNK_SAMPLES, 2 * self._sample_rate, _CHUNK_VALUES // self._channels)
        self._fifo = AudioFifo()
        self._resampler = AudioResampler("flt", "mono", sample_rate, options=_FILTER)
        self._unmixed = AudioResampler("flt", frame.layout, sample_rate, options=_FILTER)

    def accepts(self, frame: AudioFrame) -> bool:
        """Whether the frame is like the first one. The FIFO would read past the end of one with fewer channels."""
        return (
            frame.layout.nb_channels == self._channels
            and frame.sample_rate == self._sample_rate
            and frame.format.name == self._format
        )

    def take(self, frame: AudioFrame) -> bool:
        """Put a frame to the others; True when it is time to convert them."""
        frame.pts = None  # the FIFO would insist on time stamps without gaps
        self._fifo.write(frame)
        return self._fifo.samples >= self._chunk

    def convert(self) -> Iterator[Samples]:
        """What has been taken, as samples."""
        frame = self._fifo.read()
        return iter(()) if frame is None else self._resample(frame)

    def finish(self) -> Iterator[Samples]:
        """The rest, with what the resampler still holds."""
        yield from self.convert()
        yield from self._resample(None)

    def _resample(self, frame: AudioFrame | None) -> Iterator[Samples]:
        try:
            resampled = self._resampler.resample(frame)
        except av.FFmpegError as exc:
            if self._resampler is self._unmixed:
                raise UnsupportedMedia(
                    "The file's channels cannot be mixed; convert it to stereo and send that."
                ) from exc
            # libav cannot mix what it knows no speakers for, such as 40 channels of a field recorder.
            self._resampler = self._unmixed
            yield from self._resample(frame)
            return
        for piece in resampled:
            if piece is None:  # where nothing has to be converted, a flush gives None back
                continue
            # Interleaved, since PyAV reads past its table of planes where a frame has more than eight.
            channels = piece.layout.nb_channels
            samples = np.frombuffer(memoryview(piece.planes[0]), np.float32, piece.samples * channels)
            yield samples if channels == 1 else samples.reshape(-1, channels).mean(axis=1)
