"""The service behind nginx as deploy/nginx.conf has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import catalogue
import pytest
import requests
from nginx import Nginx
from requests.adapters import HTTPAdapter
from servers import PROJECT, TOKEN, Server
from wire import assert_error

pytestmark = pytest.mark.server

SNIPPET = PROJECT / "deploy" / "nginx.conf"


class _From(HTTPAdapter):
    """Requests that come from another of this machine's addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named, source_address=(self._address, 0))


def client_at(address: str) -> requests.Session:
    session = requests.Session()
    session.mount("http://", _From(address))
    return session


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        tmp_path_factory.mktemp("behind"),
        server={"trusted_proxies": ["127.0.0.1"]},
        recognizing={"max_file_size_mb": 1},
        rate_limit={"recognizing": "2 per minute"},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(behind: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    host, port = behind.address
    with Nginx(tmp_path_factory.mktemp("nginx"), SNIPPET.read_text(), f"{host}:{port}") as running:
        yield running


def test_a_song_is_added_and_recognised_and_the_log_has_what_nginx_calls_it(behind: Server, proxy: Nginx) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with client_at("127.0.0.2") as client:
        files = {"file": ("song.mp3", catalogue.song(1))}
        added = client.post(f"{proxy.url}/api/fingerprint", files=files, headers=headers)
        assert added.status_code == 200, added.text
        answer = client.post(f"{proxy.url}/api/recognize", files={"file": ("clip.mp3", catalogue.clip(1, 5.0, 8.0))})
    assert answer.json()["results"][0]["file_sha1"] == added.json()["file_sha1"]
    name = answer.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", name)
    behind.wait_for(f"id={name}.* client=127.0.0.2 ")


def test_each_client_has_a_rate_limit_of_its_own_and_cannot_pass_for_another(proxy: Nginx) -> None:
    files = {"file": ("clip.mp3", catalogue.clip(1, 5.0, 4.0))}
    with client_at("127.0.0.3") as one, client_at("127.0.0.4") as other:
        for number in range(2):
            made_up = {"X-Forwarded-For": f"192.0.2.{number}"}
            assert one.post(f"{proxy.url}/api/recognize", files=files, headers=made_up).status_code == 200
        refused = one.post(f"{proxy.url}/api/recognize", files=files, headers={"X-Forwarded-For": "192.0.2.9"})
        assert_error(refused, 429, "rate_limited")
        assert other.post(f"{proxy.url}/api/recognize", files=files).status_code == 200


def test_what_is_too_large_is_answered_by_the_service(proxy: Nginx) -> None:
    with client_at("127.0.0.5") as client:
        refused = client.post(f"{proxy.url}/api/recognize", files={"file": ("clip.wav", bytes(3 << 20))})
    assert_error(refused, 413, "file_too_large")


def test_the_pages_come_through(proxy: Nginx) -> None:
    page = requests.get(proxy.url, timeout=10)
    assert page.status_code == 200 and "Content-Security-Policy" in page.headers
    scripts = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert scripts
    for path in scripts:
        assert requests.get(proxy.url + path, timeout=10).status_code == 200


def test_figures_are_for_this_machine_only(proxy: Nginx) -> None:
    assert "tunescout_info" in requests.get(f"{proxy.url}/metrics", timeout=10).text
    with client_at("127.0.0.6") as client:
        assert client.get(f"{proxy.url}/metrics").status_code == 403
