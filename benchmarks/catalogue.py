"""A catalogue of the reference recordings: in process, or behind the real server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from benchmarks.material import Recording
from benchmarks.report import CORES, PROJECT
from dejavu.config.database import SqliteDatabase
from dejavu.config.deployment import Deployment, InstanceConfig, ResultsConfig
from dejavu.service.service import Service

sys.path.append(str(PROJECT / "tests"))  # the tests' server is the real one too, so there is one way to start it

from servers import TOKEN, Server

__all__ = ["TOKEN", "Server", "filled", "served"]

INSTANCES = 2
"""Fingerprint databases, as many as the shipped config.json has."""


@contextmanager
def filled(songs: Sequence[Recording]) -> Iterator[Deployment]:
    """A deployment on SQLite files in a folder of its own, filled by the real service and closed again.

    Songs are named like their files.
    """
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as name:
        folder = Path(name)
        deployment = Deployment(
            instances=tuple(
                InstanceConfig(f"instances[{index}]", SqliteDatabase(folder / f"fingerprints-{index}.sqlite"))
                for index in range(INSTANCES)
            ),
            results=(ResultsConfig("results[0]", SqliteDatabase(folder / "results.sqlite")),),
        )
        service = Service.open(deployment)
        try:
            _fill(service, songs)
        finally:
            service.close()
        yield deployment


def _fill(service: Service, songs: Sequence[Recording]) -> None:
    def add(song: Recording) -> None:
        with song.path.open("rb") as file:
            service.fingerprint(file, song.path.name)

    with ThreadPoolExecutor(CORES) as threads:
        for _ in tqdm(threads.map(add, songs), desc="filling the catalogue", total=len(songs), unit="song"):
            pass


@contextmanager
def served(songs: Sequence[Recording]) -> Iterator[Server]:
    """The real server, with no limits of rate and its own databases, filled by the real uploader."""
    with tempfile.TemporaryDirectory(prefix="tunescout-bench-") as folder, Server(Path(folder)) as server:
        if songs:
            upload(server, songs)
        yield server


def upload(server: Server, songs: Sequence[Recording], workers: int = 4) -> None:
    """Add the songs with tunescout_uploader.py, so many at a time; ends the command where one cannot be added."""
    command = [sys.executable, str(PROJECT / "tunescout_uploader.py"), "--server", server.url, "--token", TOKEN]
    command += ["--workers", str(workers)]
    done = subprocess.run([*command, *(str(song.path) for song in songs)], stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit("Not every song could be added to the catalogue; the uploader says above which.")
