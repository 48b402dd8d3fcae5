"""A catalogue of the reference recordings: in process, or behind the real server."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from benchmarks.filling import fill
from benchmarks.material import Recording
from benchmarks.report import CORES, PROJECT, count
from benchmarks.surrogates import load_source
from dejavu.config.database import SqliteDatabase
from dejavu.config.deployment import Deployment, InstanceConfig, ResultsConfig
from dejavu.errors import AlreadyFingerprinted
from dejavu.service.service import Service
from dejavu.store.open import open_driver

sys.path.append(str(PROJECT / "tests"))  # the tests' server is the real one too, so there is one way to start it

from servers import TOKEN, Server

__all__ = ["TOKEN", "Server", "filled", "served"]

DISTRACTOR_SEED = 1
"""Of the synthetic tracks; the same ones for every set of clips."""

INSTANCES = 2
"""Fingerprint databases, as many as the shipped config.json has."""


@contextmanager
def filled(songs: Sequence[Recording], kept: Path | None = None, distractors: int = 0) -> Iterator[Deployment]:
    """A deployment on SQLite files, filled by the real service and closed again. Songs are named like their files.

    The files are in a folder of their own that goes in the end, or in `kept`, where songs that are there stay.
    `distractors` are so many synthetic tracks besides.
    """
    with ExitStack() as opened:
        folder = kept or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tunescout-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
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
        if distractors:
            _add_distractors(deployment, distractors)
        yield deployment


def add_catalogue_options(parser: argparse.ArgumentParser) -> None:
    """What `filled` may be asked for on a command line."""
    parser.add_argument("--distractors", type=count, default=0, help="synthetic tracks in the catalogue (default none)")
    parser.add_argument("--catalogue", type=Path, help="a folder where the catalogue stays, to be used again")


def _add_distractors(deployment: Deployment, tracks: int) -> None:
    """Share so many synthetic tracks out among the databases of a deployment that nobody uses yet."""
    source = load_source()
    for number, instance in enumerate(deployment.instances):
        driver = open_driver(instance.database)
        try:
            fill(driver, source, DISTRACTOR_SEED, range(number, tracks, len(deployment.instances)))
        finally:
            driver.close()


def _fill(service: Service, songs: Sequence[Recording]) -> None:
    def add(song: Recording) -> None:
        with song.path.open("rb") as file, suppress(AlreadyFingerprinted):
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
