"""Clips that hold no music: speech, what is heard in streets and rooms, white and pink noise. None may be answered."""

from __future__ import annotations

import csv
import subprocess
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.material import ALL_LENGTHS, Clip, audio_folder, require_ffmpeg
from benchmarks.report import OUT

RATE = 44_100
"""Hz, of the clips."""

SPEECH, NOISE = "speech", "noise"
"""The roles of such clips."""

_LOUDNESS = 0.1
"""Root mean square of made noise; full scale is 1."""

Draw = Callable[[np.random.Generator, float, Path], tuple[str, float]]


@dataclass(frozen=True, slots=True)
class _Recording:
    path: Path
    role: str
    seconds: float


def background_clips(seed: int, per_length: int, lengths: Sequence[float] = ALL_LENGTHS) -> list[Clip]:
    """So many clips of each kind and length: speech, background recordings, white and pink noise.

    The recordings are those of the folder `noise` of the music, with a manifest of their own. Without it there are the
    two kinds that are made here. The same seed cuts the same clips; they are kept in benchmarks/out.
    """
    sources = _recordings()
    draws = {
        (role, role): _cutter([one for one in sources if one.role == role])
        for role in (SPEECH, NOISE)
        if any(one.role == role for one in sources)
    } | {(NOISE, "white"): _maker(white), (NOISE, "pink"): _maker(pink)}
    name = f"{audio_folder().resolve().parent.name}_{audio_folder().name}_seed{seed}_background"
    folder = OUT / "clips" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(role, kind, length, number) for role, kind in draws for length in lengths for number in range(per_length)]
    return [
        _clip(folder, seed, role, kind, length, number, draws[role, kind])
        for role, kind, length, number in tqdm(rows, desc="cutting speech and noise", unit="clip")
    ]


def white(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of equal power at all frequencies."""
    return rng.standard_normal(samples)


def pink(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1.0)), samples)


def _recordings() -> list[_Recording]:
    """Babble of many speakers is speech; a crowd that was recorded is noise."""
    manifest = audio_folder() / "noise" / "manifest.csv"
    if not manifest.is_file():
        return []
    with manifest.open(newline="") as file:
        return [
            _Recording(
                audio_folder() / row["file"],
                SPEECH if row["kind"].startswith(("speech", "babble")) else NOISE,
                float(row["duration_s"]),
            )
            for row in csv.DictReader(file)
        ]


def _clip(folder: Path, seed: int, role: str, kind: str, length: float, number: int, draw: Draw) -> Clip:
    path = folder / f"{kind}-{length:g}s-{number:03}.wav"
    # Every clip has numbers of its own, so that more clips are the same ones and others.
    rng = np.random.default_rng([seed, *kind.encode(), round(length * 10), number])
    file, start = draw(rng, length, path)
    return Clip(path, file, role, kind, length, start, seed)


def _cutter(sources: Sequence[_Recording]) -> Draw:
    def cut(rng: np.random.Generator, length: float, path: Path) -> tuple[str, float]:
        source = sources[int(rng.integers(len(sources)))]
        start = round(float(rng.uniform(0, max(source.seconds - length, 0.0))), 3)
        if not path.is_file():
            require_ffmpeg()
            command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-ss", f"{start}", "-t", f"{length}"]
            part = path.with_suffix(".part")
            command += ["-i", str(source.path), "-ac", "1", "-ar", str(RATE), "-f", "wav", str(part)]
            subprocess.run(command, check=True)
            part.rename(path)
        return source.path.name, start

    return cut


def _maker(noise: Callable[[int, np.random.Generator], NDArray[np.float64]]) -> Draw:
    def make(rng: np.random.Generator, length: float, path: Path) -> tuple[str, float]:
        if not path.is_file():
            made = noise(round(length * RATE), rng)
            write_wav(path, made * (_LOUDNESS / np.sqrt(np.mean(np.square(made)))))
        return "", 0.0

    return make


def write_wav(path: Path, samples: NDArray[np.floating]) -> None:
    """Write mono samples in -1..1 at RATE as 16 bits; what is beyond is clipped."""
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    part.rename(path)
