"""The description of the API: it names every route and error there is, and a running server does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue
import jsonschema_rs
import pytest
from readme import TEXT
from servers import TOKEN, Server

from dejavu.web.errors import ANSWERS
from dejavu.web.openapi import document

METHODS = {"get", "post", "patch", "delete", "put"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("described"), metrics={"token": TOKEN}) as running:
        assert running.fingerprint(catalogue.song(40), song_name="Described").status_code == 200
        yield running


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_route_and_every_error_is_described() -> None:
    routes = set(re.findall(r"^### `([A-Z]+ /\S*)`$", TEXT, re.MULTILINE))
    described = {f"{method.upper()} {path}".replace("{", "<").replace("}", ">") for method, path, _ in operations()}
    pages = {"GET /", "GET /results/<token>", "GET /catalogue", "GET /static/<path:filename>"}
    assert described == routes - pages
    codes = set(
        re.findall(
            r"`(\w+)`",
            " ".join(
                answer["description"] for _, _, operation in operations() for answer in operation["responses"].values()
            ),
        )
    )
    assert codes >= {code for _, code in ANSWERS.values()} - {"already_fingerprinted"}
    assert len({operation["operationId"] for _, _, operation in operations()}) == len(list(operations()))


def test_the_document_is_one_of_openapi() -> None:
    assert document()["openapi"] == "3.1.0"
    for schema in document()["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    references = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document())))
    assert references == document()["components"]["schemas"].keys()


@pytest.mark.server
def test_the_server_answers_as_described(described: Server, tmp_path: Path) -> None:
    """Requests made up from the description, good and bad ones: no answer is another than it says."""
    assert described.get("/api/openapi.json").json() == document()
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{described.url}/api/openapi.json"]
    options = [
        *(
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1", "--workers", "1"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--request-timeout", "30", "--no-color"),
        *("--generation-database", "none"),
    ]
    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert "request failed" not in described.log
