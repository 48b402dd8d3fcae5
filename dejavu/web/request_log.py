"""What every answer carries beside its body, and the one log line that every request leaves."""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Sequence

import flask
from flask import Flask, Response, g, request

from dejavu.config.deployment import Network
from dejavu.model import Timings
from dejavu.web.access import client_address

_log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Answers belong to who asked: no cache keeps them, no page embeds them, no browser guesses what they are."""


def register_request_log(app: Flask, trusted_proxies: Sequence[Network]) -> None:
    """Give every request an id of our own making, its answer the common headers, and the log one line about it.

    `g.client` is from then on the address of whoever asks, as far as `trusted_proxies` can be believed.
    """

    def begin() -> None:
        g.request_id = secrets.token_hex(8)
        g.began = time.perf_counter()
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        g.client = client_address(request.remote_addr, forwarded_for, trusted_proxies)

    app.before_request(begin)
    app.after_request(_finish)


def note_stages(timings: Timings) -> None:
    """Let the log line of this request say what the stages of its recognition took."""
    g.stages = timings


def log_failure() -> None:
    """Log the exception being handled with its trace, under the request's id; the path may hold a token."""
    _log.error("request failed id=%s route=%s", g.get("request_id", "-"), _route(), exc_info=sys.exc_info())


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    response.headers.extend((name, value) for name, value in _HEADERS.items() if name not in response.headers)
    milliseconds = (time.perf_counter() - g.began) * 1000
    _log.info(
        "request id=%s client=%s method=%s route=%s status=%d ms=%.1f%s",
        g.request_id,
        g.client or "-",
        request.method,
        _route(),
        response.status_code,
        milliseconds,
        _stages(),
    )
    return response


def _route() -> str:
    """The template of the path, such as /api/fetch/<token>; a path that fits none may hold anything."""
    return flask.request.url_rule.rule if flask.request.url_rule else "-"


def _stages() -> str:
    stages: Timings | None = g.get("stages")
    if stages is None:
        return ""
    return (
        f" wait_ms={stages.wait * 1000:.1f} fingerprint_ms={stages.fingerprint * 1000:.1f}"
        f" look_up_ms={stages.look_up * 1000:.1f}"
        f" align_ms={stages.align * 1000:.1f} store_ms={stages.store * 1000:.1f} asked_hashes={stages.asked_hashes}"
    )
