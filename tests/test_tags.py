"""Tags: read from every container that has some, and harmless whatever they hold."""

from __future__ import annotations

import io

import av
import media
import pytest

from dejavu.audio.tags import about_of, clean, read_tags
from dejavu.config.settings import TAG_MAX_CHARACTERS
from dejavu.model import NOTHING_KNOWN, About
from dejavu.service.worker_protocol import ProtocolError
from dejavu.service.worker_protocol import about_of as believed
from dejavu.store.about import folded, pack, search_key, unpack

SAID = {"artist": "Björk", "title": "Jóga – live", "album": "東京"}


def tagged(kind: str, tags: dict[str, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    made = media.FORMATS[kind]
    with av.open(buffer, "w", format=made.container) as container:
        container.metadata.update(tags)
        stream = media._add_sound_stream(container, made)
        media._write_sound(container, stream, media.music(1.0, sample_rate=made.sample_rate), made)
    return buffer


@pytest.mark.parametrize(
    ("kind", "isrc"),
    [("mp3", "TSRC"), ("flac", "ISRC"), ("opus", "ISRC"), ("ogg vorbis", "isrc"), ("mkv", "ISRC"), ("m4a", None)],
)
def test_tags_are_read_from_what_encoders_write(kind: str, isrc: str | None) -> None:
    file = tagged(kind, SAID | ({isrc: "us-s1z-99-00001"} if isrc else {}))
    assert read_tags(file) == About(*SAID.values(), isrc="USS1Z9900001" if isrc else None)


def test_a_file_without_tags_says_nothing() -> None:
    assert read_tags(io.BytesIO(media.wav(media.music(1.0)))) == NOTHING_KNOWN


def test_the_first_source_that_says_something_counts() -> None:
    sources = [{"ARTIST": " \t", "Title": "one"}, {"artist": "two", "title": "two"}, {"performer": "three"}]
    assert about_of(sources) == About(artist="two", title="one")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a\x00b\r\nc\u2028d  ", "a b c d"),
        ("\x1b[31mred", "[31mred"),
        ("\u202eevil", "evil"),
        ("\ufffd\ufffd", ""),
        ("é" * 10_000, "é" * TAG_MAX_CHARACTERS),
        ("a" * (TAG_MAX_CHARACTERS - 1) + " b", "a" * (TAG_MAX_CHARACTERS - 1)),
        ("\ud800x", "x"),
    ],
)
def test_what_is_left_is_one_line_of_printable_characters(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned and cleaned.isprintable()


@pytest.mark.parametrize("isrc", ["", "12345", "GBAAA970012", "GBAAA97001234", "ÉBAAA9700123", "GBAAA97001Ⅷ3"])
def test_what_is_no_isrc_is_left_out(isrc: str) -> None:
    assert about_of([{"isrc": isrc}]) == NOTHING_KNOWN


SAID_BY_WORKER = {"artist": "a", "title": None, "album": None, "isrc": None, "duration_seconds": 1.5}


@pytest.mark.parametrize(
    "change",
    [
        {"artist": "a" * (TAG_MAX_CHARACTERS + 1)},
        {"artist": "a\nb"},
        {"artist": ""},
        {"artist": 5},
        {"artist": ["a"]},
        {"duration_seconds": None},
        {"duration_seconds": -1},
        {"duration_seconds": float("nan")},
        {"duration_seconds": "1"},
        {"more": "than that"},
    ],
    ids=str,
)
def test_a_worker_is_not_believed_everything(change: dict[str, object]) -> None:
    assert believed({"about": SAID_BY_WORKER}) == About(artist="a", duration_seconds=1.5)
    with pytest.raises(ProtocolError):
        believed({"about": {**SAID_BY_WORKER, **change}})
    for nothing in ({}, {"about": None}, {"about": []}):
        with pytest.raises(ProtocolError):
            believed(nothing)


def test_what_is_packed_comes_out_again() -> None:
    for about in (NOTHING_KNOWN, About("a", "b", "c", "d", 0.5), About(album="\"'\\ 🎵")):
        assert unpack(pack(about)) == about
    assert pack(NOTHING_KNOWN) == ""
    assert unpack('{"artist": "a", "mood": "of a later version"}') == About(artist="a")


def test_keys_fold_and_are_never_empty_nor_too_long() -> None:
    assert folded("BJÖRK Straße ﬁ Ⅷ İ") == folded("björk STRASSE FI viii i̇")
    assert search_key("Jóga", About("Björk", album="Homogenic")) == "joga\nbjork\nhomogenic"
    assert search_key("a  b\tc", NOTHING_KNOWN) == "a b c"
    assert search_key("\u0301", NOTHING_KNOWN) != ""
    long = search_key("東" * 500, About(artist="é" * 300))
    assert len(long.encode()) <= 1000 and long.startswith("東" * 300)
