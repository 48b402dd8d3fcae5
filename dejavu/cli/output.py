"""What all commands print in the same way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from dejavu.cli.endings import DONE, NOT_DONE
from dejavu.service.catalogue import Catalogue

Item = TypeVar("Item")


def columns(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Lines of aligned columns; the last is as long as it is."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def progress(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The same items; on a terminal, standard error shows how far it got."""
    with counting(total, what) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[], object]]:
    """Call what this gives for every song that is done; on a terminal, standard error shows how far it got."""
    # Some terminals do not know their size, and get a bar of none from tqdm.
    size = shutil.get_terminal_size()
    shape = {"ncols": size.columns - 1, "nrows": size.lines}
    with tqdm(desc=what, total=total, disable=None, leave=False, unit=" songs", **shape) as bar:
        yield bar.update


def complain(line: str) -> None:
    """Say on standard error what is not well, past a progress bar."""
    tqdm.write(line, file=sys.stderr)


def complain_of_outages(catalogue: Catalogue) -> int:
    """Say which instances could not be asked; the exit code that comes of it."""
    for outage in catalogue.outages.values():
        complain(str(outage))
    return NOT_DONE if catalogue.outages else DONE
