"""One table turns exceptions into statuses, and one function into the body that every error has."""

from __future__ import annotations

from http import HTTPStatus

import flask
from flask import Flask, Response
from flask_limiter import Limiter, RateLimitExceeded
from werkzeug.exceptions import HTTPException

from dejavu import errors
from dejavu.config.settings import OUTAGE_RETRY_SECONDS
from dejavu.web.rate_limits import seconds_until_reset

ANSWERS: dict[type[errors.TuneScoutError], tuple[HTTPStatus, str]] = {
    errors.UnsupportedMedia: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media"),
    errors.NoAudio: (HTTPStatus.UNPROCESSABLE_ENTITY, "no_audio"),
    errors.DecodeTimeout: (HTTPStatus.UNPROCESSABLE_ENTITY, "decode_timeout"),
    errors.MissingField: (HTTPStatus.BAD_REQUEST, "missing_field"),
    errors.InvalidField: (HTTPStatus.BAD_REQUEST, "invalid_field"),
    errors.InvalidBody: (HTTPStatus.BAD_REQUEST, "invalid_body"),
    errors.IncompleteBody: (HTTPStatus.REQUEST_TIMEOUT, "incomplete_body"),
    errors.FileTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "file_too_large"),
    errors.NotAuthorized: (HTTPStatus.UNAUTHORIZED, "not_authorized"),
    errors.FingerprintingDisabled: (HTTPStatus.FORBIDDEN, "fingerprinting_disabled"),
    errors.UnknownToken: (HTTPStatus.NOT_FOUND, "unknown_token"),
    errors.UnknownSong: (HTTPStatus.NOT_FOUND, "unknown_song"),
    errors.NoPicture: (HTTPStatus.NOT_FOUND, "no_picture"),
    errors.AlreadyFingerprinted: (HTTPStatus.CONFLICT, "already_fingerprinted"),
    errors.Overloaded: (HTTPStatus.SERVICE_UNAVAILABLE, "overloaded"),
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "store_unavailable"),
    errors.InstancesUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "instances_unavailable"),
}
"""Every exception that a request may end in; those of the start (`ConfigError`, `FormatMismatch`) are not."""

_NOT_FOUND = (
    "There is nothing at this address; the page is /, and the routes are /api/recognize, /api/fetch/<token>, "
    "/api/fetch/<token>/plot.png, /api/fingerprint, /api/songs, /api/songs/<file_sha1>, /api/health and /metrics."
)


def error_response(status: int, code: str, message: str) -> Response:
    """The one shape of every error."""
    count_error(code)
    response = flask.jsonify(status="error", code=code, message=message)
    response.status_code = status
    return response


def too_many(error: RateLimitExceeded) -> str:
    """What a client is told that has asked too often."""
    limit = error.limit.limit if error.limit else "fewer"
    return f"Too many requests: {limit} are allowed; wait and send it again."


def register_error_handlers(app: Flask, limiter: Limiter) -> None:
    """Give `app` an answer in JSON for every way in which a request can fail."""

    def on_rate_limit(error: RateLimitExceeded) -> Response:
        response = error_response(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", too_many(error))
        response.headers["Retry-After"] = str(seconds_until_reset(limiter))
        return response

    app.register_error_handler(errors.TuneScoutError, _on_own_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(RateLimitExceeded, on_rate_limit)


def answer_to(error: errors.TuneScoutError) -> tuple[HTTPStatus, str, dict[str, str]]:
    """Status, code and headers for one of our errors; raises it again where no request should end in it."""
    answer = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), None)
    if answer is None:
        raise error
    status, code = answer
    headers = {}
    if isinstance(error, errors.Overloaded):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(OUTAGE_RETRY_SECONDS)
    elif status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="tunescout"'
    return status, code, headers


def count_error(code: str) -> None:
    """Have an error counted with its request."""
    flask.g.error_code = code


def _on_own_error(error: errors.TuneScoutError) -> Response:
    status, code, headers = answer_to(error)
    if isinstance(error, errors.AlreadyFingerprinted):
        return _already_fingerprinted(error)
    response = error_response(status, code, str(error))
    response.headers.update(headers)
    return response


def _already_fingerprinted(error: errors.AlreadyFingerprinted) -> Response:
    response = flask.jsonify(
        status="already_fingerprinted",
        file_sha1=error.song.sha1,
        song_id=error.song.song_id,
        song_name=error.song.name,
        message=str(error),
    )
    response.status_code = HTTPStatus.CONFLICT
    return response


def _on_http_error(error: HTTPException) -> Response:
    """Flask's and Werkzeug's own errors, and whatever nobody expected (as 500, with its trace in the log)."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.NOT_FOUND:
        return error_response(status, "not_found", _NOT_FOUND)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.get_response().headers.get("Allow", "")
        response = error_response(status, "method_not_allowed", f"This address takes {allowed} only.")
        response.headers["Allow"] = allowed
        return response
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        message = "Something went wrong in the service; its log has the details under this answer's X-Request-ID."
        return error_response(status, "internal_error", message)
    return error_response(status, status.name.lower(), error.description or f"{status.phrase}.")
