"""A processor that reads a number from a device waits until that device has done all before it. Counted here: numbers
that become Python's, in rendering (none a frame), in optimisation (one reading a step), and in samplers, which run on a
device whose numbers cannot be read at all. Trainings: training/test_steps_read_nothing.py."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from soundguide_core.audio.track import MelTrack
from soundguide_core.diffusion.prompt_mix import asked_tokens, mixed_attention
from soundguide_core.embedding.joint import load_joint
from soundguide_core.generators import stylegan2, stylegan3
from soundguide_core.generators.loading import load_generator, load_video_generator
from soundguide_core.latents.adam import Adam
from soundguide_core.latents.optimisation import optimise
from soundguide_core.latents.schedule import Schedule
from soundguide_core.latents.tuning import tune
from soundguide_core.latents.tuning_config import TuningConfig
from soundguide_core.systems.configs.continuous_video import ContinuousConfig
from soundguide_core.systems.configs.sound_to_video import VideoConfig
from soundguide_core.systems.continuous_video import stream_continuous
from soundguide_core.systems.sound_to_video import stream_video
from soundguide_core.trajectory.loading import load_trajectory

# numbers to Python, and what cannot tell its size before it has been computed
READS = ("aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default", "aten.equal.default")


class Reads(TorchDispatchMode):
    """How often something above was called."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        indexed = str(func).startswith(("aten.index.", "aten.index_put"))
        by_mask = indexed and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.count += by_mask or str(func) in READS
        return func(*args, **(kwargs or {}))


def reads(work) -> int:
    with Reads() as counted:
        work()
    return counted.count


def test_the_count_sees_a_hidden_reading():
    x = torch.arange(3.0)
    assert reads(lambda: x[0].item()) == 1 and reads(lambda: float(x.sum())) == 1 and reads(lambda: x[x > 1]) >= 1
    assert reads(lambda: bool(torch.isfinite(x).all())) == 1 and reads(lambda: x * 2) == 0


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("network", ["stylegan2", "stylegan3"])
def test_rendering_reads_nothing(network, gradient):
    sizes = {"z_dim": 16, "w_dim": 16, "channel_base": 512, "channel_max": 16}
    if network == "stylegan2":
        generator = stylegan2.Generator(stylegan2.StyleGAN2Config(32, **sizes)).eval().requires_grad_(False)
    else:
        generator = stylegan3.Generator(stylegan3.StyleGAN3Config(32, **sizes)).eval().requires_grad_(False)
    ws = generator.sample_ws([0, 1]).requires_grad_(gradient)
    assert reads(lambda: generator.synthesis(ws)) == 0


def test_video_frames_read_nothing(tiny_video_generator):
    generator = load_video_generator(tiny_video_generator)
    ws, motion_v = generator.sample_ws([0]), torch.randn(1, 3, generator.config.motion_v_dim)
    assert reads(lambda: generator.render(ws, motion_v)) == 0


def test_an_encoder_reads_nothing_of_a_picture(tiny):
    joint = load_joint(tiny.joint)
    img = torch.zeros(2, 3, 32, 32)
    joint.encode_image(img)
    assert reads(lambda: joint.encode_image(img)) == 0
    windows = torch.zeros(2, 1, joint.spec.n_mels, joint.spec.columns)
    assert reads(lambda: joint.hear(windows)) == 0


def test_a_step_of_optimisation_reads_once(tiny):
    """More steps by n cost n readings (a list of numbers is one copy; here, on a processor, three numbers a step)."""
    generator = load_generator(tiny.generator)
    target = generator.synthesis(generator.sample_ws([1]))

    def losses(ws):
        return {"picture": (generator.synthesis(ws) - target).square().mean(), "latent": ws.square().mean()}

    def steps(count):
        weights = {"picture": 1.0, "latent": 0.1}
        optimise(generator.sample_ws([0]), losses, weights, Schedule(count, 0.01))

    few, more = reads(lambda: steps(2)), reads(lambda: steps(6))
    assert more - few <= 4


def test_a_step_of_tuning_reads_once(tiny, monkeypatch):
    """A list of numbers is one copy, which is not counted. On a processor Adam reads its step counts."""
    monkeypatch.setattr(Adam, "step", lambda self, lr: None)
    generator = load_generator(tiny.generator)
    ws = generator.sample_ws([0])
    target = generator.synthesis(generator.sample_ws([1]))

    def steps(count):
        tune(target, ws, generator=generator, config=TuningConfig(schedule=Schedule(count, 1e-4)))

    assert reads(lambda: steps(6)) == reads(lambda: steps(2))


def test_attention_to_several_prompts_reads_which_tokens_ask_once():
    weights = torch.rand(1, 6, 2).round()
    asked, x = asked_tokens(weights), torch.zeros(1, 6, 8)
    assert reads(lambda: asked_tokens(weights)) == 2  # once for each prompt, and not in each layer
    mixed = lambda rows: mixed_attention(lambda q, k, v, m: q, x, x, x, None, (3, 3), weights + 1e-3, rows)  # noqa: E731
    assert reads(lambda: mixed(asked)) == 0 and reads(lambda: mixed(None)) == 2


def test_a_longer_continuous_video_reads_no_more(tiny_video_generator):
    generator = load_video_generator(tiny_video_generator)
    ws = generator.sample_ws([0])

    def film(seconds):
        config = ContinuousConfig(seconds=seconds, fps=8, chunk=4)
        parts = stream_continuous(ws, generator=generator, config=config)
        assert sum(len(part.frames) for part in parts) == 8 * seconds

    film(1)  # what is computed once
    chunks = 12 - 4  # a chunk's times are checked, which lie on the processor whatever the device: two readings
    assert reads(lambda: film(6)) - reads(lambda: film(2)) == 2 * chunks


def test_a_longer_video_of_a_sound_reads_no_more(tiny, tiny_trajectory):
    generator, trajectory = load_generator(tiny.generator), load_trajectory(tiny_trajectory)
    ws, config = generator.sample_ws([0]), VideoConfig(fps=4)
    wave = torch.randn(1, 8 * 16000, generator=torch.Generator().manual_seed(0))
    track = MelTrack.of_wave(wave, 16000, trajectory.spec)

    def film(frames):
        parts = stream_video(track, ws, generator=generator, trajectory=trajectory, num_frames=frames, config=config)
        assert sum(len(part.frames) for part in parts) == frames

    film(1)
    few, many = reads(lambda: film(4)), reads(lambda: film(32))
    assert many - few <= 2 * (32 // config.chunk)  # which columns of the sound a chunk hears, on the processor


@pytest.mark.parametrize("walk", [0.0, 8.0])
@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm-solver"])
def test_a_sampler_reads_nothing(name, walk):
    """On the meta device, where a reading is an error."""
    pytest.importorskip("diffusers")
    from soundguide_core.diffusion.denoiser import Estimate
    from soundguide_core.diffusion.sampler import FrameNoise, SamplerConfig, sample

    x, seen = torch.zeros(2, 3, 8, 8, device="meta"), []
    levels = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
    noise = FrameNoise(0, [0, 1], bool(walk), walk)

    def denoise(x_t, t):
        seen.append(t)
        return Estimate(x_t * 0.5, -1.0)

    y = sample(denoise, x, levels, SamplerConfig(name, 6), noise=noise, after_step=lambda x, t: x * 1)
    assert y.is_meta and y.shape == x.shape and len(seen) == 6
    with pytest.raises(RuntimeError):
        x.sum().item()
