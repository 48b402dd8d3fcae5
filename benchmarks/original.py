"""What it costs to fingerprint a file with this project's code, and with that of the project it goes back to.

Both projects call their package `dejavu`, so each is loaded in a process of its own, which runs this very file. Nothing
of bboymega/TuneScout is part of this project: its code is loaded from a checkout that somebody has made.

    TimedCode -> one of the two processes: a path on a line of its stdin, a `Cost` on a line of its stdout

Here at the top nothing may be imported that imports a `dejavu`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

OURS, ORIGINAL = "ours", "original"

COMMIT = "92e7479"
"""Of bboymega/TuneScout, the one that it was read and tried with."""

_PACKAGE = Path("tunescout_api", "dejavu")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one core that a file took, of programs that were started for it too, and the hashes it gave."""

    decode: float
    fingerprint: float
    hashes: int


def root_of(checkout: Path) -> Path:
    """Where the original's package lies in a checkout; ends the command where it does not."""
    if not (checkout / _PACKAGE / "logic" / "fingerprint.py").is_file():
        raise SystemExit(f"{checkout} holds no {_PACKAGE}; {how_to_get_it()}")
    return (checkout / _PACKAGE).parent


def how_to_get_it() -> str:
    """What to do for a checkout, in a line."""
    source = "https://github.com/bboymega/TuneScout"
    return f"git clone {source} FOLDER && git -C FOLDER checkout {COMMIT}, and then --original FOLDER"


class TimedCode:
    """A process with one of the two codes, for a `with` block; it is kept on one core and uses one thread.

    `code` is OURS or ORIGINAL, and `root` the folder that its package is in. `environment` is all of the process's, but
    for the number of threads.
    """

    def __init__(self, code: str, root: Path, core: int, environment: Mapping[str, str]) -> None:
        self._code, self._root = code, root
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, code, str(root.absolute()), str(core)],
            env={**environment, **dict.fromkeys(_THREADS, "1"), "MPLBACKEND": "Agg"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def cost(self, path: Path) -> Cost:
        """Fingerprint a file; ends the command where that fails, for the process says why."""
        try:
            print(json.dumps(str(path.absolute())), file=self._process.stdin, flush=True)
            answer = next(iter(self._process.stdout or ()), "")
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(f"The code in {self._root} ({self._code}) could not fingerprint {path}; see above.")
        return Cost(**json.loads(answer))


def main() -> None:
    """Be one of the processes: load the code, and answer until nothing more is asked."""
    code, root, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the code prints is no answer
    sys.path.insert(0, root)
    decode, fingerprint = {OURS: _load_ours, ORIGINAL: _load_original}[code](Path(root))
    for line in sys.stdin:
        print(json.dumps(asdict(_timed(decode, fingerprint, Path(json.loads(line))))), file=answers)


def _load_ours(_root: Path) -> tuple[Callable[[Path], Any], Callable[[Any], int]]:
    decode = import_module("dejavu.audio.decode").decode
    extract_reference = import_module("dejavu.fingerprint.extract").extract_reference

    def blocks(path: Path) -> Any:
        with path.open("rb") as file:
            return list(decode(file))

    return blocks, lambda decoded: len(extract_reference(decoded))


def _load_original(root: Path) -> tuple[Callable[[Path], Any], Callable[[Any], int]]:
    """The package's `__init__` is passed over: it needs a later Python, and all it does with a file is this."""
    package = ModuleType("dejavu")
    package.__path__ = [str(root / "dejavu")]
    sys.modules["dejavu"] = package
    decoder = import_module("dejavu.logic.decoder")
    fingerprint = import_module("dejavu.logic.fingerprint").fingerprint

    def hashes(decoded: Any) -> int:
        channels, sample_rate, _ = decoded
        return len(set().union(*(fingerprint(channel, Fs=sample_rate) for channel in channels)))

    return lambda path: decoder.read(path.read_bytes()), hashes


def _timed(decode: Callable[[Path], Any], fingerprint: Callable[[Any], int], path: Path) -> Cost:
    began = _cpu_seconds()
    decoded = decode(path)
    between = _cpu_seconds()
    hashes = fingerprint(decoded)
    return Cost(between - began, _cpu_seconds() - between, hashes)


def _cpu_seconds() -> float:
    """Of this process and of the programs it has started, which have ended by now."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime


if __name__ == "__main__":
    main()
