"""The settings of sound to video and continuous video say what the code below them has, and load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import torch

from soundguide_core.audio.features import curves
from soundguide_core.generators import sound_motion
from soundguide_core.systems.configs import continuous_video


def test_choices_are_those_of_the_code():
    assert ("auto", *sound_motion.MODULATIONS, "off") == continuous_video.DRIVES
    wave = torch.sin(torch.linspace(0, 900, 4000))
    assert set(continuous_video.FEATURES) == set(curves(wave, 8000, 10.0, 5))


def test_settings_need_no_torch():
    names = ("sound_to_video", "continuous_video")
    code = "import sys\n" + "\n".join(f"import soundguide_core.systems.configs.{name}" for name in names)
    subprocess.run([sys.executable, "-c", code + "\nassert 'torch' not in sys.modules"], check=True)
