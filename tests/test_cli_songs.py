"""`python -m dejavu songs`, on SQLite files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from commands import held, put, set_up, start, wanted_by, write_config
from driver_data import fingerprints, sha1

from dejavu.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two instances: songs 0 to 3 on the first, 3 to 5 on the second."""
    path = write_config(tmp_path, instances=2)
    set_up(path)
    put(path, 0, 0, 1, 2, 3)
    put(path, 1, 3, 4, 5)
    return path


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carries out a command in this process: exit code, and what it printed and complained of."""
    monkeypatch.setenv("TUNESCOUT_CONFIG", str(config))

    def carry_out(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return carry_out


def song_id(seed: int) -> int:
    return int(sha1(seed)[:8], 16)


def test_listing_prints_a_line_for_every_song_of_every_instance(run: Run, config: Path) -> None:
    code, out, err = run("songs", "list")
    stored = [(song_id(seed), sha1(seed), 0, seed) for seed in range(4)]
    stored += [(song_id(seed), sha1(seed), 1, seed) for seed in range(3, 6)]
    lines = [
        f"{number:>10}  {file}  {len(fingerprints(seed)):>9}  instances[{instance}]  Song {seed}"
        for number, file, instance, seed in sorted(stored)
    ]
    assert (code, out.splitlines(), err) == (0, lines, "")


@pytest.mark.parametrize(
    ("filters", "seeds"),
    [
        (["--name", "sONG 4"], [4]),
        (["--name", "no such name"], []),
        (["--sha1", sha1(5)[:6].upper()], [5]),
        (["--sha1", sha1(3), "--name", "song"], [3, 3]),
    ],
)
def test_listing_takes_filters_and_prints_json(run: Run, config: Path, filters: list[str], seeds: list[int]) -> None:
    code, out, err = run("songs", "list", "--json", *filters)
    assert (code, err) == (0, "")
    listed = [json.loads(line) for line in out.splitlines()]
    assert [song["file_sha1"] for song in listed] == [sha1(seed) for seed in seeds]
    for song in listed:
        assert song.keys() == {
            *("song_id", "song_name", "file_sha1", "fingerprinted_hashes", "instance"),
            *("artist", "title", "album", "isrc", "duration_seconds"),
        }


def test_listing_goes_on_without_an_instance_and_says_so(run: Run, config: Path) -> None:
    (config.parent / "fingerprints-0.sqlite").write_text("not a database " * 1000)
    code, out, err = run("songs", "list")
    assert code == 1
    assert len(out.splitlines()) == 3
    assert err == "instances[0]: The SQLite file cannot be used: file is not a database.\n"


@pytest.mark.server
def test_a_reader_that_has_seen_enough_ends_the_listing_quietly(config: Path) -> None:
    put(config, 0, *range(100, 1100), size=1)
    with start(config, "songs", "list") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("name_it", [sha1, lambda seed: sha1(seed).upper(), lambda seed: str(song_id(seed))])
def test_showing_tells_where_a_song_is_and_should_be(run: Run, config: Path, name_it: type[str]) -> None:
    code, out, err = run("songs", "show", name_it(3), "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert (shown["file_sha1"], shown["wanted_by"]) == (sha1(3), f"instances[{wanted_by(config, 3)}]")
    assert [copy["instance"] for copy in shown["copies"]] == ["instances[0]", "instances[1]"]
    code, out, err = run("songs", "show", name_it(1))
    fields = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert fields == {
        "song_id": str(song_id(1)),
        "song_name": "Song 1",
        "file_sha1": sha1(1),
        "fingerprinted_hashes": str(len(fingerprints(1))),
        "instance": "instances[0]",
        "wanted_by": f"instances[{wanted_by(config, 1)}]",
    }


@pytest.mark.parametrize("verb", [["show"], ["delete", "--yes"], ["rename"]])
@pytest.mark.parametrize(
    ("song", "code", "reason"),
    [
        (sha1(99), 1, f"There is no song with the SHA-1 {sha1(99)}."),
        ("7", 1, "There is no song with the id 7."),
        ("Song 1", 2, '"Song 1" is neither a SHA-1, which has 40 hexadecimal digits, nor a song id.'),
        ("4294967296", 2, '"4294967296" is neither a SHA-1, which has 40 hexadecimal digits, nor a song id.'),
    ],
)
def test_a_song_that_is_not_there(run: Run, config: Path, verb: list[str], song: str, code: int, reason: str) -> None:
    assert run("songs", *verb, song, *(["x"] if verb == ["rename"] else [])) == (code, "", f"{reason}\n")


def test_deleting_takes_every_copy_and_nothing_else(run: Run, config: Path) -> None:
    before = held(config)
    code, out, err = run("songs", "delete", "--yes", sha1(3), str(song_id(4)))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"deleted {sha1(3)} from instances[0]: Song 3",
        f"deleted {sha1(3)} from instances[1]: Song 3",
        f"deleted {sha1(4)} from instances[1]: Song 4",
    ]
    assert held(config) == {file: where for file, where in before.items() if file not in (sha1(3), sha1(4))}


@pytest.mark.server
@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 4), ("n\n", 1, 5), ("\n", 1, 5), ("\x04", 1, 5)])
def test_deleting_asks_at_a_terminal(config: Path, answer: str, code: int, left: int) -> None:
    terminal, stdin = os.openpty()
    os.write(terminal, answer.encode())
    ending, out, err = commands.run(config, "songs", "delete", sha1(0), stdin=stdin)
    for end in (terminal, stdin):
        os.close(end)
    assert f"Delete {sha1(0)}, Song 0? [y/N]" in out
    assert (ending, len(held(config)) - 1, err) == (code, left, "")


def test_deleting_asks_nobody_who_is_not_there(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    expected = (2, "", "Nobody is there to be asked whether to delete: add --yes.\n")
    assert run("songs", "delete", sha1(0)) == expected
    assert sha1(0) in held(config)


def test_renaming_changes_every_copy(run: Run, config: Path) -> None:
    name = "Sigur Rós – ( ); DROP TABLE song; --"
    code, out, err = run("songs", "rename", sha1(3), name)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"renamed {sha1(3)} on instances[{index}]: Song 3 -> {name}" for index in range(2)]
    _, out, _ = run("songs", "list", "--name", name)
    assert len(out.splitlines()) == 2
    assert held(config)[sha1(3)] == [0, 1]


@pytest.mark.parametrize(("name", "reason"), [(" ", "a song needs a name"), ("two\nlines", "control characters")])
def test_a_name_that_cannot_be_kept_is_refused(run: Run, config: Path, name: str, reason: str) -> None:
    code, out, err = run("songs", "rename", sha1(3), name)
    assert (code, out) == (2, "")
    assert reason in err


def test_an_instance_that_cannot_be_asked_may_still_have_it(run: Run, config: Path) -> None:
    (config.parent / "fingerprints-1.sqlite").write_text("not a database " * 1000)
    code, _, err = run("songs", "delete", "--yes", sha1(4))
    assert code == 1
    assert "instances[1]: The SQLite file cannot be used" in err
    assert f"There is no song with the SHA-1 {sha1(4)}, as far as can be told without instances[1]." in err
    code, out, err = run("songs", "rename", sha1(3), "another")
    assert (code, len(out.splitlines())) == (1, 1)
    assert "instances[1]: The SQLite file cannot be used" in err
