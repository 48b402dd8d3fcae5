"""The routes described for programs: an OpenAPI 3.1 document, which tests compare with routes, errors and a server."""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus
from typing import Any

import flask
from flask import Blueprint, Response

from dejavu.config.settings import (
    MOST_SONGS_PER_PAGE,
    SEARCH_MAX_WORDS,
    SONG_NAME_MAX_CHARACTERS,
    SONGS_PER_PAGE,
    TAG_MAX_CHARACTERS,
)
from dejavu.web.errors import ANSWERS

JSON = dict[str, Any]

_STATUS_OF = {code: status for status, code in ANSWERS.values()} | {
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "bad_request": HTTPStatus.BAD_REQUEST,
}

_TOKEN_ERRORS = ("not_authorized", "rate_limited", "instances_unavailable", "store_unavailable")
_CHANGE_ERRORS = (*_TOKEN_ERRORS, "fingerprinting_disabled", "unknown_song", "overloaded")
_UPLOAD_ERRORS = (
    *("missing_field", "invalid_field", "invalid_body", "incomplete_body", "file_too_large", "unsupported_media"),
    *("no_audio", "decode_timeout", "rate_limited", "overloaded", "instances_unavailable", "store_unavailable"),
)
_BEARER: list[dict[str, list[str]]] = [{"token": []}, {}]
"""Without a token configured, this machine needs none."""


def openapi_route() -> Blueprint:
    """The document, made once."""
    routes = Blueprint("openapi", __name__, url_prefix="/api")
    made = document()

    @routes.get("/openapi.json")
    def openapi() -> Response:
        """Send the description of all routes."""
        return flask.jsonify(made)

    return routes


def document() -> JSON:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TuneScout",
            "version": "1",
            "summary": "Says which recording of a catalogue is playing in a clip.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {**_clip_paths(), **_song_paths(), **_service_paths()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _clip_paths() -> JSON:
    stretch = {"type": "string", "pattern": r"^\s*\+?(\d+\.?\d*|\.\d+)?\s*$", "examples": ["12.5"]}
    form = _form({"start": stretch, "duration": stretch})
    kept = [_path("token", {"type": "string", "pattern": "^[A-Za-z0-9]{20}$"})]
    return {
        "/api/recognize": {
            "post": _operation("recognize", "What is playing in a clip.", "Recognition", _UPLOAD_ERRORS, body=form)
        },
        "/api/fetch/{token}": {
            "get": _operation(
                "fetch",
                "An earlier answer again.",
                "Recognition",
                ("unknown_token", "rate_limited", "instances_unavailable"),
                parameters=kept,
            )
        },
        "/api/fetch/{token}/plot.png": {
            "get": _operation(
                "plot",
                "Why an answer was given, as a picture.",
                {"image/png": {}},
                ("unknown_token", "no_picture", "rate_limited", "overloaded", "instances_unavailable"),
                parameters=kept,
            )
        },
    }


def _song_paths() -> JSON:
    sha1 = [_path("file_sha1", {"type": "string", "pattern": "^[0-9a-fA-F]{40}$"})]
    name = {"type": "string", "minLength": 1, "maxLength": SONG_NAME_MAX_CHARACTERS}
    add = _operation(
        "fingerprint",
        "Add a song.",
        "StoredSong",
        (*_UPLOAD_ERRORS, "not_authorized", "fingerprinting_disabled"),
        body=_form({"song_name": {**name, "minLength": 0}}),
        security=_BEARER,
    )
    add["responses"]["409"] = _answer("This very file is in the catalogue already.", "AlreadyFingerprinted")
    rename = {"required": ["song_name"], "properties": {"song_name": name}, "additionalProperties": False}
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object", **rename}}}}
    listing = [
        _query(
            "query", {"type": "string", "maxLength": 200}, f"up to {SEARCH_MAX_WORDS} words, or the start of a SHA-1"
        ),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST_SONGS_PER_PAGE, "default": SONGS_PER_PAGE}),
        _query("after", {"type": "string"}, "`next` of the page before"),
    ]
    return {
        "/api/fingerprint": {"post": add},
        "/api/songs": {
            "get": _operation(
                "songs",
                "A page of the catalogue, by name.",
                "SongPage",
                ("invalid_field", *_TOKEN_ERRORS),
                parameters=listing,
                security=_BEARER,
            )
        },
        "/api/songs/{file_sha1}": {
            "get": _operation(
                "song",
                "Whether this very file is in the catalogue.",
                "StoredSong",
                ("unknown_song", *_TOKEN_ERRORS),
                parameters=sha1,
                security=_BEARER,
            ),
            "patch": _operation(
                "rename",
                "Give a song another name.",
                "StoredSong",
                ("invalid_field", "invalid_body", "incomplete_body", *_CHANGE_ERRORS),
                parameters=sha1,
                body=body,
                security=_BEARER,
            ),
            "delete": _operation(
                "delete", "Delete a song.", "StoredSong", _CHANGE_ERRORS, parameters=sha1, security=_BEARER
            ),
        },
    }


def _service_paths() -> JSON:
    health = _operation("health", "What works and what does not.", "Health", ())
    health["responses"]["503"] = _answer("No clip can be answered.", "Health")
    return {
        "/api/health": {"get": health},
        "/api/openapi.json": {"get": _operation("openapi", "This document.", {"application/json": {}}, ())},
        "/metrics": {
            "get": _operation("metrics", "For Prometheus.", {"text/plain": {}}, ("not_authorized",), security=_BEARER)
        },
    }


def _operation(
    name: str, summary: str, answer: str | JSON, errors: tuple[str, ...], *, body: JSON | None = None, **more: Any
) -> JSON:
    responses = {"200": _answer("As asked for.", answer), **_errors(errors)}
    operation = {"operationId": name, "summary": summary, **more, "responses": responses}
    return operation if body is None else {**operation, "requestBody": body}


def _answer(description: str, answer: str | JSON) -> JSON:
    content = answer if isinstance(answer, dict) else {"application/json": {"schema": _ref(answer)}}
    return {"description": description, "headers": {"X-Request-ID": _header("string")}, "content": content}


def _errors(codes: tuple[str, ...]) -> JSON:
    """An answer for each status that these errors have."""
    by_status: defaultdict[HTTPStatus, list[str]] = defaultdict(list)
    for code in codes:
        by_status[HTTPStatus(_STATUS_OF[code])].append(code)
    answers = {}
    for status, own in sorted(by_status.items()):
        answer = _answer(", ".join(f"`{code}`" for code in own), "Error")
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            answer["headers"]["Retry-After"] = _header("integer")
        answers[str(status.value)] = answer
    return answers


def _form(fields: JSON) -> JSON:
    file = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
    schema = {"type": "object", "required": ["file"], "properties": {"file": file, **fields}}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _path(name: str, schema: JSON) -> JSON:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: JSON, description: str = "") -> JSON:
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def _header(kind: str) -> JSON:
    return {"schema": {"type": kind}}


def _ref(name: str) -> JSON:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: JSON, optional: JSON | None = None) -> JSON:
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _schemas() -> JSON:
    count, share = {"type": "integer", "minimum": 0}, {"type": "number", "minimum": 0, "maximum": 1}
    text, names = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    song_id = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
    tag = {"type": ["string", "null"], "maxLength": TAG_MAX_CHARACTERS}
    tags: JSON = dict.fromkeys(("artist", "title", "album", "isrc"), tag) | {
        "duration_seconds": {"type": ["number", "null"], "minimum": 0}
    }
    which = {"file_sha1": {"type": "string", "pattern": "^[0-9a-f]{40}$"}, "song_id": song_id, "song_name": text}
    song = {**which, "fingerprinted_hashes": count, **tags}
    success = {"const": "success"}
    match = {
        **which,
        **tags,
        "confidence": share,
        "offset_seconds": {"type": "number"},
        "offset": {"type": "integer"},
        "hashes_matched_in_input": count,
        "input_total_hashes": count,
        "fingerprinted_hashes_in_db": count,
        "input_confidence": share,
        "fingerprinted_confidence": share,
    }
    matches = {"type": "array", "maxItems": 3, "items": _ref("Match")}
    ratio = {"type": "number", "exclusiveMinimum": 0}
    return {
        "Error": _object({"status": {"const": "error"}, "code": {"enum": sorted(_STATUS_OF)}, "message": text}),
        "Song": _object(song),
        "StoredSong": _object({"status": success, **song}),
        "AlreadyFingerprinted": _object({"status": {"const": "already_fingerprinted"}, **which, "message": text}),
        "SongPage": _object(
            {
                "status": success,
                "songs": {"type": "array", "items": _ref("Song")},
                "next": {"type": ["string", "null"]},
                "total": count,
                "unavailable": names,
            }
        ),
        "Match": _object(match, {"speed": ratio, "pitch": ratio}),
        "Recognition": _object({"status": success, "token": text, "results": matches, "unavailable": names}),
        "Health": {"type": "object", "required": ["status", "instances", "results", "workers"]},
    }
