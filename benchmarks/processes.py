"""CPU time and memory of the server's processes, as Linux counts them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_BUSY_STATES = ("R", "D")

_SAMPLE_SECONDS = 0.05
_STATE_SAMPLE_SECONDS = 0.01


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes have used so far, with the children they outlived; those that are gone count nothing."""
    return sum(_cpu_ticks(pid) for pid in pids) / _TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """What everything on this machine has used so far."""
    user, nice, system, _idle, _iowait, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / _TICKS_PER_SECOND


def peak_resident_bytes(pid: int) -> int:
    """The most memory a process has had so far; 0 where it is gone."""
    return _status_bytes(pid, "VmHWM:")


def resident_bytes(pid: int) -> int:
    """The memory that a process has now; 0 where it is gone."""
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def reset_peak(pid: int) -> None:
    """Let the peak of a process begin anew with what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class _Watch(ABC):
    """Looks at processes every `seconds` while a `with` block runs, and once more at its end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self._look()
        self._look()

    @abstractmethod
    def _look(self) -> None:
        """Take note of what they do now."""


class PeakMemory(_Watch):
    """Watches processes while a `with` block runs: `bytes` is the most that any one of them has had so far.

    They are looked at often, because one that has grown large may be replaced as soon as it has answered. `pids` is
    asked every time, for those that take their place.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(_SAMPLE_SECONDS)
        self.bytes = 0
        self._pids = pids

    def _look(self) -> None:
        try:
            pids = list(self._pids())
        except OSError:
            return  # one of them ended while they were listed
        self.bytes = max([self.bytes, *(peak_resident_bytes(pid) for pid in pids)])


class BusyShare(_Watch):
    """Watches processes while a `with` block runs: `share` (0..1) is how much of their time they had work.

    That is: their main thread computed, waited for a core to compute on, or waited for the disk.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        super().__init__(_STATE_SAMPLE_SECONDS)
        self._pids = list(pids)
        self._seen = self._busy = 0

    @property
    def share(self) -> float:
        """Of what was seen so far; nan before anything was."""
        return self._busy / self._seen if self._seen else float("nan")

    def _look(self) -> None:
        self._seen += len(self._pids)
        self._busy += sum(_state(pid) in _BUSY_STATES for pid in self._pids)


def _state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return text.rpartition(")")[2].split()[0]


def _cpu_ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # utime, stime, cutime, cstime: fields 14 to 17, counted after the name, which may hold anything.
    return sum(map(int, text.rpartition(")")[2].split()[11:15]))
