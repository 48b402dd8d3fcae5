"""Pictures of answers: what they are drawn from is kept, and drawn; and `explain` on the command line."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import catalogue
import numpy as np
import pytest
from matplotlib.image import imread
from readme import PROJECT
from servers import TOKEN, Server, make_config
from wire import assert_error

from dejavu.model import ClipPeaks
from dejavu.service.kept import Kept

AGREED = np.array([0x00, 0x72, 0xB2]) / 255


def peaks(n: int) -> ClipPeaks:
    rng = np.random.default_rng(n)
    frames = np.sort(rng.uniform(0, 1290, n)).astype(np.float32)
    return ClipPeaks(frames, rng.uniform(0, 440, n).astype(np.float32), rng.integers(0, 40, n).astype(np.uint8))


def has_blue(png: bytes) -> bool:
    """Whether anything in the picture is marked as agreeing."""
    pixels = imread(io.BytesIO(png))[..., :3]
    return bool(np.any(np.abs(pixels - AGREED).max(axis=2) < 0.02))


@pytest.mark.parametrize("count", [0, 1, 1300])
def test_what_is_kept_comes_out_again(count: int) -> None:
    text = Kept.of('{"a": "é\\n"}', peaks(count)).to_text()
    kept = Kept.from_text(text)
    assert kept.answer == '{"a": "é\\n"}' and kept.peaks is not None
    assert np.abs(kept.peaks.frames - peaks(count).frames).max(initial=0) <= 1 / 16
    assert np.abs(kept.peaks.bins - peaks(count).bins).max(initial=0) <= 1 / 64
    assert np.array_equal(kept.peaks.ranks, peaks(count).ranks)
    assert len(text) < 100 + 7 * count


@pytest.mark.parametrize(
    "rest",
    ["", "\n", "\n2:abc", "\n1:!", "\n1:" + base64.b64encode(b"x").decode(), "\n1:YQ==",
     "\n1:" + base64.b64encode(zlib.compress(b"1234")).decode(),
     "\n1:" + base64.b64encode(zlib.compress(bytes(200_000))).decode()],
)  # fmt: skip
def test_what_cannot_be_read_is_no_peaks_and_the_answer_stays(rest: str) -> None:
    kept = Kept.from_text("{}" + rest)
    assert (kept.answer, kept.peaks) == ("{}", None)


@pytest.mark.server
def test_a_hit_shows_what_agrees_and_a_miss_does_not(server: Server) -> None:
    name = "$x^2_ 東京 <b> \\frac"
    song = server.fingerprint(catalogue.clip(20, 0.0, 14.0), song_name=name).json()
    found = server.recognize(catalogue.clip(20, 3.0, 6.0)).json()
    assert found["results"][0]["song_name"] == name
    picture = server.get(f"/api/fetch/{found['token']}/plot.png")
    assert picture.headers["Content-Type"] == "image/png" and has_blue(picture.content)
    assert server.get(f"/api/fetch/{found['token']}").json() == found
    missed = server.recognize(catalogue.clip(21, 3.0, 6.0)).json()
    picture = server.get(f"/api/fetch/{missed['token']}/plot.png")
    assert picture.status_code == 200 and not has_blue(picture.content)
    server.request("DELETE", f"/api/songs/{song['file_sha1']}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert_error(server.get(f"/api/fetch/{found['token']}/plot.png"), 404, "no_picture")
    assert_error(server.get(f"/api/fetch/{'a' * 20}/plot.png"), 404, "unknown_token")


@pytest.mark.server
def test_explain_says_and_draws(tmp_path: Path) -> None:
    with Server(tmp_path) as running:
        assert running.fingerprint(catalogue.song(22), song_name="Explained").status_code == 200
    (tmp_path / "clip.mp3").write_bytes(catalogue.clip(22, 3.0, 6.0))
    (tmp_path / "other.mp3").write_bytes(catalogue.clip(23, 3.0, 6.0))
    (tmp_path / "no.mp3").write_bytes(b"no clip")
    (tmp_path / "config.json").write_text(json.dumps(make_config()))

    def explain(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dejavu", "explain", "--config", str(tmp_path / "config.json"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT), "PATH": ""}, capture_output=True, text=True
        )

    hit = explain("clip.mp3")
    assert hit.returncode == 0, hit.stderr
    assert hit.stdout.startswith("Explained: at 0:03.") and "The picture is clip.mp3.png." in hit.stdout
    assert has_blue((tmp_path / "clip.mp3.png").read_bytes())
    miss = explain("other.mp3", "--output", "miss.png", "--duration", "5")
    assert "Not in the catalogue." in miss.stdout and (tmp_path / "miss.png").exists()
    assert explain("no.mp3").returncode == 1
    assert explain("clip.mp3", "--start", "soon").returncode == 2
    assert explain("nowhere.mp3").returncode == 2
