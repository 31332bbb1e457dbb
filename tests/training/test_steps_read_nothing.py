"""A step of a training reads no number back from a device: the processor would wait until the device has done all that
it was given, and the device then for the processor.

Every training is run small, on a processor, where reading costs nothing and is seen: numbers that become Python's or
numpy's, what cannot tell its size before it has been computed, copies to the processor, and copies to the device that
are waited for. What a batch is drawn from lies on the processor whatever the device: the places that read that are
named below, each with what it reads.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from every_training import DATA, DRAWN, RECIPES, config_of, run, write_data
from test_synchronisation import Reads
from torch.overrides import TorchFunctionMode, resolve_name

import soundguide_core
from soundguide_core.common.rng import with_seed
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
from soundguide_core.training import stylegan2
from soundguide_core.training.conditioning import Conditioning, ConditioningSettings
from soundguide_core.training.engine import loop
from soundguide_core.training.engine.shared_losses import Means
from soundguide_core.training.joint import JointTraining
from soundguide_core.training.warm_start import WarmStart, WarmStartSettings

ROOT = str(Path(soundguide_core.__file__).parent)
STEPS = 8  # the first of a training: all stages of a sound's video, and a step with each regularisation
COPIES = ("tolist", "numpy", "cpu", "__array__")  # of a tensor, which the dispatcher does not see on a processor
ON_THE_PROCESSOR = {
    "generators/motion.py of": "times of frames",
    "generators/motion.py noise_at": "times of frames",
    "generators/video_discriminator.py forward": "times of frames",
    "miniature/data/scene_clips.py spell": "which scenes are drawn",
    "training/clips.py one": "which clips are drawn",
    "training/clips.py stretches": "where in a sound they lie",
    "training/data/videos.py draw": "which clips are drawn, and where in them",
    "training/inversion_encoder.py _drawn": "which pairs and pictures are drawn",
    "training/joint.py insert": "a caption's tokens",
    "training/pixel_diffusion.py _pictures": "which pictures are drawn",
    "training/stylegan2.py _latents": "the seed of a noise",
    "training/stylegan2.py _real": "which pictures are drawn",
    "audio/augment.py floor_noise": "the seed of a noise",
}


def place(depth: int) -> str:
    """The innermost function of the library that is being run, "training/clips.py choose"."""
    frame = sys._getframe(depth)
    while frame is not None and not frame.f_code.co_filename.startswith(ROOT):
        frame = frame.f_back
    assert frame is not None, "only the library is looked at"
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()} {frame.f_code.co_name}"


class Copies(TorchFunctionMode):
    """Notes where tensors become lists, arrays or the processor's, or go to a device and are waited for."""

    def __init__(self, places: Counter):
        super().__init__()
        self.places = places

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = (resolve_name(func) or "").rpartition(".")[2]
        ours = sys._getframe(1).f_code.co_filename.startswith(ROOT)
        to = [*args[1:], kwargs.get("device")] if name == "to" and ours and not kwargs.get("non_blocking") else []
        if name in COPIES or any(isinstance(x, torch.device | str) for x in to):
            self.places[place(2)] += 1
        return func(*args, **kwargs)


class PlacedReads(Reads):
    """Notes where Reads counts."""

    def __init__(self, places: Counter):
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = self.count
        made = super().__torch_dispatch__(func, types, args, kwargs)
        if self.count > before:
            self.places[place(2)] += 1
        return made


def read_in(training: loop.Training) -> dict[str, int]:
    """Where its steps read what is not known to lie on the processor, how often. Optimisers are fused, as on a GPU: a
    processor's own read their step count."""
    for optimiser in training.optimisers.values():
        for group in optimiser.param_groups:
            group.update(fused=True, foreach=None)
    training.step(0)
    places: Counter = Counter()
    for i in range(STEPS):
        with Copies(places), PlacedReads(places):
            training.step(i)
    return {where: count for where, count in places.items() if where not in ON_THE_PROCESSOR}


@pytest.fixture
def read_by(tiny, tmp_path, monkeypatch):
    """read_by(module) => read_in(the training that it makes of a recipe for one's own data)."""
    found: list[dict[str, int]] = []

    class Seen(Exception):
        pass

    def look(training, steps, out, **how):
        found.append(read_in(training))
        raise Seen

    def read(module: str) -> dict[str, int]:
        monkeypatch.setattr(loop, "run", look)
        data = "" if module in DRAWN else write_data(DATA[module], "folder", tmp_path / "data")
        with pytest.raises(Seen):
            run(module, config_of(module, data, tiny.folder), tmp_path / "out")
        return found[-1]

    return read


@pytest.mark.parametrize("module", RECIPES)
def test_a_step_reads_nothing(module, read_by):
    assert read_by(module) == {}


NETWORK = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}


class Greys:
    """Pictures of one grey, and what a warm start asks of them."""

    def __len__(self) -> int:
        return 4

    def batch(self, indices, device: str | torch.device = "cpu") -> torch.Tensor:
        return torch.zeros(len(indices), 3, 16, 16)

    def draw(self, batch, z_dim, rng):
        return torch.randn(batch, z_dim, generator=rng), torch.zeros(batch, dtype=torch.long)

    def write_mapping(self, mapping):
        pass

    def captions(self, indices, rng):
        return [("a grey picture", None)[i % 2] for i in indices]


def test_a_step_with_latents_that_stand_for_pictures_reads_nothing():
    config = StyleGAN2Config.from_dict(NETWORK)
    generator = with_seed(0, lambda: Generator(config))
    assert read_in(WarmStart(generator, WarmStartSettings(((16, 0.8),), batch=8), Greys(), "cpu", 0)) == {}
    settings = stylegan2.GANSettings(kimg=1, batch=8, recon_weight=1.0, mirror=True)
    assert read_in(stylegan2.StyleGAN2Training(config, settings, Greys(), "cpu", 0)) == {}


def test_a_context_is_told_without_reading(tiny):
    conditioning = Conditioning(ConditioningSettings(), load_joint(tiny.joint).clip, Greys())
    told, places = conditioning.what(4, torch.Generator().manual_seed(0)), Counter()
    with Copies(places), PlacedReads(places):
        conditioning.tell(np.arange(4), torch.zeros(4, 3, 16, 16), told)
    assert places == {"training/conditioning.py tell": 8}  # which are seen, and seeds, drawn on the processor


HIDDEN = {
    "a number": lambda x: float(x.mean()),
    "a condition": lambda x: 1.0 if (x > 0).any() else 2.0,
    "a list": lambda x: x.flatten().tolist()[0],
    "an array": lambda x: float(x.detach().numpy().max()),
    "a choice by a mask": lambda x: x[x > 0].mean(),
    "a copy to the processor": lambda x: x.mean().cpu(),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_a_hidden_reading_is_found_where_it_is(what, read_by, monkeypatch):
    plain = Means.add

    def add(self, **terms):
        plain(self, **{name: value * HIDDEN[what](value.detach()) for name, value in terms.items()})

    monkeypatch.setattr(Means, "add", add)
    assert read_by("stylegan2").keys() & {"training/stylegan2.py generator_terms"}


def test_losses_that_are_looked_at_in_every_step_are_found(read_by, monkeypatch):
    step = JointTraining.step
    monkeypatch.setattr(JointTraining, "step", lambda self, i: dict(step(self, i)))
    assert read_by("joint") == {"training/engine/loop.py _read": STEPS}
