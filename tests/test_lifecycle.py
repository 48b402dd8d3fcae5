"""Starting, stopping and dying: nothing acknowledged is lost, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import media
import pytest
import requests
from processes import eventually, freeze
from servers import DEADLINE_SECONDS, Server, make_config, wait_until_gone
from wire import assert_error, post

from dejavu.config.settings import KEEP_ALIVE_SECONDS, OVERLOAD_RETRY_SECONDS, SERVER_THREADS
from dejavu.service.recognizer import clip_places

pytestmark = pytest.mark.server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A service that a test may treat as it likes."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def clip(tune: media.Samples) -> bytes:
    return media.encode(tune[: 5 * 44_100], media.FORMATS["mp3"])


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("to_all", [False, True], ids=["to the service", "to all its processes"])
    def test_requests_in_flight_are_answered(
        self, own_server: Server, clip: bytes, number: signal.Signals, to_all: bool
    ) -> None:
        """A terminal's Ctrl-C reaches every process, and so does systemd's stop."""
        decoders = own_server.decoders()
        for pid in decoders:
            freeze(pid)
        started = own_server.descendants()
        with ThreadPoolExecutor(1) as client:
            in_flight = client.submit(own_server.recognize, clip)
            own_server.wait_until_busy()
            for pid in own_server.descendants() if to_all else []:
                os.kill(pid, number)
            own_server.signal(number)
            own_server.wait_for(r"stopping")
            for pid in decoders:
                os.kill(pid, signal.SIGCONT)
            assert in_flight.result(DEADLINE_SECONDS).status_code == 200
            assert own_server.wait() == 0
        wait_until_gone(started)
        assert "Traceback" not in own_server.log
        assert "KeyboardInterrupt" not in own_server.log

    def test_a_killed_service_leaves_no_process(self, own_server: Server) -> None:
        started = own_server.descendants()
        own_server.signal(signal.SIGKILL)
        own_server.wait()
        wait_until_gone(started)

    def test_a_killed_serving_process_is_replaced_with_its_workers(self, own_server: Server, clip: bytes) -> None:
        serving, *workers = own_server.descendants()
        os.kill(serving, signal.SIGKILL)
        wait_until_gone(workers)
        assert own_server.recognize(clip).status_code == 200
        assert not {serving, *workers} & set(own_server.descendants())


class TestMany:
    def test_more_clients_than_the_usual_limit_of_descriptors_do_no_harm(self, own_server: Server) -> None:
        part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%s\r\n'
        form = b"".join(part % (b"." * 10_000) for _ in range(15)) + b"." * 65_536
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(10 * len(form))}
        with ExitStack() as connections:
            for _ in range(200):
                client = connections.enter_context(socket.create_connection(own_server.address))
                client.sendall(post("/api/recognize", headers, form))
            serving = own_server.descendants()[0]
            eventually(lambda: len(list(Path(f"/proc/{serving}/fd").iterdir())) > 1024)
        assert own_server.get("/api/health").status_code == 200
        assert own_server.descendants()[0] == serving

    def test_silent_connections_hold_no_thread_and_no_stop(self, own_server: Server) -> None:
        with ExitStack() as connections:
            for _ in range(5 * SERVER_THREADS):
                connections.enter_context(socket.create_connection(own_server.address))
            assert requests.get(f"{own_server.url}/api/health", timeout=4).status_code == 200
            own_server.signal(signal.SIGTERM)
            assert own_server.process.wait(KEEP_ALIVE_SECONDS - 5) == 0

    def test_a_full_queue_refuses_at_once_and_keeps_nobody_else_waiting(self, own_server: Server) -> None:
        too_short = media.wav(media.music(0.05))
        decoders = own_server.decoders()
        for pid in decoders:
            freeze(pid)
        room = sum(clip_places())
        with ThreadPoolExecutor(room) as clients:
            answers = [clients.submit(own_server.recognize, too_short) for _ in range(room)]
            eventually(lambda: own_server.get("/api/health").json()["workers"]["waiting"] == room - len(decoders))
            refused = own_server.recognize(too_short)
            assert_error(refused, 503, "overloaded")
            assert 1 <= int(refused.headers["Retry-After"]) <= OVERLOAD_RETRY_SECONDS
            assert_error(own_server.recognize(b"", start="not read"), 503, "overloaded")
            assert_error(own_server.get(f"/api/fetch/{'a' * 20}"), 404, "unknown_token")
            for pid in decoders:
                os.kill(pid, signal.SIGCONT)
            assert {answer.result().status_code for answer in answers} == {422}


class TestDamage:
    def test_what_nobody_foresaw_is_an_error_like_any_other(
        self, own_server: Server, tune: media.Samples, tmp_path: Path
    ) -> None:
        song = media.wav(tune)
        assert own_server.fingerprint(song).status_code == 200
        for path in tmp_path.glob("fingerprints-*.sqlite"):
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("UPDATE postings SET entries = CAST(entries || x'00' AS BLOB)")
        answer = own_server.recognize(song)
        assert_error(answer, 500, "internal_error")
        own_server.wait_for(f"request failed id={answer.headers['X-Request-ID']} route=/api/recognize\nTraceback")
        assert own_server.get("/api/health").status_code == 200


class TestRestart:
    @pytest.mark.parametrize("kill", [False, True])
    def test_songs_and_answers_outlive_the_service(self, own_server: Server, tune: media.Samples, kill: bool) -> None:
        song = own_server.fingerprint(media.wav(tune)).json()
        answer = own_server.recognize(media.wav(tune[5 * 44_100 : 12 * 44_100]))
        assert answer.json()["results"][0]["song_id"] == song["song_id"]
        own_server.restart(kill=kill)
        assert own_server.get(f"/api/fetch/{answer.json()['token']}").content == answer.content
        assert own_server.song(song["file_sha1"]).json() == song

    def test_nothing_stays_in_the_folder_for_temporary_files(self, tmp_path: Path, clip: bytes) -> None:
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        server = Server(tmp_path)
        server.start({"TMPDIR": str(temporary)})
        assert server.recognize(clip).status_code == 200
        server.kill()
        assert [path for path in temporary.iterdir() if path.stat().st_size] == []


class TestStart:
    def fails(self, server: Server, **environment: str) -> str:
        """Launch what cannot start; its last words, which are one clear sentence."""
        server.launch(environment)
        assert server.wait() == 2, server.log
        assert "Traceback" not in server.log
        return server.log

    def test_every_mistake_in_the_configuration_is_named(self, tmp_path: Path) -> None:
        config = make_config(recognising={}, allowed_origin="*")
        config["instances"][1]["database"]["path"] = 9
        server = Server(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps(config))
        log = self.fails(server)
        for path in ("recognising", "allowed_origin", "instances[1].database.path"):
            assert sum(line.startswith(path) for line in log.splitlines()) == 1, log

    def test_a_missing_configuration(self, tmp_path: Path) -> None:
        assert "nowhere.json" in self.fails(Server(tmp_path), TUNESCOUT_CONFIG=str(tmp_path / "nowhere.json"))

    @pytest.mark.parametrize("port", ["http", "-1", "65536", "８０８０"])
    def test_an_impossible_port(self, tmp_path: Path, port: str) -> None:
        assert self.fails(Server(tmp_path), PORT=port).startswith("PORT:")

    @pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
    def test_an_impossible_host(self, tmp_path: Path, host: str) -> None:
        assert "HOST" in self.fails(Server(tmp_path), HOST=host)

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            log = self.fails(Server(tmp_path), PORT=str(port))
        assert str(port) in log
        assert len(log.splitlines()) == 1

    def test_a_catalogue_of_another_format(self, tmp_path: Path, alter_format: Callable[[Path], None]) -> None:
        with Server(tmp_path) as server:
            pass
        alter_format(tmp_path / "fingerprints-1.sqlite")
        assert "instances[1]" in self.fails(server)

    @pytest.fixture
    def alter_format(self) -> Callable[[Path], None]:
        def alter(path: Path) -> None:
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE format SET digest = 'another'")
            connection.close()

        return alter

    def test_a_database_that_cannot_be_opened_is_done_without(self, tmp_path: Path, clip: bytes) -> None:
        (tmp_path / "fingerprints-0.sqlite").mkdir()
        with Server(tmp_path) as server:
            health = server.get("/api/health").json()
            assert [instance["state"] for instance in health["instances"]] == ["down", "up"]
            assert server.recognize(clip).json()["unavailable"] == ["instances[0]"]

    def test_without_any_database_there_is_no_answer_and_no_false_one(self, tmp_path: Path, clip: bytes) -> None:
        for index in range(2):
            (tmp_path / f"fingerprints-{index}.sqlite").mkdir()
        server = Server(tmp_path)
        server.launch()
        server.url = server.wait_for(r"listening on (\S+)").group(1)
        health = server.get("/api/health")
        assert (health.status_code, health.json()["status"], health.json()["code"]) == (
            503,
            "error",
            "instances_unavailable",
        )
        assert_error(server.recognize(clip), 503, "instances_unavailable")
        assert_error(server.fingerprint(clip), 503, "instances_unavailable")
        server.stop()
