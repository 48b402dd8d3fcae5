"""What the benchmark of accuracy counts: shares, answers, and which of them hold the same sound."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import signals

from benchmarks import backgrounds, compare
from benchmarks.answers import Answer, false_answers, offset_errors, ratios, recall, reliability, times
from benchmarks.backgrounds import NOISE, SPEECH, background_clips
from benchmarks.conditions import Change, change, groups, within_range
from benchmarks.duplicates import search
from benchmarks.goals import by_group, targets
from benchmarks.intervals import pooled, share
from benchmarks.likeness import SAME, Likeness
from benchmarks.material import ALL_LENGTHS, Clip, Recording
from benchmarks.peers import Peers
from benchmarks.plots import draw
from dejavu.config.settings import ANALYSIS_FS, HOP_LENGTH
from dejavu.model import Match, Song, Warp

PEERS = Peers(("other",), {"clean": dict.fromkeys(ALL_LENGTHS, (90.0,))}, {})


def clip(condition: str = "clean", *, role: str = "reference", start: float = 10.0, length: float = 3.0) -> Clip:
    return Clip(Path(f"{condition}.wav"), "a.ogg", role, condition, length, start, 1)


def match(name: str = "a.ogg", *, at: float = 10.0, confidence: float = 0.99, speed: float = 1.0) -> Match:
    delta = round(at * ANALYSIS_FS / HOP_LENGTH)
    return Match(Song(1, name, "0" * 40, 1000), confidence, delta, 20, 100, Warp(speed, speed))


class TestShares:
    def test_none_of_three_thousand_is_below_a_thousandth(self) -> None:
        found = share(0, 3000)
        assert found["percent"] == 0
        assert found["at_most_95"] == pytest.approx(100 * (1 - 0.05 ** (1 / 3000)), abs=0.001)
        assert found["at_most_95"] < 0.1 < share(0, 2900)["at_most_95"]

    def test_the_interval_is_the_exact_one(self) -> None:
        assert share(9, 10)["interval_95"] == [55.5, 99.75]  # Clopper and Pearson's, as in their tables
        assert share(10, 10)["interval_95"][1] == 100

    def test_several_are_counted_as_one(self) -> None:
        assert pooled([share(1, 2), share(3, 8)]) == share(4, 10)

    def test_nothing_says_nothing(self) -> None:
        assert math.isnan(share(0, 0)["percent"])
        assert share(0, 0)["interval_95"] == [0, 100]


class TestConditions:
    def test_their_names_say_how_a_clip_was_played(self) -> None:
        assert change("speed_+4") == Change(1.04, 1.04)
        assert change("tempo_-18") == Change(0.82, 1.0)
        assert change("pitch_+3") == Change(1.0, 1.03)
        assert change("phone") == Change()

    def test_each_is_in_one_group(self) -> None:
        names = ["clean", "phone", "call", "speed_+1", "tempo_-5", "pitch_+8", "speed_-12", "speed_+20"]
        members = [name for group in groups(names) for name in group.conditions]
        assert sorted(members) == sorted(names)
        assert groups(["speed_-12"])[0].bounds == {3.0: 85.0, 5.0: 95.0, 10.0: 99.0}
        assert 3.0 not in groups(["speed_+20"])[0].bounds

    def test_a_range_ends_where_it_says(self) -> None:
        assert within_range("speed_-12", 12)
        assert not within_range("speed_-13", 12)


class TestAnswers:
    def test_a_twin_and_a_repeat_are_right_and_strangers_are_not(self) -> None:
        twin = Answer(clip(), match("twin.ogg"), 0.1, shared=True)
        assert twin.right and not twin.false and not twin.named
        wrong = Answer(clip(), match("b.ogg"), 0.1)
        assert wrong.false and not wrong.right
        unknown = Answer(clip(role="unknown"), match("b.ogg"), 0.1)
        assert unknown.false
        assert not Answer(clip(role="unknown"), match("b.ogg"), 0.1, shared=True).false
        assert not Answer(clip(role="unknown"), None, 0.1).false

    def test_recall_is_by_condition_and_length_and_of_known_recordings(self) -> None:
        found = recall(
            [
                Answer(clip(), match(), 0.1),
                Answer(clip(), None, 0.1),
                Answer(clip(length=5.0), match("b.ogg"), 0.1),
                Answer(clip(role="unknown"), match(), 0.1),
            ]
        )
        assert found == {"clean": {3.0: share(1, 2), 5.0: share(0, 1)}}

    def test_false_answers_are_told_apart_by_what_was_asked(self) -> None:
        falsely = false_answers(
            [
                Answer(clip(role=SPEECH), match(), 0.1),
                Answer(clip(role=NOISE), None, 0.1),
                Answer(clip(role="unknown"), None, 0.1),
                Answer(clip(), match("b.ogg"), 0.1),
            ]
        )
        counts = {kind: (one["count"], one["n"]) for kind, one in falsely.items()}
        assert counts == {"unknown": (0, 1), "speech": (1, 1), "noise": (0, 1), "known": (1, 1)}

    def test_offsets_count_with_and_without_repeats(self) -> None:
        found = offset_errors(
            [
                Answer(clip(), match(at=10.03), 0.1),
                Answer(clip(), match(at=10.2), 0.1),
                Answer(clip(), match(at=20.0), 0.1, shared=True),
                Answer(clip(), match("b.ogg"), 0.1),
            ]
        )
        assert found["near"] == share(1, 3)
        assert found["near_or_repeat"] == share(2, 3)

    def test_what_an_encoder_puts_before_a_clip_belongs_to_it(self) -> None:
        assert Answer(clip("mp3_32k"), match(at=9.95), 0.1).near
        assert not Answer(clip("mp3_32k"), match(at=10.02), 0.1).near

    def test_an_answer_without_a_speed_says_unchanged(self) -> None:
        found = ratios([Answer(clip(), match(), 0.1), Answer(clip("speed_+4"), match(), 0.1)])
        assert found["clean"]["speed_and_pitch"] == share(1, 1)
        assert found["speed_+4"]["speed"] == share(0, 1)

    def test_a_speed_is_right_to_half_a_percent(self) -> None:
        near, far = match(speed=1.0445), match(speed=1.046)
        assert ratios([Answer(clip("speed_+4"), near, 0.1)])["speed_+4"]["speed_and_pitch"] == share(1, 1)
        assert ratios([Answer(clip("speed_+4"), far, 0.1)])["speed_+4"]["speed"] == share(0, 1)

    def test_calibration_error_is_that_of_what_was_said(self) -> None:
        said = np.array([0.95, 0.95, 0.95, 0.95])
        assert reliability(said, np.array([True, True, True, False]))["ece"] == pytest.approx(0.2)
        assert math.isnan(reliability(said[:0], np.zeros(0, bool))["ece"])


@pytest.fixture(scope="module")
def set_of_music(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Three songs; the third has seconds 5 to 13 of the first from its second 8 on, and the first repeats itself."""
    folder = tmp_path_factory.mktemp("music")
    one = signals.song(15.0, 1)
    first = np.concatenate([one, one])
    third = np.concatenate([signals.song(8.0, 3), 0.5 * signals.cut(first, 5.0, 8.0), signals.song(6.0, 4)])
    made = []
    for name, samples in (("one", first), ("two", signals.song(25.0, 2)), ("three", third)):
        path = folder / f"{name}.wav"
        path.write_bytes(media.wav(samples, ANALYSIS_FS))
        made.append(Recording(path, "reference", "wav", samples.size / ANALYSIS_FS))
    return made


class TestLikeness:
    def test_the_same_sound_is_alike_and_other_music_is_not(self, set_of_music: list[Recording]) -> None:
        likeness = Likeness(set_of_music)
        assert likeness.of("one.wav", 5.5, 5.0, "three.wav", 8.5) > 0.95
        assert likeness.of("one.wav", 5.5, 5.0, "one.wav", 20.5) > 0.95
        for place in np.arange(0.0, 19.0, 0.5):
            assert likeness.of("one.wav", 5.5, 5.0, "two.wav", float(place)) < SAME / 2

    def test_it_has_to_last_as_long_as_the_clip(self, set_of_music: list[Recording]) -> None:
        likeness = Likeness(set_of_music)
        assert likeness.of("one.wav", 7.5, 10.0, "three.wav", 10.5) < SAME  # the second half is something else
        assert likeness.of("one.wav", 15.0, 10.0, "one.wav", 25.0) == 0  # ends before the clip does

    def test_a_place_that_is_a_little_off_is_not_the_same(self, set_of_music: list[Recording]) -> None:
        assert Likeness(set_of_music).of("one.wav", 5.5, 5.0, "three.wav", 8.7) < SAME

    def test_a_search_finds_what_recordings_share_and_nothing_else(self, set_of_music: list[Recording]) -> None:
        found = search(Likeness(set_of_music))
        assert found["pairs_compared"] == 3
        assert {(one["recording"], one["other"]) for one in found["shared"]} == {("one.wav", "three.wav")}
        lags = {round(one["other_from_seconds"] - one["from_seconds"], 0) for one in found["shared"]}
        assert lags == {3.0, -12.0}  # seconds 5 to 13, and 20 to 28, which are the same
        assert found["best_likeness_of_a_stretch_in_another_recording"]["50.00%"] < SAME / 2


class TestBackgrounds:
    @pytest.fixture
    def audio(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "audio"
        (folder / "noise").mkdir(parents=True)
        (folder / "manifest.csv").write_text("file,role,codec,duration_s\n")
        monkeypatch.setenv("TUNESCOUT_AUDIO", str(folder))
        monkeypatch.setattr(backgrounds, "OUT", tmp_path / "out")
        return folder

    def test_without_recordings_noise_is_made(self, audio: Path) -> None:
        clips = background_clips(1, 2, [3.0])
        assert [(one.role, one.condition) for one in clips] == 2 * [(NOISE, "white")] + 2 * [(NOISE, "pink")]
        assert not any(one.known for one in clips)
        assert clips[0].path.read_bytes() != clips[1].path.read_bytes()
        assert clips[0].path.stat().st_size == 44 + 2 * 3 * 44_100

    def test_the_same_seed_makes_the_same_clips(self, audio: Path) -> None:
        before = {one.path: one.path.read_bytes() for one in background_clips(5, 1, [3.0])}
        for path in before:
            path.unlink()
        assert {one.path: one.path.read_bytes() for one in background_clips(5, 1, [3.0])} == before

    def test_speech_and_noise_are_cut_from_recordings(self, audio: Path) -> None:
        rows = [("n1.wav", "speech (audiobook)"), ("n2.wav", "crowd/babble")]
        with (audio / "noise" / "manifest.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "kind", "duration_s"), *((f"noise/{a}", b, 12.0) for a, b in rows)])
        for number, (name, _) in enumerate(rows):
            (audio / "noise" / name).write_bytes(media.wav(signals.noise(12.0, number), ANALYSIS_FS))
        clips = [one for one in background_clips(1, 3, [5.0]) if one.file]
        assert {(one.role, one.file) for one in clips} == {(SPEECH, "n1.wav"), (NOISE, "n2.wav")}
        assert all(0 <= one.start <= 7.0 for one in clips)
        assert all(abs(one.path.stat().st_size - 2 * 5 * 44_100) < 500 for one in clips)

    def test_pink_noise_falls_by_three_decibels_an_octave(self) -> None:
        power = np.square(np.abs(np.fft.rfft(backgrounds.pink(1 << 18, np.random.default_rng(1)))))
        octaves = [float(power[first : 2 * first].mean()) for first in (1 << 10, 1 << 12, 1 << 14)]
        assert octaves[0] / octaves[1] == pytest.approx(4.0, rel=0.1)
        assert octaves[1] / octaves[2] == pytest.approx(4.0, rel=0.1)


def answers(right: int, wrong: int) -> list[Answer]:
    found = [Answer(clip(length=length), match(), 0.02) for length in (3.0, 5.0) for _ in range(right)]
    return found + [Answer(clip(length=length), None, 0.05) for length in (3.0, 5.0) for _ in range(wrong)]


def document(given: Sequence[Answer]) -> dict[str, Any]:
    """What `accuracy` writes, as it is read again."""
    found = recall(given)
    confidences = np.array([one.match.confidence for one in given if one.match])
    made = {
        "benchmark": "accuracy",
        "environment": {},
        "options": {"seeds": [1]},
        "recall": found,
        "recall_by_group": by_group(found),
        "false_answers": false_answers(given),
        "offset_error": offset_errors(given),
        "calibration": reliability(confidences, np.ones(confidences.size, bool)),
        "milliseconds": {"at_a_time": 2, **times(given)},
    }
    again: dict[str, Any] = json.loads(json.dumps(made))
    return again


class TestGroups:
    def test_a_group_is_its_cells_together_and_the_lowest(self) -> None:
        found = {"clean": {3.0: share(10, 10)}, "quiet": {3.0: share(8, 10)}, "phone": {3.0: share(5, 10)}}
        first, second = by_group(found)
        assert (first["target"], first["pooled"], first["lowest_cell"]["condition"]) == (98.0, share(18, 20), "quiet")
        assert second["pooled"] == share(5, 10)

    def test_what_is_asked_says_what_it_was_measured_on(self) -> None:
        asked = targets(document(answers(30, 0)), [("speed_+1", 3.0, ["other 50"])], ["speed_+1"])
        by_name = {one.what: one for one in asked}
        assert by_name["cells below a peer, unchanged"].value == 0
        assert by_name["cells below a peer, changed"].value == 1
        (together,) = (name for name in by_name if name.endswith("3 s, together, % (n 30; 95 %: 88.43 to 100)"))
        assert by_name[together].reached
        (unknown,) = (one for name, one in by_name.items() if name.startswith("unknown answered"))
        assert not unknown.reached  # none was asked


class TestCompare:
    def test_a_difference_counts_beyond_both_intervals(self) -> None:
        assert compare.mark(share(50, 100), share(90, 100)) == compare.BETTER
        assert compare.mark(share(90, 100), share(50, 100)) == compare.WORSE
        assert compare.mark(share(0, 100), share(20, 100), fewer_is_better=True) == compare.WORSE
        assert compare.mark(share(9, 10), share(7, 10)) == ""

    def test_cells_of_both_are_set_side_by_side(self) -> None:
        tables = compare.compared(document(answers(30, 0)), document(answers(10, 20)))
        cells = tables[1]
        assert "0 better, 2 worse" in cells.title
        assert "-66.67 points" in cells.title
        assert [row[0] for row in cells.rows] == ["clean, 3 s", "clean, 5 s"]

    def test_cells_of_one_alone_are_left_out(self) -> None:
        first, second = document(answers(30, 0)), document(answers(30, 0))
        del second["recall"]["clean"]["5.0"]
        tables = compare.compared(first, second)
        assert [row[0] for row in tables[1].rows] == ["clean, 3 s"]
        assert len(tables[2].rows) == 1

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "load.json"
        for content, reason in (("{", "no JSON"), ('{"benchmark": "load"}', "not what"), ("[]", "not what")):
            path.write_text(content)
            with pytest.raises(SystemExit, match=reason):
                compare.read(path)
        with pytest.raises(SystemExit, match="No such file"):
            compare.read(tmp_path / "missing.json")


@pytest.mark.parametrize("given", [answers(30, 3), answers(0, 3)], ids=["answers", "none"])
def test_every_figure_is_drawn(tmp_path: Path, given: list[Answer]) -> None:
    figures = {"recall": recall(given), "calibration": {"n": 0, "ece": float("nan"), "bins": []}}
    if any(one.match for one in given):
        figures["calibration"] = reliability(np.full(60, 0.95), np.ones(60, bool))
    paths = draw(tmp_path / "pictures", given, figures, PEERS)
    assert len(paths) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in paths)
