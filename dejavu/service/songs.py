"""The use case of looking after the songs: listed, searched, renamed and deleted, on whichever instances they are."""

from __future__ import annotations

import base64
import heapq
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence

from dejavu.config import settings
from dejavu.errors import InstancesUnavailable, InvalidField, StoreUnavailable, UnknownSong
from dejavu.model import Song, SongPage, SongQuery
from dejavu.service.fan_out import ask_all
from dejavu.service.instance import Instance
from dejavu.service.song_names import check_song_name
from dejavu.store.about import folded, search_key

_log = logging.getLogger(__name__)

_SHA1 = re.compile(r"[0-9a-f]{40}")

_SHA1_START = re.compile(r"[0-9a-f]{4,40}")
"""Fewer digits are a word that many names have, and begin the SHA-1 of too many songs."""

_QUERY_MAX_CHARACTERS = 200

_BEGINNING = ("", "")
"""Before every search key and SHA-1."""


class Songs:
    """The songs of all instances. Safe for several threads."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._instances = instances

    def page(self, text: str = "", after: str | None = None, limit: int = settings.SONGS_PER_PAGE) -> SongPage:
        """The songs with all words of `text` in what is known of them, or a SHA-1 that begins so; by name.

        after : the `following` of the page before. Raises `InvalidField`, and `InstancesUnavailable` where no instance
        can be asked.
        """
        query, beyond = _query(text), _BEGINNING if after is None else _place(after)
        if not 1 <= limit <= settings.MOST_SONGS_PER_PAGE:
            raise InvalidField(f"limit: expected a number from 1 to {settings.MOST_SONGS_PER_PAGE}, got {limit}.")
        answers = ask_all(self._instances, lambda instance: instance.find_songs(query, beyond, limit + 1))
        songs = _merged(songs for songs, _ in answers.by_instance.values())
        page = tuple(songs[:limit])
        return SongPage(
            songs=page,
            following=_mark(page[-1]) if len(songs) > limit else None,
            total=sum(total for _, total in answers.by_instance.values()),
            unavailable=tuple(sorted(instance.name for instance in answers.unavailable)),
        )

    def rename(self, sha1: str, name: str) -> Song:
        """Give a song another name wherever it is, and say what it is then.

        Raises `InvalidField` for a name that cannot be kept, `UnknownSong`, and `InstancesUnavailable` where an
        instance that may have the song could not be asked; what could be done is done then.
        """
        check_song_name(name)
        return self._everywhere(sha1, lambda instance, own: instance.rename(own, name), "renamed")

    def delete(self, sha1: str) -> Song:
        """Delete a song wherever it is, and say what it was; raises as `rename`."""
        return self._everywhere(sha1, Instance.delete, "deleted")

    def _everywhere(self, sha1: str, change: Callable[[Instance, str], Song | None], done: str) -> Song:
        sha1 = sha1.lower()
        if not _SHA1.fullmatch(sha1):
            raise UnknownSong("A SHA-1 is 40 hexadecimal digits.")
        found: dict[str, Song] = {}
        unavailable = []
        for instance in self._instances:
            try:
                song = change(instance, sha1)
            except StoreUnavailable:
                unavailable.append(instance.name)
                continue
            if song is not None:
                found[instance.name] = song
        if found:
            _log.info("song %s sha1=%s on=%s", done, sha1, ",".join(found))
        if unavailable:
            where = f"The song was {done} on {', '.join(found)}. " if found else ""
            raise InstancesUnavailable(
                f"{where}{', '.join(unavailable)} cannot be reached and may have it, too; send this again later."
            )
        if not found:
            raise UnknownSong("No song of the catalogue was made from this file.")
        return next(iter(found.values()))


def _query(text: str) -> SongQuery:
    """What somebody typed as a query; raises `InvalidField` for more than can be looked for."""
    words = tuple(dict.fromkeys(folded(text).split()))
    if len(text) > _QUERY_MAX_CHARACTERS or len(words) > settings.SEARCH_MAX_WORDS:
        raise InvalidField(
            f"query: expected at most {settings.SEARCH_MAX_WORDS} words and {_QUERY_MAX_CHARACTERS} characters."
        )
    digits = text.strip().lower()
    return SongQuery(words, digits if _SHA1_START.fullmatch(digits) else None)


def _merged(pages: Iterable[list[Song]]) -> list[Song]:
    """Pages of several instances as one in the same order, each song once."""
    return list({song.sha1: song for song in heapq.merge(*pages, key=_key)}.values())


def _key(song: Song) -> tuple[str, str]:
    return search_key(song.name, song.about), song.sha1


def _mark(song: Song) -> str:
    """The place behind a song, for an address."""
    return base64.urlsafe_b64encode(json.dumps(_key(song), ensure_ascii=False).encode()).decode().rstrip("=")


def _place(mark: str) -> tuple[str, str]:
    """What `_mark` was made of; raises `InvalidField` for what it never made."""
    try:
        key, sha1 = json.loads(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
        if not (isinstance(key, str) and isinstance(sha1, str) and _SHA1.fullmatch(sha1)):
            raise ValueError
        key.encode()  # not with half of a surrogate pair
    except (ValueError, TypeError) as exc:
        raise InvalidField("after: send what the page before gave as next, or leave it out.") from exc
    return key, sha1
