"""What Prometheus is told: every name in the README, right counts, also of several processes, and to nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import catalogue
import pytest
import requests
from processes import eventually
from prometheus_client.parser import text_string_to_metric_families
from readme import PROJECT, section, table
from servers import TOKEN, Server, make_config
from wire import assert_error

pytestmark = pytest.mark.server


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def scrape(server: Server, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = server.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return read(answer.text)


def names(text: str) -> set[str]:
    """Metrics as the README names them: histograms once."""
    return {
        re.sub(r"_(?:bucket|count|sum|created)$", "", name) for name, _ in read(text) if name.startswith("tunescout")
    }


def value(samples: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: object) -> float:
    return samples.get((name, tuple(sorted((key, str(label)) for key, label in labels.items()))), 0.0)


def test_every_metric_is_in_the_readme(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.recognize(b"no clip")
        assert server.recognize(catalogue.clip(60, 3.0, 5.0)).status_code == 200
        found = names(server.get("/metrics").text)
    documented = set(table("Metrics", "metric"))
    # Of no cache nothing is said but what it would be.
    assert found <= documented
    assert documented - found <= {
        f"tunescout_cache_{what}" for what in ("up", "hits_total", "misses_total", "damaged_total")
    }
    rules = (PROJECT / "deploy" / "prometheus-alerts.yaml").read_text()
    used = {re.sub(r"_bucket$", "", name) for name in re.findall(r"tunescout_[a-z_]+", rules)}
    assert used and used <= documented
    assert "deploy/prometheus-alerts.yaml" in section("Metrics")


def test_counts_are_what_happened(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        before = scrape(server)
        assert server.fingerprint(catalogue.song(60)).status_code == 200
        assert server.recognize(catalogue.clip(60, 3.0, 5.0)).json()["results"]
        assert not server.recognize(catalogue.clip(61, 3.0, 5.0)).json()["results"]
        assert_error(server.recognize(b"no clip"), 415, "unsupported_media")
        assert_error(server.get("/api/fetch/secret-token"), 404, "unknown_token")
        assert_error(server.get("/nowhere"), 404, "not_found")
        for made_up in ("BREW", "BREW2"):
            server.request(made_up, "/nowhere")
        after = scrape(server)
        text = server.get("/metrics").text
    route = {"method": "POST", "route": "/api/recognize"}
    assert value(before, "tunescout_requests_total", **route, status=200) == 0
    assert value(after, "tunescout_requests_total", **route, status=200) == 2
    assert value(after, "tunescout_requests_total", **route, status=415) == 1
    assert value(after, "tunescout_request_seconds_count", **route) == 3
    assert value(after, "tunescout_requests_total", method="GET", route="-", status=404) == 1
    assert value(after, "tunescout_requests_total", method="other", route="-", status=404) == 2
    assert "BREW" not in text
    assert value(after, "tunescout_recognitions_total", answer="match") == 1
    assert value(after, "tunescout_recognitions_total", answer="none") == 1
    assert value(after, "tunescout_errors_total", code="unsupported_media") == 1
    assert value(after, "tunescout_recognition_stage_seconds_count", stage="align") == 2
    assert value(after, "tunescout_recognition_stage_seconds_sum", stage="fingerprint") > 0
    songs = [value(after, "tunescout_songs", instance=f"instances[{number}]") for number in range(2)]
    assert sorted(songs) == [0, 1]
    assert value(after, "tunescout_database_up", database="instances[1]") == 1
    assert value(after, "tunescout_workers") >= 2
    assert "secret-token" not in text and "127.0.0.1" not in text


def test_an_outage_is_seen(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (tmp_path / "fingerprints-1.sqlite").rename(tmp_path / "away")
        eventually(lambda: value(scrape(server), "tunescout_database_up", database="instances[1]") == 0)
        assert value(scrape(server), "tunescout_database_outages_total", database="instances[1]") == 1
        assert value(scrape(server), "tunescout_database_up", database="instances[0]") == 1


def test_only_who_has_the_token_may_read(tmp_path: Path) -> None:
    with Server(tmp_path, metrics={"token": "for-prometheus"}) as server:
        assert_error(server.get("/metrics"), 401, "not_authorized")
        assert_error(server.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}), 401, "not_authorized")
        assert scrape(server, Authorization="Bearer for-prometheus")


def test_without_a_token_only_this_machine_may_read(server: Server) -> None:
    assert scrape(server)
    assert_error(server.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}), 401, "not_authorized")
    assert_error(server.get("/metrics", headers={"Host": "evil.example"}), 401, "not_authorized")


def test_counts_of_several_processes_are_added_up(tmp_path: Path) -> None:
    """Two processes of gunicorn, which share what they have counted through files."""
    import json
    import socket

    (tmp_path / "config.json").write_text(json.dumps(make_config()))
    (tmp_path / "counts").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "TUNESCOUT_CONFIG": str(tmp_path / "config.json"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts"),
    }
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "app:build()"], cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(url))
        asked = 40
        for _ in range(asked):
            assert requests.get(f"{url}/nowhere", headers={"Connection": "close"}, timeout=10).status_code == 404
        for _ in range(4):  # whoever of the two answers
            samples = read(requests.get(f"{url}/metrics", headers={"Connection": "close"}, timeout=10).text)
            assert value(samples, "tunescout_errors_total", code="not_found") == asked
            assert value(samples, "tunescout_database_up", database="instances[0]") == 1
    finally:
        process.terminate()
        assert process.wait(60) == 0


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/health", timeout=5).ok
    except requests.ConnectionError:
        return False
