"""One request taken apart: what each of its stages takes, and beside it the floor of the stage.

A floor is what any service in Python with the same libraries has to do at least: a bare HTTP server, PyAV's loop over
the frames, scipy's FFT, a SELECT by hand. What a stage takes beyond its floor can be worked at.

The whole request, a clip of 10 s as MP3, is sent to the real server. Its stages run in this process, and those of a
worker in one like a worker's, through the functions that the service calls, timed where it calls them; each floor gets
what its stage was given. Stages and floors take turns, and which of them comes first changes, so that whatever disturbs
the machine disturbs both.

HTTP is what remains of the whole request, and the hand-over to a worker what remains of the fingerprint in the server's
log. The verification is two stages, of which one reads what the other compares. `rest` is what remains of the search:
threads and ranking. What several instances do at the same time counts as the slowest of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from tqdm import tqdm
from werkzeug.test import create_environ

from benchmarks import floors
from benchmarks.bare_server import ANSWER_BYTES, bare_server
from benchmarks.catalogue import Server
from benchmarks.client import CLIP_SECONDS, Client, Reply, Request, by_kind, make_requests
from benchmarks.databases import RedisServer, private_redis, service
from benchmarks.floors import seconds_of
from benchmarks.kept import KINDS, fill_up, kept
from benchmarks.log_stages import STAGES, log_lines
from benchmarks.media_stages import Parts, take_apart, worker_like
from benchmarks.report import OUT, count, make_parser, publish
from benchmarks.search_stages import LOOK_UP, Searched, Searches, searches
from benchmarks.stage_tables import HTTP, SPOOL, Sample, remaining, summary, tables
from dejavu.config.database import Database, SqliteDatabase
from dejavu.web.requests import UploadRequest, receive_upload

_RESULTS = "stages_results"
"""The database of answers, on the server of the catalogue where that has one."""

_WARM_UP_ROUNDS_AT_MOST = 8
"""Entries of the cache are written when there is time, so that one round need not be enough."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One request, sent and taken apart; the log is read later."""

    request: Request
    reply: Reply
    parts: Parts
    searched: Searched


def main() -> None:
    """Send every clip and take it apart, again and again."""
    parser = make_parser(__doc__)
    parser.add_argument("--kind", choices=KINDS, default="sqlite", help="of database (default sqlite)")
    parser.add_argument("--tracks", type=count, default=0, help="synthetic ones in the catalogue (default none)")
    parser.add_argument(
        "--folder", type=Path, default=OUT / "scale", help="where it stays, by tracks (default: as for scale)"
    )
    parser.add_argument("--redis", action="store_true", help="cache posting lists")
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=count, default=8, help="clips of each kind (default 8)")
    parser.add_argument("--rounds", type=count, default=10, help="times each clip is taken apart, warm (default 10)")
    options = parser.parse_args()
    if not options.per_kind or not options.rounds:
        parser.error("--per-kind and --rounds are to be at least 1.")
    requests = [_with_wider_kind(request) for request in make_requests(options.seed, options.per_kind)]
    with _bench(options) as bench:
        taken = bench.run(requests, options.rounds)
        songs = bench.server.songs_held()
        bench.server.stop()
        samples = _samples(bench.server.log, taken)
    kinds = {kind: summary([one for one in samples if one.kind == kind]) for kind in by_kind(requests)}
    cached = " with Redis" if options.redis else ""
    title = f"{options.kind}{cached}, {songs} songs, clips of {CLIP_SECONDS:g} s, warm, one client; medians"
    publish("stages", options, {"songs": songs, "kinds": kinds}, tables(kinds, title), [])


class Bench:
    """Everything that a request is taken apart with: the server itself, and its parts in other places."""

    def __init__(
        self, server: Server, client: Client, bare: Client, worker: ProcessPoolExecutor, searching: Searches
    ) -> None:
        self.server = server
        self._client = client
        self._bare = bare
        self._worker = worker
        self._searching = searching

    def run(self, requests: Sequence[Request], rounds: int) -> list[Taken]:
        """Take all clips apart in turns, once all that is cached is in the caches."""
        for _ in range(_WARM_UP_ROUNDS_AT_MOST):
            found = self._round(requests, 0, "warming up")
            if not any(self._searching.cached and LOOK_UP in one.parts.floors for one in found):
                break
        return [one for turn in range(rounds) for one in self._round(requests, turn, f"round {turn + 1} of {rounds}")]

    def _round(self, requests: Sequence[Request], turn: int, what: str) -> list[Taken]:
        return [
            self._take_apart(number, request, floors_first=bool((turn + number) % 2))
            for number, request in enumerate(tqdm(requests, desc=what, unit="clip"))
        ]

    def _take_apart(self, number: int, request: Request, floors_first: bool) -> Taken:
        query, media = self._worker.submit(take_apart, number, request.media, floors_first).result()
        searched = self._searching.take_apart(number, query, floors_first)
        reply, http_floor = self._send(request, len(searched.answer.encode()), floors_first)
        spool, spool_floor = _spool(request, floors_first)
        return Taken(
            request,
            reply,
            Parts(
                {SPOOL: spool, **media.stages, **searched.parts.stages},
                {HTTP: http_floor, SPOOL: spool_floor, **media.floors, **searched.parts.floors},
            ),
            searched,
        )

    def _send(self, request: Request, answer_bytes: int, floor_first: bool) -> tuple[Reply, float]:
        """What the service answers, and how long the same takes with the bare server."""
        bare = replace(request, headers={**request.headers, ANSWER_BYTES: str(answer_bytes)})
        if floor_first:
            least = self._bare.recognise(bare).seconds
            return self._client.recognise(request), least
        return self._client.recognise(request), self._bare.recognise(bare).seconds


@contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    """A bench over the catalogue that the options name."""
    with ExitStack() as opened:
        spare = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tunescout-bench-")))
        stores = opened.enter_context(kept(options.kind, options.folder / str(options.tracks)))
        fill_up(stores, options.tracks)
        databases = [store.database for store in stores]
        results = _results_beside(databases[0], spare)
        redis: RedisServer | None = opened.enter_context(private_redis()) if options.redis else None
        server = opened.enter_context(service(databases, redis, [results]))
        yield Bench(
            server,
            opened.enter_context(Client(server.address)),
            opened.enter_context(Client(opened.enter_context(bare_server()))),
            opened.enter_context(worker_like()),
            opened.enter_context(searches(databases, results, redis)),
        )


def _results_beside(database: Database, folder: Path) -> Database:
    if isinstance(database, SqliteDatabase):
        return SqliteDatabase(folder / "results.sqlite")
    return replace(database, database=_RESULTS)


def _with_wider_kind(request: Request) -> Request:
    """Unknown clips are of one kind: whatever they sound like, all there is is done for them."""
    return request if request.clip.known else replace(request, kind="unknown")


def _spool(request: Request, floor_first: bool) -> tuple[float, float]:
    """How long the service takes to read a form and write its file, and how long writing a file takes."""
    environ = create_environ(
        "/api/recognize",
        method="POST",
        input_stream=BytesIO(request.body),
        content_length=len(request.body),
        content_type=request.headers["Content-Type"],
    )

    def receive() -> None:
        form = UploadRequest(environ)
        receive_upload(form, None)
        form.close()

    def write() -> None:
        floors.write_file(request.media)

    if floor_first:
        least = seconds_of([write])
        return seconds_of([receive]), least
    return seconds_of([receive]), seconds_of([write])


def _samples(log: str, taken: Sequence[Taken]) -> list[Sample]:
    """What was taken apart, with what the server's log has of the same requests."""
    samples = []
    for one, line in zip(taken, log_lines(log, [one.reply for one in taken]), strict=True):
        logged = {stage: float(line[stage]) / 1000 for stage in STAGES}
        stages = {**one.parts.stages, **remaining(one.reply.seconds, logged, one.parts.stages)}
        searched = one.searched
        samples.append(
            Sample(
                kind=one.request.kind,
                right=one.reply.is_right(one.request.clip),
                whole=one.reply.seconds,
                logged=logged,
                stages=stages,
                floors=one.parts.floors,
                by_instance=searched.by_instance,
                postings=searched.postings,
            )
        )
    return samples


if __name__ == "__main__":
    main()
