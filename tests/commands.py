"""`python -m dejavu` as a process, and SQLite deployments for it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from driver_data import fingerprints, sha1
from processes import eventually
from servers import PROJECT, make_config

from dejavu.config.deployment import Deployment, load_deployment
from dejavu.model import Song
from dejavu.service.catalogue import Catalogue, open_catalogue
from dejavu.store.open import open_driver, open_results

DEADLINE_SECONDS = 60.0


def write_config(folder: Path, instances: int) -> Path:
    """A configuration of so many instances, and two results databases."""
    databases = [
        {"database_type": "sqlite", "database": {"path": f"fingerprints-{index}.sqlite"}} for index in range(instances)
    ]
    path = folder / "config.json"
    path.write_text(json.dumps(make_config(instances=databases)))
    return path


def read_config(path: Path) -> Deployment:
    return load_deployment({"TUNESCOUT_CONFIG": str(path)})


def set_up(config: Path) -> None:
    """What the service does when it starts."""
    deployment = read_config(config)
    for instance in deployment.instances:
        with closing(open_driver(instance.database)) as driver:
            driver.setup()
    with closing(open_results(deployment.results)) as results:
        results.setup()


def put(config: Path, instance: int, *seeds: int, size: int = 400) -> list[Song]:
    """Store songs on one instance, wherever placement wants them."""
    with closing(open_driver(read_config(config).instances[instance].database)) as driver:
        return [driver.insert(f"Song {seed}", sha1(seed), fingerprints(seed, size)) for seed in seeds]


def wanted_by(config: Path, seed: int) -> int:
    """The instance where placement wants a song."""
    with open_catalogue(read_config(config)) as catalogue:
        return index_of(catalogue.in_order_of_preference(sha1(seed))[0].name)


def held(config: Path) -> dict[str, list[int]]:
    """Which instances have which songs, by SHA-1, as far as the songs are whole."""
    holders: dict[str, list[int]] = {}
    with open_catalogue(read_config(config)) as catalogue:
        for copy in catalogue.copies():
            found = copy.shelf.driver.fingerprints([copy.song.song_id])
            assert len(found[copy.song.song_id]) == copy.song.total_hashes
            holders.setdefault(copy.song.sha1, []).append(index_of(copy.shelf.name))
        assert_sound(catalogue)
    return {file: sorted(indexes) for file, indexes in holders.items()}


def assert_sound(catalogue: Catalogue) -> None:
    """Every instance counts as many songs as it lists, and nothing was unavailable."""
    assert catalogue.outages == {}
    for shelf in catalogue.shelves:
        assert shelf.driver.counts().songs == len(list(shelf.copies()))


def index_of(name: str) -> int:
    return int(name.removeprefix("instances[").removesuffix("]"))


def start(
    config: Path, *arguments: str, stdin: int = subprocess.DEVNULL, stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start a command."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNESCOUT_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "dejavu", *arguments],
        cwd=PROJECT,
        env={**clean, "TUNESCOUT_CONFIG": str(config), "PYTHONIOENCODING": "utf-8"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )


def run(config: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> tuple[int, str, str]:
    """Run a command to its end: exit code, and what it printed and complained of."""
    with start(config, *arguments, stdin=stdin) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE_SECONDS)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


def wait_until_copied(config: Path, seed: int) -> None:
    """Wait until the instance where placement wants a song has it."""
    with open_catalogue(read_config(config)) as catalogue:
        home = catalogue.in_order_of_preference(sha1(seed))[0]
        eventually(lambda: home.find(sha1(seed)) is not None)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of the commands that do something."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for command in action.choices.values():
            yield from leaves(command)
    if not inner:
        yield parser
