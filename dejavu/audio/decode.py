"""Media file -> mono samples, by PyAV, in this process and in bounded memory.

The file is a seekable object, never a path: phone videos keep their index at the end, and a name would tell libav what
to believe. `formats` says what is opened at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard

from dejavu.audio.convert import Converter, Samples
from dejavu.audio.formats import CODECS, OPTIONS
from dejavu.config.settings import ANALYSIS_FS
from dejavu.errors import NoAudio, UnsupportedMedia

BLOCK_SECONDS = 20.0
"""How much sound a block holds: long enough to be worth a call, short enough (0.9 MB) to forget about."""

PREROLL_SECONDS = 0.5
"""How far before the start decoding begins, since codecs need what came before: Opus 80 ms, MP3 its bit reservoir."""

_LONGEST_SECONDS = 1e9
"""30 years: longer than any file, and still a number of ticks that libav can count in 64 bits."""

_MAX_FAILURES_IN_A_ROW = 10_000
"""Broken packets without a good one between them: minutes of them mean that the rest is not media."""

_LOUDEST = 1e3
"""Sample values beyond this (60 dB over full scale) are damage, and their squares would drown everything else."""

_NOT_MEDIA = "Nothing in this file can be decoded as audio or video; send a file that a media player plays."

_CODECS = frozenset(CODECS.split(","))

av.logging.set_level(None)


class SeekableFile(Protocol):
    """What a media file has to do; every binary file object that can seek does."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes from the current position; none at the end."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move; the new position."""

    def tell(self) -> int:
        """The current position."""


class _NamelessFile:
    """What libav sees of a file. The name says nothing, so that only the content decides what it is."""

    name = "media"

    def __init__(self, file: SeekableFile) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def decode(
    file: SeekableFile,
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    sample_rate: int = ANALYSIS_FS,
) -> Iterator[Samples]:
    """Decode the sound of a media file as mono float32 blocks at `sample_rate` Hz; full scale is ±1, all is finite.

    file : at any position; it is not closed.
    start_seconds, duration_seconds : the stretch to decode, counted from the first sample; None means to the end. The
        start is reached by seeking where the format can.

    A file that is damaged in places yields what can be decoded of it. Raises, while iterating, `UnsupportedMedia` where
    nothing decodes, and `NoAudio` where there is no sound stream, or no sound in that stretch.
    """
    start_seconds = min(start_seconds, _LONGEST_SECONDS)
    wanted = None
    if duration_seconds is not None:
        wanted = max(1, round(min(duration_seconds, _LONGEST_SECONDS) * sample_rate))
    position, pieces = _open_at(file, start_seconds, sample_rate)
    to_skip = round((start_seconds - position) * sample_rate)
    decoded = given = waiting = 0
    pending: list[Samples] = []
    for piece in pieces:
        kept = piece[max(0, to_skip - decoded) :]
        if wanted is not None:
            kept = kept[: wanted - given]
        decoded += piece.size
        if not kept.size:
            continue  # even an empty slice would hold on to the whole piece
        given += kept.size
        waiting += kept.size
        pending.append(kept)
        if given == wanted:
            break
        if waiting >= BLOCK_SECONDS * sample_rate:
            yield _sane(np.concatenate(pending))
            pending.clear()
            waiting = 0
    if not given:
        raise _nothing_there(start_seconds, position + decoded / sample_rate)
    if waiting:
        yield _sane(np.concatenate(pending))


def _nothing_there(start_seconds: float, found_seconds: float) -> NoAudio:
    if start_seconds > 0 and found_seconds > 0:
        return NoAudio(
            f"The start of {start_seconds:g} s is past the end: the file holds {found_seconds:.1f} s of sound."
        )
    return NoAudio("The file's audio stream holds no sound at all.")


def _open_at(file: SeekableFile, start_seconds: float, sample_rate: int) -> tuple[float, Iterator[Samples]]:
    """Resampled pieces from `start_seconds` or somewhat before, and where that is (seconds from the first sample)."""
    container, stream = open_media(file)
    frames = _frames(container, stream)
    first = next(frames, None)
    position = 0.0
    if first is not None and start_seconds > 2 * PREROLL_SECONDS:
        sought = _seek(container, stream, first, start_seconds)
        if sought is None:
            container.close()
            container, stream = open_media(file)
            frames = _frames(container, stream)
            first = next(frames, None)
        else:
            position, first, frames = sought
    return position, _resampled(container, chain([] if first is None else [first], frames), sample_rate)


def open_media(file: SeekableFile) -> tuple[InputContainer, AudioStream]:
    """The container and the sound in it that a player would choose; raises `UnsupportedMedia` and `NoAudio`."""
    file.seek(0)
    try:
        # Undecodable bytes in tags must not be what a file fails for.
        container = av.open(_NamelessFile(file), mode="r", options=OPTIONS, metadata_errors="replace")
    except av.FFmpegError as exc:
        raise UnsupportedMedia(_NOT_MEDIA) from exc
    stream = _best_audio(container)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all  # cover art and video are not even read where the container allows
    return container, stream


def _best_audio(container: InputContainer) -> AudioStream:
    """The stream a player would choose, among those that can be decoded."""
    if not container.streams.audio:
        if container.streams.video:
            raise NoAudio("The file is a video without an audio stream; send one with sound.")
        raise UnsupportedMedia(_NOT_MEDIA)
    best = container.streams.best("audio")
    for stream in sorted(container.streams.audio, key=lambda stream: stream is not best):
        # Whatever its annotation says, the context is None where libav lacks the decoder.
        if stream.codec_context is not None and stream.codec_context.name in _CODECS:
            return stream
    raise UnsupportedMedia("The file's audio format is not supported; convert it to MP3, AAC, FLAC or WAV.")


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Every frame that decodes, stepping over the packets that do not."""
    failures = decoded = 0
    while failures < _MAX_FAILURES_IN_A_ROW:
        try:
            for frame in container.decode(stream):
                failures = 0
                decoded += 1
                yield frame
            break
        except av.error.EOFError:
            break
        except av.FFmpegError:
            failures += 1
    if failures and not decoded:
        raise UnsupportedMedia(_NOT_MEDIA)


def _seek(
    container: InputContainer, stream: AudioStream, first: AudioFrame, start_seconds: float
) -> tuple[float, AudioFrame, Iterator[AudioFrame]] | None:
    """Go to just before `start_seconds`: where that is, the frame there, and those that follow.

    None where the format has no time stamps, cannot seek, or went too far: then decoding has to begin at the beginning.
    first : the file's first frame. Streams need not start at 0, and what an encoder put before the music is trimmed by
        the decoder, so only this frame says where time begins.
    """
    time_base = stream.time_base
    if first.pts is None or time_base is None:
        return None
    try:
        container.seek(first.pts + int((start_seconds - PREROLL_SECONDS) / time_base), stream=stream)
    except av.FFmpegError:
        return None
    frames = _frames(container, stream)
    for frame in frames:
        if frame.pts is not None:  # Ogg knows the time at the end of a page only, so the first few may carry none
            position = float((frame.pts - first.pts) * time_base)
            return (position, frame, frames) if 0 <= position <= start_seconds else None
    return None


def _resampled(container: InputContainer, frames: Iterator[AudioFrame], sample_rate: int) -> Iterator[Samples]:
    """Frames -> mono pieces at `sample_rate`; the container is closed behind them."""
    with container:
        converter: Converter | None = None
        for frame in frames:
            if converter is None or not converter.accepts(frame):
                if converter is not None:
                    yield from converter.finish()
                converter = Converter(frame, sample_rate)
            if converter.take(frame):
                yield from converter.convert()
        if converter is not None:
            yield from converter.finish()


def _sane(block: Samples) -> Samples:
    """The block with infinite, absurd and undefined samples made harmless; files of floats can hold such."""
    with np.errstate(all="ignore"):
        energy = float(np.dot(block, block))
    if energy < _LOUDEST**2:
        return block
    return np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -_LOUDEST, _LOUDEST)
