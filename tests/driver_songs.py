"""What every fingerprint database has to do for whoever lists and searches the songs; part of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from driver_data import NAMES, fingerprints, sha1
from driver_processes import Opener

from dejavu.errors import Outdated
from dejavu.model import NOTHING_KNOWN, About, Song, SongQuery
from dejavu.store.about import folded, search_key
from dejavu.store.driver import Driver

BEGINNING = ("", "")

KNOWN = About("Björk", "Jóga", "Homogenic", "GBAAA9700123", 305.25)
TITLES = [
    "ábacus",
    "Abacus",
    "abacus 2",
    "Zebra",
    "zebra crossing",
    "Ængland",
    "東京事変",
    "🎵",
    "a b",
    "a  b",
    "- dash",
]


def key(song: Song) -> tuple[str, str]:
    return search_key(song.name, song.about), song.sha1


def wanted(text: str) -> SongQuery:
    return SongQuery(tuple(folded(text).split()))


class SongsContract:
    """Inherit from this and provide `opener` and `driver`, as `DriverContract` does."""

    def test_what_is_known_of_a_song_is_kept_to_the_letter(self, driver: Driver, opener: Opener) -> None:
        odd = About(artist="\"'\\%s {} 🎵", title="é" * 300, duration_seconds=86_400.123)
        stored = [
            driver.insert("Björk - Jóga", sha1(1), fingerprints(1), KNOWN),
            driver.insert("odd", sha1(2), fingerprints(2), odd),
            driver.insert("nothing", sha1(3), fingerprints(3)),
        ]
        assert [song.about for song in stored] == [KNOWN, odd, NOTHING_KNOWN]
        elsewhere = opener()
        for reader in (driver, elsewhere):
            assert [reader.find_song(sha1(n)) for n in (1, 2, 3)] == stored
            assert sorted(reader.songs([song.song_id for song in stored]), key=stored.index) == stored
            assert sorted(reader.list_songs(-1, 10), key=stored.index) == stored
            assert sorted(reader.find_songs(SongQuery(), BEGINNING, 10), key=stored.index) == stored
        elsewhere.close()

    def test_songs_are_paged_by_their_keys_byte_by_byte(self, driver: Driver) -> None:
        stored = [driver.insert(name, sha1(n), fingerprints(n)) for n, name in enumerate([*TITLES, *NAMES.values()])]
        stored += [driver.insert("the same", sha1(n), fingerprints(n)) for n in range(50, 53)]
        found: list[Song] = []
        after = BEGINNING
        while page := driver.find_songs(SongQuery(), after, 4):
            found += page
            after = key(page[-1])
        assert found == sorted(stored, key=key)
        assert driver.count_songs(SongQuery()) == len(stored)

    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("bjork", [0]),
            ("BJÖRK jóga", [0]),
            ("jog orneg", [0, 1]),
            ("homogenic bachelorette", [1]),
            ("gbaaa9700123", [0]),
            ("100%", [2]),
            ("_", [2]),
            ("50", []),
            ("'", [3]),
            ("\\", [3]),
            ("jóga bachelorette", []),
            ("東京", [4]),
        ],
    )
    def test_all_words_have_to_occur(self, driver: Driver, text: str, numbers: list[int]) -> None:
        stored = [
            driver.insert("Björk - Jóga ORNEG", sha1(0), fingerprints(0), KNOWN),
            driver.insert("Bachelorette (orneg jog)", sha1(1), fingerprints(1), About(album="Homogenic")),
            driver.insert("100% _", sha1(2), fingerprints(2)),
            driver.insert("Rock 'n' \\Roll", sha1(3), fingerprints(3)),
            driver.insert("東京事変", sha1(4), fingerprints(4)),
        ]
        assert driver.find_songs(wanted(text), BEGINNING, 10) == sorted((stored[n] for n in numbers), key=key)
        assert driver.count_songs(wanted(text)) == len(numbers)

    def test_a_sha1_may_be_begun(self, driver: Driver) -> None:
        first = driver.insert("one", "abcd" + "0" * 36, fingerprints(1))
        named = driver.insert("two abcd", "1" * 40, fingerprints(2))
        driver.insert("three", "0abcd" + "0" * 35, fingerprints(3))
        query = SongQuery(("abcd",), "abcd")
        assert driver.find_songs(query, BEGINNING, 10) == [first, named]
        assert driver.find_songs(query, key(first), 10) == [named]
        assert driver.count_songs(query) == 2

    def test_a_renamed_song_is_found_by_its_new_name_alone(self, driver: Driver) -> None:
        song = driver.insert("before", sha1(1), fingerprints(1), KNOWN)
        driver.rename(song.song_id, "After")
        assert driver.find_songs(wanted("before"), BEGINNING, 10) == []
        (renamed,) = driver.find_songs(wanted("after bjork"), BEGINNING, 10)
        assert (renamed.name, renamed.about) == ("After", KNOWN)
        driver.delete(song.song_id)
        assert driver.count_songs(SongQuery()) == 0


def assert_brought_up_to_date(opener: Opener, make_older: Callable[[], None]) -> None:
    """Check that a catalogue of the version before tags were read goes on, and gets what it takes to search it."""
    driver = opener()
    driver.setup()
    stored = [driver.insert(name, sha1(n), fingerprints(n), KNOWN) for n, name in enumerate(NAMES.values())]
    make_older()
    with pytest.raises(Outdated):
        driver.check()
    one, other = opener(), opener()
    for again in (one, other, one):
        again.setup()
        while again.index_songs():
            pass
        songs = again.find_songs(SongQuery(), BEGINNING, 100)
        assert [song.name for song in songs] == sorted(
            (song.name for song in stored), key=lambda name: search_key(name, NOTHING_KNOWN)
        )
        assert {song.about for song in songs} == {NOTHING_KNOWN}
        assert len(again.postings(fingerprints(0).hashes)) > 0
    added = one.insert("Jóga", sha1(99), fingerprints(99), KNOWN)
    assert other.find_songs(wanted("joga bjork"), BEGINNING, 10) == [added]
    one.delete(stored[0].song_id)
    assert other.count_songs(SongQuery()) == len(stored)
    for each in (driver, one, other):
        each.close()
