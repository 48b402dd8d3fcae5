"""HTTP itself: addresses, methods, headers, other origins, and what is no request at all."""

from __future__ import annotations

import re

import pytest
from servers import Server
from wire import assert_error

pytestmark = pytest.mark.server

ORIGIN = "https://player.example"


class TestProtocol:
    def test_unknown_addresses(self, server: Server) -> None:
        for path in (
            "/nowhere",
            "/api",
            "/api/recognize/",
            "//api//health",
            "/api/fetch/",
            "/api/fetch/a/b",
            "/static/x",
        ):
            assert_error(server.get(path), 404, "not_found")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/api/recognize"), ("PUT", "/api/fingerprint"), ("POST", "/api/health"), ("POST", "/api/songs/x")],
    )
    def test_wrong_methods(self, server: Server, method: str, path: str) -> None:
        response = server.request(method, path)
        assert_error(response, 405, "method_not_allowed")
        assert method not in response.headers["Allow"]

    def test_head_is_get_without_a_body(self, server: Server) -> None:
        response = server.request("HEAD", "/api/health")
        assert (response.status_code, response.content) == (200, b"")

    def test_options_tells_the_methods(self, server: Server) -> None:
        response = server.request("OPTIONS", "/api/recognize")
        assert response.status_code == 200
        assert "POST" in response.headers["Allow"]

    @pytest.mark.parametrize("path", ["/api/health", "/nowhere"])
    def test_every_answer_has_an_id_of_ours_and_is_kept_by_no_cache(self, server: Server, path: str) -> None:
        response = server.get(path, headers={"X-Request-ID": "forged"})
        identifier = response.headers["X-Request-ID"]
        assert re.fullmatch(r"[0-9a-f]{16}", identifier)
        assert response.headers["Cache-Control"] == "no-store"
        server.wait_for(rf"request id={identifier} .*status={response.status_code} ms=")

    @pytest.mark.parametrize(
        ("request_bytes", "status", "code"),
        [
            (b"GARBAGE\r\n\r\n", 400, "bad_request"),
            (b"GET /api/health HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "bad_request"),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
            (b"GET / HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", 417, "expectation_failed"),
        ],
    )
    def test_what_is_no_request_gets_an_error_all_the_same(
        self, server: Server, request_bytes: bytes, status: int, code: str
    ) -> None:
        assert_error(server.exchange(request_bytes), status, code)


class TestCrossOrigin:
    def test_an_allowed_page_may_ask(self, server: Server) -> None:
        headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        preflight = server.request("OPTIONS", "/api/recognize", headers=headers)
        assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        refused = server.get("/api/fetch/unknown", headers={"Origin": ORIGIN})
        assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN

    def test_another_page_may_not(self, server: Server) -> None:
        response = server.get("/api/health", headers={"Origin": "https://player.example.evil.example"})
        assert "Access-Control-Allow-Origin" not in response.headers
