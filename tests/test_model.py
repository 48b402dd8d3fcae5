"""What an answer looks like on the wire."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dejavu.model import Match, Recognition, Song, Timings

SONG = Song(song_id=4_000_000_001, name="Sigur Rós – ( ) \U0001f3b5", sha1="a9" * 20, total_hashes=3000)
MATCH = Match(song=SONG, confidence=0.987654321, delta=1000, hashes_matched=120, input_hashes=500)
TIMINGS = Timings(fingerprint=0.02, look_up=0.005, align=0.001, store=0.002, asked_hashes=500)


def test_match_has_the_fields_of_the_contract_rounded():
    assert MATCH.to_wire() == {
        "song_id": 4_000_000_001,
        "song_name": "Sigur Rós – ( ) \U0001f3b5",
        "file_sha1": "a9" * 20,
        "confidence": 0.98765,
        "offset_seconds": 23.22,
        "offset": 1000,
        "hashes_matched_in_input": 120,
        "input_total_hashes": 500,
        "fingerprinted_hashes_in_db": 3000,
        "input_confidence": 0.24,
        "fingerprinted_confidence": 0.04,
    }


def test_speed_is_on_the_wire_only_where_it_was_found():
    assert replace(MATCH, speed=1.0400001).to_wire()["speed"] == 1.04
    assert "speed" not in MATCH.to_wire()


@pytest.mark.parametrize(("delta", "seconds"), [(0, 0.0), (1, 0.023), (-43, -0.998), (3_721_000, 86_401.451)])
def test_offset_in_seconds_follows_from_frames_and_keeps_its_sign(delta, seconds):
    wire = replace(MATCH, delta=delta).to_wire()
    assert (wire["offset"], wire["offset_seconds"]) == (delta, seconds)


def test_recognition_reads_as_the_contract_says():
    recognition = Recognition("t" * 20, (MATCH, replace(MATCH, delta=-5)), ("instances[1]",), TIMINGS)
    body = json.loads(recognition.to_json())
    assert list(body) == ["status", "token", "results", "unavailable"]
    assert body["status"] == "success"
    assert body["token"] == "t" * 20
    assert [result["offset"] for result in body["results"]] == [1000, -5]
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
