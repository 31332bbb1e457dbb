"""A sound against latents: which frame hears what, and the gradient in chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.levels import Level
from soundguide_core.diffusion.rules import LENGTHS, RULES
from soundguide_core.diffusion.warm_up import WarmUp
from soundguide_core.pipelines.model_guidance import Sound, Wanted, answered, move_estimate, sound_gradient, wanted
from soundguide_core.systems.configs import model_guidance as configs
from soundguide_core.systems.configs.model_guidance import GuideConfig


class Joint:
    """An encoder of pictures of any size: colours and their products. dims: 6."""

    device, dim = torch.device("cpu"), 6

    def encode_image(self, img):
        colours = img.mean(dim=(2, 3))
        return F.normalize(torch.cat([colours, colours.roll(1, 1) * colours + 0.1], dim=1), dim=-1)


class Stills:
    """One picture a latent frame; of a video each stands for `stride` pictures, the first for one."""

    every = causal = False

    def __init__(self, stride=4):
        self.stride = stride
        self.mix = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def frames(self, latents):
        return [1] + [self.stride] * (latents - 1)

    def spans(self, latents):
        ends = torch.tensor(self.frames(latents)).cumsum(0).tolist()
        return list(zip([0, *ends[:-1]], ends))

    def decode(self, latent, chunk):
        z = latent.transpose(1, 2).flatten(0, 1) if latent.ndim == 5 else latent
        return torch.tanh(torch.einsum("oc,nchw->nohw", self.mix, z))


class Film(Stills):
    """A picture for each one of the video, which depends on the latent frame before as well."""

    every = True

    def spans(self, latents):
        return [(i, i + 1) for i in range(sum(self.frames(latents)))]

    def decode(self, latent, chunk):
        counts = torch.tensor(self.frames(latent.shape[2]))
        before = F.pad(latent, (0, 0, 0, 0, 1, 0))[:, :, :-1]
        z = (latent + before.square() / 2).repeat_interleave(counts, dim=2)
        return super().decode(z, chunk)


class CausalFilm(Film):
    """The same, whose gradient asks for that of its pictures a latent frame at a time, from the last on."""

    causal = True

    def gradient(self, latent, chunk, pull):
        leaf = latent.detach().requires_grad_()
        pictures = self.decode(leaf, chunk)
        counts = self.frames(latent.shape[2])
        firsts = [sum(counts[:i]) for i in range(len(counts))]
        pulled = [pull(pictures[i : i + n].detach(), i) for i, n in zip(firsts[::-1], counts[::-1])]
        return torch.autograd.grad(pictures, leaf, torch.cat(pulled[::-1]))[0]


def embeds(count, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=rng, dtype=torch.float64), dim=-1)


def test_a_latent_frame_of_a_video_hears_what_its_pictures_hear():
    heard, curve = embeds(9), torch.arange(9.0)
    masks = torch.arange(9.0).reshape(9, 1, 1, 1).expand(9, 1, 8, 8) / 9
    asked = wanted(Sound(heard, curve, masks), Stills(), (1, 5, 3, 2, 2))
    mean = F.normalize(torch.stack([heard[0], heard[1:5].mean(0), heard[5:].mean(0)]), dim=-1)
    assert torch.allclose(asked.targets, mean, atol=tol.FLOAT64)
    assert asked.curve.tolist() == [0, 2.5, 6.5]
    assert torch.allclose(asked.mask[:, 0, 0, 0], torch.tensor([0, 2.5, 6.5]) / 9) and asked.mask.shape == (3, 1, 2, 2)
    film = wanted(Sound(heard, curve), Film(), (1, 5, 3, 2, 2))
    assert torch.allclose(film.targets, heard, atol=tol.FLOAT64) and film.curve.tolist() == [0, 2.5, 6.5]


def test_two_videos_share_a_sound_or_have_each_its_own():
    heard = embeds(5)
    one = wanted(Sound(heard, torch.arange(5.0)), Film(), (2, 5, 2, 2, 2))
    both = wanted(Sound(torch.cat([heard, heard]), torch.arange(5.0).repeat(2)), Film(), (2, 5, 2, 2, 2))
    assert torch.equal(one.targets, both.targets) and one.curve.tolist() == both.curve.tolist() == [0, 2.5] * 2


@pytest.mark.parametrize("shape", [(4, 5, 2, 2), (4, 5, 1, 2, 2)])
def test_a_batch_of_pictures_hears_one_by_one(shape):
    heard = embeds(4)
    asked = wanted(Sound(heard, torch.arange(4.0)), Stills(), shape)
    assert torch.allclose(asked.targets, heard, atol=tol.FLOAT64) and asked.curve.tolist() == [0, 1, 2, 3]
    assert len(wanted(Sound(embeds(1)), Stills(), shape).curve) == 4


@pytest.mark.parametrize(
    "sound, shape, said",
    [
        (Sound(embeds(3)), (4, 5, 2, 2), "3 embeddings meet 4 pictures. Give 4, one for each, or one for all."),
        (Sound(embeds(1), torch.ones(3)), (4, 5, 2, 2), "3 values of the curve meet 4 pictures."),
        (Sound(embeds(1), None, torch.ones(2, 1, 4, 4)), (1, 5, 4, 2, 2), "2 masks meet a video of 13 frames"),
        (Sound(embeds(4)), (1, 5, 4, 2, 2), r"4 embeddings meet a video of 13 frames \(4 in its latent\). Give 13"),
    ],
)
def test_what_does_not_fit_is_said_in_words(sound, shape, said):
    with pytest.raises(InputError, match=said):
        wanted(sound, Stills(), shape)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("decoder", [Stills(), Film(), CausalFilm()], ids=["stills", "film", "causal"])
@pytest.mark.parametrize("videos", [1, 2])
def test_the_gradient_is_that_of_all_frames_at_once(decoder, chunk, videos):
    rng = torch.Generator().manual_seed(3)
    z = torch.randn(videos, 5, 4, 3, 6, generator=rng, dtype=torch.float64)  # wide pictures are stretched
    asked = wanted(Sound(embeds(13)), decoder, z.shape)
    called = []
    frames = z.transpose(1, 2).flatten(0, 1)
    g = sound_gradient(frames, z.shape, asked, decoder, Joint(), chunk, lambda: called.append(1))

    leaf = z.clone().requires_grad_()
    pictures = F.interpolate(decoder.decode(leaf, 1), (3, 3), mode="bilinear", antialias=True)
    loss = (1 - (Joint().encode_image(pictures) * asked.targets).sum(-1)).sum()
    (whole,) = torch.autograd.grad(loss, leaf)
    assert torch.allclose(g, -whole.transpose(1, 2).flatten(0, 1), atol=tol.FLOAT64)
    assert len(called) >= len(frames) / chunk / 4


def test_a_silent_frame_stays_and_a_loud_one_moves_by_the_length():
    rng = torch.Generator().manual_seed(4)
    x0, g = torch.randn(2, 5, 4, 4, generator=rng), torch.randn(2, 5, 4, 4, generator=rng)
    asked = Wanted(embeds(1), torch.tensor([0.0, 0.5]), None)
    moved = move_estimate(
        lambda x: x, x0, x0, asked, lambda z: g, Level.of_flow(0.5), GuideConfig(strength=2), unit=0.25
    )
    assert torch.equal(moved[0], x0[0])
    assert float((moved - x0)[1].square().mean().sqrt()) == pytest.approx(2 * LENGTHS["estimate"] * 0.5 * 0.5 * 0.25)


@pytest.mark.parametrize("rule", configs.RULES)
def test_nothing_moves_outside_the_mask(rule):
    rng = torch.Generator().manual_seed(5)
    mixing = torch.randn(80, 80, generator=rng) / 9

    def look(x):
        return x + (x.flatten(1) @ mixing).reshape(x.shape)  # each point of what it says depends on all of x

    x, g = torch.randn(2, 5, 4, 4, generator=rng), torch.randn(2, 5, 4, 4, generator=rng)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    asked = Wanted(embeds(1), torch.ones(2), mask)
    for looks in (0, 3):
        moved = move_estimate(
            look, x, look(x), asked, lambda z: g, Level.of_flow(0.5), GuideConfig(rule=rule), looks=looks
        )
        assert torch.equal(moved[..., 2:], look(x)[..., 2:]) and not torch.equal(moved[..., :2], look(x)[..., :2])


def test_looks_of_the_warm_up_follow_strength_and_curve():
    rng = torch.Generator().manual_seed(6)
    x, g = torch.randn(3, 5, 4, 4, generator=rng), torch.randn(3, 5, 4, 4, generator=rng)
    asked, level = Wanted(embeds(1), torch.tensor([0.0, 0.5, 1.0]), None), Level.of_flow(0.5)
    config = GuideConfig(strength=2)
    moved = move_estimate(lambda x: x, x, x, asked, lambda z: g, level, config, unit=0.25, looks=3) - x
    sizes = moved.square().mean(dim=(1, 2, 3)).sqrt()  # of a model that keeps everything: all looks point the same way
    assert torch.allclose(sizes, 3 * 2 * WarmUp.length * 0.5 * 0.25 * asked.curve, atol=tol.FLOAT32)


def test_the_rules_of_the_settings_are_those_that_there_are():
    assert tuple(RULES) == configs.RULES


def test_a_curve_is_answered_as_the_config_says():
    sound = Sound(embeds(1), torch.tensor([0.0, 0.15, 0.6, 1.0]))
    assert torch.equal(answered(sound, "even").curve, sound.curve)
    assert torch.allclose(answered(sound, "steep").curve, torch.tensor([0, 0.0391, 0.7675, 1]), atol=1e-3)
    assert answered(Sound(embeds(1)), "steep").curve is None
