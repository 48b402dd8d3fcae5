"""The songs of all instances, for whoever looks after them: found, listed, renamed and deleted wherever they are.

Nothing here keeps a lock: services add songs meanwhile, and somebody else may be moving them (`service.moving`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from dejavu.config import settings
from dejavu.config.deployment import Deployment
from dejavu.errors import InstancesUnavailable, StoreError
from dejavu.model import Song
from dejavu.service.song_names import check_song_name
from dejavu.store.driver import Driver
from dejavu.store.open import open_driver
from dejavu.store.placement import by_preference

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One instance as a place for songs; `name` is that of config.json, `identity` decides what is placed here."""

    name: str
    identity: str
    driver: Driver

    def ask(self, question: Callable[[Driver], Answer]) -> Answer:
        """Put a question to the database; whatever `StoreError` comes of it says where it comes from."""
        try:
            return question(self.driver)
        except StoreError as exc:
            raise StoreError(f"{self.name}: {exc}") from exc

    def find(self, sha1: str) -> Copy | None:
        """The song with this SHA-1, where it is here."""
        song = self.ask(lambda driver: driver.find_song(sha1))
        return None if song is None else Copy(song, self)

    def copies(self) -> Iterator[Copy]:
        """Every song that is here, by ascending id, a page at a time."""
        page = self._page(after=-1)
        while page:
            yield from (Copy(song, self) for song in page)
            page = self._page(after=page[-1].song_id)

    def _page(self, after: int) -> list[Song]:
        return self.ask(lambda driver: driver.list_songs(after, settings.PAGE_SONGS))


@dataclass(frozen=True, slots=True)
class Copy:
    """A song, and which instance has it; another may have one with the same SHA-1."""

    song: Song
    shelf: Shelf

    def rename(self, name: str) -> None:
        """Give it another name; raises `StoreError`."""
        self.shelf.ask(lambda driver: driver.rename(self.song.song_id, name))

    def delete(self) -> None:
        """Take it out; raises `StoreError`."""
        self.shelf.ask(lambda driver: driver.delete(self.song.song_id))


class Catalogue:
    """All instances. One that cannot be asked is left out from then on, and `outages` says why, by its name.

    What is asked of a single `Shelf` raises `StoreError` instead.
    """

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self._shelves = {shelf.identity: shelf for shelf in shelves}
        self.outages: dict[str, StoreError] = {}

    @property
    def shelves(self) -> list[Shelf]:
        """Those that can be asked, in the order of the configuration."""
        return [shelf for shelf in self._shelves.values() if shelf.name not in self.outages]

    def check(self) -> None:
        """See which instances can be asked, all at once, and changing nothing."""
        with ThreadPoolExecutor(len(self._shelves)) as pool:
            list(pool.map(self._check, self.shelves))

    def _check(self, shelf: Shelf) -> None:
        with self._noting_outages(shelf):
            shelf.ask(lambda driver: driver.check())

    def require_all(self) -> None:
        """Raise `InstancesUnavailable` where an instance cannot be asked."""
        if self.outages:
            raise InstancesUnavailable("\n".join(map(str, self.outages.values())))

    def in_order_of_preference(self, sha1: str) -> list[Shelf]:
        """Where placement wants a song, first choice first, whether that can be asked or not."""
        return [self._shelves[identity] for identity in by_preference(sha1, self._shelves)]

    def copies(self) -> Iterator[Copy]:
        """Every song of every instance, by ascending id, a page at a time."""
        return heapq.merge(*map(self._copies_on, self.shelves), key=lambda copy: copy.song.song_id)

    def shelf_by_shelf(self) -> Iterator[Copy]:
        """Every song of every instance, one instance after the other; raises `StoreError`."""
        for shelf in self.shelves:
            yield from shelf.copies()

    def songs_held(self) -> int:
        """How many songs all instances have together, copies included; raises `StoreError`."""
        return sum(shelf.ask(lambda driver: driver.counts()).songs for shelf in self.shelves)

    def find(self, sha1: str) -> list[Copy]:
        """All copies of the song with this SHA-1."""
        copies = []
        for shelf in self.shelves:
            with self._noting_outages(shelf):
                copies.append(shelf.find(sha1))
        return [copy for copy in copies if copy is not None]

    def sha1s(self, song_id: int) -> list[str]:
        """The SHA-1s of the songs with this id: instances may have given it to different ones."""
        found = set()
        for shelf in self.shelves:
            with self._noting_outages(shelf):
                found |= {song.sha1 for song in shelf.ask(lambda driver: driver.songs([song_id]))}
        return sorted(found)

    def rename(self, sha1: str, name: str) -> None:
        """Give all copies of a song another name; raises `InvalidField` for one that cannot be kept."""
        check_song_name(name)
        # Again until all have it: somebody may be making one more copy, with the name that he read before.
        while others := [copy for copy in self.find(sha1) if copy.song.name != name]:
            for copy in others:
                with self._noting_outages(copy.shelf):
                    copy.rename(name)

    def delete(self, sha1: str) -> None:
        """Delete all copies of a song."""
        # Again until there are none: somebody may be making one more copy of what he read before.
        while copies := self.find(sha1):
            for copy in copies:
                with self._noting_outages(copy.shelf):
                    copy.delete()

    @contextmanager
    def _noting_outages(self, shelf: Shelf) -> Iterator[None]:
        try:
            yield
        except StoreError as exc:
            self.outages[shelf.name] = exc

    def _copies_on(self, shelf: Shelf) -> Iterator[Copy]:
        with self._noting_outages(shelf):
            yield from shelf.copies()


@contextmanager
def open_catalogue(deployment: Deployment) -> Iterator[Catalogue]:
    """The songs of a deployment; says in `outages` what cannot be used. Nothing is set up. Raises `ConfigError`."""
    with ExitStack() as opened:
        shelves = []
        for config in deployment.instances:
            driver = open_driver(config.database)
            opened.callback(driver.close)
            shelves.append(Shelf(config.name, config.database.identity, driver))
        catalogue = Catalogue(shelves)
        catalogue.check()
        yield catalogue
