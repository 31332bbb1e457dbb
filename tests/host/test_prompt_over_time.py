"""Prompts over a video in ComfyUI's own sampling: one pass for families with cross-attention, masks for the others."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, latent, run
from test_sound_prompt import Clip, apart, load, windowed

import tolerances as tol

pytestmark = pytest.mark.host

ONE_PASS = ("Wan 2.1", "Wan 2.2", "LTXV", "LTX-2")
VIDEO = [name for name, family in FAMILIES.items() if family.video and name != "Qwen-Image"]
SIGMA = 0.7


class Pack:
    def __init__(self, pack):
        self.node = pack("nodes.prompt_over_time").PromptOverTime
        self.schedule_type = pack("soundguide_core.embedding.prompt_weights").PromptSchedule
        self.InputError = pack("soundguide_core.common.errors").InputError
        self.attention = pack("nodes.host_attention")

    def schedule(self, weights, areas=None, phrases=("rain", "wind")):
        return self.schedule_type("a bay", phrases, torch.as_tensor(weights).float(), 12.0, areas)

    def told(self, name: str, weights, method="auto", areas=None, model=None, **more):
        """(model, positive, how)"""
        model = model or load(name)
        with torch.inference_mode():
            return self.node.execute(model, clip_of(name), self.schedule(weights, areas), method, **more).args


@pytest.fixture(scope="module")
def pack_(pack):
    return Pack(pack)


def clip_of(name: str) -> Clip:
    family = FAMILIES[name]
    more = dict(family.extra)
    if name == "LTXV":
        more["attention_mask"] = torch.ones(1, 6, dtype=torch.long)
    return Clip(family.text, family.pooled, **more)


def frames(name: str) -> int:
    """Latent frames of the family's latent."""
    return FAMILIES[name].latent[2]


def weights_of(name: str, rows) -> torch.Tensor:
    """[F,2] over pictures, of which latent frames have `rows` [T,2]."""
    joined = {"LTXV": 8, "LTX-2": 8}.get(name, 4)
    return torch.cat([torch.tensor(rows[:1]), torch.tensor(rows[1:]).repeat_interleave(joined, 0)])


def once(model, name: str, positive: list) -> torch.Tensor:
    """One look at the same noisy latent: the model's clean estimate, or of video and sound the video's."""
    made = run(model, name, positive=positive, negative=positive, cfg=1.0, steps=1)
    return made[0] if isinstance(made, list) else made


def alone(name: str, text: str, model=None) -> torch.Tensor:
    return once(model or load(name), name, clip_of(name).encode_from_tokens_scheduled(text))


HALVES = {4: [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], 3: [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]}


class Passes:
    """Counts how often the network of a model is asked, and for how many in a batch."""

    def __init__(self, model):
        self.asked = []
        self.handle = model.model.diffusion_model.register_forward_pre_hook(self.count)

    def count(self, module, args):
        x = args[0][0] if isinstance(args[0], list) else args[0]
        self.asked.append(len(x))

    @property
    def total(self):
        return sum(self.asked)


@pytest.mark.parametrize("name", ONE_PASS)
def test_frames_of_weight_1_are_their_prompts_alone_in_one_pass(pack_, name):
    """Exactly, in a network of one layer: nothing has passed from frame to frame after the text was read."""
    count, model = frames(name), load(name)
    model.model_options["transformer_options"]["a2v_cross_attn"] = False  # of LTX-2: its sound hears all frames
    told, positive, how = pack_.told(name, weights_of(name, HALVES[count]), model=model)
    passes = Passes(told)
    found = once(told, name, positive)
    assert passes.total == 1 and "one pass for 3 prompts" in how
    rain, wind = alone(name, "a bay, rain", model), alone(name, "a bay, wind", model)
    switch = [row[0] for row in HALVES[count]].index(0.0)
    assert apart(found[:, :, :switch], rain[:, :, :switch]) < tol.PARITY
    assert apart(found[:, :, switch:], wind[:, :, switch:]) < tol.PARITY
    assert apart(found[:, :, :switch], wind[:, :, :switch]) > 20 * tol.PARITY


@pytest.mark.parametrize("name", ("Wan 2.1", "LTXV", "HunyuanVideo"))
def test_masks_are_the_mean_of_what_each_prompt_gives(pack_, name):
    count = frames(name)
    rows = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) / 2
    model, positive, how = pack_.told(name, weights_of(name, rows.tolist()), method="masks")
    passes = Passes(model)
    found = once(model, name, positive)
    assert passes.total == 3 and "masks: 3 passes" in how
    shares = torch.cat([1 - rows.sum(1, keepdim=True), rows], 1).T[:, None, None, :, None, None]
    texts = ("a bay", "a bay, rain", "a bay, wind")
    expected = sum(share * alone(name, text) for share, text in zip(shares, texts))
    assert apart(found, expected) < tol.FLOAT32_SUM


@pytest.mark.parametrize("name", VIDEO)
def test_the_family_chooses_the_way(pack_, name):
    _, positive, how = pack_.told(name, weights_of(name, HALVES[frames(name)]))
    assert ("one pass" in how) == (name in ONE_PASS) and (len(positive) == 1) == (name in ONE_PASS)


def test_what_a_family_cannot_is_refused_and_pictures_have_rows(pack_):
    with pytest.raises(pack_.InputError, match="Choose 'masks'"):
        pack_.told("HunyuanVideo", weights_of("HunyuanVideo", HALVES[4]), method="one pass")
    _, positive, how = pack_.told("SD1.5", [[1.0, 0.0], [0.0, 1.0]])
    assert positive[0][0].shape[0] == 2 and "Pictures in a batch" in how


@pytest.mark.parametrize("name", ("Wan 2.1", "LTXV"))
def test_the_mix_of_one_pass_lies_by_that_of_k_passes(pack_, name):
    """Between two prompts the mix is taken inside the layer, which is near the mean of the results, not equal to it."""
    half = weights_of(name, [[0.5, 0.5]] * frames(name))
    model, positive, _ = pack_.told(name, half)
    one = once(model, name, positive)
    model, positive, _ = pack_.told(name, half, method="masks")
    mean = once(model, name, positive)
    assert apart(one, mean) < 0.25 * apart(alone(name, "a bay, rain"), alone(name, "a bay, wind"))


def test_only_the_conditional_pass_has_them(pack_):
    """With guidance, the negative is what it is without the node."""
    name = "Wan 2.1"
    model, positive, _ = pack_.told(name, weights_of(name, HALVES[4]))
    negative = clip_of(name).encode_from_tokens_scheduled("blurry")
    seen = {}

    def watch(args):
        seen.update(cond=args["cond_denoised"], uncond=args["uncond_denoised"])
        return args["denoised"]

    for each in (model, load(name)):
        each = each.clone()
        each.set_model_sampler_post_cfg_function(watch)
        kept = dict(seen)
        run(each, name, positive=positive, negative=negative, cfg=3.0, steps=1)
    assert torch.equal(kept["uncond"], seen["uncond"]) and not torch.equal(kept["cond"], seen["cond"])


def test_a_model_that_is_not_patched_takes_the_base_prompt(pack_):
    name = "Wan 2.1"
    _, positive, _ = pack_.told(name, weights_of(name, HALVES[4]))
    assert torch.equal(once(load(name), name, positive), alone(name, "a bay"))


def test_other_conditionings_pass_the_patched_model_unchanged(pack_):
    name = "Wan 2.1"
    model, _, _ = pack_.told(name, weights_of(name, HALVES[4]))
    assert torch.equal(alone(name, "a text", model), alone(name, "a text"))


def test_each_prompt_may_have_its_place_in_the_picture(pack_):
    name = "Wan 2.1"
    areas = torch.zeros(2, 8, 8)
    areas[0, :, :4] = areas[1, :, 4:] = 1
    model, positive, _ = pack_.told(name, [[1.0, 1.0]] * 13, areas=areas)
    found = once(model, name, positive)
    assert apart(found[..., :4], alone(name, "a bay, rain")[..., :4]) < tol.PARITY
    assert apart(found[..., 4:], alone(name, "a bay, wind")[..., 4:]) < tol.PARITY
    model, positive, _ = pack_.told(name, [[1.0, 1.0]] * 13, areas=areas, method="masks")
    masked = once(model, name, positive)
    assert apart(masked, found) < tol.PARITY


def test_another_packs_attention_stays(pack_):
    name, calls = "Wan 2.1", []
    model = load(name)

    def theirs(func, *args, **kwargs):
        calls.append(args[1].shape[1])
        return func(*args, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = theirs
    told, positive, _ = pack_.told(name, weights_of(name, HALVES[4]), model=model)
    found = once(told, name, positive)
    assert calls.count(6) == 2 and len(calls) == 3  # the picture to itself, and to each of two prompts
    plain, positive, _ = pack_.told(name, weights_of(name, HALVES[4]))
    assert torch.equal(found, once(plain, name, positive))


def test_as_many_tokens_of_text_as_of_the_picture_are_told_apart(pack_):
    name = "Wan 2.1"
    clip = clip_of(name)
    clip.tokens = 64 // 2  # 2 texts of 32 tokens: as many as the picture's 4 frames of 4 x 4
    model = load(name)
    schedule = pack_.schedule(weights_of(name, HALVES[4])[:, 1:], phrases=("wind",))
    with torch.inference_mode():
        told, positive, _ = pack_.node.execute(model, clip, schedule, "auto").args
    found = once(told, name, positive)
    base = once(load(name), name, clip.encode_from_tokens_scheduled("a bay"))
    assert apart(found[:, :, :2], base[:, :, :2]) < tol.PARITY


@pytest.mark.parametrize("name, length", (("Wan 2.1", 5), ("Wan 2.1", 3), ("LTXV", 5)))
def test_another_length_is_refused_in_words(pack_, name, length):
    other = latent(name, (*FAMILIES[name].latent[:2], length, *FAMILIES[name].latent[3:]))
    weights = weights_of(name, HALVES[frames(name)])
    model, positive, _ = pack_.told(name, weights)
    with pytest.raises(pack_.InputError, match=f"{frames(name)} latent frames meet a latent of {length}"):
        run(model, name, start=other, positive=positive, negative=positive, cfg=1.0, steps=1)
    with pytest.raises(pack_.InputError, match="of prompts fit this latent"):
        pack_.told(name, weights, latent=other)


def test_context_windows_cut_the_weights_with_the_latent(pack_):
    name = "Wan 2.1"
    model, positive, _ = pack_.told(name, weights_of(name, HALVES[4]))
    found = once(windowed(model, context_length=2, dim=2), name, positive)
    plain = windowed(load(name), context_length=2, dim=2)
    for text, at in (("a bay, rain", slice(0, 2)), ("a bay, wind", slice(2, 4))):
        assert apart(found[:, :, at], alone(name, text, plain)[:, :, at]) < tol.PARITY
