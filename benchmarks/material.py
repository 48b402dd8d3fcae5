"""The music and the clips that benchmarks work on; both lie beside the project and are not part of it."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydub import AudioSegment
from tqdm import tqdm

from benchmarks.report import OUT, PROJECT

CHANGED = ("speed", "tempo", "pitch")
"""What the conditions begin with that play a recording faster, slower, higher or lower."""

ALL_LENGTHS = (3.0, 5.0, 10.0)
"""Seconds; the lengths of clips that other systems were measured with."""

_FRAMES_OF_MP3 = (
    "-f mp3 -c:a libmp3lame -b:a 128k -ar 44100 -ac 2 -map_metadata -1 -id3v2_version 0 -write_xing 0 pipe:1"
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of real music. Those with the role `unknown` are never added to a catalogue."""

    path: Path
    role: str
    codec: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a recording, degraded: seconds `start` to `start + length` of `file`. `seed` is that of its set."""

    path: Path
    file: str
    role: str
    condition: str
    length: float
    start: float
    seed: int

    @property
    def known(self) -> bool:
        """Whether the recording it was cut from is in the catalogue."""
        return self.role == "reference"


def audio_folder() -> Path:
    """The folder with the music; ends the command where there is none."""
    return _folder("TUNESCOUT_AUDIO", "audio", "manifest.csv", "music with a manifest.csv")


def eval_file(name: str) -> Path:
    """One of the evaluation tools or tables; ends the command where it is missing."""
    return _folder("TUNESCOUT_EVAL", "eval", name, f"the evaluation tools with {name}") / name


def recordings(*roles: str) -> list[Recording]:
    """The recordings with these roles, in the order of the manifest; all of them where no role is given."""
    folder = audio_folder()
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not roles or row["role"] in roles]
    return [Recording(folder / row["file"], row["role"], row["codec"], float(row["duration_s"])) for row in rows]


def make_clips(
    seed: int, per_condition: int, conditions: Sequence[str] = (), lengths: Sequence[float] = ALL_LENGTHS
) -> list[Clip]:
    """Cut so many clips for each condition (default: all there are) and length; the same seed cuts the same clips.

    They are kept in benchmarks/out, and a set of all conditions that is there already serves for any of them.
    """
    complete = _clip_folder(seed, per_condition, (), ALL_LENGTHS)
    folder = complete if _is_complete(complete) else _clip_folder(seed, per_condition, conditions, lengths)
    if not _is_complete(folder):
        _run_make_queries(folder, seed, per_condition, conditions, lengths)
    with (folder / "queries.csv").open(newline="") as file:
        clips = [
            Clip(
                path=folder / row["query"],
                file=row["file"],
                role=row["role"],
                condition=row["condition"],
                length=float(row["length_s"]),
                start=float(row["start_s"]),
                seed=seed,
            )
            for row in csv.DictReader(file)
        ]
    return [clip for clip in clips if (not conditions or clip.condition in conditions) and clip.length in lengths]


def require_ffmpeg() -> None:
    """End the command where the ffmpeg command, which cuts and encodes clips, is missing."""
    if not shutil.which("ffmpeg"):
        raise SystemExit("The ffmpeg command is missing; install it, as with: sudo apt-get install ffmpeg")


def as_mp3(clip: Clip) -> bytes:
    """The clip as people send it: MP3, 128 kbit/s."""
    require_ffmpeg()
    encoded = io.BytesIO()
    AudioSegment.from_wav(clip.path).export(encoded, format="mp3", bitrate="128k")
    return encoded.getvalue()


def encode_mp3(path: Path) -> bytes:
    """A whole file as MP3, 128 kbit/s, stereo, with nothing but frames: those of another may follow them."""
    require_ffmpeg()
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), *_FRAMES_OF_MP3.split()]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def _folder(variable: str, default: str, needed: str, what: str) -> Path:
    folder = Path(os.environ.get(variable) or PROJECT.parent / "shared" / default)
    if not (folder / needed).is_file():
        raise SystemExit(f"No {needed} in {folder}; set {variable} to the folder that holds {what}.")
    return folder


def _clip_folder(seed: int, per_condition: int, conditions: Sequence[str], lengths: Sequence[float]) -> Path:
    parts = [audio_folder().resolve().parent.name, audio_folder().name, f"seed{seed}", f"{per_condition}each"]
    if conditions:
        parts += sorted(conditions)
    if tuple(lengths) != ALL_LENGTHS:
        parts += [f"{length:g}s" for length in lengths]
    return OUT / "clips" / "_".join(parts)


def _is_complete(folder: Path) -> bool:
    return (folder / "queries.csv").is_file()  # written when all clips are


def _run_make_queries(
    folder: Path, seed: int, per_condition: int, conditions: Sequence[str], lengths: Sequence[float]
) -> None:
    require_ffmpeg()
    command = [sys.executable, str(eval_file("make_queries.py")), str(audio_folder()), str(folder)]
    command += ["--seed", str(seed), "--per-condition", str(per_condition), "--lengths", *map(str, lengths)]
    if conditions:
        command += ["--conditions", *conditions]
    total = per_condition * len(conditions) * len(lengths) or None
    folder.mkdir(parents=True, exist_ok=True)
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as process,
        tqdm(desc="cutting clips", total=total, unit="clip") as bar,
    ):
        while process.poll() is None:
            try:
                process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                bar.update(sum(1 for _ in folder.glob("*.wav")) - bar.n)
    if process.returncode:
        raise SystemExit(f"{command[1]} ended with exit code {process.returncode}; its message is above.")
