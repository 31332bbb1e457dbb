"""The command `continuous`, on tiny networks with random weights."""

from __future__ import annotations

import json

import pytest
import torch

from soundguide_core.cli import main
from soundguide_core.media.video import probe, read_video


@pytest.fixture
def generator(tiny_video_generator):
    return tiny_video_generator


@pytest.fixture
def continuous(generator, tiny, tmp_path):
    def run(*args, name="out", status=0):
        out, report = tmp_path / name, tmp_path / f"{name}.json"
        given = ["continuous", "--generator", generator, "--joint", tiny.joint, "--out", out, "--json", report]
        assert main([str(x) for x in (*given, "--device", "cpu", *args)]) == status
        if status:
            assert not out.exists() and not report.exists()
            return None, None
        return read_video(out), json.loads(report.read_text())

    return run


def test_without_a_sound(continuous):
    frames, report = continuous("--seconds", "2", "--fps", "6")
    again, _ = continuous("--seconds", "2", "--fps", "6", name="again")
    finer, _ = continuous("--seconds", "2", "--fps", "24", name="finer")
    still, _ = continuous("--seconds", "2", "--fps", "6", "--motion-seed", "9", name="other")
    assert frames.shape == (12, 3, 16, 16) and torch.equal(frames, again)
    assert (frames - finer[::4]).abs().max() <= 1.01 / 127.5  # a level of the file
    assert not torch.equal(frames, still)
    assert report["frames"] == 12 and report["size"] == [16, 16] and report["settings"]["drive"] is None
    assert report["motion"]["mean"] > 0 and "reactivity" not in report


def test_a_sound_moves_it(continuous, tiny):
    frames, report = continuous("--audio", tiny.sound, "--seconds", "2.5", "--fps", "6", "--content", "seed")
    silent, _ = continuous("--audio", tiny.sound, "--seconds", "2.5", "--fps", "6", "--content", "seed",
                           "--drive", "off", name="silent")  # fmt: skip
    assert not torch.equal(frames, silent)
    assert report["settings"]["drive"] == "codes" and 0 <= report["reactivity"]["share_of_nulls_below"] <= 1


def test_its_meaning_chooses_the_content_and_an_edit_moves_it(continuous, tiny):
    own, _ = continuous("--seconds", "1", "--fps", "2")
    chosen, _ = continuous("--audio", tiny.sound, "--seconds", "1", "--fps", "2", "--drive", "off", name="chosen")
    words, _ = continuous("--text", "rain", "--seconds", "1", "--fps", "2", name="words")
    edited, report = continuous("--text", "rain", "--seconds", "1", "--fps", "2", "--edit", "2", name="edited")
    assert chosen.shape == own.shape and not torch.equal(words, edited) and report["settings"]["edit"] == 2


def test_a_loop_in_a_video_file(continuous, tiny, tmp_path):
    frames, report = continuous("--audio", tiny.sound, "--seconds", "2", "--fps", "10", "--loop", name="loop.mp4")
    assert report["loop"]["last_to_first"] < 3 * report["loop"]["mean_step"] and report["frames"] == 20
    _, closed = continuous("--seconds", "2", "--fps", "10", "--loop", "--closed", name="closed")
    assert closed["first_to_last"] < 1e-5 and "loop" not in closed
    assert probe(tmp_path / "loop.mp4").sound is not None and len(frames) == 20


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fps", "0"], "frame rate"),
        (["--seconds", "-1"], "length"),
        (["--seconds", "0.1", "--fps", "10", "--loop"], "does not move"),
        (["--edit", "3"], "nothing to edit"),
        (["--audio", "nowhere.wav"], "nowhere.wav"),
        (["--psi", "nan"], "psi"),
    ],
)
def test_mistakes(continuous, capsys, args, message):
    continuous(*args, status=2)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


def test_a_clip_is_found_and_gone_on_with(continuous, tmp_path):
    made, _ = continuous("--seconds", "2", "--fps", "6", "--seed", "3", name="clip")
    frames, report = continuous("--video", tmp_path / "clip", "--seconds", "4", "--fps", "6", name="on")
    assert len(frames) == 24 and report["settings"]["video"] == str(tmp_path / "clip")
    near = float((frames[:12].float() - made.float()).abs().mean())
    assert near < float((frames[:12].float() - frames[:1].flip(-1).float()).abs().mean())
