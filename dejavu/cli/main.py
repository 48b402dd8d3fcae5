"""The command line: which commands there are, and what their endings mean."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from dejavu.cli import check, explain, rebalance, songs, sweep
from dejavu.cli.endings import INTERRUPTED, NOT_DONE, WRONG_COMMAND
from dejavu.config.deployment import load_deployment
from dejavu.errors import ConfigError, RequestError, TuneScoutError

PROGRAM = "python -m dejavu"


def build_parser() -> argparse.ArgumentParser:
    """The command line. Each command puts what carries it out into `run`."""
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration; default: the file that TUNESCOUT_CONFIG names, or config.json",
    )
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        parents=[config],
        description="Look after the databases of a TuneScout service, also while it runs.",
        epilog="Exit code: 0 if all is well and done, 1 if not, 2 for a wrong command or configuration, "
        "130 after Ctrl-C.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (check, songs, explain, rebalance, sweep):
        command.add_to(commands, config)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    environment = {**os.environ, "TUNESCOUT_CONFIG": options.config} if "config" in options else os.environ
    try:
        ending: int = options.run(load_deployment(environment), options)
        sys.stdout.flush()
    except (ConfigError, RequestError) as exc:
        print(exc, file=sys.stderr)
        return WRONG_COMMAND
    except TuneScoutError as exc:
        print(exc, file=sys.stderr)
        return NOT_DONE
    except BrokenPipeError:
        # Whoever read this, such as `head`, has seen enough; Python would complain at its end, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_DONE
    except KeyboardInterrupt:
        print("Interrupted; the same command again goes on from here.", file=sys.stderr)
        return INTERRUPTED
    return ending
