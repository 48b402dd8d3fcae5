"""Decoding: every format, every stretch, and everything that is not what it seems."""

from __future__ import annotations

import io
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from media import FORMATS, encode, music, tune, wav
from processes import on_linux
from pydub import AudioSegment

from dejavu.audio.convert import Samples
from dejavu.audio.decode import BLOCK_SECONDS, decode
from dejavu.config.settings import ANALYSIS_FS
from dejavu.errors import MediaError, NoAudio, UnsupportedMedia

SECONDS = 4.0

COARSE_CLOCKS = {"webm": 0.001, "wma": 0.001, "flv": 0.001}
"""Containers whose time stamps are whole milliseconds: a stretch that is sought can be off by as much."""

RANDOM_FILL = {"m4a", "raw aac", "mov", "mp4 fragmented", "mpeg ts", "flv", "ac3"}
"""Codecs that decode to noise of their own choice where there was noise: never twice the same."""


def decoded(file: bytes, **options: float | None) -> Samples:
    return np.concatenate(list(decode(io.BytesIO(file), **options)))


def likeness(a: Samples, b: Samples) -> float:
    """1 for the same signal, whatever its level; 0 for another."""
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes_to_the_sound_that_went_in(kind):
    rate = FORMATS[kind].sample_rate
    original = decoded(wav(music(SECONDS, sample_rate=rate), rate))

    heard = decoded(tune(kind, SECONDS))

    # Not every format says how much its encoder added at the ends, or left out.
    assert heard.dtype == np.float32
    assert heard.size / ANALYSIS_FS == pytest.approx(SECONDS, abs=0.07)
    middle = original[2000:40_000]
    most = max(likeness(heard[2000 + delay : 40_000 + delay], middle) for delay in range(-600, 900))
    assert most > (0.8 if kind == "amr" else 0.9)  # made for speech


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stretch_is_that_slice_of_the_whole(kind):
    rate = FORMATS[kind].sample_rate
    whole = decoded(tune(kind, SECONDS), sample_rate=rate)

    stretch = decoded(tune(kind, SECONDS), start_seconds=2.3, duration_seconds=1.1, sample_rate=rate)

    assert stretch.size == round(1.1 * rate)
    start, slack = round(2.3 * rate), round(COARSE_CLOCKS.get(kind, 0.0) * rate)
    slices = [whole[start + lag : start + lag + stretch.size] for lag in range(-slack, slack + 1)]
    tolerance = 0.03 if kind in RANDOM_FILL else 1e-4
    assert min(np.linalg.norm(stretch - one) / np.linalg.norm(one) for one in slices) < tolerance


def test_a_short_start_and_no_duration_leave_the_rest():
    whole = decoded(tune("mp3", SECONDS))

    assert decoded(tune("mp3", SECONDS), start_seconds=0.2).size == whole.size - round(0.2 * ANALYSIS_FS)
    assert decoded(tune("mp3", SECONDS), duration_seconds=100).size == whole.size
    assert decoded(tune("mp3", SECONDS), duration_seconds=1e-9).size == 1


def test_a_stretch_is_what_another_tool_cuts_out():
    song = tune("wav", SECONDS)
    cut = AudioSegment.from_wav(io.BytesIO(song))[1500:2500].export(io.BytesIO(), format="wav").getvalue()

    ours = decoded(song, start_seconds=1.5, duration_seconds=1.0, sample_rate=44_100)

    assert np.array_equal(ours, decoded(cut, sample_rate=44_100))


def test_blocks_are_bounded_and_continuous():
    song = wav(music(2.5 * BLOCK_SECONDS, sample_rate=ANALYSIS_FS), ANALYSIS_FS)

    blocks = list(decode(io.BytesIO(song)))

    assert len(blocks) == 3
    assert max(block.size for block in blocks) < (BLOCK_SECONDS + 3) * ANALYSIS_FS
    assert np.array_equal(np.concatenate(blocks), music(2.5 * BLOCK_SECONDS, sample_rate=ANALYSIS_FS))


class Watched(io.BytesIO):
    """A file that notes how much memory this process holds whenever it is read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.resident_bytes: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.resident_bytes.append(pages * os.sysconf("SC_PAGE_SIZE"))
        return super().read(size)


@on_linux
@pytest.mark.parametrize("start_seconds", [0.0, 9999.0])
def test_memory_does_not_grow_with_what_is_decoded_and_skipped(start_seconds):
    half_hour = Watched(wav(np.zeros(1800 * 8000, np.float32), 8000))

    with suppress(NoAudio):
        for _ in decode(half_hour, start_seconds=start_seconds):
            pass

    assert len(half_hour.resident_bytes) > 100
    assert max(half_hour.resident_bytes) - half_hour.resident_bytes[10] < 30_000_000  # all of it would be 79 MB


def test_channels_are_mixed_and_the_many_are_too():
    tone = music(1.0, sample_rate=44_100)
    alone = decoded(wav(tone))

    assert likeness(decoded(wav(np.stack([tone, np.zeros_like(tone)]))), alone) > 0.999
    assert likeness(decoded(wav(np.tile(tone, (40, 1)))), alone) > 0.999


def test_a_file_may_change_its_rate_and_channels():
    both = tune("mp3", 2.0) + tune("mp3 mono 22 kHz", 2.0)

    assert decoded(both).size / ANALYSIS_FS == pytest.approx(4.0, abs=0.2)


def test_samples_that_are_no_numbers_harm_nothing():
    tone = music(3.0).copy()
    tone[5000], tone[50_000], tone[51_000], tone[90_000] = np.nan, np.inf, -np.inf, 1e30

    heard = decoded(wav(tone))

    assert np.isfinite(heard).all()
    assert likeness(heard[:1000], decoded(wav(music(3.0)))[:1000]) > 0.999


def test_video_is_heard_and_cover_art_skipped():
    tone = music(2.0, sample_rate=48_000)

    video = encode(tone, FORMATS["mov"], video_seconds=2.0)
    covered = encode(music(2.0), FORMATS["mp3"], cover=True)

    assert decoded(video).size / ANALYSIS_FS == pytest.approx(2.0, abs=0.05)
    assert decoded(covered).size / ANALYSIS_FS == pytest.approx(2.0, abs=0.05)


def test_a_broken_stretch_costs_only_itself():
    for kind, codec_frame in (("mp3", 0.03), ("m4a", 0.03), ("flac", 0.2)):
        song = bytearray(tune(kind, SECONDS))
        middle = len(song) // 2
        song[middle : middle + 300] = np.random.default_rng(0).bytes(300)
        assert decoded(bytes(song)).size / ANALYSIS_FS > SECONDS - 4 * codec_frame


def test_a_cut_mp3_gives_what_is_there():
    song = tune("mp3", SECONDS)

    assert decoded(song[: len(song) // 2]).size / ANALYSIS_FS == pytest.approx(SECONDS / 2, abs=0.3)


def test_undecodable_tags_do_not_matter():
    tag = b"TIT2" + (6).to_bytes(4, "big") + b"\0\0" + b"\x03\xff\xfe\xc3\x28\xff"
    song = b"ID3\x04\0\0" + bytes([0, 0, 0, len(tag)]) + tag + tune("mp3", 2.0)

    assert decoded(song).size


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"This is a text, whatever its name says.\n" * 200,
        np.random.default_rng(7).bytes(200_000),
        bytes(100_000),
        tune("m4a", 2.0)[:15_000],
        tune("wav", 2.0)[:20],
        b"\x89PNG\r\n\x1a\n" + bytes(500),
    ],
    ids=["empty", "text", "random", "zeros", "mp4 without its index", "header cut", "picture"],
)
def test_what_is_no_media_is_refused(file):
    with pytest.raises(UnsupportedMedia, match="Nothing in this file can be decoded"):
        decoded(file)


def test_video_without_sound_and_sound_without_samples_hold_no_audio():
    silent_film = encode(np.empty(0, np.float32), FORMATS["mov"], video_seconds=1.0)

    with pytest.raises(NoAudio, match="without an audio stream"):
        decoded(silent_film)
    with pytest.raises(NoAudio, match="no sound at all"):
        decoded(wav(np.empty(0, np.float32)))


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus", "wav", "flac", "raw aac"])
def test_a_start_past_the_end_says_how_much_there_is(kind):
    with pytest.raises(NoAudio, match=re.escape("The start of 99.5 s is past the end: the file holds 4.0 s")):
        decoded(tune(kind, SECONDS), start_seconds=99.5)


@pytest.mark.parametrize("seconds", [1e12, 1e20, 1e308])
def test_seconds_beyond_what_libav_counts_are_still_seconds(seconds):
    for kind in ("mp3", "flac", "mov"):
        with pytest.raises(NoAudio, match=r"past the end: the file holds 4\.0 s"):
            decoded(tune(kind, SECONDS), start_seconds=seconds)
        whole = decoded(tune(kind, SECONDS), duration_seconds=seconds)
        assert whole.size == decoded(tune(kind, SECONDS)).size


def test_an_absurd_sample_rate_is_refused():
    with pytest.raises(UnsupportedMedia, match="1 Hz"):
        decoded(wav(music(0.1), 1))


REFERENCES = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/wav"><Representation id="1" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>',
    "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "pls": "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    "image sequence": "{}",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=audio 9 RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_nothing_that_a_file_refers_to_is_opened(kind, tmp_path: Path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(tune("wav", 1.0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.wav"
        for target in (str(secret), secret.as_uri(), f"file:{secret}", f"concat:{secret}", "secret.wav", address):
            with pytest.raises(MediaError):
                decoded(REFERENCES[kind].format(target).encode())
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_libav_writes_nothing_to_standard_error(capfd):
    broken = bytearray(tune("mp3", 2.0))
    broken[5000:6000] = np.random.default_rng(3).bytes(1000)
    decoded(bytes(broken))

    assert capfd.readouterr() == ("", "")
