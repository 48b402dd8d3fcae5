"""What functions take where the service itself calls them, and what they were called with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any


@dataclass(frozen=True, slots=True)
class Watched:
    """A function that is looked up in `owner`, a module or a class, whenever it is called, and the stage it is of."""

    owner: object
    name: str
    stage: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a watched function, which has returned.

    seconds : what it took itself, without other watched functions that it called on the same thread.
    thread : the name of the thread it ran on.
    """

    stage: str
    name: str
    seconds: float
    thread: str
    arguments: tuple[Any, ...]
    result: Any


class Stopwatch:
    """Notes the calls of watched functions, on all threads. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._calls: list[Call] = []
        self._thread = threading.local()

    @contextmanager
    def watching(self, *watched: Watched) -> Iterator[None]:
        """Take the time of these functions meanwhile."""
        with ExitStack() as replaced:
            for one in watched:
                function = getattr(one.owner, one.name)
                setattr(one.owner, one.name, self._timed(function, one))
                replaced.callback(setattr, one.owner, one.name, function)
            yield

    def calls(self) -> list[Call]:
        """The calls since the last time that this was asked, in the order in which they returned."""
        calls, self._calls = self._calls, []
        return calls

    def _timed(self, function: Callable[..., Any], watched: Watched) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            inside = self._open_calls()
            inside.append(0.0)
            began = self._clock()
            try:
                result = function(*arguments, **named)
            finally:
                whole_seconds = self._clock() - began
                seconds = whole_seconds - inside.pop()
                if inside:
                    inside[-1] += whole_seconds
            thread = threading.current_thread().name
            self._calls.append(Call(watched.stage, watched.name, seconds, thread, arguments, result))
            return result

        return timed

    def _open_calls(self) -> list[float]:
        """For each call that is open on this thread, the outermost first, what watched calls within it have taken."""
        if not hasattr(self._thread, "inside"):
            self._thread.inside = []
        inside: list[float] = self._thread.inside
        return inside
