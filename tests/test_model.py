"""What an answer looks like on the wire."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dejavu.model import UNCHANGED, About, ClipPeaks, Match, Peaks, Postings, Query, Recognition, Song, Timings, Warp

SONG = Song(
    song_id=4_000_000_001,
    name="Sigur Rós – ( ) \U0001f3b5",
    sha1="a9" * 20,
    total_hashes=3000,
    about=About(title="( )", duration_seconds=301.5),
)
MATCH = Match(song=SONG, confidence=0.987654321, delta=1000, hashes_matched=120, input_hashes=500)
TIMINGS = Timings(wait=0.01, fingerprint=0.02, look_up=0.005, align=0.001, store=0.002, asked_hashes=500)


def test_match_has_the_fields_of_the_contract_rounded():
    assert MATCH.to_wire() == {
        "song_id": 4_000_000_001,
        "song_name": "Sigur Rós – ( ) \U0001f3b5",
        "file_sha1": "a9" * 20,
        "artist": None,
        "title": "( )",
        "album": None,
        "isrc": None,
        "duration_seconds": 301.5,
        "confidence": 0.98765,
        "offset_seconds": 23.22,
        "offset": 1000,
        "hashes_matched_in_input": 120,
        "input_total_hashes": 500,
        "fingerprinted_hashes_in_db": 3000,
        "input_confidence": 0.24,
        "fingerprinted_confidence": 0.04,
    }


@pytest.mark.parametrize(
    ("warp", "told"),
    [
        (UNCHANGED, {}),
        (Warp(1.0, 1.0), {}),
        (Warp(1.0400001, 1.0400001), {"speed": 1.04}),
        (Warp(0.87654321, 0.87654321), {"speed": 0.8765}),
        (Warp(speed=0.9), {"speed": 0.9, "pitch": 1.0}),
        (Warp(pitch=1.08), {"speed": 1.0, "pitch": 1.08}),
        (Warp(1.12, 0.88), {"speed": 1.12, "pitch": 0.88}),
    ],
)
def test_speed_is_told_where_it_was_changed_and_pitch_where_it_differs(warp, told):
    wire = replace(MATCH, warp=warp).to_wire()
    assert {key: wire[key] for key in ("speed", "pitch") if key in wire} == told
    assert {key: value for key, value in wire.items() if key not in told} == MATCH.to_wire()


@pytest.mark.parametrize(
    ("delta", "frames", "seconds"),
    [
        (0, 0, 0.0),
        (1, 1, 0.023),
        (-43, -43, -0.998),
        (3_721_000, 3_721_000, 86_401.451),
        (1000.4, 1000, 23.229),
        (-0.75, -1, -0.017),
    ],
)
def test_offset_in_seconds_follows_from_frames_and_keeps_its_sign(delta, frames, seconds):
    wire = replace(MATCH, delta=delta).to_wire()
    assert (wire["offset"], wire["offset_seconds"]) == (frames, seconds)
    assert isinstance(wire["offset"], int)


@pytest.mark.parametrize("delta", [-0.01, -0.0, 0.0, 0.01])
def test_clip_from_the_very_start_is_at_zero_without_a_sign(delta):
    text = json.dumps(replace(MATCH, delta=delta).to_wire())
    assert '"offset_seconds": 0.0, "offset": 0,' in text


def test_recognition_reads_as_the_contract_says():
    recognition = Recognition(
        "t" * 20, (MATCH, replace(MATCH, delta=-5.25, warp=Warp(1.05, 1.05))), ("instances[1]",), TIMINGS
    )
    body = json.loads(recognition.to_json())
    assert list(body) == ["status", "token", "results", "unavailable"]
    assert body["status"] == "success"
    assert body["token"] == "t" * 20
    assert [result["offset"] for result in body["results"]] == [1000, -5]
    assert [result.get("speed") for result in body["results"]] == [None, 1.05]
    assert body["unavailable"] == ["instances[1]"]


def test_no_match_is_an_empty_list_and_still_has_a_token():
    body = json.loads(Recognition("t" * 20, (), (), TIMINGS).to_json())
    assert body == {"status": "success", "token": "t" * 20, "results": [], "unavailable": []}


def test_same_answer_is_same_text_whatever_it_took():
    first = Recognition("t" * 20, (MATCH,), (), TIMINGS)
    second = replace(first, timings=replace(TIMINGS, store=9.0))
    assert first == second
    assert first.to_json() == second.to_json()


def test_a_confidence_that_is_no_number_never_leaves():
    with pytest.raises(ValueError, match="JSON"):
        Recognition("t" * 20, (replace(MATCH, confidence=float("nan")),), (), TIMINGS).to_json()


def test_columns_know_how_many_they_are():
    uint32s, floats, ranks = np.arange(3, dtype=np.uint32), np.arange(3, dtype=np.float32), np.zeros(3, np.uint8)
    peaks = ClipPeaks(floats, floats, ranks)
    columns = (
        Peaks(uint32s, floats),
        peaks,
        Query(uint32s, uint32s, ranks, peaks),
        Postings(uint32s, uint32s, uint32s),
    )
    assert [len(column) for column in columns] == [3, 3, 3, 3]


def test_joined_postings_are_both_in_their_order():
    one = Postings(*(np.array(column, np.uint32) for column in ([5, 1], [1, 1], [9, 8])))
    other = Postings(*(np.array(column, np.uint32) for column in ([7], [(1 << 32) - 1], [6])))
    both = one.joined(other)
    assert both.hashes.tolist() == [5, 1, 7]
    assert both.song_ids.tolist() == [1, 1, (1 << 32) - 1]
    assert both.offsets.tolist() == [9, 8, 6]
    assert both.hashes.dtype == both.song_ids.dtype == both.offsets.dtype == np.uint32
