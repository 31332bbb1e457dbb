"""The collected inputs that went wrong, each with the right value: shared/cases beside the checkout, where it is.

What has no file there is tested where it belongs: folders of somebody's pictures, outputs over inputs, half downloads
and names with colons in tests/cli/test_paths.py and tests/common; two hours of sound in tests/audio and
tests/pipelines/test_recording.py; 300,000 tensors in tests/checkpoints; cp1252 in test_terminal.py.
"""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import pytest

from soundguide_core.audio.waveform import load_audio
from soundguide_core.checkpoints import safe_pickle
from soundguide_core.checkpoints.formats import open_foreign
from soundguide_core.cli import main
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.media import video
from soundguide_core.media.images import load_image

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.fixture
def case():
    """name => the path of that case."""

    def find(name: str) -> Path:
        if not (CASES / name).exists():
            pytest.skip(f"the collected case {name} is not here")
        return CASES / name

    return find


def test_a_bad_packet_is_silence(case):
    with pytest.warns(UserWarning, match="1 damaged packet was left out"):
        wave, rate = load_audio(case("bad_packet.opus"))
    assert wave.shape[1] / rate == pytest.approx(3.0, abs=0.03)


def test_a_rate_that_changes(case):
    wave, rate = load_audio(case("rate_changes.aac"))
    assert rate > 0 and wave.abs().max() > 0.1
    loud = wave.abs().amax(0).unfold(0, rate // 10, rate // 10).amax(1) > 0.05
    assert loud.float().mean() > 0.9  # all of it is heard


def test_uneven_times(case):
    path = case("vfr.mp4")
    assert len(video.read_video(path)) / video.probe(path).fps == pytest.approx(3.5, abs=0.1)


def test_a_late_picture(case):
    path = case("video_starts_late.mp4")
    fps, frames, (wave, rate) = video.probe(path).fps, video.read_video(path), load_audio(path)
    still = round(0.5 * fps)  # until the picture begins its first frame is seen
    assert all((frames[i] - frames[0]).abs().max() == 0 for i in range(still))
    assert wave.shape[1] / rate == pytest.approx(len(frames) / fps, abs=0.6)


def test_a_float_picture(case):
    img = load_image(case("float_tiff_named.png"))
    assert img.max() > 0.5 and img.mean() > -0.9


def test_alpha(case):
    frame = video.read_video(case("alpha.mov"))[0]
    assert frame.amax() > 0.95 and (frame.amin(0) > 0.95).float().mean() > 0.2  # what is clear is white


def test_a_bomb(case):
    with pytest.raises(InputError, match="more than 50 million pixels"):
        load_image(case("bomb_108MP.png"))


def test_an_eps_starts_nothing(case, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(InputError, match="it is none of"):
        load_image(case("eps_named.png"))


def test_a_name_with_colons(case):
    assert safe_pickle.read(case("epoch_12:30:00.pt"))


def test_rosinality(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator = load_generator(case("ros_module_prefix.pt"))
    assert generator.synthesis(generator.sample_ws([0])).isfinite().all()
    with pytest.warns(UserWarning, match="not the average of its weights"):
        load_generator(case("ros_g_only.pt"))


def test_a_shape_of_nothing(case):
    with pytest.raises(InputError):
        open_foreign(case("zero_size_shape.pt"))


@pytest.mark.parametrize("name", ["inspect_source_list.safetensors", "inspect_escape.safetensors"])
def test_inspect(case, capsys, name):
    status = main(["inspect", str(case(name))])
    said = capsys.readouterr()
    assert status in (0, 2) and "\x1b" not in said.out + said.err and "Traceback" not in said.err
    assert said.out or said.err.startswith("error: ")


@pytest.mark.parametrize(
    ("name", "said"), [("unet_sched_ScoreSdeVeScheduler", "ScoreSdeVeScheduler"), ("unet_in_4_latent", "latent")]
)
def test_other_diffusion_models(diffusers, case, name, said):
    from soundguide_core.diffusion.unet import load_unet

    with pytest.raises(InputError, match=said):
        load_unet(case(name))
