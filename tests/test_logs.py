"""The log as text and as JSON, and whose name for a request is believed."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime
from pathlib import Path

import catalogue
import pytest
from flask import Flask, g
from servers import Server

from dejavu.web.logs import JsonFormatter, TextFormatter


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("a.logger", logging.WARNING, __file__, 1, message, (), None)
    vars(made).update(extra)
    return made


def test_what_a_request_logs_carries_its_id() -> None:
    text = TextFormatter("%(message)s%(of_request)s")
    assert text.format(record("outside")) == "outside"
    with Flask("test").test_request_context():
        g.request_id = "abc"
        assert text.format(record("inside")) == "inside id=abc"
        assert text.format(record("request id=abc status=200")) == "request id=abc status=200"
        told = json.loads(JsonFormatter().format(record("inside")))
    assert (told["id"], told["message"], told["level"], told["logger"]) == ("abc", "inside", "WARNING", "a.logger")


def test_a_trace_is_one_line_of_json() -> None:
    try:
        raise ValueError("no\nsuch \u2028 thing")
    except ValueError as exc:
        line = JsonFormatter().format(record("failed", exc_info=(type(exc), exc, exc.__traceback__)))
    assert "\n" not in line and "Traceback" in json.loads(line)["exception"]


@pytest.mark.server
def test_every_line_is_an_object_where_json_is_asked_for(tmp_path: Path) -> None:
    with Server(tmp_path, server={"log_format": "json"}) as server:
        answer = server.recognize(catalogue.clip(20, 2.0, 4.0))
    _, *lines = server.log.splitlines()  # the first is written before the configuration is read
    objects = [json.loads(line) for line in lines]
    (request,) = [one for one in objects if one.get("route") == "/api/recognize"]
    assert request["id"] == answer.headers["X-Request-ID"]
    assert (request["message"], request["status"], request["method"]) == ("request", 200, "POST")
    assert all(isinstance(request[name], float) for name in ("ms", "wait_ms", "fingerprint_ms", "store_ms"))
    assert isinstance(request["asked_hashes"], int)
    assert datetime.fromisoformat(request["time"]).tzinfo is not None


@pytest.mark.server
def test_what_a_trusted_proxy_calls_a_request_is_taken_over(tmp_path: Path, server: Server) -> None:
    with Server(tmp_path, server={"trusted_proxies": ["127.0.0.1"]}) as behind:
        assert behind.get("/nowhere", headers={"X-Request-ID": "from-the_proxy1"}).headers["X-Request-ID"] == (
            "from-the_proxy1"
        )
        for bad in ("a b", "x" * 65, "id=1"):
            assert re.fullmatch("[0-9a-f]{16}", behind.get("/", headers={"X-Request-ID": bad}).headers["X-Request-ID"])
        assert "id=from-the_proxy1 " in behind.log
    assert server.get("/", headers={"X-Request-ID": "made-up"}).headers["X-Request-ID"] != "made-up"
