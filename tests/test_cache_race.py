"""A reader and a writer of the posting cache at once, step by step: no order of events leaves anything stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cached import EVERYTHING, INDEX, HastyClock, PromptEntries, open_cached, patience
from driver_contract import Opener
from driver_data import as_set, expected, fingerprints, sha1
from redis_server import RedisServer

from dejavu.model import Postings, UInt32s
from dejavu.store.cache import CachedDriver
from dejavu.store.cache_entries import Found
from dejavu.store.sqlite import SqliteDriver


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fingerprints.db"


@pytest.fixture
def opener(path: Path, redis: RedisServer) -> Opener:
    with redis.client() as client:
        client.flushall()
    return partial(open_cached, path, redis.config())


class Steps:
    """The steps of one look-up, and what happens right after one of them."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.interruption: tuple[tuple[str, int], Callable[[], object]] | None = None

    def done(self, step: str) -> None:
        self.taken[step] += 1
        if self.interruption and self.interruption[0] == (step, self.taken[step]):
            _, happen = self.interruption
            self.interruption = None
            happen()


class SteppedDriver(SqliteDriver):
    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path)
        self._steps = steps

    def revision(self) -> str:
        revision = super().revision()
        self._steps.done("revision")
        return revision

    def postings(self, hashes: UInt32s) -> Postings:
        postings = super().postings(hashes)
        self._steps.done("postings")
        return postings


class SteppedEntries(PromptEntries):
    def __init__(self, steps: Steps, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._steps = steps

    def read(self, revision: str, hashes: UInt32s) -> Found | None:
        found = super().read(revision, hashes)
        self._steps.done("read")
        return found

    def write(self, revision: str, hashes: UInt32s, postings: Postings) -> None:
        super().write(revision, hashes, postings)
        self._steps.done("write")


STEPS = [("revision", 1), ("read", 1), ("postings", 1), ("revision", 2), ("write", 1), ("postings", 2)]


@pytest.mark.parametrize("other_reads_first", [False, True], ids=["", "and another reader is faster"])
@pytest.mark.parametrize("warm_hashes", [0, 500, 1000])
@pytest.mark.parametrize("change", ["insert", "delete", "replace"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"after {step[0]} {step[1]}")
def test_a_reader_racing_a_writer_leaves_nothing_stale(
    path: Path, redis: RedisServer, opener: Opener,
    step: tuple[str, int], change: str, warm_hashes: int, other_reads_first: bool,
) -> None:  # fmt: skip
    writer, steps = opener(), Steps()
    writer.setup()
    stored = {writer.insert(f"{n}", sha1(n), fingerprints(n)).song_id: fingerprints(n) for n in range(2)}
    before = expected(stored, EVERYTHING)
    with patience():
        entries = SteppedEntries(steps, "a cache", redis.config(), INDEX)
    reader = CachedDriver(SteppedDriver(path, steps), entries, HastyClock())
    if warm_hashes:
        writer.postings(EVERYTHING[:warm_hashes])
    gone = next(iter(stored))

    def happen() -> None:
        if change != "insert":
            writer.delete(gone)
            del stored[gone]
        if change == "replace":
            stored[writer.insert("0", sha1(0), fingerprints(7)).song_id] = fingerprints(7)
        if change == "insert":
            stored[writer.insert("2", sha1(2), fingerprints(2)).song_id] = fingerprints(2)
        if other_reads_first:
            assert as_set(writer.postings(EVERYTHING)) == expected(stored, EVERYTHING)

    steps.interruption = step, happen
    answer = as_set(reader.postings(EVERYTHING))
    assert answer in (before, expected(stored, EVERYTHING)), "an answer is of one moment"
    if steps.interruption:  # this look-up had no such step
        steps.interruption = None
        happen()
    for driver in (reader, writer, reader):
        assert as_set(driver.postings(EVERYTHING)) == expected(stored, EVERYTHING)
    reader.close()
    writer.close()
