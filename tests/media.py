"""Tiny media files of every kind, made in memory by PyAV's encoders from a seeded, music-like signal."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_MUXER_OPTIONS = frozenset({"movflags", "write_xing"})
_FRAME_SAMPLES = 1024
_PICTURES_A_SECOND = 10


@cache
def music(
    seconds: float, *, sample_rate: int = 44_100, seed: int = 1, tempo: float = 1.0, pitch: float = 1.0
) -> Samples:
    """Mono float32[n] like a tune: other notes with overtones every 100 to 200 ms, over a little noise.

    It never repeats and has a rhythm of its own, so that two of them have no more in common than chance gives them. The
    same tune may be played with another `tempo`, which makes it that much shorter, and at another `pitch`.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(round(seconds * sample_rate), np.float32)
    count = round(noise.size / tempo)
    signal = 0.003 * np.resize(noise, count)
    time = np.arange(round(0.3 * sample_rate), dtype=np.float32) / sample_rate
    fading = 0.08 * np.exp(-6 * time)
    beginning = 0.0
    while (start := round(beginning / tempo * sample_rate)) < count:
        length = min(count - start, time.size)
        for tone in rng.uniform(150, 1200, 3):
            for overtone in (1, 2, 3):
                note = np.sin(2 * np.pi * pitch * tone * overtone * time[:length]) / overtone
                signal[start : start + length] += fading[:length] * note
        beginning += rng.uniform(0.1, 0.2)
    signal.setflags(write=False)
    return signal


@dataclass(frozen=True)
class Format:
    """How one kind of file is made. Options are the encoder's, but for those of `_MUXER_OPTIONS`."""

    container: str
    codec: str
    sample_rate: int = 44_100
    layout: str = "stereo"
    options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    "mp3": Format("mp3", "libmp3lame"),
    "mp3 vbr": Format("mp3", "libmp3lame", options={"flags": "qscale", "global_quality": "472"}),
    "mp3 without index": Format("mp3", "libmp3lame", options={"write_xing": "0"}),
    "mp3 mono 22 kHz": Format("mp3", "libmp3lame", 22_050, "mono"),
    "m4a": Format("ipod", "aac"),
    "raw aac": Format("adts", "aac"),
    "mov": Format("mov", "aac", 48_000),
    "mp4 fragmented": Format("mp4", "aac", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "alac": Format("ipod", "alac"),
    "mkv": Format("matroska", "flac", 48_000),
    "webm": Format("webm", "libopus", 48_000),
    "opus": Format("opus", "libopus", 48_000),
    "ogg vorbis": Format("ogg", "vorbis", options={"strict": "experimental"}),
    "flac": Format("flac", "flac"),
    "flac 24 bit 96 kHz": Format("flac", "flac", 96_000, options={"sample_fmt": "s32"}),
    "wav": Format("wav", "pcm_s16le"),
    "wav 24 bit": Format("wav", "pcm_s24le"),
    "wav float": Format("wav", "pcm_f32le"),
    "wav 8 bit mono 8 kHz": Format("wav", "pcm_u8", 8_000, "mono"),
    "wav 192 kHz": Format("wav", "pcm_s16le", 192_000, "mono"),
    "wav 5.1": Format("wav", "pcm_s16le", 48_000, "5.1"),
    "wav at the target's rate": Format("wav", "pcm_f32le", 11_025, "mono"),
    "aiff": Format("aiff", "pcm_s16be"),
    "wma": Format("asf", "wmav2", options={"b": "128000"}),
    "amr": Format("amr", "libopencore_amrnb", 8_000, "mono", {"b": "12200"}),
    "mpeg ts": Format("mpegts", "aac", 48_000),
    "avi": Format("avi", "libmp3lame"),
    "flv": Format("flv", "aac"),
    "ac3": Format("ac3", "ac3", 48_000, "5.1"),
}


@cache
def tune(kind: str, seconds: float = 4.0, *, seed: int = 1) -> bytes:
    """A file of one of `FORMATS` with `music` in it."""
    return encode(music(seconds, sample_rate=FORMATS[kind].sample_rate, seed=seed), FORMATS[kind])


def encode(samples: Samples, made: Format, *, video_seconds: float = 0.0, cover: bool = False) -> bytes:
    """A file with these mono samples, at the format's sample rate, in each of its channels; empty ones make no stream.

    video_seconds adds moving pictures, cover a still one.
    """
    buffer = io.BytesIO()
    muxing = {name: value for name, value in made.options.items() if name in _MUXER_OPTIONS}
    with av.open(buffer, "w", format=made.container, options=muxing) as container:
        # All streams have to be there before the first packet is written.
        picture = _add_picture_stream(container, cover) if video_seconds or cover else None
        sound = _add_sound_stream(container, made) if samples.size else None
        if picture:
            _write_pictures(container, picture, 1 if cover else round(video_seconds * _PICTURES_A_SECOND))
        if sound:
            _write_sound(container, sound, samples, made)
    return buffer.getvalue()


def wav(samples: NDArray[np.float32], sample_rate: int = 44_100) -> bytes:
    """A WAV file of exactly these floats: float32[n] or float32[channels, n]."""
    channels = np.atleast_2d(samples)
    data = np.ascontiguousarray(channels.T, "<f4").tobytes()
    frame_bytes = 4 * len(channels)
    floats = 3
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16)
    body += struct.pack("<HHIIHH", floats, len(channels), sample_rate, sample_rate * frame_bytes, frame_bytes, 32)
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _add_sound_stream(container: OutputContainer, made: Format) -> AudioStream:
    options = {name: value for name, value in made.options.items() if name not in _MUXER_OPTIONS | {"sample_fmt"}}
    stream = container.add_stream(made.codec, made.sample_rate, layout=made.layout, options=options)
    if "sample_fmt" in made.options:
        stream.format = made.options["sample_fmt"]
    return stream


def _write_sound(container: OutputContainer, stream: AudioStream, samples: Samples, made: Format) -> None:
    for start in range(0, samples.size, _FRAME_SAMPLES):
        channels = np.tile(samples[start : start + _FRAME_SAMPLES], (stream.layout.nb_channels, 1))
        frame = av.AudioFrame.from_ndarray(channels, "fltp", made.layout)
        frame.sample_rate, frame.pts, frame.time_base = made.sample_rate, start, Fraction(1, made.sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _add_picture_stream(container: OutputContainer, cover: bool) -> VideoStream:
    stream = container.add_stream("mjpeg" if cover else "mpeg4", rate=_PICTURES_A_SECOND)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuvj420p" if cover else "yuv420p"
    if cover:
        stream.disposition = Disposition.attached_pic
    return stream


def _write_pictures(container: OutputContainer, stream: VideoStream, count: int) -> None:
    for index in range(count):
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * (index % 10), np.uint8), "rgb24")
        container.mux(stream.encode(picture))
    container.mux(stream.encode(None))


def upload(content: bytes) -> BinaryIO:
    """An anonymous temporary file with this in it, at its end, as a request leaves it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(content)
    return file
