"""What the benchmarks of ingest work out: speeds, files that differ in a tag, two codes in turn, and waiting times."""

from __future__ import annotations

import hashlib
import io
import math
import os
import shutil
from pathlib import Path
from textwrap import dedent

import media
import pytest
from processes import eventually
from servers import PROJECT, Server
from urllib3 import encode_multipart_formdata

from benchmarks.client import Request
from benchmarks.ingest import beside, comparison_table, make_copies, medians, speeds
from benchmarks.material import Clip, Recording, encode_mp3
from benchmarks.memory import OtherClient, compared
from benchmarks.original import ORIGINAL, OURS, Cost, TimedCode, root_of
from dejavu.audio.decode import decode
from dejavu.config.settings import ANALYSIS_FS
from dejavu.fingerprint.extract import extract_reference

CORE = max(os.sched_getaffinity(0))

BURNT_SECONDS = 0.2
"""CPU seconds of the program that the stand-in for the original's decoder starts."""

DECODER = f"""
    import subprocess, sys

    def read(blob):
        print("this is no answer")
        burn = "import time\\nwhile time.process_time() < {BURNT_SECONDS}: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        return [blob[:2], blob[1:4]], 8000, "a hash"
"""

FINGERPRINT = """
    def fingerprint(channel, Fs):
        return [(Fs, sign) for sign in channel]
"""


@pytest.fixture
def song(tmp_path: Path) -> Recording:
    path = tmp_path / "a song.mp3"
    path.write_bytes(media.tune("mp3", 8.0))
    return Recording(path, "reference", "mp3", 8.0)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout laid out like bboymega/TuneScout, whose package cannot be imported as a whole."""
    package = tmp_path / "checkout" / "tunescout_api" / "dejavu"
    (package / "logic").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('databases are missing')\n")
    (package / "logic" / "__init__.py").touch()
    (package / "logic" / "decoder.py").write_text(dedent(DECODER))
    (package / "logic" / "fingerprint.py").write_text(dedent(FINGERPRINT))
    return tmp_path / "checkout"


def timed(code: str, root: Path) -> TimedCode:
    return TimedCode(code, root, CORE, os.environ)


def hashes_of(content: bytes) -> list[int]:
    return extract_reference(decode(io.BytesIO(content))).hashes.tolist()


# --- Speeds -------------------------------------------------------------------------------------------------------


def test_speeds_are_of_the_service_of_the_databases_too_and_of_the_clock() -> None:
    files = [Recording(Path("a.mp3"), "track", "mp3", seconds) for seconds in (240.0, 360.0)]
    cpu = {"workers": 1.5, "service": 0.5, "uploader": 9.0, "databases": 1.0, "others": 9.0, "nobody": 9.0}
    assert speeds(files, {"seconds": 4.0, "cpu_seconds": cpu}, cores=3) == {
        "sound_seconds": 600.0,
        "service_cpu_seconds": 2.0,
        "per_cpu_second": 300.0,
        "per_cpu_second_with_databases": 200.0,
        "by_the_clock": 150.0,
        "by_the_clock_per_core": 50.0,
    }


def test_copies_are_different_files_of_the_same_sound(song: Recording, tmp_path: Path) -> None:
    other = Recording(tmp_path / "another.mp3", "unknown", "mp3", 5.0)
    other.path.write_bytes(media.tune("mp3 mono 22 kHz", 5.0, seed=2))
    made = make_copies([song, other], 3, tmp_path)
    contents = [copy.path.read_bytes() for copy in made]
    assert len({hashlib.sha1(content).digest() for content in contents}) == len({copy.path for copy in made}) == 6
    assert [copy.seconds for copy in made] == [8.0, 5.0] * 3
    for number, content in enumerate(contents):
        assert hashes_of(content) == hashes_of([song, other][number % 2].path.read_bytes()) != []


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the ffmpeg command, which encodes")
def test_frames_of_mp3_that_follow_each_other_are_one_file_of_all_their_sound(tmp_path: Path) -> None:
    sounds = [media.tune("wav", 7.0, seed=3), media.tune("flac", 5.0, seed=4)]
    paths = [tmp_path / "first.wav", tmp_path / "second.flac"]
    for path, sound in zip(paths, sounds, strict=True):
        path.write_bytes(sound)
    joined = io.BytesIO(b"".join(encode_mp3(path) for path in paths))
    seconds = sum(block.size for block in decode(joined)) / ANALYSIS_FS
    # Each begins and ends with what the encoder adds, some 50 ms.
    assert seconds == pytest.approx(12.1, abs=0.1)


# --- Beside the original --------------------------------------------------------------------------------------------


def test_a_file_is_compared_by_the_medians_of_both_parts() -> None:
    ours = [Cost(0.3, 0.1, 7), Cost(0.1, 0.2, 7), Cost(0.2, 9.0, 7)]
    original = [Cost(1.0, 2.0, 50), Cost(0.5, 3.0, 50), Cost(9.0, 2.5, 50)]
    assert beside({OURS: ours, ORIGINAL: original}) == {
        "ours_seconds": 0.2,
        "ours_decoded_seconds": 0.4,
        "original_seconds": 2.5,
        "original_decoded_seconds": 3.5,
        "ratio": 12.5,
        "decoded_ratio": 8.75,
        "ours_hashes": 7,
        "original_hashes": 50,
    }


def test_medians_are_of_each_set_and_of_all_files() -> None:
    rows = [
        {"set": name, "ratio": ratio, "decoded_ratio": ratio / 2}
        for name, ratio in [("tracks", 20), ("tracks", 30), ("tracks", 70), ("recordings", 10), ("recordings", 14)]
    ]
    assert medians(rows) == {
        "tracks": {"ratio": 30, "decoded_ratio": 15},
        "recordings": {"ratio": 12, "decoded_ratio": 6},
        "all": {"ratio": 20, "decoded_ratio": 10},
    }


def test_without_a_checkout_the_output_says_that_the_comparison_is_missing_and_how_to_have_it() -> None:
    said = str(comparison_table(None, 3))
    assert "left out" in said
    assert "git clone https://github.com/bboymega/TuneScout FOLDER" in said
    assert "--original FOLDER" in said


def test_a_folder_that_is_no_checkout_is_refused(checkout: Path, tmp_path: Path) -> None:
    assert root_of(checkout) == checkout / "tunescout_api"
    with pytest.raises(SystemExit, match="git clone"):
        root_of(tmp_path)


def test_our_code_in_its_process_finds_what_the_service_would_store(song: Recording) -> None:
    with timed(OURS, PROJECT) as code:
        costs = [code.cost(song.path) for _ in range(2)]
    expected = len(extract_reference(decode(io.BytesIO(song.path.read_bytes()))))
    assert [cost.hashes for cost in costs] == [expected] * 2
    assert all(cost.decode > 0 and cost.fingerprint > 0 for cost in costs)


def test_the_original_is_given_every_channel_and_its_programs_count(checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "a file\nwith two lines.mp3"
    file.write_bytes(b"abcd")
    with timed(ORIGINAL, root_of(checkout)) as code:
        first, second = code.cost(file), code.cost(file)
    assert first.hashes == second.hashes == len({b"ab"[0], b"ab"[1], *b"bcd"})
    assert min(first.decode, second.decode) >= BURNT_SECONDS > max(first.fingerprint, second.fingerprint)


def test_code_that_fails_ends_the_command(checkout: Path, song: Recording, capfd: pytest.CaptureFixture[str]) -> None:
    (checkout / "tunescout_api" / "dejavu" / "logic" / "decoder.py").write_text("import a_module_that_is_missing\n")
    with timed(ORIGINAL, root_of(checkout)) as code, pytest.raises(SystemExit, match=r"a song\.mp3; see above"):
        code.cost(song.path)
    assert "a_module_that_is_missing" in capfd.readouterr().err


# --- The other client -------------------------------------------------------------------------------------------------


def test_waits_are_compared_kind_by_kind() -> None:
    alone = {"known": [10.0, 20.0, 30.0], "unknown": [100.0]}
    found = compared(alone, {"known": [30.0] * 99 + [500.0], "unknown": []})
    assert found["known"] == {
        "alone_requests": 3,
        "alone_median_ms": 20.0,
        "alone_p95_ms": 29.0,
        "alone_longest_ms": 30.0,
        "requests": 100,
        "median_ms": 30.0,
        "p95_ms": 30.0,
        "longest_ms": 500.0,
        "median_ratio": 1.5,
        "p95_ratio": 1.03,
    }
    assert found["unknown"]["requests"] == 0
    assert math.isnan(found["unknown"]["median_ratio"])


@pytest.mark.server
def test_the_other_client_keeps_asking_and_tells_errors_from_answers(server: Server) -> None:
    def request(content: bytes, role: str) -> Request:
        body, content_type = encode_multipart_formdata({"file": ("clip.wav", content)})
        clip = Clip(Path("clip.wav"), "song.mp3", role, "clean", 10.0, 0.0, 1)
        return Request(role, clip, content, {"Content-Type": content_type}, body)

    sound = media.tune("wav", 4.0)
    clips = [request(sound, "reference"), request(sound, "reference"), request(b"no media", "unknown")]
    with OtherClient(server.address, clips) as other:
        eventually(lambda: other.errors >= 2)
    assert other.milliseconds["unknown"] == []
    assert len(other.milliseconds["known"]) in range(2 * other.errors, 2 * other.errors + 3)
    assert min(other.milliseconds["known"]) > 0
