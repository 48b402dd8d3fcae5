"""The pages for people: try it, see an answer, look after the catalogue. Everything they do goes through the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import flask
from flask import Blueprint, Response
from flask_limiter import Limiter, RateLimitExceeded

from dejavu.config.deployment import Deployment
from dejavu.errors import TuneScoutError
from dejavu.pictures import words
from dejavu.service.service import Service
from dejavu.web.errors import answer_to, count_error, too_many
from dejavu.web.rate_limits import seconds_until_reset

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
"""A page runs and shows what comes from here alone."""

_HEADLINES = {
    "unknown_token": "There is no such answer",
    "rate_limited": "Too many requests",
    "instances_unavailable": "The answer cannot be fetched just now",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A match in words."""

    title: str
    artist: str | None
    album: str | None
    position: str
    words: str
    percent: str
    played: str | None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Shown:
        """From a result as it is on the wire; answers of earlier versions have no tags."""
        title = result.get("title")
        confidence, speed = float(result["confidence"]), float(result.get("speed", 1))
        return cls(
            title=title or result["song_name"],
            artist=result.get("artist") if title else None,
            album=result.get("album") if title else None,
            position=words.position(float(result["offset_seconds"])),
            words=words.confidence(confidence),
            percent=words.percent(confidence),
            played=words.played(speed, float(result.get("pitch", speed))),
        )


def page_routes(service: Service, deployment: Deployment, limiter: Limiter) -> Blueprint:
    """All pages on one screen."""
    pages = Blueprint("pages", __name__, static_folder="static", template_folder="templates")

    @pages.get("/")
    def home() -> str:
        """Record, or choose a file, and see what it is."""
        return flask.render_template("home.html")

    @pages.get("/results/<token>")
    @limiter.limit(deployment.rate_limit.fetching_results)
    def result(token: str) -> str:
        """Show an answer that was kept."""
        answer = json.loads(service.fetch(token))
        matches = [Shown.of(one) for one in answer["results"]]
        return flask.render_template(
            "result.html", token=token, matches=matches, unavailable=answer["unavailable"], title=_title(matches)
        )

    @pages.get("/catalogue")
    def catalogue() -> str:
        """Look after the songs, for whoever has the token."""
        return flask.render_template("catalogue.html")

    @pages.errorhandler(TuneScoutError)
    def on_error(error: TuneScoutError) -> tuple[str, int, dict[str, str]]:
        """Say in a page what went wrong."""
        status, code, headers = answer_to(error)
        return _error_page(code, str(error)), status, headers

    @pages.errorhandler(RateLimitExceeded)
    def on_rate_limit(error: RateLimitExceeded) -> tuple[str, int, dict[str, str]]:
        """The same for who asks too often."""
        retry_after = str(seconds_until_reset(limiter))
        return _error_page("rate_limited", too_many(error)), HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": retry_after}

    @pages.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return pages


def _error_page(code: str, message: str) -> str:
    count_error(code)
    return flask.render_template("error.html", headline=_HEADLINES.get(code, "This did not work"), message=message)


def _title(matches: list[Shown]) -> str:
    if not matches:
        return "Not in the catalogue"
    best = matches[0]
    return f"{best.artist} – {best.title}" if best.artist else best.title
