"""Instances on SQLite files, filled with what was heard of songs in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from dejavu.model import Fingerprints
from dejavu.service.instance import Instance
from dejavu.store.sqlite import SqliteDriver


@contextmanager
def filled(folder: Path, references: Mapping[int, Fingerprints], instances: int = 1) -> Iterator[list[Instance]]:
    """So many instances with these songs, `song n` on the one numbered n % instances, to be closed at the end."""
    with ExitStack() as opened:
        made = []
        for number in range(instances):
            path = path_of(folder, number, instances)
            instance = Instance(f"instances[{number}]", f"sqlite:{path}", SqliteDriver(path))
            made.append(opened.enter_context(closing(instance)))
            instance.set_up()
        for number, found in references.items():
            made[number % instances].insert(f"song {number}", sha1_of(number), found)
        for instance in made:
            instance.count()
        yield made


def path_of(folder: Path, number: int = 0, instances: int = 1) -> Path:
    """The file of one of so many instances."""
    return folder / f"{number + 1} of {instances}.db"


def sha1_of(number: int) -> str:
    """That of `song number`."""
    return hashlib.sha1(b"%d" % number).hexdigest()
