from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.common.rng import with_seed
from soundguide_core.generators.loading import load_video_generator
from soundguide_core.generators.stylegan_v import StyleGANVConfig
from soundguide_core.generators.video_discriminator import HolisticDiscriminator
from soundguide_core.miniature.world import clip_codes
from soundguide_core.training import styleganv
from soundguide_core.training.data.videos import VideoBatch
from soundguide_core.training.recipe import read_recipe
from soundguide_core.training.warm_start import WarmStartSettings

NETWORK = {
    "resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8, "fps": 12,
    "motion_z_dim": 8, "motion_u_dim": 16, "motion_kernel": 3, "motion_distance": clip_codes.DISTANCE, "waves": 3,
    "min_period": 20, "max_period": 32, "sound_dim": 2, "concat_resolution": 8, "max_frames": 96,
}  # fmt: skip
TRAINING = {"kimg": 0.032, "batch": 8, "r1_every": 2, "save_kimg": 0.016, "mirror": True, "samples": 8}
CONFIG = StyleGANVConfig.from_dict(NETWORK)


class Lights:
    """Two lights, left and right, that follow the motion; z names the colour and a sound lights everything."""

    def draw(self, times, z, motion_z, rng) -> VideoBatch:
        t, moment, _ = clip_codes.nearest_moments(times, motion_z)
        power = torch.rand(t.shape, generator=rng)
        angle = 2 * torch.pi * moment / clip_codes.PERIOD
        light = 0.5 * torch.stack([angle.cos(), angle.sin()], dim=-1).float() + power[..., None] - 0.5  # [B,F,2]
        colour = torch.where(z[:, :1] > 0, torch.tensor([0.5, 0.0, -0.5]), torch.tensor([-0.5, 0.0, 0.5]))  # [B,3]
        frames = (colour[:, None, :, None] + light[:, :, None]).repeat_interleave(8, dim=-1)[..., None, :]
        frames = frames.expand(-1, -1, -1, 16, -1).contiguous()  # [B,F,3,16,16]
        return VideoBatch(z, motion_z, t, torch.stack([torch.ones_like(power), power], dim=-1), frames)

    @torch.no_grad()
    def write(self, mapping, motion):
        for fc in (mapping.fc0, mapping.fc1):
            fc.weight.copy_(torch.eye(8) * (8**0.5 / 2**0.5 / fc.lr_mul))
        clip_codes.write_motion(motion)


def train(out: Path, resume: bool = False, on_step=None, **training) -> Path:
    config = {"generator": NETWORK, "training": {**TRAINING, **training}}
    return styleganv.run(config=config, out=out, seed=3, resume=resume, on_step=on_step, videos=Lights())


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_published_times(num_frames):
    rng = torch.Generator().manual_seed(0)
    t = styleganv.sample_times(400, num_frames, 100, 32, rng)
    assert t.shape == (400, num_frames) and t.min() >= 0 and t.max() <= 99
    if num_frames > 1:
        assert t.diff(dim=1).min() >= 1 - 1e-9
        distance = (t[:, -1] - t[:, 0]).round().long()
        allowed = {d for d in (1, 2, 4, 8, 16, 32) if d >= num_frames - 1}
        assert set(distance.tolist()) == allowed
        assert all((distance == d).float().mean() > 0.6 / len(allowed) for d in allowed)
    assert (t - t.round()).abs().max() > 0.1
    whole = styleganv.sample_times(50, num_frames, 100, 32, rng, whole=True)
    assert torch.equal(whole, whole.round())
    with pytest.raises(InputError, match="cannot be chosen"):
        styleganv.sample_times(1, 9, 8, 32, rng)


@pytest.mark.parametrize("training", [{}, {"recon_weight": 1.0, "learn_mapping": False}])
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(tmp_path, training):
    whole, parts = [], []
    weights = train(tmp_path / "whole", on_step=lambda i, n, losses: whole.append(losses), **training)
    assert len(whole) == 4
    recon = {"recon"} if training else set()
    assert {"generator", "discriminator", "real", "fake", "r1"} | recon == whole[0].keys()

    def interrupt(i, n, losses):
        parts.append(losses)
        if i == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", on_step=interrupt, **training)
    parts = parts[:2]
    resumed = train(tmp_path / "parts", resume=True, on_step=lambda i, n, losses: parts.append(losses), **training)
    assert parts == whole
    assert resumed.read_bytes() == weights.read_bytes()


def test_what_training_leaves(tmp_path):
    generator = load_video_generator(train(tmp_path))
    assert generator.config == CONFIG and generator.fps == 12
    assert len(list(tmp_path.glob("videos-*.png"))) == 2 and not list(tmp_path.glob(".*"))


def test_warm_start_learns_content_motion_and_sound():
    settings = WarmStartSettings(((4, 3.2),), batch=32, lr=0.02, psi=1.0)
    config = replace(CONFIG, channel_base=512, channel_max=32)
    generator = with_seed(0, lambda: styleganv.Generator(config))
    training = styleganv.VideoWarmStart(generator, settings, Lights(), "cpu", 0)
    for i in range(settings.steps):
        training.step(i)
    named = styleganv.draw_videos(Lights(), generator, 64, 2, torch.Generator().manual_seed(9))

    def distance(t: torch.Tensor, z: torch.Tensor, sound: torch.Tensor) -> float:
        ws, motion_v = generator.broadcast(generator.mapping(z)), generator.motion_codes(t, named.motion_z, sound=sound)
        ws = ws.repeat_interleave(2, dim=0)
        made = generator.synthesis(ws, resolution=4, motion_v=motion_v.flatten(0, 1))
        return float((made - named.frames.flatten(0, 1)[..., ::4, ::4]).abs().mean())

    with torch.no_grad():
        right = distance(named.t, named.z, named.sound)
        assert right < 0.8 * distance(named.t.flip(1), named.z, named.sound)
        assert right < 0.8 * distance(named.t, -named.z, named.sound)
        assert right < 0.8 * distance(named.t, named.z, named.sound.flip(1))


def test_the_first_save_is_the_warm_start(tmp_path):
    config = {"generator": NETWORK, "training": TRAINING, "warm_start": {"stages": [[8, 0.032], [16, 0.032]]}}
    steps = []
    styleganv.run(config=config, out=tmp_path, videos=Lights(), on_step=lambda i, n, losses: steps.append(losses))
    assert len(steps) == 4 + 4 and steps[0].keys() == {"recon"}
    assert (tmp_path / "warm_start" / "state.safetensors").is_file()


def test_the_shipped_recipe_is_one():
    recipe = read_recipe("styleganv")
    config = StyleGANVConfig.from_dict(recipe["generator"])
    styleganv.VideoSettings.from_dict(recipe["training"])
    WarmStartSettings.from_dict(recipe["warm_start"])
    generator = styleganv.Generator(config)
    clip_codes.CodedClips.write(None, generator.mapping, generator.synthesis.motion_encoder)
    assert sum(p.numel() for p in generator.parameters()) < 7_000_000


@pytest.mark.parametrize("told", ["classes", "sound"])
def test_a_run_is_told_classes_or_sounds_and_resumes(told, tmp_path):
    """Each step depends on what is told: the discriminator's mapping has a gradient on it."""
    from soundguide_core.training.data.videos import Decoded, VideoSet

    videos = VideoSet(noise_clips(tmp_path, sounds=told == "sound"))
    network = {**NETWORK, "sound_dim": 2 if told == "sound" else 0, "judge_sound": told == "sound", "max_frames": 16}
    config = {"generator": network, "training": {**TRAINING, "recon_weight": 0.0}}
    if told == "sound":
        videos = VideoSet([Decoded(clip.frames, "", clip.loudness) for clip in videos.decoded])
    weights = styleganv.run(config=config, out=make(tmp_path / "a"), videos=videos)
    generator = load_video_generator(weights)
    noise, t = generator.motion_noise([0]), torch.zeros(1, 1)
    if told == "classes":
        assert generator.c_dim == 2 and json.loads((tmp_path / "a" / "classes.json").read_text()) == ["dark", "light"]
        assert not torch.equal(generator.sample_ws([0], class_index=0), generator.sample_ws([0], class_index=1))
    else:
        quiet, loud = (generator.motion_codes(t, noise, sound=torch.tensor([[[1.0, x]]])) for x in (0.0, 1.0))
        assert not torch.equal(quiet, loud)
    with pytest.raises(KeyboardInterrupt):
        styleganv.run(config=config, out=make(tmp_path / "b"), videos=videos, on_step=stopped_at(2))
    resumed = styleganv.run(config=config, out=tmp_path / "b", videos=videos, resume=True)
    assert resumed.read_bytes() == weights.read_bytes()


def noise_clips(folder: Path, *, sounds: bool):
    from soundguide_core.training.data.videos import Decoded

    rng, decoded = np.random.default_rng(0), []
    for k, label in enumerate(("dark", "light", "dark", "light")):
        np.save(folder / f"{k}.npy", rng.integers(0, 128, (12, 16, 16, 3), dtype=np.uint8) + 120 * (label == "light"))
        np.save(folder / f"{k}.sound.npy", rng.random(12, dtype=np.float32))
        decoded.append(Decoded(folder / f"{k}.npy", label, folder / f"{k}.sound.npy" if sounds and k else None))
    return decoded


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def stopped_at(step: int):
    def stop(i, n, losses):
        if i == step:
            raise KeyboardInterrupt

    return stop


def test_a_judge_of_sound_is_told_the_sound_of_its_frames():
    config = replace(CONFIG, judge_sound=True, c_dim=3)
    judge = with_seed(0, lambda: HolisticDiscriminator(config))
    frames, t, sound = torch.randn(2, 3, 3, 16, 16), torch.tensor([[0.0, 1, 2]]).expand(2, -1), torch.rand(2, 3, 2)
    c = torch.eye(3)[:2]
    scores = judge(frames, t, c=c, sound=sound)
    assert not torch.allclose(scores, judge(frames, t, c=c.flip(0), sound=sound))
    assert not torch.allclose(scores, judge(frames, t, c=c, sound=1 - sound))
    with pytest.raises(InputError, match="is told the class"):
        judge(frames, t)
    with pytest.raises(InputError, match="sound_dim = 2"):
        settings = styleganv.VideoSettings.from_dict(TRAINING)
        styleganv.StyleGANVTraining(replace(config, sound_dim=1), settings, Lights(), "cpu", 0)
