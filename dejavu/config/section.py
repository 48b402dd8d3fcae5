"""Reading one JSON object strictly: every problem is noted with its JSON path, and reading goes on to find the rest.

Each method takes one key. What was never asked for is unknown, so there is no list of keys to keep in step with the
code. After a problem a method returns a stand-in of the right type; whoever started the reading raises when it is done.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

_LONGEST_SHOWN = 60
"""Characters of a wrong value that a message repeats."""

_HIGHEST_NUMBER = 10**12
"""More seconds or megabytes than anything has, and few enough to calculate with."""


class JsonObject(dict[str, Any]):
    """A parsed JSON object that remembers which keys it was given twice (`json` alone keeps the last silently)."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.repeated = sorted({key for key in keys if keys.count(key) > 1})


class Section:
    """One JSON object at `path`; problems are appended to `errors`, one line each."""

    def __init__(self, value: object, path: str, errors: list[str]) -> None:
        self.path = path
        self._errors = errors
        self._asked: list[str] = []
        self._values: dict[str, Any] = {}
        if isinstance(value, dict):
            self._values = value
        else:
            self._expected("an object", value, path)
            self._errors = []  # what is missing in it follows from that
        for key in getattr(value, "repeated", ()):
            self.problem(key, "given more than once")

    def problem(self, key: str, reason: str) -> None:
        """Note that `key` cannot be used, and why."""
        self._errors.append(f"{self.locate(key)}: {reason}")

    def locate(self, key: str) -> str:
        """The JSON path of `key`."""
        return f"{self.path}.{key}" if self.path else key

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        value = self._take(key, default)
        if isinstance(value, bool):
            return value
        self._expected("true or false", value, self.locate(key))
        return default

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty; needed where there is no default."""
        value = self._take(key, default)
        if isinstance(value, str) and value.strip():
            return value
        if value is None and key not in self._values:
            self.problem(key, "missing")
        else:
            self._expected("a non-empty string", value, self.locate(key))
        return default or ""

    def optional_text(self, key: str) -> str | None:
        """A string that is not empty, or null."""
        return self.text(key) if self._take(key, None) is not None else None

    def secret(self, key: str) -> str | None:
        """A string that no message ever repeats, or null."""
        value = self._take(key, None)
        if value is None or (isinstance(value, str) and value):
            return value
        self.problem(key, "expected a non-empty string or null (its value is not shown here)")
        return None

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of some strings; None after a problem."""
        value = self._take(key, None)
        if isinstance(value, str) and value in choices:
            return value
        expected = f"expected one of {', '.join(choices)}"
        self.problem(key, f"{expected}, got {_shown(value)}" if key in self._values else f"missing; {expected}")
        return None

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            self._expected("an integer", value, self.locate(key))
        elif not low <= value <= high:
            self._expected(f"an integer from {low} to {high}", value, self.locate(key))
        else:
            return value
        return default

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`, or null."""
        return self.integer(key, low, low, high) if self._take(key, None) is not None else None

    def positive_number(self, key: str) -> float | None:
        """A number above zero, or null for no limit."""
        value = self._take(key, None)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            self._expected("a number above 0, or null for no limit", value, self.locate(key))
        elif value > _HIGHEST_NUMBER:
            self._expected(f"at most {_HIGHEST_NUMBER}, or null for no limit", value, self.locate(key))
        else:
            return float(value)
        return None

    def texts(self, key: str) -> dict[str, str]:
        """A list of strings, empty by default, each under its own key: `key[0]`, `key[1]`, …"""
        texts = {}
        for item_key, item in self._items(key):
            if isinstance(item, str):
                texts[item_key] = item
            else:
                self._expected("a string", item, self.locate(item_key))
        return texts

    def section(self, key: str) -> Section:
        """A nested object, empty by default."""
        return Section(self._take(key, {}), self.locate(key), self._errors)

    def optional_section(self, key: str) -> Section | None:
        """A nested object, or None where there is none."""
        return self.section(key) if self._take(key, None) is not None else None

    def sections(self, key: str) -> list[Section]:
        """A list of objects, empty by default."""
        return [Section(item, self.locate(item_key), self._errors) for item_key, item in self._items(key)]

    def finish(self) -> None:
        """Note every key that nothing asked for, with the nearest one that something did."""
        for key in [key for key in self._values if key not in self._asked]:
            near = difflib.get_close_matches(key, self._asked, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(sorted(self._asked))}"
            self.problem(key, f"unknown key; {hint}")

    def _take(self, key: str, default: object) -> Any:
        if key not in self._asked:
            self._asked.append(key)
        return self._values.get(key, default)

    def _items(self, key: str) -> Iterator[tuple[str, Any]]:
        value = self._take(key, [])
        if not isinstance(value, list):
            self._expected("a list", value, self.locate(key))
            return
        for index, item in enumerate(value):
            yield f"{key}[{index}]", item

    def _expected(self, what: str, value: object, path: str) -> None:
        where = f"{path}: " if path else ""
        self._errors.append(f"{where}expected {what}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A wrong value as the operator wrote it; an object or list, which may hold a password, only by its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
