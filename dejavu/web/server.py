"""The HTTP server: gunicorn, embedded, with one process of many threads.

One process, because the pool of worker processes, the breakers and the limits counted in memory exist once in it;
threads, because a request mostly waits. The process that listens stays apart from the one that works, and starts it
anew if it dies.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any, Protocol

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError, HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import errors as http_errors
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from dejavu.config import settings
from dejavu.config.deployment import Deployment
from dejavu.errors import ConfigError, TuneScoutError
from dejavu.service.recognizer import clip_places
from dejavu.web.reloading import STOPPING_SIGNALS, Configuration, ReloadingArbiter

_log = logging.getLogger(__name__)

CONFIG_EXIT_CODE = 2
"""What the process ends with when it cannot start as it is configured, so that a service manager need not try again."""

_REFUSALS: tuple[tuple[type[Exception], HTTPStatus, str, str], ...] = (
    (http_errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The address is too long."),
    (
        http_errors.LimitRequestHeaders,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The request's headers are too large.",
    ),
    (
        http_errors.UnsupportedTransferCoding,
        HTTPStatus.NOT_IMPLEMENTED,
        "unsupported_transfer_coding",
        "Of the transfer codings only chunked is known here.",
    ),
    (
        http_errors.ExpectationFailed,
        HTTPStatus.EXPECTATION_FAILED,
        "expectation_failed",
        "Of the expectations only 100-continue is known here.",
    ),
    (http_errors.ParseException, HTTPStatus.BAD_REQUEST, "bad_request", "This is not an HTTP request as it should be."),
)
"""What never becomes a request, and the answer to it. The first that fits counts."""


class OpenApp(Protocol):
    """Opens the service in the process that serves; called once there, after the fork."""

    def __call__(self, deployment: Deployment) -> tuple[Flask, Callable[[], None]]:
        """The application, and what closes everything it holds. Raises `TuneScoutError` where it cannot start."""


class ServerLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Sends what gunicorn has to say to the root logger's handlers, warnings and worse only."""

    def setup(self, cfg: Any) -> None:
        """Add no handler; called by gunicorn at start."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.error_log.addFilter(_is_no_idle_client)


class ServerWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with errors in JSON and answers that reach whoever is still sending.

    `pending_conns` are its new connections over which nothing has come yet, the oldest first.
    """

    def init_signals(self) -> None:
        """Leave Ctrl-C, which a terminal sends to every process, to the parent: it stops this one in order."""
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is for the parent, too, which then starts another
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)

    def set_accept_enabled(self, enabled: bool) -> None:
        """On the way out, stop listening instead of letting new clients wait for nothing; called by gunicorn."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            _log.info("stopping; requests in flight are answered first")
            for listener in self.sockets:
                listener.close()
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a thread to who has sent something; gunicorn's own gives it to who has just connected, for seconds."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Answer, then read on for a while from a client that was refused before it had sent everything."""
        keep_open = super().handle_request(req, conn)
        drained = conn.parser.finish_body(
            deadline=time.monotonic() + settings.REJECTED_BODY_SECONDS, max_bytes=settings.REJECTED_BODY_MAX_BYTES
        )
        return bool(keep_open and drained)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what is no proper request in the shape of every other error."""
        status, code, message = _refusal(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("request failed outside the application", exc_info=exc)
        else:
            _log.info("request refused client=%s status=%d", addr[0] if addr else "-", status)
        try:
            client.sendall(_raw_error(status, code, message))
        except OSError:
            _log.debug("a client left before its error was sent")


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn on a socket that listens already, running what `open_app` opens."""

    def __init__(self, listener: socket.socket, open_app: OpenApp, configuration: Configuration) -> None:
        self._listener = listener
        self._open_app = open_app
        self._configuration = configuration
        self._close_app: Callable[[], None] | None = None
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn; called by it."""
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": ServerWorker,
            "workers": 1,
            "threads": settings.SERVER_THREADS + sum(clip_places()),
            "worker_connections": settings.SERVER_CONNECTIONS,
            "keepalive": settings.KEEP_ALIVE_SECONDS,
            "timeout": settings.START_SECONDS,
            "graceful_timeout": settings.GRACEFUL_STOP_SECONDS,
            "logger_class": ServerLogger,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # web/access.py knows whom to believe
            "when_ready": _stop_in_order_on_interrupt,
            "post_worker_init": self._on_serving,
            "worker_exit": self._on_worker_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Open the service; called by gunicorn in the worker process."""
        try:
            app, self._close_app = self._open_app(self._configuration.deployment)
        except TuneScoutError as exc:
            if self._configuration.is_trial:
                for problem in str(exc).splitlines():
                    _log.error("reload refused: %s", problem)
                raise SystemExit(Arbiter.APP_LOAD_ERROR) from exc
            raise AppImportError(str(exc)) from exc
        _log.info("serving")
        return app

    def run(self) -> None:
        """Serve until told to stop."""
        ReloadingArbiter(self, self._configuration).run()

    def _on_serving(self, _worker: ServerWorker) -> None:
        self._configuration.serving()

    def _on_worker_exit(self, _arbiter: Arbiter, _worker: ServerWorker) -> None:
        if self._close_app is not None:
            self._close_app()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `ConfigError` where the address cannot be used."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(settings.SERVER_CONNECTIONS)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "no such name can be"
        message = f"Cannot listen on {host} port {port}: {reason}; choose another with HOST and PORT."
        raise ConfigError(message) from exc
    # Connections inherit these from the listening socket; gunicorn itself would wait for a silent client for ever.
    patience = struct.pack("ll", settings.CLIENT_IDLE_SECONDS, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    return listener


def serve(listener: socket.socket, open_app: OpenApp, configuration: Configuration) -> int:
    """Serve until told to stop and return the exit code; requests in flight are answered first."""
    parent = os.getpid()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = settings.SERVER_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, settings.SERVER_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        Server(listener, open_app, configuration).run()
    except SystemExit as exc:
        if os.getpid() != parent:
            raise  # gunicorn's own way out of the process that it forked
        return CONFIG_EXIT_CODE if exc.code == Arbiter.APP_LOAD_ERROR else int(exc.code or 0)
    except HaltServer as exc:
        return int(exc.exit_status)  # told to stop while it was starting
    return 0


def _stop_in_order_on_interrupt(arbiter: Arbiter) -> None:
    """Make the first Ctrl-C what SIGTERM is, and leave gunicorn's meaning, at once, to the second."""

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, arbiter.signal)
        arbiter.signal(signal.SIGTERM, frame)

    signal.signal(signal.SIGINT, on_interrupt)


def _is_no_idle_client(record: logging.LogRecord) -> bool:
    """A client that stayed silent past CLIENT_IDLE_SECONDS is nothing to log a trace for."""
    exception = record.exc_info[1] if record.exc_info else None
    return not isinstance(exception, BlockingIOError)


def _refusal(exc: Exception) -> tuple[HTTPStatus, str, str]:
    for kind, status, code, message in _REFUSALS:
        if isinstance(exc, kind):
            return status, code, message
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong in the service."


def _raw_error(status: HTTPStatus, code: str, message: str) -> bytes:
    body = json.dumps({"status": "error", "code": code, "message": message}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
