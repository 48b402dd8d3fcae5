"""The README as data: its sections, tables and snippets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
TEXT = (PROJECT / "README.md").read_text("utf-8")

JSON = dict[str, Any] | list[Any] | str | float | bool | None


def section(title: str) -> str:
    """What stands under a heading, its inner headings included."""
    heading = re.search(rf"^(#+) `?{re.escape(title)}`?$", TEXT, re.MULTILINE)
    assert heading, f"the README has no heading {title!r}"
    rest = TEXT[heading.end() :]
    following = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def table(title: str, first_column: str) -> dict[str, list[str]]:
    """The rows of all tables under `title` whose first column has this name, each under its first cell."""
    rows: dict[str, list[str]] = {}
    found = False
    for lines in re.findall(r"(?:^\|.*\|\n)+", section(title), re.MULTILINE):
        header, _, *body = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines.splitlines()]
        if header[0] != first_column:
            continue
        found = True
        for name, *cells in body:
            assert len(cells) == len(header) - 1, f"{title}: the row of {name} has another number of cells"
            assert name.strip("`") not in rows, f"{title}: {name} is there twice"
            rows[name.strip("`")] = cells
    assert found, f"{title} has no table of {first_column!r}"
    return rows


def value(cell: str) -> Any:
    """What a cell such as `"10 per second"` or `1e-06` says, read as JSON."""
    assert re.fullmatch(r"`[^`]+`", cell), f"expected a value in backticks, got {cell!r}"
    return json.loads(cell.strip("`"))


def words(cell: str) -> set[str]:
    """Everything in backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def blocks(language: str) -> list[str]:
    """The code of every fenced block in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
