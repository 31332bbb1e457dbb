"""Direct latent code optimisation, on linear stand-ins whose optimum is known."""

import math

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.mixing import mix_embeds
from soundguide_core.latents.schedule import Schedule
from soundguide_core.systems.image_manipulation import (
    PUBLISHED,
    ManipulationConfig,
    manipulate,
    mean_direction,
    mix_styles,
)


class LinearGenerator:
    """ws [B,4,6] => img [B,3,8,8], linear."""

    def __init__(self):
        self.matrix = torch.randn(24, 192, generator=torch.Generator().manual_seed(1)) / 5

    def synthesis(self, ws):
        return (ws.flatten(1) @ self.matrix).reshape(-1, 3, 8, 8)


class LinearJoint:
    dim = 5

    def __init__(self):
        self.matrix = torch.randn(192, 5, generator=torch.Generator().manual_seed(2))
        self.calls = 0

    def encode_image(self, img):
        self.calls += 1
        return F.normalize(F.adaptive_avg_pool2d(img, 8).flatten(1) @ self.matrix, dim=1)


G, J = LinearGenerator(), LinearJoint()
WS = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3))
SOUND = F.normalize(torch.randn(1, 5, generator=torch.Generator().manual_seed(4)), dim=1)


def config(**changes):
    return ManipulationConfig(**{"crops": 0, "samples": 0, "space": "w+", "schedule": Schedule(40, 0.05), **changes})


def similarity(ws):
    return (J.encode_image(G.synthesis(ws)) * SOUND).sum(dim=1)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("layer_masking", [True, False])
def test_edit_moves_toward_the_sound(variant, layer_masking):
    edit = manipulate(WS, SOUND, generator=G, joint=J, config=config(variant=variant, layer_masking=layer_masking))
    assert (similarity(edit.ws) > similarity(WS) + 0.3).all()
    torch.testing.assert_close(edit.img_src, G.synthesis(WS))
    assert edit.layer_mask.shape == (2, 4) and len(edit.history) == 40


def test_first_loss_is_l_man_by_hand():
    """At step 0 the code is the source, so d_cos alone counts; at step 1 the learning rate of step 0 was 0 as well."""
    for variant, scale in (("paper", 1.0), ("released", math.exp(0.07))):
        history = manipulate(WS, SOUND, generator=G, joint=J, config=config(variant=variant)).history
        assert history[0]["sound"] == pytest.approx(1 - scale * similarity(WS).mean().item(), abs=tol.FLOAT32_SUM)
        assert history[0]["source"] == history[1]["source"] == 0
        last = history[-1]
        assert last["total"] == pytest.approx(last["sound"] + 0.002 * last["source"], rel=tol.FLOAT32)


def test_a_heavier_source_term_stays_nearer():
    near, far = (
        manipulate(WS, SOUND, generator=G, joint=J, config=config(similarity=weight, layer_masking=False)).ws
        for weight in (1.0, 0.0)
    )
    assert (near - WS).norm() < 0.5 * (far - WS).norm()


def test_released_returns_the_picture_before_the_last_step():
    paper = manipulate(WS, SOUND, generator=G, joint=J, config=config(variant="paper"))
    torch.testing.assert_close(paper.img, G.synthesis(paper.ws))
    short = config(variant="released", schedule=Schedule(3, 0.05, rampdown=0, rampup=0))
    released = manipulate(WS, SOUND, generator=G, joint=J, config=short)
    assert (released.img - G.synthesis(released.ws)).abs().max() > 1e-4


def test_each_sample_moves_as_if_alone():
    both = manipulate(WS, SOUND, generator=G, joint=J, config=config()).ws
    for i in range(2):
        torch.testing.assert_close(
            both[i : i + 1], manipulate(WS[i : i + 1], SOUND, generator=G, joint=J, config=config()).ws
        )


def test_identity_costs_nothing_at_weight_zero_and_counts_above():
    calls = []

    def recognise(img):
        calls.append(1)
        return img.flatten(1)

    manipulate(WS, SOUND, generator=G, joint=J, identity=recognise, config=config())
    assert not calls
    edit = manipulate(WS, SOUND, generator=G, joint=J, identity=recognise, config=config(identity=0.5))
    assert calls and edit.history[-1]["identity"] > 0
    with pytest.raises(InputError, match="without a face recogniser"):
        manipulate(WS, SOUND, generator=G, joint=J, config=config(identity=0.5))


def test_same_seed_same_edit_with_augmented_views():
    views = [manipulate(WS, SOUND, generator=G, joint=J, config=config(crops=2, seed=s)).ws for s in (7, 7, 8)]
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])


def test_space_w_moves_all_layers_by_one_offset():
    moved = manipulate(WS, SOUND, generator=G, joint=J, config=config(space="w")).ws - WS
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))
    assert (similarity(WS + moved) > similarity(WS) + 0.1).all()


class SamplingGenerator(LinearGenerator):
    def sample_ws(self, seeds, psi, class_index=None):
        assert psi == 1.0
        rows = [torch.randn(1, 6, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.cat(rows)[:, None].expand(-1, 4, -1)


def test_sampled_start_is_the_difference_of_two_means():
    """The nearest sixteenth of the samples to the sound, less the nearest to the source, by a loop."""
    generator, settings = SamplingGenerator(), config(samples=48)
    start = mean_direction(generator.synthesis(WS), SOUND, generator=generator, joint=J, samples=settings.samples)
    ws = generator.sample_ws(range(1_000_000, 1_000_048), psi=1.0)
    seen = J.encode_image(generator.synthesis(ws))
    for b in range(2):
        means = []
        for wanted in (SOUND[0], J.encode_image(generator.synthesis(WS))[b]):
            order = sorted(range(48), key=lambda i: -float(seen[i] @ wanted))[:3]
            means.append(sum(ws[i, 0] for i in order) / 3)
        torch.testing.assert_close(start[b, 0], means[0] - means[1], atol=tol.FLOAT32_SUM, rtol=tol.FLOAT32_SUM)
    edit = manipulate(WS, SOUND, generator=generator, joint=J, config=config(samples=48, schedule=Schedule(1, 0.0)))
    torch.testing.assert_close(edit.ws, WS + start)


def test_mix_embeds():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(mix_embeds([a, b], [3.0, 4.0]), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(mix_embeds([a, b]), torch.full((1, 2), math.sqrt(0.5)))
    for parts, weights in (([], []), ([a], [1.0, 2.0]), ([a, a], [1.0, -1.0]), ([a], [float("nan")])):
        with pytest.raises(InputError):
            mix_embeds(parts, weights)


def test_mix_styles_takes_the_papers_halves():
    sound, text = torch.zeros(1, 18, 2), torch.ones(1, 18, 2)
    assert mix_styles(sound, text)[0, :, 0].tolist() == [0.0] * 9 + [1.0] * 9
    assert mix_styles(sound, text, split=4)[0, :, 0].sum() == 14
    of_sound = mix_styles(sound, text, sound_layers=[0, 1, 8])[0, :, 0] == 0
    assert of_sound.nonzero().flatten().tolist() == [0, 1, 8]
    assert (mix_styles(sound, text, sound_layers="coarse+mid")[0, :8, 0] == 0).all()


def test_strength_is_a_share_of_the_change():
    whole, half = (manipulate(WS, SOUND, generator=G, joint=J, config=config(strength=s)) for s in (1.0, 0.5))
    torch.testing.assert_close(half.ws - WS, (whole.ws - WS) / 2)
    torch.testing.assert_close(half.img, G.synthesis(half.ws))
    torch.testing.assert_close(half.layer_moves, (half.ws - WS).square().mean(2).sqrt())


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "mine"},
        {"space": "z"},
        {"samples": -1},
        {"similarity": -1},
        {"identity": float("inf")},
        {"crops": -1},
        {"mask_lr": "fast"},
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(InputError):
        ManipulationConfig(**wrong)


@pytest.mark.parametrize(("ws", "embeds"), [(WS[0], SOUND), (WS, SOUND.expand(3, -1)), (WS, SOUND[0])])
def test_shapes_are_checked(ws, embeds):
    with pytest.raises(InputError):
        manipulate(ws, embeds, generator=G, joint=J, config=config())


def test_published_rows():
    assert PUBLISHED["ffhq-paper"].similarity == 0.008 and PUBLISHED["ffhq-paper"].identity == 0.004
    assert PUBLISHED["landscape-code"].schedule.lr == 0.1 and PUBLISHED["landscape-code"].variant == "released"
