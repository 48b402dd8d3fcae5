"""`rebalance`: put songs on the instances where placement wants them, as after one was added."""

from __future__ import annotations

import argparse

from dejavu.cli.endings import DONE, NOT_DONE
from dejavu.cli.output import columns, complain, counting, progress
from dejavu.config.deployment import Deployment
from dejavu.service.catalogue import Catalogue, open_catalogue
from dejavu.service.moving import Loads, Move, add_load, carry_out, loads, misplaced


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser) -> None:
    """Add the command of this file."""
    parser = commands.add_parser("rebalance", parents=[config], help="move songs to where placement wants them")
    decision = parser.add_mutually_exclusive_group(required=True)
    decision.add_argument("--dry-run", action="store_true", help="only print how much would be moved")
    decision.add_argument("--yes", action="store_true", help="move")
    parser.set_defaults(run=_rebalance)


def _rebalance(deployment: Deployment, options: argparse.Namespace) -> int:
    with open_catalogue(deployment) as catalogue:
        catalogue.require_all()
        planned = _plan(catalogue)
        if options.dry_run:
            _print_loads("to move", planned)
            return DONE
        return _move(catalogue, sum(load.songs for load in planned.values()))


def _plan(catalogue: Catalogue) -> Loads:
    copies = progress(catalogue.shelf_by_shelf(), catalogue.songs_held(), "planning")
    return loads(misplaced(catalogue, copies))


def _move(catalogue: Catalogue, total: int) -> int:
    moved: Loads = {}
    kept = 0
    with counting(total, "moving") as advance:

        def report(move: Move, reason: str | None) -> None:
            nonlocal kept
            advance()
            if reason is None:
                add_load(moved, move)
            else:
                kept += 1
                complain(f"kept {move.copy.song.sha1} on {move.copy.shelf.name}: {reason}")

        carry_out(misplaced(catalogue, catalogue.shelf_by_shelf()), report)
    _print_loads("moved", moved)
    return NOT_DONE if kept else DONE


def _print_loads(what: str, totals: Loads) -> None:
    rows = [
        (f"{source.name} -> {target.name}", f"{load.songs} songs", f"{load.fingerprints} fingerprints")
        for (source, target), load in totals.items()
    ]
    rows = rows or [("all instances", "0 songs", "0 fingerprints")]
    for line in columns((what, *row) for row in rows):
        print(line)
