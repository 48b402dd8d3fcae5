"""What every answer carries beside its body, and the one log line that every request leaves."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Sequence

import flask
from flask import Flask, Response, g, request

from dejavu.config.deployment import Network
from dejavu.model import Recognition
from dejavu.web.access import client_address, is_trusted

_log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Answers belong to who asked: no cache keeps them, no page embeds them, no browser guesses what they are."""


_PROXY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def register_request_log(app: Flask, trusted_proxies: Sequence[Network]) -> None:
    """Give every request an id, its answer the common headers, and the log one line about it.

    The id is of our own making, or what a trusted proxy calls the request in X-Request-ID.

    `g.client` is from then on the address of whoever asks, as far as `trusted_proxies` can be believed.
    """

    def begin() -> None:
        g.request_id = _id_of_proxy(trusted_proxies) or secrets.token_hex(8)
        g.began = time.perf_counter()
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        g.client = client_address(request.remote_addr, forwarded_for, trusted_proxies)

    app.before_request(begin)
    app.after_request(_finish)


def note_recognition(recognition: Recognition) -> None:
    """Let the log line of this request, and what is counted, say what came of it and what its stages took."""
    g.recognition = recognition


def log_failure() -> None:
    """Log the exception being handled with its trace, under the request's id; the path may hold a token."""
    _log.error("request failed id=%s route=%s", g.get("request_id", "-"), route(), exc_info=sys.exc_info())


def _id_of_proxy(trusted_proxies: Sequence[Network]) -> str | None:
    """What a trusted proxy calls this request; what anybody else calls it could make another look guilty."""
    given = request.headers.get("X-Request-ID", "")
    return given if _PROXY_ID.fullmatch(given) and is_trusted(request.remote_addr, trusted_proxies) else None


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    response.headers.extend((name, value) for name, value in _HEADERS.items() if name not in response.headers)
    fields = {
        "id": g.request_id,
        "client": str(g.client or "-"),
        "method": request.method,
        "route": route(),
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.began) * 1000, 1),
        **_stages(),
    }
    line = " ".join(f"{name}={value}" for name, value in fields.items())
    _log.info("request %s", line, extra={"fields": {"event": "request", **fields}})
    return response


def route() -> str:
    """The template of the path, such as /api/fetch/<token>; a path that fits none may hold anything."""
    return flask.request.url_rule.rule if flask.request.url_rule else "-"


def _stages() -> dict[str, float]:
    recognition: Recognition | None = g.get("recognition")
    if recognition is None:
        return {}
    stages = recognition.timings
    return {
        "wait_ms": round(stages.wait * 1000, 1),
        "fingerprint_ms": round(stages.fingerprint * 1000, 1),
        "look_up_ms": round(stages.look_up * 1000, 1),
        "align_ms": round(stages.align * 1000, 1),
        "store_ms": round(stages.store * 1000, 1),
        "asked_hashes": stages.asked_hashes,
    }
