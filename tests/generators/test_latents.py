from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.latents import (
    SampledMeanings,
    layer_groups,
    layer_indices,
    mix_layers,
    nearest_sample,
    sampled_meanings,
    truncate,
)
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config


@pytest.fixture
def ws():
    return torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))


def test_truncate_moves_towards_the_mean(ws):
    w_avg = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.equal(truncate(ws, w_avg, 1.0), ws)
    assert torch.allclose(truncate(ws, w_avg, 0.0), w_avg.expand_as(ws))
    assert torch.allclose(truncate(ws, w_avg, 0.3), 0.3 * ws + 0.7 * w_avg, atol=tol.FLOAT32)
    assert torch.allclose(truncate(ws[:, 0], w_avg, 0.3), 0.3 * ws[:, 0] + 0.7 * w_avg, atol=tol.FLOAT32)


def test_truncate_up_to_a_layer(ws):
    y = truncate(ws, torch.zeros(4), 0.5, cutoff=8)
    assert torch.allclose(y[:, :8], ws[:, :8] / 2)
    assert torch.equal(y[:, 8:], ws[:, 8:])


@pytest.mark.parametrize("num_ws", [4, 6, 8, 12, 14, 18])
def test_groups_cover_every_layer_once(num_ws):
    groups = layer_groups(num_ws)
    covered = [i for group in groups.values() for i in range(num_ws)[group]]
    assert covered == list(range(num_ws))


def test_groups_of_a_face_generator_are_the_papers():
    assert layer_groups(18) == {"coarse": slice(0, 4), "mid": slice(4, 8), "fine": slice(8, 18)}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("coarse", [0, 1, 2, 3]),
        ("fine", [8, 9, 10, 11]),
        ("coarse+fine", [0, 1, 2, 3, 8, 9, 10, 11]),
        ("all", list(range(12))),
        (slice(2, None, 4), [2, 6, 10]),
        (slice(-2, None), [10, 11]),
        ([5, 1, 1], [1, 5]),
        ([], []),
    ],
)
def test_layers_are_named_in_many_ways(ws, layers, expected):
    assert layer_indices(layers, 12) == expected
    mixed = mix_layers(ws, ws + 100, layers)
    for i in range(12):
        assert torch.equal(mixed[:, i], ws[:, i] + 100 if i in expected else ws[:, i])


def test_mixing_leaves_its_inputs_alone_and_spreads_one_over_many(ws):
    before = ws.clone()
    mixed = mix_layers(ws[:1], ws, "mid")
    assert mixed.shape == ws.shape
    assert torch.equal(mixed[1, 4:8], ws[1, 4:8])
    assert torch.equal(mixed[1, :4], ws[0, :4])
    assert torch.equal(ws, before)


@pytest.mark.parametrize("layers", ["middle", "coarse+", [12], [-1]])
def test_unknown_layers_are_refused(ws, layers):
    with pytest.raises(InputError):
        mix_layers(ws, ws, layers)


def test_latents_of_different_generators_are_refused(ws):
    with pytest.raises(InputError, match="same generator"):
        mix_layers(ws, ws[:, :10], "coarse")


class Colours:
    """Means of a picture's three colours as its meaning."""

    dim = 3

    def encode_image(self, img):
        return torch.nn.functional.normalize(img.mean((2, 3)), dim=-1)


def test_sampled_meanings_are_kept_while_nothing_changes():
    config = StyleGAN2Config(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=32)
    generator, joint = Generator(config).eval().requires_grad_(False), Colours()
    with torch.inference_mode():
        first = sampled_meanings(generator, joint, 20)
    assert not first.w.is_inference() and sampled_meanings(generator, joint, 20) is first
    assert sampled_meanings(generator, joint, 24) is not first
    assert sampled_meanings(generator, Colours(), 20) is not sampled_meanings(generator, joint, 20)
    before = sampled_meanings(generator, joint, 20)
    with torch.no_grad():
        generator.synthesis.b8.conv1.weight.mul_(-1)
    after = sampled_meanings(generator, joint, 20)
    assert after is not before and not torch.equal(after.image_embeds, before.image_embeds)


def test_the_nearest_of_all_samples_in_batches_that_fit():
    config = StyleGAN2Config(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=32)
    generator, joint, sizes = Generator(config).eval().requires_grad_(False), Colours(), []
    wanted = torch.tensor([0.6, -0.8, 0.0])
    ws = generator.sample_ws(range(20), 1.0)
    nearness = joint.encode_image(generator.synthesis(ws)) @ wanted

    def render(ws, fits=3):
        sizes.append(len(ws))
        if len(ws) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generator.synthesis(ws)

    known = {"generator": generator, "joint": joint}
    found = nearest_sample(wanted, range(20), 1.0, render=render, **known)
    torch.testing.assert_close(found, ws[nearness.argmax()][None])
    assert sizes == [16, 8, 4] + [2] * 10
    with pytest.raises(InputError, match="no number"):
        nearest_sample(wanted, range(20), 1.0, render=lambda ws: generator.synthesis(ws) * torch.nan, **known)


def test_sampled_meanings_take_the_quick_numbers_and_find_the_same(monkeypatch):
    """In bfloat16 where the processor multiplies it; the pictures mean the same, so the same ones are nearest."""
    from soundguide_core.generators import generator as module

    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    generator = Generator(StyleGAN2Config(16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=256)).eval()
    generator.requires_grad_(False)
    asked = []
    generator.synthesis.register_forward_pre_hook(lambda _, args, how: asked.append(how.get("dtype")), with_kwargs=True)
    found = []
    for there in (False, True):
        monkeypatch.setattr(module, "multiplies_bfloat16", lambda device, there=there: there)
        found.append(SampledMeanings(generator, Colours(), 64))
    assert set(asked[:4]) == {None} and set(asked[4:]) == {torch.bfloat16}
    assert (found[0].image_embeds * found[1].image_embeds).sum(-1).min() > 0.999
    embeds = torch.nn.functional.normalize(torch.randn(5, 3, generator=rng), dim=-1)
    assert torch.equal(found[0].w, found[1].w)
    assert torch.cosine_similarity(found[0].mean_w(embeds), found[1].mean_w(embeds)).min() > 0.9
