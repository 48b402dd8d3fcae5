"""Every statement of the ClickHouse driver on today's engine; the other tests run them on the server of Debian."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from requirements import required_module

pytestmark = pytest.mark.server


def test_every_statement_means_the_same_on_todays_engine(tmp_path: Path) -> None:
    required_module("chdb")
    program = Path(__file__).with_name("chdb_statements.py")
    ended = subprocess.run([sys.executable, program, tmp_path / "data"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
