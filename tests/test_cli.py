"""`python -m dejavu`: the command itself, `check` and `sweep`, on SQLite files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from commands import held, put, set_up, start, wanted_by, write_config
from driver_data import fingerprints, sha1
from servers import PROJECT

from dejavu.cli.main import build_parser, main
from dejavu.config import settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path, instances=2)
    set_up(path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carries out a command in this process: exit code, and what it printed and complained of."""
    monkeypatch.delenv("TUNESCOUT_CONFIG", raising=False)

    def carry_out(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return carry_out


def change(config: Path, **changes: object) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.mark.server
def test_it_runs_as_a_module_and_ends_with_the_code_of_the_command(config: Path) -> None:
    code, out, err = commands.run(config, "check")
    assert (code, len(out.splitlines()), err) == (0, 4, "")
    config.unlink()
    code, out, err = commands.run(config, "check")
    assert (code, out) == (2, "")
    assert "cannot be read (No such file or directory)" in err


@pytest.mark.server
def test_without_a_command_it_says_how_it_is_used() -> None:
    ended = subprocess.run([sys.executable, "-m", "dejavu"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: python -m dejavu")


@pytest.mark.parametrize("place", [0, 1])
def test_the_configuration_can_be_named_before_and_after_the_command(run: Run, config: Path, place: int) -> None:
    arguments: list[str | Path] = ["check"]
    arguments[place:place] = ["--config", config]
    assert run(*arguments)[0] == 0


@pytest.mark.server
def test_an_interrupt_ends_it_with_a_sentence(config: Path) -> None:
    put(config, 1 - wanted_by(config, 1), 1)
    with start(config, "rebalance", "--yes") as process:
        commands.wait_until_copied(config, 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    # Where it comes during an import, Python's development mode has something to say about a file that was left open.
    assert err.endswith("Interrupted; the same command again goes on from here.\n")
    assert "KeyboardInterrupt" not in err


@pytest.mark.server
def test_progress_is_shown_on_a_terminal_only(config: Path) -> None:
    put(config, 0, *range(5))
    terminal, stderr = os.openpty()
    with start(config, "rebalance", "--dry-run", stderr=stderr) as process:
        os.close(stderr)
        shown = b"".join(iter(lambda: _read(terminal), b"")).decode()
        out, _ = process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode == 0
    assert out.startswith("to move  ")
    assert re.search(r"\rplanning: .*\| \d/5 \[", shown), shown


def _read(terminal: int) -> bytes:
    """What was written on a terminal; nothing when nobody has it open any more, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_every_command_says_what_it_is_for() -> None:
    for command in commands.leaves(build_parser()):
        assert all(action.help for action in command._actions if action.option_strings), command.prog


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_prints_a_line_for_every_database(run: Run, config: Path) -> None:
    put(config, 1, 1, 2)
    code, out, err = run("check", "--config", config)
    assert (code, err) == (0, "")
    total = len(fingerprints(1)) + len(fingerprints(2))
    made_as = re.escape(f"format {settings.FINGERPRINT_VERSION} ({settings.format_digest()})")
    expected = [
        rf"ok  instances\[0\]  sqlite:\S+ +\d+\.\d ms  SQLite [\d.]+ +0 songs +0 fingerprints  {made_as}",
        rf"ok  instances\[1\]  sqlite:\S+ +\d+\.\d ms  SQLite [\d.]+ +2 songs +{total} fingerprints  {made_as}",
        r"ok  results\[0\]    sqlite:\S+ +\d+\.\d ms  SQLite [\d.]+",
        r"ok  results\[1\]    sqlite:\S+ +\d+\.\d ms  SQLite [\d.]+",
    ]
    for pattern, line in zip(expected, out.splitlines(), strict=True):
        assert re.fullmatch(pattern, line), line


def test_check_says_why_a_database_cannot_be_used_and_never_a_secret(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    server = {"host": "127.0.0.1", "port": port, "user": "someone", "password": "hunter2", "database": "music"}
    databases = json.loads(config.read_text())["instances"]
    databases[0]["database"]["path"] = "not there yet.sqlite"
    databases += [
        {"database_type": kind, "database": server, "redis_db_index": index}
        for index, kind in enumerate(("clickhouse", "mysql"), 3)
    ]
    for index, database in enumerate(databases):
        database["redis_db_index"] = index
    change(config, instances=databases, redis={"host": "127.0.0.1", "port": port, "password": "hunter3"})
    monkeypatch.setattr(settings, "FINGERPRINT_VERSION", settings.FINGERPRINT_VERSION + 1)
    code, out, err = run("check", "--config", config)
    assert (code, err) == (1, "")
    reasons = {re.split(" {2,}", line)[1]: re.split(" {2,}", line) for line in out.splitlines()}
    assert reasons["instances[0]"][3] == "Nothing has been set up here yet; the service does so when it starts."
    assert "use the version that made it, or upload the files anew" in reasons["instances[1]"][3]
    assert reasons["instances[2]"][2:] == [
        f"clickhouse:127.0.0.1:{port}/music",
        "The ClickHouse server cannot be reached.",
    ]
    assert reasons["instances[3]"][2] == f"mysql:127.0.0.1:{port}/music"
    assert reasons["redis of rate_limit"][2:] == [f"redis:127.0.0.1:{port}/0", "Redis cannot be reached."]
    assert [cells[0] for cells in reasons.values()] == ["failed"] * 4 + ["ok"] * 2 + ["failed"] * 4
    assert "hunter" not in out
    assert not (config.parent / "not there yet.sqlite").exists()


# --- sweep -----------------------------------------------------------------------------------------------------------


def test_sweep_removes_copies_and_says_how_many(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SETTLE_SECONDS", 0.0)
    home = wanted_by(config, 1)
    put(config, home, 1)
    put(config, 1 - home, 1, 2)
    code, out, err = run("sweep", "--config", config)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"instances[{index}]  leftovers of 0 songs removed  {int(index != home)} copies removed" for index in range(2)
    ]
    assert held(config) == {sha1(1): [home], sha1(2): [1 - home]}


@pytest.mark.parametrize("command", [["sweep"], ["rebalance", "--dry-run"], ["rebalance", "--yes"]])
def test_nothing_is_moved_while_an_instance_is_down(run: Run, config: Path, command: list[str]) -> None:
    home = wanted_by(config, 1)
    put(config, 1 - home, 1)
    (config.parent / f"fingerprints-{home}.sqlite").unlink()
    code, out, err = run(*command, "--config", config)
    reason = "Nothing has been set up here yet; the service does so when it starts."
    assert (code, out, err) == (1, "", f"instances[{home}]: {reason}\n")
