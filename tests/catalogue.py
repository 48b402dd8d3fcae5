"""Deployments on SQLite files, and tiny songs to fill them with."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import media
import pytest

from dejavu.config.database import SqliteDatabase
from dejavu.config.deployment import Deployment, InstanceConfig, RecognizingConfig, ResultsConfig
from dejavu.errors import StoreUnavailable
from dejavu.service.instance import Instance

SONG_SECONDS = 14.0
SAMPLE_RATE = 44_100


def make_deployment(
    folder: Path, instances: int = 2, results: int = 2, max_duration_seconds: float | None = None
) -> Deployment:
    """So many instances and results databases, as files in `folder`."""
    return Deployment(
        instances=tuple(
            InstanceConfig(f"instances[{index}]", SqliteDatabase(folder / f"fingerprints-{index}.db"))
            for index in range(instances)
        ),
        results=tuple(
            ResultsConfig(f"results[{index}]", SqliteDatabase(folder / f"results-{index}.db"))
            for index in range(results)
        ),
        recognizing=RecognizingConfig(max_duration_seconds=max_duration_seconds),
    )


def samples(seed: int) -> media.Samples:
    """A song of its own for every seed, mono at SAMPLE_RATE."""
    return media.music(SONG_SECONDS, seed=seed)


def song(seed: int) -> bytes:
    """That song as a WAV file."""
    return media.wav(samples(seed))


@cache
def clip(seed: int, start_seconds: float, seconds: float) -> bytes:
    """A stretch of that song as an MP3 file."""
    first = round(start_seconds * SAMPLE_RATE)
    return media.encode(samples(seed)[first : first + round(seconds * SAMPLE_RATE)], media.FORMATS["mp3"])


@contextmanager
def uploaded(data: bytes) -> Iterator[BinaryIO]:
    """An open file without a name, as the web layer hands over."""
    with tempfile.TemporaryFile("w+b") as file:
        file.write(data)
        file.seek(0)
        yield cast(BinaryIO, file)


def break_database(deployment: Deployment, instance: Instance) -> Callable[[], None]:
    """Put a folder where the file of an instance was, and let the instance notice; returns what mends it."""
    (path,) = (config.database.path for config in deployment.instances if config.name == instance.name)
    away = path.with_name(f"{path.name} away")
    away.mkdir()
    files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
    for file in files:
        file.rename(away / file.name)
    path.mkdir()
    with pytest.raises(StoreUnavailable):
        instance.answer(instance.ask(lambda i: i.find_song("0" * 40)))

    def mend() -> None:
        path.rmdir()
        for file in files:
            (away / file.name).rename(file)

    return mend


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether `condition` comes true; looked at often, because background threads say nothing when they are done."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.005)
    return True
