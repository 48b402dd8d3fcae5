"""The README says what the code does, no less and no more: it is compared with the code itself."""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from catalogue import make_deployment
from commands import leaves
from driver_data import NO_PEAKS
from flask import Flask
from flask.testing import FlaskClient
from readme import JSON, PROJECT, TEXT, blocks, table, words
from werkzeug.test import TestResponse

import tunescout_uploader as uploader
from dejavu.cli import endings
from dejavu.cli.main import PROGRAM, build_parser
from dejavu.config import settings
from dejavu.config.deployment import Deployment, RateLimits
from dejavu.model import Fingerprints, Match, Recognition, Song, Timings, Warp
from dejavu.service.instance import InstanceStatus
from dejavu.service.service import Health, Service, open_instances
from dejavu.service.workers import PoolStatus, WorkerPool
from dejavu.store.cache import CacheStatus
from dejavu.store.open import open_results
from dejavu.store.results import ShardStatus
from dejavu.web.api import create_app
from dejavu.web.errors import ANSWERS
from dejavu.web.server import _REFUSALS

RECOGNIZE, FETCH, FINGERPRINT, SONG, HEALTH = (
    "POST /api/recognize",
    "GET /api/fetch/<token>",
    "POST /api/fingerprint",
    "GET /api/songs/<file_sha1>",
    "GET /api/health",
)
MEDIA = b"media"


def source(*names: str) -> str:
    return "\n".join((PROJECT / name).read_text("utf-8") for name in names)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Flask]:
    """The application over a catalogue of one song, without workers: nothing here is decoded."""
    deployment = make_deployment(tmp_path, instances=1, results=1)
    limited = Deployment(deployment.instances, deployment.results, rate_limit=RateLimits(recognizing="1 per day"))
    with closing(open_results(limited.results)) as results, closing(open_instances(limited)[0]) as instance:
        results.setup()
        one = np.ones(1, np.uint32)
        instance.insert("song", hashlib.sha1(MEDIA).hexdigest(), Fingerprints(one, one, NO_PEAKS))
        yield create_app(Service(limited, cast(WorkerPool, None), [instance], results), limited)


@pytest.fixture
def client(web: Flask) -> FlaskClient:
    return web.test_client()


def upload(client: FlaskClient, path: str) -> TestResponse:
    return client.post(path, data={"file": (BytesIO(MEDIA), "song.mp3")})


def test_every_route_has_a_section(web: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in web.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(re.findall(r"^### `([A-Z]+ /\S*)`$", TEXT, re.MULTILINE)) == routes
    adapter = web.url_map.bind("")
    for path in re.findall(r"http://[\w.:]+(/api/\S*)", TEXT):
        assert adapter.allowed_methods(path), path


def test_every_form_field_is_there() -> None:
    code = source("dejavu/web/api.py", "dejavu/web/requests.py")
    read = re.findall(r'(?:read_seconds|_single_field)\(request, "(\w+)"|files\.getlist\("(\w+)"\)', code)
    documented = table(RECOGNIZE, "field").keys() | table(FINGERPRINT, "field").keys()
    assert documented == {name for names in read for name in names if name}


def test_every_field_of_a_recognition_is_there() -> None:
    match = Match(Song(1, "song", "0" * 40, 10), 0.9, 0, 1, 2, Warp(speed=1.02, pitch=1.01))
    body = json.loads(Recognition("token", (match,), (), Timings(0, 0, 0, 0, 0, 0)).to_json())
    assert table(RECOGNIZE, "answer").keys() == body.keys() | match.to_wire().keys()


def test_every_field_of_a_song_is_there(client: FlaskClient) -> None:
    answer = client.get(f"/api/songs/{hashlib.sha1(MEDIA).hexdigest()}")
    assert table(FINGERPRINT, "answer").keys() == answer.get_json().keys()


def test_the_answer_for_a_known_file_is_shown_as_it_is(client: FlaskClient) -> None:
    answer = upload(client, "/api/fingerprint").get_json()
    shown = [example for example in map(json.loads, blocks("json")) if example.get("status") == answer["status"]]
    assert [example.keys() for example in shown] == [answer.keys()]


def test_every_field_of_the_health_route_is_there() -> None:
    now = datetime.now(UTC)
    cache = CacheStatus(True, now, None, 1, 1, 0, 1.0)
    instance, shard = InstanceStatus("instances[0]", True, now, 1, None, cache), ShardStatus("", True, now, None)
    body: dict[str, Any] = Health((instance,), (shard,), PoolStatus(1, 0, 0, 0)).to_wire()
    parts = (*body["instances"], body["instances"][0]["cache"], *body["results"], body["workers"])
    inner = {key for part in parts for key in part}
    assert re.search(r'body\["redis"\] = \{"state":', source("dejavu/web/api.py"))
    assert table(HEALTH, "answer").keys() == body.keys() | inner | {"redis"}


def test_every_error_is_there(client: FlaskClient) -> None:
    errors = {code: status for status, code in ANSWERS.values()}
    errors |= {code: status for _, status, code, _ in _REFUSALS}
    provoked = [
        client.get("/nowhere"),
        client.delete("/api/health"),
        upload(client, "/api/recognize"),  # which nobody is there to decode
        upload(client, "/api/recognize"),  # which is one too many
    ]
    errors |= {answer.get_json()["code"]: answer.status_code for answer in provoked}
    built = re.findall(r'error_response\([^"\n]+, "(\w+)"', source("dejavu/web/errors.py"))
    assert set(built) == {answer.get_json()["code"] for answer in provoked}
    documented = {code: int(cells[0]) for code, cells in table("Errors", "code").items()}
    assert documented == {code: int(status) for code, status in errors.items()}


# --- Commands --------------------------------------------------------------------------------------------------------


def test_every_target_of_the_makefile_is_there() -> None:
    makefile = source("Makefile")
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    benchmarks = {f"bench-{name}" for name in re.findall(r"^BENCHMARKS := (.*)$", makefile, re.MULTILINE)[0].split()}
    assert {name.removeprefix("make ") for name in table("Working on it", "command")} == targets
    mentioned = set(re.findall(r"(?:^|`|=\S+ )make ([a-z][\w-]*)", TEXT, re.MULTILINE))
    assert benchmarks <= mentioned <= targets | benchmarks
    for variable in re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE):
        assert re.search(rf"`make[^`]* {variable}=", TEXT), variable


def test_every_flag_of_the_uploader_is_there_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESCOUT_TOKEN", "TUNESCOUT_TOKEN")
    unset = {False: "off", None: "none", argparse.SUPPRESS: "–"}
    flags = {}
    for action in uploader.build_parser()._actions:
        if action.option_strings:
            operand = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
            flags[action.option_strings[-1] + operand] = unset.get(action.default, f"`{action.default}`")
    assert {flag: cells[0] for flag, cells in table("Uploader", "flag").items()} == flags


def test_every_command_is_there() -> None:
    commands = set()
    for parser in leaves(build_parser()):
        operands = [action for action in parser._actions if not action.option_strings]
        words = [f"{action.metavar} …" if action.nargs == "+" else str(action.metavar) for action in operands]
        commands.add(" ".join([parser.prog.removeprefix(f"{PROGRAM} "), *words]))
    assert table("Commands", "command").keys() == commands


def test_every_flag_of_the_commands_is_there_with_its_default() -> None:
    flags = {"--config FILE": "–"}
    for parser in leaves(build_parser()):
        for action in parser._actions:
            flag = "".join(action.option_strings[-1:])
            if flag not in ("", "--help", "--config"):
                operand = "" if action.nargs == 0 else f" {action.metavar}"
                default = {False: "off", "": "none"}[action.default]
                flags[f"{parser.prog.removeprefix(f'{PROGRAM} ')} {flag}{operand}"] = default
    assert {flag: cells[0] for flag, cells in table("Commands", "flag").items()} == flags


def test_the_exit_codes_of_the_commands_are_those_of_their_help() -> None:
    codes = {str(value) for name, value in vars(endings).items() if name.isupper()}
    assert set(table("Commands", "exit code")) == codes
    assert set(re.findall(r"\b\d+\b", build_parser().epilog or "")) == codes


def test_every_command_in_its_snippets_can_be_parsed() -> None:
    shown = re.findall(r"^(?:\$ )?\.venv/bin/python -m dejavu (.*)$", TEXT, re.MULTILINE)
    assert shown
    for arguments in shown:
        build_parser().parse_args(shlex.split(arguments))


def test_every_column_and_status_of_the_report_is_there() -> None:
    columns = table("Uploader", "column of the report")
    assert tuple(columns) == uploader.Report.COLUMNS
    statuses = {uploader.ADDED, uploader.KNOWN, uploader.COPY, uploader.FAILED, uploader.INTERRUPTED}
    assert words(columns["status"][0]) == statuses


def test_the_exit_codes_of_the_uploader_are_those_of_its_help() -> None:
    epilog = uploader.build_parser().epilog or ""
    assert set(table("Uploader", "exit code")) == set(re.findall(r"\b\d+\b", epilog))


def test_every_field_of_the_log_line_is_there() -> None:
    code = source("dejavu/web/request_log.py")
    line, stages = code[code.index("    fields = {") :], code[code.index("def _stages") :]
    named = [*re.findall(r'^        "(\w+)":', line[: line.index("}")], re.MULTILINE)]
    named += re.findall(r'^        "(\w+)":', stages, re.MULTILINE)
    assert [*table("Log", "field")] == list(dict.fromkeys(named))


# --- The README itself -----------------------------------------------------------------------------------------------


def test_it_starts_with_the_two_commands() -> None:
    assert re.match(r"# .+\n+```sh\nmake run\b.*\nmake test\b.*\n```\n", TEXT)


def test_every_file_it_names_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)
    named = re.findall(r"`((?:dejavu|tests|benchmarks|\.ci)/[\w./-]*|[\w.-]+\.(?:py|json|toml|txt|md))`", TEXT)
    programs = [f"benchmarks/{name}.py" for name in re.findall(r"make bench-(\w+)", TEXT)]
    assert [name for name in {*links, *named, *programs} if not (PROJECT / name).exists()] == []


def test_every_link_within_it_leads_to_a_heading() -> None:
    headings = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", TEXT)]
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= set(headings)


def test_every_room_is_there() -> None:
    rooms = {path.parent.name for path in (PROJECT / "dejavu").glob("*/__init__.py")}
    named = [re.fullmatch(r"dejavu/(\w+)/", room) for room in table("How it works", "room")]
    assert {match[1] for match in named if match} == rooms


def test_every_name_in_its_prose_exists() -> None:
    of_tests = re.findall(r'"(TUNESCOUT_[A-Z]+)"', source("tests/conftest.py", "benchmarks/material.py"))
    variables = table("Configuration", "variable").keys() | set(of_tests)
    shouted = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", TEXT))
    assert shouted <= variables | vars(settings).keys() | {
        "PROMETHEUS_MULTIPROC_DIR",
        "NPY_DISABLE_CPU_FEATURES",
    }  # of libraries
    sections = {path.split(".")[0] for path in table("Configuration", "key") if "." in path and "[]" not in path}
    keys = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_]+)[`:]", TEXT)
    assert set(keys) <= table("Configuration", "key").keys()


def test_its_snippets_are_what_they_claim() -> None:
    for snippet in blocks("python"):
        ast.parse(snippet)
    examples = [json.loads(snippet) for snippet in blocks("json")]
    assert examples
    fields = {name for title in (RECOGNIZE, FINGERPRINT, HEALTH) for name in table(title, "answer")}
    known = fields | {"code", "message"} | {key.split(".")[-1] for key in table("Configuration", "key")}
    assert {key for example in examples for key in keys_of(example)} <= known
    for example in examples:
        if "code" in example:
            assert example["code"] in table("Errors", "code")


def keys_of(document: JSON) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from keys_of(inner)
