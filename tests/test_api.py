"""The wire contract, asked of the running service."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import media
import pytest
import requests
from servers import TOKEN, Server
from wire import assert_error, multipart, post

pytestmark = pytest.mark.server

RESULT_FIELDS = {
    "song_id",
    "song_name",
    "file_sha1",
    "artist",
    "title",
    "album",
    "isrc",
    "duration_seconds",
    "confidence",
    "offset_seconds",
    "offset",
    "hashes_matched_in_input",
    "input_total_hashes",
    "fingerprinted_hashes_in_db",
    "input_confidence",
    "fingerprinted_confidence",
}


@pytest.fixture(scope="module")
def song_file(tune: media.Samples) -> bytes:
    return media.encode(tune, media.FORMATS["flac"])


@pytest.fixture(scope="module")
def song(server: Server, song_file: bytes) -> dict[str, object]:
    """What the service said when it was given the tune."""
    response = server.fingerprint(song_file, "The Tune.flac")
    assert response.status_code == 200, response.text
    body: dict[str, object] = response.json()
    return body


@pytest.fixture(scope="module")
def clip(tune: media.Samples) -> bytes:
    """Eight seconds of the tune, from its sixth on."""
    return media.encode(tune[6 * 44_100 : 14 * 44_100], media.FORMATS["mp3"])


@pytest.fixture(scope="module")
def answer(server: Server, song: dict[str, object], clip: bytes) -> requests.Response:
    response = server.recognize(clip)
    assert response.status_code == 200, response.text
    return response


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service without a token that adds no songs, limits rates, and counts them in a Redis that is not there."""
    with Server(
        tmp_path_factory.mktemp("restricted"),
        fingerprinting={"allow": False, "token": None},
        rate_limit={"recognizing": "3 per minute", "fetching_results": "1000 per second"},
        redis={"host": "127.0.0.1", "port": 1},
        server={"trusted_proxies": ["127.0.0.1"]},
    ) as running:
        yield running


class TestFingerprint:
    def test_says_what_it_stored(self, song: dict[str, object], song_file: bytes) -> None:
        known = {"artist", "title", "album", "isrc", "duration_seconds"}
        assert set(song) == {"status", "file_sha1", "song_id", "song_name", "fingerprinted_hashes", *known}
        assert song["status"] == "success"
        assert song["file_sha1"] == hashlib.sha1(song_file).hexdigest()
        assert song["song_name"] == "The Tune"
        assert isinstance(song["song_id"], int)
        assert isinstance(song["fingerprinted_hashes"], int)

    def test_the_same_file_again_is_a_conflict(self, server: Server, song: dict[str, object], song_file: bytes) -> None:
        response = server.fingerprint(song_file, song_name="Another name")
        assert response.status_code == 409
        body = response.json()
        assert body.pop("message").endswith(".")
        assert body == {
            "status": "already_fingerprinted",
            "file_sha1": song["file_sha1"],
            "song_id": song["song_id"],
            "song_name": "The Tune",
        }

    @pytest.mark.parametrize(
        ("fields", "filename", "name"),
        [
            ({}, "AC/DC - T.N.T..mp3", "AC/DC - T.N.T."),
            ({}, "Sigur Rós – ( ).flac", "Sigur Rós – ( )"),
            ({}, "Mr. Brightside", "Mr. Brightside"),
            ({"song_name": "  Ænima – 'Τέλος' \U0001f3b5 "}, "x.mp3", "  Ænima – 'Τέλος' \U0001f3b5 "),
            ({"song_name": ""}, "Unnamed.opus", "Unnamed"),
        ],
    )
    def test_a_name_is_kept_to_the_letter(
        self, server: Server, fields: dict[str, str], filename: str, name: str
    ) -> None:
        file = media.wav(media.music(4.0, seed=hash_of(filename + name)))
        response = server.fingerprint(file, filename, **fields)
        assert response.status_code == 200, response.text
        assert response.json()["song_name"] == name
        assert server.song(response.json()["file_sha1"]).json()["song_name"] == name


class TestRecognize:
    def test_names_the_song_and_where_in_it_the_clip_starts(
        self, answer: requests.Response, song: dict[str, object]
    ) -> None:
        body = answer.json()
        assert set(body) == {"status", "token", "results", "unavailable"}
        assert (body["status"], body["unavailable"]) == ("success", [])
        assert re.fullmatch(r"[A-Za-z0-9]{20}", body["token"])
        best = body["results"][0]
        assert set(best) == RESULT_FIELDS
        assert {name: best[name] for name in ("song_id", "song_name", "file_sha1")} == {
            name: song[name] for name in ("song_id", "song_name", "file_sha1")
        }
        assert best["fingerprinted_hashes_in_db"] == song["fingerprinted_hashes"]
        assert best["offset_seconds"] == pytest.approx(6.0, abs=0.1)
        assert 0.5 < best["confidence"] <= 1
        assert best["input_confidence"] == pytest.approx(
            best["hashes_matched_in_input"] / best["input_total_hashes"], abs=1e-4
        )
        assert 0 < best["fingerprinted_confidence"] <= 1

    def test_lists_nothing_for_what_is_not_in_the_catalogue(self, server: Server, song: dict[str, object]) -> None:
        body = server.recognize(media.encode(media.music(8.0, seed=999), media.FORMATS["mp3"])).json()
        assert body["results"] == []
        assert re.fullmatch(r"[A-Za-z0-9]{20}", body["token"])

    def test_listens_to_the_part_asked_for(self, server: Server, song: dict[str, object], song_file: bytes) -> None:
        body = server.recognize(song_file, start="12.5", duration="5.").json()
        assert body["results"][0]["offset_seconds"] == pytest.approx(12.5, abs=0.1)

    def test_takes_empty_fields_for_absent_ones(self, server: Server, clip: bytes) -> None:
        assert server.recognize(clip, start="", duration="").status_code == 200

    def test_takes_a_chunked_upload(self, server: Server, clip: bytes) -> None:
        headers, body = multipart(('name="file"; filename="a.mp3"', clip))
        response = server.request("POST", "/api/recognize", data=iter([body[:1000], body[1000:]]), headers=headers)
        assert response.status_code == 200, response.text

    def test_ignores_what_follows_the_form(self, server: Server, clip: bytes) -> None:
        headers, body = multipart(('name="file"; filename="a.mp3"', clip))
        body += b"\r\nan epilogue of no meaning"
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        assert server.exchange(post("/api/recognize", headers, body)).status_code == 200

    def test_a_recognition_leaves_its_stages_but_never_its_token_in_the_log(
        self, server: Server, answer: requests.Response
    ) -> None:
        token = answer.json()["token"]
        server.get(f"/api/fetch/{token}")
        server.wait_for(rf"id={answer.headers['X-Request-ID']} .*fingerprint_ms=[\d.]+ look_up_ms=[\d.]+ align_ms=")
        server.wait_for(r"route=/api/fetch/<token> status=200")
        assert token not in server.log
        assert TOKEN not in server.log


class TestFetch:
    def test_sends_the_same_bytes_again(self, server: Server, answer: requests.Response) -> None:
        response = server.get(f"/api/fetch/{answer.json()['token']}")
        assert response.status_code == 200
        assert response.content == answer.content
        assert response.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("token", ["A" * 20, "short", "'; DROP TABLE results; --", "%00", "é" * 20])
    def test_an_unknown_token_is_not_found(self, server: Server, token: str) -> None:
        assert_error(server.get(f"/api/fetch/{token}"), 404, "unknown_token")


class TestSongs:
    def test_finds_a_song_by_its_file(self, server: Server, song: dict[str, object]) -> None:
        response = server.song(str(song["file_sha1"]))
        assert response.status_code == 200
        assert response.json() == song

    @pytest.mark.parametrize("sha1", ["0" * 40, "xyz", "' OR 1=1"])
    def test_an_unknown_file_is_not_found(self, server: Server, sha1: str) -> None:
        assert_error(server.song(sha1), 404, "unknown_song")

    @pytest.mark.parametrize("token", ["wrong", TOKEN + "x", "", "t\xf6ken"])
    def test_needs_the_token(self, server: Server, token: str) -> None:
        assert_error(server.song("0" * 40, token=token), 401, "not_authorized")


class TestHealth:
    def test_reports_every_database(self, server: Server) -> None:
        response = server.get("/api/health")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "success"
        assert [instance["name"] for instance in body["instances"]] == ["instances[0]", "instances[1]"]
        assert [shard["name"] for shard in body["results"]] == ["results[0]", "results[1]"]
        assert all(part["state"] == "up" and part["since"] for part in body["instances"] + body["results"])

    def test_tells_no_secret(self, server: Server) -> None:
        assert TOKEN not in server.get("/api/health").text


class TestRestricted:
    def test_adds_no_songs(self, restricted: Server, clip: bytes) -> None:
        assert_error(restricted.fingerprint(clip), 403, "fingerprinting_disabled")

    def test_tells_where_redis_is_down(self, restricted: Server) -> None:
        response = restricted.get("/api/health")
        assert (response.status_code, response.json()["redis"]) == (200, {"state": "down"})

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 404),
            ({"X-Forwarded-For": "127.0.0.1"}, 404),
            ({"X-Forwarded-For": "203.0.113.9"}, 401),
            ({"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}, 401),
            ({"Forwarded": "for=127.0.0.1"}, 401),
            ({"Origin": "https://evil.example"}, 401),
        ],
    )
    def test_without_a_token_only_this_machine_is_let_in(
        self, restricted: Server, headers: dict[str, str], status: int
    ) -> None:
        response = restricted.get(f"/api/songs/{'0' * 40}", headers=headers)
        assert_error(response, status, {404: "unknown_song", 401: "not_authorized"}[status])

    def test_the_log_names_the_client_that_a_trusted_proxy_names(self, restricted: Server) -> None:
        response = restricted.get("/api/fetch/unknown", headers={"X-Forwarded-For": "203.0.113.77"})
        restricted.wait_for(rf"id={response.headers['X-Request-ID']} client=203\.0\.113\.77 ")

    def test_limits_each_client_on_its_own(self, restricted: Server) -> None:
        def ask(client: str) -> requests.Response:
            return restricted.request("POST", "/api/recognize", headers={"X-Forwarded-For": client})

        for _ in range(3):
            assert_error(ask("192.0.2.1"), 400, "missing_field")
        limited = ask("192.0.2.1")
        assert_error(limited, 429, "rate_limited")
        assert int(limited.headers["Retry-After"]) <= 60
        assert_error(ask("forged, 192.0.2.1"), 429, "rate_limited")
        assert_error(ask("192.0.2.2"), 400, "missing_field")


def hash_of(text: str) -> int:
    """A seed that is the same in every run."""
    return int.from_bytes(hashlib.sha1(text.encode()).digest()[:4])
