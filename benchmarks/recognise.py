"""How long one client waits for an answer over HTTP, and what the time goes into.

The real server, filled by the real uploader with all reference recordings, is sent clips of 10 s as MP3, one after the
other on one connection and warm. Stages are what the server's log says; decoding and fingerprinting happen together
there, so their shares are measured in this process, on the same clips.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.catalogue import Server, served
from benchmarks.client import CLIP_SECONDS, Client, Reply, Request, by_kind, make_requests
from benchmarks.log_stages import log_lines
from benchmarks.material import recordings
from benchmarks.report import Table, Target, make_parser, percent, publish, quantiles
from dejavu.audio.decode import decode
from dejavu.config.settings import FIRST_ASK_HASHES
from dejavu.fingerprint.extract import extract_query

IN_PROCESS_ROUNDS = 5

MOST_STEPS_RATIO = 8.0
"""What a clip may take that needs every step, over one that the first step finds."""

PARTS = ("upload_and_http", "decode", "fingerprint", "look_up", "align", "store")
"""What a request consists of; `upload_and_http` is all that no stage accounts for."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One answered request: milliseconds in all and of each part, and how many hashes were asked."""

    request: Request
    right: bool
    milliseconds: float
    parts: dict[str, float]
    asked_hashes: int


def main() -> None:
    """Post every clip again and again and print medians."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default 1)")
    parser.add_argument("--per-kind", type=int, default=8, help="clips of each kind (default 8)")
    parser.add_argument("--rounds", type=int, default=10, help="times each clip is sent, warm (default 10)")
    options = parser.parse_args()
    requests = make_requests(options.seed, options.per_kind)
    with served(recordings("reference")) as server:
        replies = _post(server, requests, options.rounds)
        server.stop()
        lines = log_lines(server.log, (reply for _, reply in replies))
    decoding_shares = {id(request): _decoding_share(request.media) for request in tqdm(requests, desc="in process")}
    measured = [
        _parts(request, reply, match, decoding_shares[id(request)])
        for (request, reply), match in zip(replies, lines, strict=True)
    ]
    kinds = {kind: _summary([one for one in measured if one.request.kind == kind]) for kind in by_kind(requests)} | {
        "all": _summary(measured)
    }
    tables = [
        Table(
            f"Milliseconds from request to answer, clips of {CLIP_SECONDS:g} s, one client; parts are medians",
            ("kind", "requests", "median", "p95", *PARTS, "right %", "asked all %"),
            [
                [
                    kind,
                    row["requests"],
                    row["median_ms"],
                    row["p95_ms"],
                    *row["parts_ms"].values(),
                    *list(row.values())[4:],
                ]
                for kind, row in kinds.items()
            ],
        )
    ]
    targets = [Target("median of all, ms", kinds["all"]["median_ms"], 60)]
    for kind, row in kinds.items():
        if kind.startswith("known"):
            targets.append(Target(f"median, {kind}, ms", row["median_ms"], 60))
        elif kind.startswith("unknown"):  # they are looked for at other speeds as well
            ratio = row["median_ms"] / kinds[kind.removeprefix("un")]["median_ms"]
            targets.append(Target(f"median, {kind}, over known ones", round(ratio, 2), MOST_STEPS_RATIO))
    publish("recognise", options, {"kinds": kinds}, tables, targets)


def _post(server: Server, requests: Sequence[Request], rounds: int) -> list[tuple[Request, Reply]]:
    """Send all clips once to warm up, and then in turns, so that what disturbs a while disturbs all kinds."""
    with Client(server.address) as client:
        for request in requests:
            client.recognise(request)
        turns = [request for _ in range(rounds) for request in requests]
        return [(request, client.recognise(request)) for request in tqdm(turns, desc="posting", unit="request")]


def _decoding_share(media: bytes) -> float:
    """Which part of decoding and fingerprinting is decoding, 0..1, in this process."""
    decoding, both = [], []
    for _ in range(IN_PROCESS_ROUNDS):
        began = time.perf_counter()
        blocks = list(decode(io.BytesIO(media)))
        decoded = time.perf_counter()
        extract_query(blocks)
        decoding.append(decoded - began)
        both.append(time.perf_counter() - began)
    return float(np.median(decoding) / np.median(both))


def _parts(request: Request, reply: Reply, line: re.Match[str], decoding_share: float) -> Measured:
    total = 1000 * reply.seconds
    media = float(line["fingerprint"])
    stages = {name: float(line[name]) for name in ("look_up", "align", "store")}
    parts = {
        "upload_and_http": total - media - sum(stages.values()),
        "decode": media * decoding_share,
        "fingerprint": media * (1 - decoding_share),
        **stages,
    }
    return Measured(request, reply.is_right(request.clip), total, parts, int(line["asked"]))


def _summary(measured: Sequence[Measured]) -> dict[str, Any]:
    middle, high = quantiles([one.milliseconds for one in measured], [0.5, 0.95], 1)
    return {
        "requests": len(measured),
        "median_ms": middle,
        "p95_ms": high,
        "parts_ms": {part: quantiles([one.parts[part] for one in measured], [0.5], 1)[0] for part in PARTS},
        "right_percent": percent(sum(one.right for one in measured), len(measured)),
        "asked_all_percent": percent(sum(one.asked_hashes > FIRST_ASK_HASHES for one in measured), len(measured)),
    }


if __name__ == "__main__":
    main()
