"""What bad input gets: one clear error, from a service that lives on and has stored nothing of it."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from pathlib import Path

import media
import numpy as np
import pytest
import requests
from processes import freeze
from servers import DEADLINE_SECONDS, TOKEN, Server
from wire import assert_error, chunked, multipart, post, read_answer

pytestmark = pytest.mark.server

LIMIT_BYTES = 2 * 1024 * 1024
SECOND = 44_100
KEPT_DIFFERENTLY = {"x%22y&#39;;=z": 'x"y&#39;;=z', "C:\\x\\y": "y"}
"""Browsers write a quote as %22, and some clients send the folder of a Windows path along."""

Send = Callable[..., requests.Response]


@pytest.fixture(params=["recognize", "fingerprint"])
def send(request: pytest.FixtureRequest, server: Server) -> Send:
    """Each of the two routes that take a file."""
    sender: Send = getattr(server, request.param)
    return sender


@pytest.fixture
def unharmed(server: Server) -> Iterator[None]:
    """Whatever a test sends, the service lives on afterwards and holds the songs that it held."""
    songs, processes = server.songs_held(), server.descendants()
    yield
    assert server.songs_held() == songs
    assert server.descendants()[0] == processes[0], "the service was started anew"
    assert "Traceback" not in server.log


@pytest.mark.usefixtures("unharmed")
class TestFiles:
    def test_no_file_part(self, server: Server) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/api/recognize", "/api/fingerprint"):
            for body in ({"data": {"start": "1"}}, {"files": {"other": ("a.mp3", b"x")}}, {"json": {}}, {}):
                response = server.request("POST", path, headers=headers, **body)
                assert "file" in assert_error(response, 400, "missing_field")

    def test_a_file_sent_as_a_plain_field(self, server: Server) -> None:
        headers, body = multipart(('name="file"', b"what should be a file"))
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        message = assert_error(server.exchange(post("/api/recognize", headers, body)), 400, "missing_field")
        assert "-F file=@NAME" in message

    def test_no_file_chosen(self, server: Server) -> None:
        headers, body = multipart(('name="file"; filename=""', b""))
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        assert_error(server.exchange(post("/api/recognize", headers, body)), 400, "missing_field")

    def test_two_files(self, server: Server) -> None:
        files = [("file", ("a.mp3", b"a")), ("file", ("b.mp3", b"b"))]
        assert_error(server.request("POST", "/api/recognize", files=files), 400, "invalid_field")

    def test_an_empty_file(self, send: Send) -> None:
        assert "empty" in assert_error(send(b""), 415, "unsupported_media")

    def test_text_named_mp3(self, send: Send) -> None:
        assert_error(send(b"This is not music. " * 200, "song.mp3"), 415, "unsupported_media")

    def test_a_truncated_mp4(self, send: Send) -> None:
        whole = media.tune("mov")
        assert_error(send(whole[: len(whole) // 2], "phone.mp4"), 415, "unsupported_media")

    def test_silence(self, send: Send) -> None:
        assert_error(send(media.wav(np.zeros(5 * SECOND, np.float32))), 422, "no_audio")

    def test_50_ms_of_sound(self, send: Send, tune: media.Samples) -> None:
        assert_error(send(media.wav(tune[: SECOND // 20])), 422, "no_audio")

    def test_video_without_sound(self, send: Send) -> None:
        video = media.encode(np.empty(0, np.float32), media.FORMATS["mov"], video_seconds=2.0)
        assert_error(send(video, "silent.mp4"), 422, "no_audio")

    def test_a_playlist_opens_neither_file_nor_address(self, send: Send, tmp_path: Path, tune: media.Samples) -> None:
        local = tmp_path / "private.wav"
        local.write_bytes(media.wav(tune))
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/song.mp3"
            for target in (str(local), local.as_uri(), address, f"concat:{local}"):
                playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXTINF:20,\n{target}\n#EXT-X-ENDLIST\n"
                for name in ("list.m3u8", "song.mp3"):
                    assert_error(send(playlist.encode(), name), 415, "unsupported_media")
                assert_error(send(f"ffconcat version 1.0\nfile {target}\n".encode(), "a.txt"), 415, "unsupported_media")
            elsewhere.setblocking(False)
            with pytest.raises(BlockingIOError):
                elsewhere.accept()


class TestUnusualFiles:
    @pytest.mark.parametrize(
        "name",
        [
            'He said "no"',
            "it's",
            "a/b\\c",
            "C:\\x\\y",
            "..",
            "/etc/passwd",
            "\U0001f3b5 Ænima – 曲",
            "n" * 300,
            "x%22y&#39;;=z",
        ],
    )
    def test_file_names(self, server: Server, name: str) -> None:
        file = media.wav(media.music(3.0, seed=int.from_bytes(sha1(name.encode()).digest()[:3])))
        response = server.fingerprint(file, f"{name}.wav")
        assert response.status_code == 200, response.text
        assert response.json()["song_name"] == KEPT_DIFFERENTLY.get(name, name)

    def test_the_same_file_ten_times_at_once(self, server: Server) -> None:
        file = media.wav(media.music(10.0, seed=77))
        songs = server.songs_held()
        with ThreadPoolExecutor(10) as clients:
            responses = list(clients.map(lambda _: server.fingerprint(file), range(10)))
        assert Counter(response.status_code for response in responses) == {200: 1, 409: 9}
        assert len({response.json()["song_id"] for response in responses}) == 1
        assert server.songs_held() == songs + 1


@pytest.mark.usefixtures("unharmed")
class TestFields:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("start", value)
            for value in ("abc", "nan", "inf", "-1", "1e999", "0x10", "１", "1,5", "1_0", "9" * 400, "--1")
        ]
        + [("duration", value) for value in ("abc", "nan", "-1", "0", "0.0", "infinity", "1e3")],
    )
    def test_times(self, server: Server, field: str, value: str) -> None:
        message = assert_error(server.recognize(b"x", **{field: value}), 400, "invalid_field")
        assert message.startswith(f"{field}:")

    def test_a_field_sent_twice(self, server: Server) -> None:
        response = server.recognize(b"x", start=["1", "2"])
        assert_error(response, 400, "invalid_field")

    def test_start_past_the_end(self, server: Server) -> None:
        for kind in ("mp3", "flac", "mov"):
            assert_error(server.recognize(media.tune(kind), start="3600"), 422, "no_audio")

    @pytest.mark.parametrize("name", ["n" * 5000, "two\nlines", "nul\0", " "])
    def test_song_names(self, server: Server, tune: media.Samples, name: str) -> None:
        response = server.fingerprint(media.wav(tune[: 5 * SECOND]), "a.wav", song_name=name)
        assert_error(response, 400, "invalid_field")


@pytest.mark.usefixtures("unharmed")
class TestTokens:
    @pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic abc", "Bearer t\xf6ken"])
    def test_wrong_and_missing_tokens(self, server: Server, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        for method, path in (("POST", "/api/fingerprint"), ("GET", f"/api/songs/{'0' * 40}")):
            assert_error(server.request(method, path, headers=headers), 401, "not_authorized")

    def test_a_stranger_is_refused_before_sending_anything(self, server: Server) -> None:
        headers, _ = multipart()
        head = post("/api/fingerprint", headers | {"Content-Length": str(LIMIT_BYTES)})
        assert_error(server.exchange(head), 401, "not_authorized")


@pytest.mark.usefixtures("unharmed")
class TestBodies:
    """Over bare sockets, since clients differ in what they do when they are answered while they are still sending."""

    FILE = b"x" * (LIMIT_BYTES + 1)

    def head(self, **extra: str) -> dict[str, str]:
        headers, _ = multipart()
        return headers | {"Authorization": f"Bearer {TOKEN}", "Connection": "close"} | extra

    @pytest.mark.parametrize("path", ["/api/recognize", "/api/fingerprint"])
    @pytest.mark.parametrize("size", [LIMIT_BYTES + 1, LIMIT_BYTES + 300_000, 20 * LIMIT_BYTES])
    def test_larger_than_allowed(self, server: Server, path: str, size: int) -> None:
        _, body = multipart(('name="file"; filename="a.mp3"', b"x" * size))
        announced = post(path, self.head(**{"Content-Length": str(len(body))}))
        assert_error(server.exchange(announced, body), 413, "file_too_large")
        unannounced = post(path, self.head(**{"Transfer-Encoding": "chunked"}))
        assert_error(server.exchange(unannounced, chunked(body)), 413, "file_too_large")

    def test_larger_than_allowed_from_an_ordinary_client(self, server: Server) -> None:
        assert_error(server.recognize(b"x" * (20 * LIMIT_BYTES)), 413, "file_too_large")

    def test_as_large_as_allowed(self, server: Server) -> None:
        assert_error(server.recognize(b"x" * LIMIT_BYTES), 415, "unsupported_media")

    def test_announced_larger_than_allowed_is_refused_at_once(self, server: Server) -> None:
        head = post("/api/recognize", self.head(**{"Content-Length": str(10**12)}))
        assert_error(server.exchange(head), 413, "file_too_large")

    def test_a_lie_about_the_length(self, server: Server) -> None:
        _, body = multipart(('name="file"; filename="a.mp3"', b"x" * 1000))
        head = post("/api/recognize", self.head(**{"Content-Length": str(2 * len(body))}))
        assert_error(server.exchange(head, body[:500], end=True), 400, "invalid_body")

    @pytest.mark.parametrize("piece", [b"5\r\nabc", b"zz\r\n", b"3\r\nabcX"])
    def test_broken_chunks(self, server: Server, piece: bytes) -> None:
        head = post("/api/recognize", self.head(**{"Transfer-Encoding": "chunked"}))
        assert_error(server.exchange(head, piece, end=True), 408, "incomplete_body")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"--x\r\n"),
            ("multipart/form-data; boundary=x", b"no boundary at all"),
            ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: a/b\r\n\r\nno disposition\r\n--x--\r\n"),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n1\r\n--x--',
            ),
        ],
    )
    def test_malformed_forms(self, server: Server, content_type: str, body: bytes) -> None:
        headers = self.head(**{"Content-Type": content_type, "Content-Length": str(len(body))})
        assert_error(server.exchange(post("/api/recognize", headers, body)), 400, "invalid_body")

    @pytest.mark.parametrize(
        "parts",
        [
            [('name="start"', b"1" * 1_000_000)],
            [(f'name="f{index}"', b"") for index in range(100)],
            [('name="file"; filename="a"', b"x"), ('name="' + "n" * 500_000 + '"', b"")],
        ],
        ids=["a long field", "many fields", "a long name"],
    )
    def test_oversized_forms(self, server: Server, parts: list[tuple[str, bytes]]) -> None:
        _, body = multipart(*parts)
        head = post("/api/recognize", self.head(**{"Content-Length": str(len(body))}))
        assert_error(server.exchange(head, body), 400, "invalid_body")

    def test_a_client_that_leaves(self, server: Server) -> None:
        head = post("/api/recognize", self.head(**{"Content-Length": "100000"}))
        with socket.create_connection(server.address) as connection:
            connection.sendall(head + b"--~~boundary~~\r\n")
        server.wait_for(r"route=/api/recognize status=400")


@pytest.mark.usefixtures("unharmed")
class TestCrashes:
    @pytest.mark.parametrize("route", ["recognize", "fingerprint"])
    def test_a_worker_killed_over_a_file_costs_that_request_only(
        self, server: Server, tune: media.Samples, route: str
    ) -> None:
        file = media.encode(tune[: 10 * SECOND], media.FORMATS["ogg vorbis"])
        before = server.decoders()
        for pid in before:
            freeze(pid)
        with ThreadPoolExecutor(1) as client:
            crashed = client.submit(getattr(server, route), file)
            server.wait_until_busy()
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert_error(crashed.result(DEADLINE_SECONDS), 415, "unsupported_media")
        assert_error(server.song(sha1(file).hexdigest()), 404, "unknown_song")
        assert server.recognize(file).status_code == 200
        assert not set(before) & set(server.decoders())

    def test_a_client_that_waits_no_longer_does_no_harm(self, server: Server, tune: media.Samples) -> None:
        _, body = multipart(('name="file"; filename="a.wav"', media.wav(tune[:SECOND])))
        headers, _ = multipart()
        with socket.create_connection(server.address) as connection:
            connection.sendall(post("/api/recognize", headers | {"Content-Length": str(len(body))}, body))
        assert server.get("/api/health").status_code == 200

    def test_two_requests_in_one_breath(self, server: Server) -> None:
        get = b"GET /api/health HTTP/1.1\r\nHost: a\r\n\r\n"
        with socket.create_connection(server.address, DEADLINE_SECONDS) as connection:
            connection.sendall(get)
            assert read_answer(connection).status_code == 200
            connection.sendall(get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert read_answer(connection).status_code == 200
