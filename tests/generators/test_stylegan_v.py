"""The generator as a whole, and the discriminator's view of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.stylegan_v import Generator, StyleGANVConfig
from soundguide_core.generators.video_discriminator import HolisticDiscriminator

CONFIG = StyleGANVConfig(
    32, 16, 16, channel_base=256, channel_max=16, motion_z_dim=8, motion_u_dim=8, waves=6, fps=12.0
)  # fmt: skip


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(CONFIG).eval().requires_grad_(False)


def test_config_survives_json(generator):
    values = CONFIG.to_dict()
    assert values["architecture"] == "stylegan-v"
    assert StyleGANVConfig.from_dict(values) == CONFIG
    with pytest.raises(InputError, match="no codes 'wavy'"):
        StyleGANVConfig(32, codes="wavy")


def test_frames_do_not_depend_on_the_other_times(generator):
    ws, noise = generator.sample_ws([1]), generator.motion_noise([4])
    times = torch.tensor([[0.0, 250.5, 16.0, 3.25]])
    together = generator.video(ws, times, noise)[0]
    for i in range(4):
        assert torch.allclose(generator.video(ws, times[:, i : i + 1], noise)[0, 0], together[i], atol=tol.PARITY)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_without_a_time_it_is_an_image_generator(generator):
    ws = generator.sample_ws([1, 2])
    first = generator.video(ws, torch.zeros(2, 1), generator.motion_noise([0, 0]))[:, 0]
    assert torch.allclose(generator.synthesis(ws), first, atol=tol.FLOAT32_SUM)


def test_content_and_motion_are_apart(generator):
    t = torch.arange(0.0, 64.0, 8.0)[None]
    still = generator.video(generator.sample_ws([1]), t, generator.motion_noise([0]))
    other = generator.video(generator.sample_ws([1]), t, generator.motion_noise([1]))
    assert not torch.allclose(still, other, atol=1e-2)
    assert "noise_strength" not in " ".join(generator.state_dict())


def test_scores_depend_on_frames_order_and_times():
    torch.manual_seed(0)
    judge = HolisticDiscriminator(CONFIG).requires_grad_(False)
    frames = torch.randn(4, 3, 3, 32, 32)
    t = torch.tensor([[0.0, 1, 9], [0, 2, 4], [5, 6, 30], [0, 16, 32]])
    scores = judge(frames, t)
    assert scores.shape == (4, 1)
    assert not torch.allclose(judge(frames.flip(1), t), scores)
    assert not torch.allclose(judge(frames, 2 * t), scores)
    assert torch.allclose(judge(frames, t + 7), scores, atol=tol.FLOAT32)


@pytest.mark.parametrize(
    ("count", "t", "message"),
    [
        (2, [[0.0, 1.0]], "3 frames of a video"),
        (3, [[0.0, 2.0, 1.0]], "do not rise"),
        (3, [[0.0, 2.0, 2000.0]], "further apart"),
    ],
)
def test_videos_that_cannot_be_judged(count, t, message):
    with pytest.raises(InputError, match=message):
        HolisticDiscriminator(CONFIG)(torch.zeros(1, count, 3, 32, 32), torch.tensor(t))
    with pytest.raises(InputError, match="cannot be joined"):
        HolisticDiscriminator(StyleGANVConfig(16))


@pytest.mark.parametrize("num_frames", [2, 3, 4])
def test_gradients_reach_everything(num_frames):
    torch.manual_seed(0)
    values = {**CONFIG.to_dict(), "num_frames": num_frames, "sound_dim": 2}
    config = StyleGANVConfig.from_dict(values)
    generator, judge = Generator(config), HolisticDiscriminator(config)
    t = torch.arange(num_frames, dtype=torch.float32).repeat(2, 1) * 5
    ws = generator.broadcast(generator.mapping(torch.randn(2, 16)))
    sound = torch.rand(2, num_frames, 2)
    frames = generator.video(ws, t, generator.motion_noise([0, 1]), sound=sound)
    judge(frames, t).sum().backward()
    for network in (generator, judge):
        idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not idle


def test_a_file_comes_back(generator, tmp_path):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.generators.loading import load_generator, load_video_generator

    path = tmp_path / "video.safetensors"
    safetensors_io.save(path, generator.state_dict(), CONFIG.to_dict())
    back, ws, t = load_video_generator(path), generator.sample_ws([3]), torch.tensor([[2.5, 77.0]])
    assert torch.allclose(
        back.video(ws, t, back.motion_noise([1])),
        generator.video(ws, t, generator.motion_noise([1])),
        atol=tol.FLOAT32_SUM,
    )
    assert load_generator(path).synthesis(ws).shape == (1, 3, 32, 32)


def test_a_generator_of_pictures_is_refused(tmp_path):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.generators import stylegan2
    from soundguide_core.generators.loading import load_video_generator

    config = stylegan2.StyleGAN2Config(8, 4, 4, 2, 64, 8)
    path = tmp_path / "picture.safetensors"
    safetensors_io.save(path, stylegan2.Generator(config).state_dict(), config.to_dict())
    with pytest.raises(InputError, match="no motion"):
        load_video_generator(path)


def test_motion_may_join_every_style(generator):
    """Where the styles do not listen to it, the picture is that of motion at the constant alone; else it is another."""
    both = Generator(replace(CONFIG, motion_input="styles")).requires_grad_(False)
    state, share = generator.state_dict(), (CONFIG.w_dim / (CONFIG.w_dim + CONFIG.motion_v_dim)) ** 0.5
    for name, tensor in both.state_dict().items():
        if name.endswith("affine.weight"):
            assert tensor.shape[1] == CONFIG.w_dim + CONFIG.motion_v_dim
            tensor[:, : CONFIG.w_dim] = state[name] / share  # an equalised layer divides by the root of its inputs
            tensor[:, CONFIG.w_dim :] = 0
        else:
            tensor.copy_(state[name])
    ws, t, noise = generator.sample_ws([1, 2]), torch.tensor([[0.0, 9.5], [3.0, 40.0]]), generator.motion_noise([0, 5])
    assert torch.allclose(both.video(ws, t, noise), generator.video(ws, t, noise), atol=tol.PARITY)
    both.synthesis.b32.conv1.affine.weight[:, CONFIG.w_dim :] = 1.0
    assert (both.video(ws, t, noise) - generator.video(ws, t, noise)).abs().max() > 1e-2


def test_configs_of_version_0_1_still_load():
    from soundguide_core.generators.stylegan_v import StyleGANVConfig

    assert StyleGANVConfig.from_dict({"resolution": 64, "motion_joins": "styles"}).motion_input == "styles"
