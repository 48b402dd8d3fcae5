"""The routes: each reads its request, calls the service and sends the answer."""

from __future__ import annotations

from http import HTTPStatus

import flask
from flask import Blueprint, Flask, Response, request
from flask_cors import CORS
from flask_limiter import Limiter

from dejavu.config.deployment import Deployment
from dejavu.config.settings import OUTAGE_RETRY_SECONDS
from dejavu.service.service import Service
from dejavu.web.access import require_catalogue_access, require_fingerprinting
from dejavu.web.errors import register_error_handlers
from dejavu.web.metrics import register_metrics
from dejavu.web.openapi import openapi_route
from dejavu.web.pages import page_routes
from dejavu.web.plots import plot_routes
from dejavu.web.rate_limits import create_limiter
from dejavu.web.request_log import log_failure, note_recognition, register_request_log
from dejavu.web.requests import UploadRequest, read_seconds, read_song_name, receive_upload
from dejavu.web.songs import song_response, song_routes


class TuneScout(Flask):
    """Flask, reading uploads into temporary files and keeping request paths out of the log."""

    request_class = UploadRequest

    def log_exception(self, exc_info: object) -> None:
        """Flask's own would log the path, and with it the token of a fetch."""
        log_failure()


def create_app(service: Service, deployment: Deployment) -> Flask:
    """The WSGI application that offers `service` as `deployment` says."""
    app = TuneScout("dejavu.web", static_folder=None, template_folder=None)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    register_request_log(app, deployment.server.trusted_proxies)
    limiter = create_limiter(app, deployment)
    register_error_handlers(app, limiter)
    register_metrics(app, service, deployment)
    app.register_blueprint(_routes(service, deployment, limiter))
    app.register_blueprint(openapi_route())
    app.register_blueprint(song_routes(service, deployment, limiter))
    app.register_blueprint(plot_routes(service, deployment, limiter))
    app.register_blueprint(page_routes(service, deployment, limiter))
    if deployment.allowed_origins:
        CORS(
            app,
            origins=list(deployment.allowed_origins),
            methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    return app


def _routes(service: Service, deployment: Deployment, limiter: Limiter) -> Blueprint:
    """All routes on one screen."""
    api = Blueprint("api", __name__, url_prefix="/api")
    limits = deployment.rate_limit

    @api.post("/recognize")
    @limiter.limit(limits.recognizing)
    def recognize() -> Response:
        """Say what is playing in the uploaded media."""
        service.require_room()
        upload = receive_upload(request, deployment.recognizing.max_file_size_bytes)
        start = read_seconds(request, "start", above_zero=False) or 0.0
        duration = read_seconds(request, "duration", above_zero=True)
        recognition = service.recognize(upload.file, start, duration)
        note_recognition(recognition)
        return _json(recognition.to_json())

    @api.get("/fetch/<token>")
    @limiter.limit(limits.fetching_results)
    def fetch(token: str) -> Response:
        """Send an earlier answer again."""
        return _json(service.fetch(token))

    @api.post("/fingerprint")
    @limiter.limit(limits.fingerprinting)
    def fingerprint() -> Response:
        """Add the uploaded media to the catalogue."""
        require_fingerprinting(deployment.fingerprinting)
        require_catalogue_access(deployment, request.remote_addr, request.headers)
        upload = receive_upload(request, deployment.fingerprinting.max_file_size_bytes)
        return song_response(service.fingerprint(upload.file, read_song_name(request, upload)))

    @api.get("/health")
    def health() -> Response:
        """Say which databases can be asked."""
        report = service.health()
        body = report.to_wire()
        if deployment.redis is not None:
            body["redis"] = {"state": "up" if limiter.storage.check() else "down"}
        response = flask.jsonify(body)
        if not report.able:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            response.headers["Retry-After"] = str(OUTAGE_RETRY_SECONDS)
        return response

    return api


def _json(body: str) -> Response:
    """A body that is JSON already, to the letter."""
    return Response(body, mimetype="application/json")
