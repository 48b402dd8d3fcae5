"""Who asks in the benchmark of load: requests that come when they are due, and clients that wait for their answers."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

from benchmarks.client import Request
from benchmarks.load_clients import Arriving, Load, Waiting
from benchmarks.load_figures import ANSWERED, REFUSED, Asked, arrival_times
from benchmarks.material import Clip

WELL = json.dumps({"status": "success", "results": [{"song_name": "a song"}], "unavailable": []})
BUSY = json.dumps({"status": "error", "code": "overloaded", "message": "Busy."})


class Handler(BaseHTTPRequestHandler):
    """Answers a clip as its server's `answer` says: status, body and, if any, Retry-After; None hangs up."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Peer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = self.server.answer()
        self.close_connection = said is None
        if said is None:
            return
        status, body, retry_after = said
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Not to stderr."""


class Peer(ThreadingHTTPServer):
    """A server that can be made to answer anything, at any time."""

    daemon_threads = True
    answer: Callable[[], tuple[int, str, str | None] | None]


@contextmanager
def answering(answer: Callable[[], tuple[int, str, str | None] | None]) -> Iterator[tuple[str, int]]:
    """The address of a peer that answers so."""
    with Peer(("127.0.0.1", 0), Handler) as peer:
        peer.answer = answer
        thread = threading.Thread(target=peer.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield "127.0.0.1", peer.server_address[1]
        finally:
            peer.shutdown()
            thread.join()


def drive(load: Load, address: tuple[str, int], seconds: float) -> list[Asked]:
    clip = Clip(Path("clip.wav"), "a song.mp3", "reference", "clean", 10.0, 0.0, 1)
    request = Request("known", clip, b"media", {"Content-Type": "text/plain"}, b"body")
    return load.drive(address, [request], time.monotonic(), seconds)


def test_requests_that_are_due_do_not_wait_for_each_others_answers():
    """No answer comes before all have been asked for."""
    all_there = threading.Barrier(5)

    def answer() -> tuple[int, str, None]:
        all_there.wait(20)
        return 200, WELL, None

    with answering(answer) as address:
        ends = drive(Arriving(50.0, (1,), connections=5), address, 0.1)
    assert [one.outcome for one in ends] == [ANSWERED] * 5
    assert all(one.right for one in ends)
    assert [one.due for one in ends] == arrival_times(50.0, 0.1, (1,)).tolist()
    assert all(one.sent >= one.due for one in ends)


def test_a_request_without_a_free_connection_is_sent_late_and_was_due_all_the_same():
    with answering(lambda: (200, WELL, None)) as address:
        ends = drive(Arriving(100_000.0, (1,), connections=1), address, 0.0001)
    assert [one.due for one in ends] == arrival_times(100_000.0, 0.0001, (1,)).tolist()
    assert len(ends) == 10
    assert all(later.sent >= earlier.ended for earlier, later in pairwise(ends))
    assert all(one.seconds > one.ended - one.sent for one in ends)


def test_clients_that_are_answered_ask_again_and_those_that_are_refused_come_back_when_told():
    """Five are answered, and then the two clients are refused until long after the end."""
    answers = iter([(200, WELL, None)] * 5)
    with answering(lambda: next(answers, (503, BUSY, "30"))) as address:
        ends = drive(Waiting(2), address, 1.0)
    assert Counter(one.outcome for one in ends) == {ANSWERED: 5, REFUSED: 2}
    assert all(one.due == one.sent for one in ends)
    assert [one.retry_after_seconds for one in ends if one.outcome == REFUSED] == [30, 30]


def test_a_server_that_hangs_up_is_an_error_of_this_name():
    with answering(lambda: None) as address:
        ends = drive(Arriving(20.0, (1,), connections=5), address, 0.1)
    assert [one.outcome for one in ends] == ["RemoteDisconnected"] * 2
