"""help() of the public functions is enough to use them: arguments, errors, and an example that runs."""

from __future__ import annotations

import inspect
import re
import textwrap

import pytest
import soundfile
import torch

import soundguide_core as sg
from soundguide_core.media.images import save_image

FUNCTIONS = [name for name in sg.__all__ if inspect.isfunction(getattr(sg, name, None))]
CONFIGS = [name for name in sg.__all__ if name.endswith("Config") or name == "Schedule"]
PLAIN = {"load_audio", "load_image", "save_image"}  # what they take is in their first lines
NO_EXAMPLE = PLAIN | {  # need a file that no folder has, or are shown in another's
    "load_identity", "load_perceptual", "load_sound_video", "sound_curve", "stream_edit",
}  # fmt: skip


def doc(name: str) -> str:
    return inspect.getdoc(getattr(sg, name)) or ""


def example(name: str) -> str:
    found = re.search(r"^Example:\n((?:    .*\n?|\n)+)", doc(name), re.M)
    return textwrap.dedent(found.group(1)) if found else ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_and_errors_are_said(name):
    text = doc(name)
    for parameter in inspect.signature(getattr(sg, name)).parameters:
        short = parameter in ("generator", "joint", "trajectory", "denoiser", "on_step", "fps", "sample_rate")
        assert re.search(rf"\b{parameter}\b", text) or short or "as in" in text or "as generate" in text, parameter
    assert "InputError" in text
    assert example(name) or name in NO_EXAMPLE


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_are_said(name):
    from soundguide_core.common.settings import leaves

    text = doc(name)
    for path, leaf in leaves(getattr(sg, name)).items():
        assert re.search(rf"^ *{re.escape(path)} \(", text, re.M) and leaf.setting.help in text, path


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NO_EXAMPLE])
def test_examples_run(name, tmp_path, monkeypatch):
    if name == "load_denoiser" or "load_denoiser" in example(name):
        pytest.importorskip("diffusers")
    (tmp_path / "frames").mkdir()
    rng = torch.Generator().manual_seed(0)
    for i in range(2):
        save_image(torch.rand(3, 32, 32, generator=rng) * 2 - 1, tmp_path / "frames" / f"{i}.png")
    save_image(torch.rand(3, 40, 60, generator=rng) * 2 - 1, tmp_path / "lake.png")
    soundfile.write(tmp_path / "rain.wav", (torch.rand(16000, generator=rng) - 0.5).numpy(), 8000)
    monkeypatch.chdir(tmp_path)
    exec(compile(example(name), name, "exec"), {"sg": sg, "torch": torch})  # noqa: S102 its own text
