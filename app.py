"""`python app.py` serves; `build` is the entry for another WSGI server: gunicorn --threads 64 'app:build()'."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable

from flask import Flask

import dejavu.processor  # noqa: F401 - before numpy
from dejavu.config.deployment import Deployment, load_deployment
from dejavu.errors import ConfigError
from dejavu.service.service import Service
from dejavu.web.api import create_app
from dejavu.web.logs import set_up_logging
from dejavu.web.reloading import Configuration
from dejavu.web.server import CONFIG_EXIT_CODE, listen, serve

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000


def build() -> Flask:
    """The application over an opened service, which closes when the process ends."""
    set_up_logging()
    app, close = open_app(load_deployment())
    atexit.register(close)
    return app


def open_app(deployment: Deployment) -> tuple[Flask, Callable[[], None]]:
    """The application over an opened service, and what closes the service."""
    set_up_logging(deployment.server.log_format)
    service = Service.open(deployment)
    return create_app(service, deployment), service.close


def main() -> int:
    """Serve on HOST and PORT until told to stop; the exit code is 2 where the configuration does not let it."""
    set_up_logging()
    try:
        deployment = load_deployment()
        listener = listen(os.environ.get("HOST") or DEFAULT_HOST, _port())
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return CONFIG_EXIT_CODE
    host, port = listener.getsockname()[:2]
    logging.getLogger("app").info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    return serve(listener, open_app, Configuration(deployment, load_deployment))


def _port() -> int:
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ConfigError(f'PORT: expected a number from 0 to 65535, got "{text}"')
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
