"""`explain`: why a clip is recognised, or why not, as a picture."""

from __future__ import annotations

import argparse
import math
from contextlib import ExitStack, closing
from pathlib import Path

from dejavu.cli.endings import DONE
from dejavu.config.deployment import Deployment
from dejavu.errors import InvalidField, TuneScoutError
from dejavu.model import Match
from dejavu.pictures import words
from dejavu.service.catalogue import open_catalogue
from dejavu.service.kept import Kept
from dejavu.service.portraits import Portrait, Portraits
from dejavu.service.search import search
from dejavu.service.service import open_instances
from dejavu.service.workers import WorkerPool


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser) -> None:
    """Add the command of this file."""
    parser = commands.add_parser(
        "explain", parents=[config], help="recognise a clip, keeping no answer, and draw what decided"
    )
    parser.add_argument("clip", metavar="CLIP", help="an audio or video file")
    parser.add_argument("--start", metavar="SECONDS", default="", help="seconds of it to skip; default none")
    parser.add_argument("--duration", metavar="SECONDS", default="", help="seconds to listen to; default all")
    parser.add_argument("--output", metavar="FILE", default="", help="the picture; default: the clip's name and .png")
    parser.set_defaults(run=_explain)


def _explain(deployment: Deployment, options: argparse.Namespace) -> int:
    start, duration = _seconds("--start", options.start) or 0.0, _seconds("--duration", options.duration)
    clip = Path(options.clip)
    target = Path(options.output) if options.output else Path(f"{clip.name}.png")
    with open_catalogue(deployment) as catalogue:
        catalogue.require_all()  # what is opened next would set up what is not
    with ExitStack() as opened:
        try:
            file = opened.enter_context(clip.open("rb"))
        except OSError as exc:
            raise InvalidField(f"{clip}: cannot be read ({exc.strerror}).") from exc
        pool = opened.enter_context(closing(WorkerPool(1)))
        instances = open_instances(deployment)
        for instance in instances:
            opened.callback(instance.close)
        query = pool.query(file, start, duration)
        found = search(instances, query, deployment.recognizing.max_speed_change_percent)
        matches = found.ranking.matches
        portraits = Portraits(instances, _nothing_kept)
        portrait = portraits.of_match(query.peaks, matches[0]) if matches else Portrait(query.peaks, None)
        levels = pool.spectrogram(file, start, duration)
    from dejavu.pictures.draw import png

    try:
        target.write_bytes(png(portrait, levels))
    except OSError as exc:
        raise TuneScoutError(f"{target}: cannot be written ({exc.strerror}).") from exc
    for match in matches:
        print(_in_words(match))
    if not matches:
        print("Not in the catalogue.")
    print(f"The picture is {target}.")
    return DONE


def _in_words(match: Match) -> str:
    told = [
        f"{match.song.name}: at {words.position(match.offset_seconds)}",
        f"{words.confidence(match.confidence)} ({words.percent(match.confidence)})",
        words.played(match.warp.speed, match.warp.pitch),
    ]
    return ", ".join(filter(None, told))


def _seconds(flag: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0 or (flag == "--duration" and not seconds):
        raise InvalidField(f'{flag}: expected seconds such as 12.5, got "{text}".')
    return seconds


def _nothing_kept(_token: str) -> Kept:
    raise AssertionError("nothing is kept here")
