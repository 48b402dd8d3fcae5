"""How the service logs: a line for each event, as text for people or as JSON for what collects logs.

What a request logs on its own thread carries its id. A record may have `fields` (`extra={"fields": …}`), which a line
of text has in its message already, and which JSON has as keys of their own.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from flask import g, has_request_context

from dejavu.config.deployment import LogFormat

_HANDLER = logging.StreamHandler()
"""What this sets up; handlers of a server that runs the application are left as they are."""

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s%(of_request)s"


def set_up_logging(log_format: LogFormat = "text") -> None:
    """Log to stderr, unless the server that runs this has its own ideas."""
    logging.basicConfig(level=logging.INFO, handlers=[_HANDLER])
    _HANDLER.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(_TEXT))
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # refused requests have their line already


class TextFormatter(logging.Formatter):
    """Lines of text."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, with the request it belongs to."""
        request_id = _request_id()
        record.of_request = f" id={request_id}" if request_id and " id=" not in record.getMessage() else ""
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """An object a line; times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        fields = getattr(record, "fields", None)
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if fields is None else fields["event"],
        }
        if request_id := _request_id():
            told["id"] = request_id
        if fields is not None:
            told |= {name: value for name, value in fields.items() if name != "event"}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def _request_id() -> str | None:
    return g.get("request_id") if has_request_context() else None
