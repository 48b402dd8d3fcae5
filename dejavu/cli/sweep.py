"""`sweep`: remove what is of no use, leftovers of songs that are not there and copies of ones that are."""

from __future__ import annotations

import argparse
from collections import Counter

from dejavu.cli.endings import DONE, NOT_DONE
from dejavu.cli.output import columns, complain, progress
from dejavu.config.deployment import Deployment
from dejavu.service.catalogue import open_catalogue
from dejavu.service.moving import Move, carry_out, surplus


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser) -> None:
    """Add the command of this file."""
    parser = commands.add_parser(
        "sweep", parents=[config], help="remove leftovers of songs that are not there, and copies of ones that are"
    )
    parser.set_defaults(run=_sweep)


def _sweep(deployment: Deployment, options: argparse.Namespace) -> int:
    removed: Counter[str] = Counter()
    kept = 0

    def report(move: Move, reason: str | None) -> None:
        nonlocal kept
        if reason is None:
            removed[move.copy.shelf.name] += 1
        else:
            kept += 1
            complain(f"kept {move.copy.song.sha1} on {move.copy.shelf.name}: {reason}")

    with open_catalogue(deployment) as catalogue:
        catalogue.require_all()
        leftovers = {shelf.name: shelf.ask(lambda driver: driver.sweep()) for shelf in catalogue.shelves}
        copies = progress(catalogue.shelf_by_shelf(), catalogue.songs_held(), "looking for copies")
        carry_out(surplus(catalogue, copies), report)
        rows = [
            (shelf.name, f"leftovers of {leftovers[shelf.name]} songs removed", f"{removed[shelf.name]} copies removed")
            for shelf in catalogue.shelves
        ]
    for line in columns(rows):
        print(line)
    return NOT_DONE if kept else DONE
