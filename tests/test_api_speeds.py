"""Clips that were played faster, slower, higher or lower, asked of the running service."""

from __future__ import annotations

from typing import Any

import media
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly
from servers import Server

pytestmark = pytest.mark.server

SEED = 31
SONG_SECONDS = 20.0
SAMPLE_RATE = 44_100
FASTER = 1.06


@pytest.fixture(scope="module")
def song(server: Server) -> dict[str, Any]:
    """What the service said when it was given the song."""
    return added(server)


@pytest.fixture
def narrow(tmp_path: Any) -> Any:
    """A service that looks for no other speed."""
    with Server(tmp_path, recognizing={"max_speed_change": 0}) as running:
        yield running


def added(server: Server) -> dict[str, Any]:
    response = server.fingerprint(media.encode(tune(), media.FORMATS["flac"]), "The Song.flac")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def tune(**changes: float) -> media.Samples:
    return media.music(SONG_SECONDS, seed=SEED, **changes)


def turned_faster() -> NDArray[Any]:
    """As a turntable plays it that goes too fast."""
    return resample_poly(tune(), 50, 53).astype("f4")


def clip(samples: NDArray[Any], speed: float, start_seconds: float, seconds: float = 6.0) -> bytes:
    """From `start_seconds` of the song on, so many seconds of what is heard, as an MP3 file."""
    first = round(start_seconds / speed * SAMPLE_RATE)
    return media.encode(samples[first : first + round(seconds * SAMPLE_RATE)], media.FORMATS["mp3"])


def best(server: Server, heard: bytes) -> dict[str, Any]:
    response = server.recognize(heard)
    assert response.status_code == 200, response.text
    body = response.json()
    assert server.get(f"/api/fetch/{body['token']}").json() == body
    result: dict[str, Any] = body["results"][0]
    return result


def assert_found(result: dict[str, Any], song: dict[str, Any], start_seconds: float) -> None:
    assert result["file_sha1"] == song["file_sha1"]
    assert result["song_id"] == song["song_id"]
    assert result["offset_seconds"] == pytest.approx(start_seconds, abs=0.05)
    assert 0.9 < result["confidence"] <= 1
    assert 0 < result["hashes_matched_in_input"] <= result["input_total_hashes"]


def test_a_clip_played_faster_is_found_with_its_speed(server: Server, song: dict[str, Any]) -> None:
    result = best(server, clip(turned_faster(), FASTER, 7.0))
    assert_found(result, song, 7.0)
    assert result["speed"] == pytest.approx(FASTER, abs=0.005)
    assert "pitch" not in result


@pytest.mark.parametrize("tempo", [0.93, 1.08])
def test_a_clip_with_another_tempo_is_found_with_both(server: Server, song: dict[str, Any], tempo: float) -> None:
    result = best(server, clip(tune(tempo=tempo), tempo, 7.0))
    assert_found(result, song, 7.0)
    assert result["speed"] == pytest.approx(tempo, abs=0.005)
    assert result["pitch"] == 1


@pytest.mark.parametrize("pitch", [0.93, 1.08])
def test_a_clip_at_another_pitch_is_found_with_both(server: Server, song: dict[str, Any], pitch: float) -> None:
    result = best(server, clip(tune(pitch=pitch), 1.0, 7.0))
    assert_found(result, song, 7.0)
    assert result["pitch"] == pytest.approx(pitch, abs=0.005)
    assert result["speed"] == 1


def test_a_clip_played_as_it_is_has_neither(server: Server, song: dict[str, Any]) -> None:
    result = best(server, clip(tune(), 1.0, 7.0))
    assert_found(result, song, 7.0)
    assert not {"speed", "pitch"} & result.keys()


def test_another_song_at_another_speed_is_no_match(server: Server, song: dict[str, Any]) -> None:
    heard = media.encode(media.music(6.0, seed=998, tempo=1.05), media.FORMATS["mp3"])
    assert server.recognize(heard).json()["results"] == []


def test_no_other_speed_is_looked_for_where_the_configuration_says_so(narrow: Server) -> None:
    song = added(narrow)
    assert narrow.recognize(clip(turned_faster(), FASTER, 7.0)).json()["results"] == []
    assert_found(best(narrow, clip(tune(), 1.0, 7.0)), song, 7.0)
