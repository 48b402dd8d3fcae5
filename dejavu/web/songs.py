"""The routes of the catalogue: its songs listed, searched, looked up, renamed and deleted."""

from __future__ import annotations

import json

import flask
from flask import Blueprint, Response, request
from flask_limiter import Limiter
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from dejavu.config.deployment import Deployment
from dejavu.config.settings import FORM_FIELDS_MAX_BYTES, SONGS_PER_PAGE
from dejavu.errors import IncompleteBody, InvalidBody, InvalidField
from dejavu.model import Song
from dejavu.service.service import Service
from dejavu.web.access import require_catalogue_access, require_fingerprinting

_RENAME = 'Send JSON such as {"song_name": "Another name"}, with Content-Type: application/json.'


def song_routes(service: Service, deployment: Deployment, limiter: Limiter) -> Blueprint:
    """Whoever may add songs may look after them."""
    songs = Blueprint("songs", __name__, url_prefix="/api/songs")
    limits = deployment.rate_limit

    @songs.before_request
    def require_access() -> None:
        if request.method in ("PATCH", "DELETE"):
            require_fingerprinting(deployment.fingerprinting)
        if request.method != "OPTIONS":  # what browsers ask before they send a token
            require_catalogue_access(deployment, request.remote_addr, request.headers)

    @songs.get("")
    @limiter.limit(limits.fetching_results)
    def list_songs() -> Response:
        """Send a page of the catalogue."""
        page = service.songs.page(
            request.args.get("query", ""), request.args.get("after") or None, _limit(request.args.get("limit", ""))
        )
        return flask.jsonify(
            status="success",
            songs=[song.to_wire() for song in page.songs],
            next=page.following,
            total=page.total,
            unavailable=list(page.unavailable),
        )

    @songs.get("/<file_sha1>")
    @limiter.limit(limits.fetching_results)
    def find_song(file_sha1: str) -> Response:
        """Say whether this very file is in the catalogue."""
        return song_response(service.find_song(file_sha1))

    @songs.patch("/<file_sha1>")
    @limiter.limit(limits.fingerprinting)
    def rename_song(file_sha1: str) -> Response:
        """Give a song another name."""
        return song_response(service.songs.rename(file_sha1, _read_name(request)))

    @songs.delete("/<file_sha1>")
    @limiter.limit(limits.fingerprinting)
    def delete_song(file_sha1: str) -> Response:
        """Take a song out of the catalogue."""
        return song_response(service.songs.delete(file_sha1))

    return songs


def song_response(song: Song) -> Response:
    """A song alone, as every route sends it."""
    return flask.jsonify(status="success", **song.to_wire())


def _limit(text: str) -> int:
    if not text:
        return SONGS_PER_PAGE
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidField(f'limit: expected a number of songs, got "{text[:40]}".')
    return int(text)


def _read_name(request: flask.Request) -> str:
    """The new name in a body of JSON; raises `InvalidBody` and `IncompleteBody` for any other body."""
    if request.mimetype != "application/json":
        raise InvalidBody(_RENAME)
    request.max_content_length = FORM_FIELDS_MAX_BYTES
    try:
        document = json.loads(request.get_data(cache=False))
    except RequestEntityTooLarge as exc:
        raise InvalidBody(f"The body is larger than {FORM_FIELDS_MAX_BYTES} bytes. {_RENAME}") from exc
    except (ClientDisconnected, OSError) as exc:
        raise IncompleteBody("The request stopped before it was complete; send it again.") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidBody(f"The body is not JSON. {_RENAME}") from exc
    if not isinstance(document, dict) or document.keys() != {"song_name"} or not isinstance(document["song_name"], str):
        raise InvalidBody(_RENAME)
    return document["song_name"]
