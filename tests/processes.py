"""Watching other processes from a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

on_linux = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        os.sched_yield()


def command_line(pid: int) -> str:
    """What a process was started with; empty where it has ended meanwhile."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def freeze(pid: int) -> None:
    """Stop a process until it gets SIGCONT, and wait until every thread of it stands still: a signal takes its time."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: _stands_still(pid))


def gone(pid: int) -> bool:
    """Whether a process has ended, with all its threads; somebody may still have to collect it."""
    process = Path(f"/proc/{pid}")
    try:
        return _state(process) == "Z" and len(list((process / "task").iterdir())) == 1
    except OSError:
        return True


def _stands_still(pid: int) -> bool:
    try:
        return all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return False  # a thread ended while they were listed


def _state(task: Path) -> str:
    """The letter that says what a process or thread does: R, S, T, Z and so on."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
