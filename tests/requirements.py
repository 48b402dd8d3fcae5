"""What a test needs that a machine may not have: a reason to skip it, except in CI, which has to have everything."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest


def required_program(name: str) -> str:
    """The path of a program; where it is not installed, the test is skipped, and fails in CI."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    return path or missing(f"{name} is not installed")


def required_module(name: str) -> None:
    """Skip the test where a Python package is not installed, and fail it in CI."""
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {name} is not installed")


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI has to have it")
    pytest.skip(f"{what}; `make test` installs it")
