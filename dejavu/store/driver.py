"""What a fingerprint database has to do, in as few verbs as possible. Each driver is one file beside this one.

Every verb raises `StoreUnavailable` (from the library's own exception) when the database cannot be reached or does
not answer in time, and nothing else of the library's gets out. Drivers are used by several threads at once.

The last verbs are for whoever looks after a catalogue (`python -m dejavu`), while services go on using it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dejavu.model import NOTHING_KNOWN, About, Counts, Fingerprints, Postings, Song, SongQuery, UInt32s


class Driver(Protocol):
    """One database full of fingerprints."""

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the catalogue was made with other format settings.

        A catalogue of a version that did not read tags gets the columns for them; `index_songs` does the rest.
        """

    def index_songs(self) -> int:
        """Give some songs of a version that did not read tags what they are listed by; of how many there were, 0: none.

        To be called until it gives 0, which may take minutes in all, while everything else goes on. Such a version may
        still be adding songs.
        """

    def find_song(self, sha1: str) -> Song | None:
        """The song fingerprinted from the file with this SHA-1, or None."""

    def songs(self, song_ids: Sequence[int]) -> list[Song]:
        """The songs with these ids, in any order; ids nothing is stored under are left out."""

    def insert(self, name: str, sha1: str, fingerprints: Fingerprints, about: About = NOTHING_KNOWN) -> Song:
        """Store a whole song or nothing; it is visible to every reader when this returns.

        Raises `AlreadyFingerprinted` where this SHA-1 is stored, also when somebody else was faster.
        """

    def delete(self, song_id: int) -> None:
        """Forget a song and all its fingerprints; an unknown id is no error."""

    def postings(self, hashes: UInt32s) -> Postings:
        """Every posting of these hashes (uint32[n], distinct)."""

    def stretches(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The packed peaks (`fingerprint.stretches`) of these pairs of song id and number of a stretch.

        What nothing is stored under is left out: a silent stretch, one beyond a song's end, a song that is gone.
        """

    def revision(self) -> str:
        """A token of what `postings` answers from, for caches; asked with every look-up, so it has to be quick.

        It becomes another one in the very instant in which a song becomes visible or is gone, whoever did it, and never
        one that it was while there were other songs. While no song comes or goes, it stays.
        """

    def counts(self) -> Counts:
        """How many songs and fingerprints there are."""

    def close(self) -> None:
        """Let go of every connection."""

    # --- Looking after a catalogue ------------------------------------------------------------------------------------

    def check(self) -> str:
        """See whether the catalogue could be used, changing nothing; the server's name and version: `MariaDB 10.11.19`.

        Raises `FormatMismatch` like `setup`, `NotSetUp` where nobody has set it up yet, and `Outdated` where only an
        earlier version has.
        """

    def list_songs(self, after: int, limit: int) -> list[Song]:
        """The first `limit` songs with ids above `after`, by ascending id; -1 begins."""

    def find_songs(self, query: SongQuery, after: tuple[str, str], limit: int) -> list[Song]:
        """The first `limit` songs that a query is for, by ascending (search key, SHA-1), beyond that pair.

        Both are compared byte by byte (`store.about`); ("", "") begins.
        """

    def count_songs(self, query: SongQuery) -> int:
        """How many songs a query is for."""

    def rename(self, song_id: int, name: str) -> None:
        """Give a song another name; every reader has it when this returns. An unknown id is no error."""

    def fingerprints(self, song_ids: Sequence[int]) -> dict[int, Fingerprints]:
        """Whole songs, each under its id; ids nothing is stored under are left out.

        Reads the catalogue once for all of them, which may take minutes, and holds them in memory together: it is for
        the caller to ask for as many as fit.
        """

    def sweep(self) -> int:
        """Remove the fingerprints of songs that are not there, which may take minutes; of how many songs they were.

        A song that somebody is inserting meanwhile loses nothing.
        """
