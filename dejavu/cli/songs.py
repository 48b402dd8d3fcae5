"""`songs list|show|delete|rename`: what the catalogue has."""

from __future__ import annotations

import argparse
import json
import re
import sys

from dejavu.cli.endings import DONE, NOT_DONE
from dejavu.cli.output import complain, complain_of_outages
from dejavu.config.deployment import Deployment
from dejavu.errors import InvalidField, UnknownSong
from dejavu.service.catalogue import Catalogue, Copy, open_catalogue

_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_SONG_ID = re.compile(r"[0-9]{1,10}")

_SONG_HELP = "the SHA-1 of the song's file, or its song id"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser) -> None:
    """Add the commands of this file."""
    songs = commands.add_parser("songs", help="list, show, delete and rename songs")
    verbs = songs.add_subparsers(required=True, metavar="COMMAND")

    listing = verbs.add_parser("list", parents=[config], help="print a line for every song of every instance")
    listing.add_argument("--name", metavar="TEXT", default="", help="songs with this in their name, in whatever case")
    listing.add_argument("--sha1", metavar="DIGITS", default="", help="songs whose SHA-1 begins so")
    listing.add_argument("--json", action="store_true", help="print JSON, an object a line")
    listing.set_defaults(run=_list)

    showing = verbs.add_parser("show", parents=[config], help="print everything about a song, and where it is")
    showing.add_argument("song", metavar="SONG", help=_SONG_HELP)
    showing.add_argument("--json", action="store_true", help="print JSON")
    showing.set_defaults(run=_show)

    deleting = verbs.add_parser("delete", parents=[config], help="delete songs from all instances")
    deleting.add_argument("songs", nargs="+", metavar="SONG", help=_SONG_HELP)
    deleting.add_argument("--yes", action="store_true", help="do not ask")
    deleting.set_defaults(run=_delete)

    renaming = verbs.add_parser("rename", parents=[config], help="give a song another name")
    renaming.add_argument("song", metavar="SONG", help=_SONG_HELP)
    renaming.add_argument("name", metavar="NAME", help="its new name")
    renaming.set_defaults(run=_rename)


def _list(deployment: Deployment, options: argparse.Namespace) -> int:
    name, sha1 = options.name.casefold(), options.sha1.lower()
    width = max(len(config.name) for config in deployment.instances)
    with open_catalogue(deployment) as catalogue:
        for copy in catalogue.copies():
            song = copy.song
            if name not in song.name.casefold() or not song.sha1.startswith(sha1):
                continue
            if options.json:
                print(json.dumps({**copy.song.to_wire(), "instance": copy.shelf.name}, ensure_ascii=False))
            else:
                print(
                    f"{song.song_id:>10}  {song.sha1}  {song.total_hashes:>9}  {copy.shelf.name:{width}}  {song.name}"
                )
        return complain_of_outages(catalogue)


def _show(deployment: Deployment, options: argparse.Namespace) -> int:
    with open_catalogue(deployment) as catalogue:
        for sha1 in _sha1s(catalogue, options.song):
            copies = _copies(catalogue, sha1)
            wanted = catalogue.in_order_of_preference(sha1)[0].name
            if options.json:
                held = [{**copy.song.to_wire(), "instance": copy.shelf.name} for copy in copies]
                print(json.dumps({"file_sha1": sha1, "wanted_by": wanted, "copies": held}, ensure_ascii=False))
            else:
                for copy in copies:
                    _print_fields({**copy.song.to_wire(), "instance": copy.shelf.name, "wanted_by": wanted})
        return complain_of_outages(catalogue)


def _delete(deployment: Deployment, options: argparse.Namespace) -> int:
    if not options.yes and not sys.stdin.isatty():
        raise InvalidField("Nobody is there to be asked whether to delete: add --yes.")
    ending = DONE
    with open_catalogue(deployment) as catalogue:
        for wanted in options.songs:
            try:
                sha1 = _the_sha1(catalogue, wanted)
                copies = _copies(catalogue, sha1)
            except UnknownSong as exc:
                complain(str(exc))
                ending = NOT_DONE
                continue
            if options.yes or _agreed(copies[0]):
                catalogue.delete(sha1)
                for copy in copies:
                    if copy.shelf.name not in catalogue.outages:
                        print(f"deleted {sha1} from {copy.shelf.name}: {copy.song.name}")
            else:
                ending = NOT_DONE
        return max(ending, complain_of_outages(catalogue))


def _rename(deployment: Deployment, options: argparse.Namespace) -> int:
    with open_catalogue(deployment) as catalogue:
        sha1 = _the_sha1(catalogue, options.song)
        before = _copies(catalogue, sha1)
        catalogue.rename(sha1, options.name)
        for copy in before:
            if copy.shelf.name not in catalogue.outages:
                print(f"renamed {sha1} on {copy.shelf.name}: {copy.song.name} -> {options.name}")
        return complain_of_outages(catalogue)


def _sha1s(catalogue: Catalogue, song: str) -> list[str]:
    """The SHA-1s that an argument may mean. Raises `InvalidField` and `UnknownSong`."""
    if _SHA1.fullmatch(song):
        return [song.lower()]
    if not _SONG_ID.fullmatch(song) or int(song) >= 1 << 32:
        raise InvalidField(f'"{song}" is neither a SHA-1, which has 40 hexadecimal digits, nor a song id.')
    sha1s = catalogue.sha1s(int(song))
    if not sha1s:
        raise _unknown(catalogue, f"no song with the id {song}")
    return sha1s


def _the_sha1(catalogue: Catalogue, song: str) -> str:
    sha1, *others = _sha1s(catalogue, song)
    if others:
        raise InvalidField(
            f"{song} is the id of several songs; name the one by its SHA-1: {sha1}, {', '.join(others)}."
        )
    return sha1


def _copies(catalogue: Catalogue, sha1: str) -> list[Copy]:
    copies = catalogue.find(sha1)
    if not copies:
        raise _unknown(catalogue, f"no song with the SHA-1 {sha1}")
    return copies


def _unknown(catalogue: Catalogue, what: str) -> UnknownSong:
    doubt = f", as far as can be told without {', '.join(sorted(catalogue.outages))}" if catalogue.outages else ""
    complain_of_outages(catalogue)
    return UnknownSong(f"There is {what}{doubt}.")


def _agreed(copy: Copy) -> bool:
    """Ask on the terminal; its end is no answer."""
    try:
        answer = input(f"Delete {copy.song.sha1}, {copy.song.name}? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")


def _print_fields(fields: dict[str, object]) -> None:
    known = {field: value for field, value in fields.items() if value is not None}
    width = max(map(len, known))
    for field, value in known.items():
        print(f"{field:{width}}  {value}")
