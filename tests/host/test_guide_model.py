"""Guide Model by Sound on models of ComfyUI's own classes: it samples beside the host, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, conditioning, latent, load, run
from torch import Tensor

import tolerances as tol

pytestmark = pytest.mark.host

RULES = ("estimate", "look again", "measured", "through")
EVERYWHERE = ("SD1.5", "SDXL", "Wan 2.1", "Wan 2.2")  # in every version of the host that we support
SETTINGS = {
    "strength": 1.0,
    "rule": "estimate",
    "start": 0.0,
    "end": 1.0,
    "every": 1,
    "chunk": 4,
    "warm_up": 0,
    "response": "even",
}
HALF_WAY = {"denoise": 0.4, "steps": 3}  # a random U-Net predicts no noise; from pure noise its pictures grow


class World:
    """The pack inside the host's own Python: its modules, an encoder, and what it hears."""

    def __init__(self, pack):
        self.pack = pack
        self.node = pack("nodes.guide_model").GuideModel
        self.services, self.decoders = pack("nodes.host_models"), pack("nodes.host_decoders")
        self.InputError = pack("soundguide_core.common.errors").InputError
        self.Model, load_joint = pack("nodes.host").Model, pack("soundguide_core.embedding.joint").load_joint
        self.encoder = self.Model("miniature", lambda device: load_joint("miniature", device), "joint")

    def embeds(self, *words: str, whole: str = "fire"):
        """What a text means; words: one for each frame."""
        with torch.inference_mode():
            encode = self.encoder.on_device().encode_text
            at_frames = encode(list(words)) if words else None
            make = self.pack("nodes.sockets").Embeds
            return make(encode([whole]), whole, "miniature", per_frame=at_frames, fps=12.0)

    def guide(self, model, embeds=None, **settings):
        """The node, run as the host runs it."""
        with torch.inference_mode():
            made = self.node.execute(model, self.encoder, embeds or self.embeds(), **{**SETTINGS, **settings})
        return made.args[0]

    def pictures(self, model, samples) -> Tensor:
        """What an auto decoder makes of what the host sampled."""
        with torch.inference_mode(False), torch.no_grad():
            packed = isinstance(samples, list)
            z = samples[0].clone() if packed else model.model.process_latent_in(samples.clone())
            return self.decoders.auto_decoder(model).decode(z, 8)

    def loss(self, model, samples, whole: str = "fire") -> Tensor:
        """[P] 1 - cosine of the pictures with the sound."""
        with torch.inference_mode(False), torch.no_grad():
            seen = self.encoder.network().encode_image(F.interpolate(self.pictures(model, samples), (64, 64)))
            return 1 - (seen * self.embeds(whole=whole).whole.clone()).sum(-1)


@pytest.fixture(scope="module")
def world(pack) -> World:
    return World(pack)


@pytest.fixture(scope="module")
def models(world):
    """Each family's model, loaded once; never changed by a test."""
    made: dict = {}

    def get(name: str):
        if name not in made:
            try:
                model = load(name)
                run(model, name, steps=1)
                world.decoders.auto_decoder(model)
            except (AttributeError, TypeError, KeyError, world.InputError) as error:
                if name in EVERYWHERE:
                    raise
                pytest.skip(f"this host does not have {name} as it is today: {error}")
            made[name] = model
        return made[name]

    return get


def state():
    import comfy.model_management as mm

    return torch.is_inference_mode_enabled(), torch.is_grad_enabled(), getattr(mm, "in_training", None)


def skip_without_a_way_back(name: str) -> None:
    import comfy.model_management as mm

    if not hasattr(mm, "in_training") and name not in ("SD1.5", "SDXL", "SD3"):
        pytest.skip("this host has kernels without a backward, and no way around them")


# Families and rules


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_led_to_the_sound(world, models, name):
    model, kept = models(name), state()
    before = world.loss(model, run(model, name)).mean()
    for rule in RULES[:3]:
        after = world.loss(model, run(world.guide(model, rule=rule), name)).mean()
        assert after < before - 0.01, rule
    assert state() == kept


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_led_through_its_network(world, models, name):
    skip_without_a_way_back(name)
    model, kept = models(name), state()
    before = world.loss(model, run(model, name)).mean()
    after = world.loss(model, run(world.guide(model, rule="through"), name)).mean()
    assert after < before - 0.01 and state() == kept


@pytest.mark.parametrize("name", FAMILIES)
def test_the_way_back_is_the_derivative_of_the_way_there(world, models, name):
    """<J^T c, u> against <c, D(x + h u) - D(x - h u)> / 2h, along u = J^T c, where it is largest."""
    skip_without_a_way_back(name)
    model, found = models(name), []

    def predict(step):
        z = step.stock()
        if found:
            return z
        rng = torch.Generator().manual_seed(0)
        with world.services.differentiable(step):
            x = step.frames(step.x.clone()).detach().requires_grad_()
            c = torch.randn(x.shape, generator=rng)
            (pulled,) = torch.autograd.grad((c * step.look(x)).sum(), x)
        h, u = 0.005 * step.level.noise, pulled / pulled.square().mean().sqrt()
        with torch.no_grad():
            ahead, behind = (step.look(x.detach() + sign * h * u) for sign in (1, -1))
        found.append((float((pulled * u).double().sum()), float((c * (ahead - behind)).double().sum()) / (2 * h)))
        return z

    run(world.services.wrapped(model, [], predict), name, steps=2, denoise=0.7)
    pulled, measured = found[0]
    assert pulled == pytest.approx(measured, rel=0.01)


def test_weights_that_no_gradient_passes_are_refused_by_name(world):
    model = load("SD1.5", seed=3)
    layer = model.model.diffusion_model.out[2]
    with torch.inference_mode():
        layer.weight = torch.nn.Parameter(layer.weight.to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.raises(world.InputError, match=r"BaseModel.*quantised.*measured"):
        world.guide(model, rule="through")


def test_a_network_without_a_way_back_is_refused_before_sampling(world):
    """Even where the guiding starts late."""
    model = load("SD1.5", seed=3)

    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

    last, steps = model.model.diffusion_model.out, []
    last.register_forward_hook(lambda module, given, made: Opaque.apply(made))
    guided = world.guide(model, rule="through", start=0.6)
    with pytest.raises(world.InputError, match=r"No way leads back through this model \(BaseModel\).*measured"):
        run(guided, "SD1.5", steps=4, callback=lambda *step: steps.append(step))
    assert not steps and state()[2] in (False, None)


# Nothing where nothing is asked


@pytest.mark.parametrize("name", ["SD1.5", "Wan 2.1"])
@pytest.mark.parametrize("how", [{"strength": 0.0}, {"curve": [0.0]}])
def test_what_asks_for_nothing_changes_no_bit(world, models, name, how):
    model = models(name)
    assert torch.equal(run(model, name), run(world.guide(model, **how), name))


def test_an_interval_that_ends_before_it_starts_is_refused(world, models):
    with pytest.raises(world.InputError, match="starts at 0.9 of the sampling and ends at 0.1"):
        world.guide(models("SD1.5"), start=0.9, end=0.1)


def test_the_interval_and_every_nth_step(world, models):
    """By sigma: a sampler that looks twice a step is guided in both looks of a guided step and in no other."""
    model, sigmas = models("SD1.5"), []
    guided = world.guide(model, start=0.3, end=0.8, every=2)
    sampling = model.model.model_sampling
    gradients = world.pack("soundguide_core.pipelines.model_guidance")
    original = gradients.move_estimate

    def noted(look, x, x0, asked, gradient_of, level, *rest, **how):
        sigmas.append(level.ve)
        return original(look, x, x0, asked, gradient_of, level, *rest, **how)

    gradients.move_estimate = noted
    try:
        schedule = []
        run(guided, "SD1.5", sampler="euler", steps=10, callback=lambda i, x0, x, n: schedule.append(i))
        euler = [round(s, 4) for s in sigmas]
        sigmas.clear()
        run(guided, "SD1.5", sampler="heun", steps=10)
        heun = [round(s, 4) for s in sigmas]
    finally:
        gradients.move_estimate = original
    low, high = sampling.percent_to_sigma(0.8), sampling.percent_to_sigma(0.3)
    assert all(low <= s <= high for s in euler) and 2 <= len(euler) <= 3
    assert set(euler) <= set(heun) and len(schedule) == 10


@pytest.mark.parametrize("rule", ["estimate", "through"])
def test_a_warm_up_where_there_is_a_source(world, models, rule):
    """Looks in the noisiest guided steps of image to image and under a mask; from pure noise alone none."""
    gradients, looks = world.pack("soundguide_core.pipelines.model_guidance"), []
    original = gradients.look_repeatedly

    def noted(*args, **how):
        looks.append(args[6])
        made = original(*args, **how)
        assert not made.requires_grad
        return made

    gradients.look_repeatedly = noted
    try:
        everywhere = torch.ones(1, 8, 8)
        for start, mask, expected in ((HALF_WAY, None, 6), ({}, None, 0), ({}, everywhere, 6)):
            looks.clear()
            guided = world.guide(models("SD1.5"), rule=rule, warm_up=6, mask=mask)
            assert torch.isfinite(run(guided, "SD1.5", **start)).all() and sum(looks) == expected
    finally:
        gradients.look_repeatedly = original


# Samplers, guiders, windows


def sampler_names():
    from comfy.samplers import SAMPLER_NAMES

    return SAMPLER_NAMES


@pytest.mark.slow
def test_all_samplers_are_led(world, models):
    model, name = models("SD1.5"), "SD1.5"
    guided = world.guide(model, strength=2.0)
    falls = {
        sampler: float((world.loss(model, run(model, name, sampler=sampler, **HALF_WAY))
                        - world.loss(model, run(guided, name, sampler=sampler, **HALF_WAY))).mean())
        for sampler in sampler_names()
    }  # fmt: skip
    assert len(falls) >= 39 and min(falls.values()) > 0.005


@pytest.mark.parametrize("rule", ["look again", "measured"])
def test_samplers_that_listen_in_hear_of_their_own_x(world, models, rule):
    """euler_cfg_pp takes the unconditional part of each prediction; a second look must not put its own in its place."""
    model, heard = models("SD1.5"), []
    guided = world.guide(model, rule=rule)
    with torch.inference_mode():
        import comfy.model_patcher
        import comfy.samplers

        guider = comfy.samplers.CFGGuider(guided)
        guider.set_conds(conditioning("SD1.5", 1), conditioning("SD1.5", 2))
        guider.set_cfg(2.0)

        def sampler(model_k, x, sigmas, extra_args=None, callback=None, disable=None):
            options = comfy.model_patcher.set_model_options_post_cfg_function(
                extra_args["model_options"], lambda args: heard.append(args["input"].clone()) or args["denoised"]
            )
            model_k(x, sigmas[:1].expand(len(x)), extra_args["denoise_mask"], model_options=options, seed=0)
            assert len(heard) == 1 and torch.equal(heard[0], x)
            return x

        samples = latent("SD1.5")["samples"]
        guider.sample(torch.randn(samples.shape), samples, comfy.samplers.KSAMPLER(sampler), torch.tensor([5.0, 0.0]))
    assert heard


@pytest.mark.parametrize("name", ["SD1.5", "Wan 2.1"])
def test_custom_sampling_gives_what_ksampler_gives(world, models, name):
    import comfy.samplers

    model = models(name)
    guided = world.guide(model)
    sigmas = comfy.samplers.calculate_sigmas(model.model.model_sampling, "simple", 4)
    with torch.inference_mode():
        import comfy.sample

        samples = latent(name)["samples"]
        noise = comfy.sample.prepare_noise(samples, 0)

        def sample(guider):
            return guider.sample(noise, samples, comfy.samplers.sampler_object("euler"), sigmas, seed=0).cpu()

        both = comfy.samplers.CFGGuider(guided)
        both.set_conds(conditioning(name, 1), conditioning(name, 2))
        both.set_cfg(2.0)
        basic = comfy.samplers.CFGGuider(guided)  # BasicGuider of the host's nodes: one conditioning alone
        basic.inner_set_conds({"positive": conditioning(name, 1)})
        assert torch.equal(sample(both), run(guided, name, cfg=2.0))
        assert torch.equal(sample(basic), run(guided, name, cfg=1.0))


def windows(model, length: int, overlap: int, dim: int):
    """The host's context windows on a model."""
    import comfy.context_windows as cw

    model = model.clone()
    model.model_options["context_handler"] = cw.IndexListContextHandler(
        context_schedule=cw.get_matching_context_schedule(cw.ContextSchedules.STATIC_STANDARD),
        fuse_method=cw.get_matching_fuse_method(cw.ContextFuseMethods.PYRAMID),
        context_length=length, context_overlap=overlap, dim=dim,
    )  # fmt: skip
    cw.create_prepare_sampling_wrapper(model)
    return model


@pytest.mark.parametrize("name, shape, dim", [("SD1.5", (8, 4, 8, 8), 0), ("Wan 2.1", (1, 16, 8, 8, 8), 2)])
def test_context_windows_in_the_batch_and_in_time(world, models, name, shape, dim):
    """Guiding sees all frames, each with its own sound: quiet ones stay as they were in the first step."""
    model = windows(models(name), 4, 2, dim)
    frames = 8 if dim == 0 else 29
    loud = [0.0] * (frames // 2) + [1.0] * (frames - frames // 2)
    guided = world.guide(model, world.embeds(*["fire"] * frames), curve=loud)
    start, how = latent(name, shape), {"steps": 1} if dim == 0 else {"steps": 1, "denoise": 0.6}
    try:
        before = run(model, name, start=start, **how)
    except RuntimeError as error:
        pytest.skip(f"this host has no such windows: {error}")
    after = run(guided, name, start=start, **how)
    moved = (after - before).abs().amax(dim=(1, 2, 3) if dim == 0 else (0, 1, 3, 4))
    assert len(moved) == 8 and bool((moved[:4] == 0).all()) and bool((moved[5:] > 0.01).all())
    before, after = (world.loss(model, run(each, name, start=start)) for each in (model, world.guide(model)))
    assert after.mean() < before.mean() - 0.01


# Frames


def test_each_frame_follows_its_own_sound(world, models):
    model, name = models("Flux"), "Flux"
    guided = world.guide(model, world.embeds("rain", "fire"), strength=2.0)
    samples = run(guided, name)
    rain, fire = world.loss(model, samples, "rain"), world.loss(model, samples, "fire")
    assert rain[0] < fire[0] and fire[1] < rain[1]


def test_a_sound_of_another_length_is_refused_before_the_model_runs(world, models):
    model = models("Wan 2.1")
    guided, steps = world.guide(model, world.embeds(*["fire"] * 5)), []
    with pytest.raises(world.InputError, match=r"5 embeddings meet a video of 13 frames \(4 in its latent\). Give 13"):
        run(guided, "Wan 2.1", callback=lambda *step: steps.append(step))
    assert not steps


def test_of_a_packed_latent_the_video_alone_is_moved(world, models):
    """LTX-2 samples sound beside the video; what it says of the sound in a step stays as it was."""
    model = models("LTX-2")
    before, after = run(model, "LTX-2", steps=1), run(world.guide(model), "LTX-2", steps=1)
    assert torch.equal(before[1], after[1]) and not torch.equal(before[0], after[0])


def test_a_mask_keeps_what_is_outside_in_each_step(world, models):
    model, name = models("SD3"), "SD3"
    mask = torch.zeros(1, 64, 64)
    mask[:, :32] = 1
    for rule in RULES[:3]:
        guided = world.guide(model, rule=rule, mask=mask)
        change = (run(guided, name, steps=1) - run(model, name, steps=1)).abs()
        assert bool((change[..., 4:, :] == 0).all()) and float(change[..., :4, :].mean()) > 0.01, rule


# Beside other things


def test_two_in_a_row_add_up(world, models):
    model, name = models("Flux"), "Flux"
    once = world.guide(model, strength=0.5)
    twice = world.guide(once, world.embeds(whole="rain"), strength=0.5)
    stock, one, two = (run(each, name) for each in (model, once, twice))
    assert world.loss(model, one).mean() < world.loss(model, stock).mean()
    assert world.loss(model, two, "rain").mean() < world.loss(model, one, "rain").mean() - 0.01
    assert world.loss(model, two).mean() < world.loss(model, stock).mean()


@pytest.mark.slow
@pytest.mark.parametrize("inner", RULES)
def test_one_of_two_may_go_back_through_the_network(world, models, inner):
    model, name = models("SD3"), "SD3"
    guided = world.guide(world.guide(model, rule=inner, strength=0.5), rule="through", strength=0.5)
    assert world.loss(model, run(guided, name)).mean() < world.loss(model, run(model, name)).mean() - 0.01


def test_clones_share_the_encoder(world, models):
    """However long the chain, the host is told of one encoder and one decoder a model."""
    model = models("SD1.5")
    chain = world.guide(model)
    for _ in range(10):
        chain = chain.clone()
    beside = {id(each.model) for each in chain.get_nested_additional_models()}
    assert id(world.encoder.patcher.model) in beside and len(beside) == 2
    again = {id(each.model) for each in world.guide(chain).get_nested_additional_models()}
    assert beside <= again and len(again) == 3  # a second decoder of its own, the same encoder
    assert not model.get_additional_models()


def test_functions_of_other_packs_and_loras_are_kept(world, models):
    """A post-CFG function halves what the model says; a LoRA changes its weights: both count, before the sound does."""
    model, name, calls = models("SD3"), "SD3", []

    def halve(args):
        calls.append(args["sigma"])
        return args["denoised"] / 2

    other = model.clone()
    other.set_model_sampler_post_cfg_function(halve)
    key = "diffusion_model.x_embedder.proj.weight"
    shape = other.model.diffusion_model.x_embedder.proj.weight.shape
    other.add_patches({key: ("diff", (0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(0)),))}, 1.0)
    stock, patched, guided = (run(each, name) for each in (model, other, world.guide(other)))
    assert calls and not torch.allclose(stock, patched)
    assert world.loss(model, guided).mean() < world.loss(model, patched).mean() - 0.01
    one, two = (run(each, name, steps=1) for each in (other, world.guide(other)))
    moved = (two - one).square().mean(dim=(1, 2, 3)).sqrt()
    scale = model.model.latent_format.scale_factor  # of the model's own latents to those of the VAE
    assert torch.allclose(moved * scale, torch.tensor(0.3), atol=0.01)  # the whole length, not half of it
    assert torch.equal(run(model, name), stock)


PATCHES = {
    "RescaleCFG": ("comfy_extras.nodes_model_advanced", {"multiplier": 0.7}),
    "PerturbedAttentionGuidance": ("comfy_extras.nodes_pag", {"scale": 3.0}),
}


@pytest.mark.parametrize("patch", PATCHES)
def test_patches_of_the_hosts_own_are_kept(world, models, patch):
    import importlib

    module, settings = PATCHES[patch]
    node, model, name = getattr(importlib.import_module(module), patch), models("SD1.5"), "SD1.5"
    with torch.inference_mode():
        if hasattr(node, "execute"):
            patched = node.execute(model=model, **settings).args[0]
        else:
            (patched,) = getattr(node(), node.FUNCTION)(model=model, **settings)
    how = {**HALF_WAY, "cfg": 4.0}
    alone, beside = run(patched, name, **how), run(world.guide(patched, strength=2.0), name, **how)
    assert not torch.allclose(alone, run(model, name, **how))
    assert torch.equal(alone, run(world.guide(patched, strength=0.0), name, **how))
    assert world.loss(model, beside).mean() < world.loss(model, alone).mean() - 0.005


def test_image_to_image_and_inpainting(world, models):
    model, name = models("SD3"), "SD3"
    with torch.inference_mode():
        source = 0.5 * torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(2))
        mask = torch.zeros(1, 1, 64, 64)
        mask[..., :32] = 1
    start = {"samples": source, "noise_mask": mask}
    before, after = (run(each, name, start=start, denoise=0.7, steps=6) for each in (model, world.guide(model)))
    assert torch.allclose(after[..., 5:], source[..., 5:], atol=tol.FLOAT32_SUM)
    assert world.loss(model, after).mean() < world.loss(model, before).mean() - 0.01


def controlnet(seed: int = 0):
    """A tiny ControlNet of SD1.5 of the host's own class."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    config = {key: value for key, value in FAMILIES["SD1.5"].unet.items() if not key.startswith("transformer_depth_o")}
    config = {**config, "hint_channels": 3, "dims": 2, "dtype": torch.float32, "num_heads": 2}
    config.pop("out_channels")
    with torch.inference_mode():
        network = comfy.cldm.cldm.ControlNet(**config, operations=comfy.ops.disable_weight_init)
        rng = torch.Generator().manual_seed(seed)
        for weight in network.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=rng))
        return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


@pytest.mark.parametrize("rule", RULES)
def test_beside_a_controlnet(world, models, rule):
    model, name = models("SD1.5"), "SD1.5"
    with torch.inference_mode():
        hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        control = controlnet().set_cond_hint(hint, 1.0, (0.0, 1.0))
        positive = [[text, {**more, "control": control}] for text, more in conditioning(name, 1)]
        negative = [[text, {**more, "control": control}] for text, more in conditioning(name, 2)]
    how = {**HALF_WAY, "positive": positive, "negative": negative}
    stock, before = run(model, name, **HALF_WAY), run(model, name, **how)
    assert not torch.allclose(stock, before)
    after = run(world.guide(model, rule=rule, strength=2.0), name, **how)
    assert world.loss(model, after).mean() < world.loss(model, before).mean() - 0.005


# Previews, Stop, errors


def test_previews_show_the_guided_estimate(world, models):
    model, name, shown = models("Flux"), "Flux", []
    run(world.guide(model), name, steps=3, callback=lambda i, x0, x, n: shown.append(x0.clone()))
    plain: list = []
    run(model, name, steps=3, callback=lambda i, x0, x, n: plain.append(x0.clone()))
    moved = (shown[0] - plain[0]).square().mean(dim=(1, 2, 3)).sqrt()
    assert len(shown) == 3 and torch.allclose(moved, torch.tensor(0.3), atol=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_stop_within_a_step_leaves_nothing_behind(world, models, rule):
    import comfy.model_management as mm

    model, name, kept = models("SD3"), "SD3", state()
    guided, whole = world.guide(model, rule=rule, chunk=1), run(model, name)
    first = run(guided, name)
    looks, joint = [], world.encoder.network()
    original = joint.encode_image

    def pressed(img):
        looks.append(1)
        if len(looks) == 1:  # of two in the first step
            mm.interrupt_current_processing(True)
        return original(img)

    joint.encode_image = pressed
    try:
        with pytest.raises(mm.InterruptProcessingException):
            run(guided, name, callback=lambda *step: looks.append("a step"))
    finally:
        del joint.encode_image
    assert looks == [1]
    assert state() == kept and not mm.processing_interrupted()
    assert torch.equal(run(model, name), whole) and torch.equal(run(guided, name), first)
    assert not any(weight.requires_grad for weight in model.model.parameters())


@pytest.mark.parametrize("rule", RULES)
def test_an_error_in_a_step_leaves_nothing_behind(world, models, rule):
    model, name, kept = models("SD3"), "SD3", state()
    guided, joint = world.guide(model, rule=rule), world.encoder.network()
    first = run(guided, name)

    def broken(img):
        raise KeyError("on purpose")

    joint.encode_image = broken
    try:
        with pytest.raises(KeyError):
            run(guided, name)
    finally:
        del joint.encode_image
    assert state() == kept and torch.equal(run(guided, name), first)


def test_when_memory_runs_out_the_chunk_is_halved(world, models):
    import comfy.model_management as mm

    model, name, sizes = models("SD3"), "SD3", []
    guided, joint = world.guide(model, chunk=2), world.encoder.network()
    first = run(guided, name, steps=2)
    original = joint.encode_image

    def full(img):
        sizes.append(len(img))
        if len(img) > 1:
            raise mm.OOM_EXCEPTION("on purpose")
        return original(img)

    joint.encode_image = full
    try:
        assert torch.allclose(run(guided, name, steps=2), first, atol=tol.FLOAT32_SUM)
        joint.encode_image = lambda img: (_ for _ in ()).throw(mm.OOM_EXCEPTION("on purpose"))
        with pytest.raises(world.InputError, match="does not fit into the memory"):
            run(guided, name, steps=2)
    finally:
        del joint.encode_image
    assert {1, 2} == set(sizes)


def test_what_does_not_belong_together_is_refused_by_name(world, models):
    model = models("SD1.5")
    with torch.inference_mode():
        other = world.pack("nodes.sockets").Embeds(torch.randn(1, 16), "a sound", "elsewhere")
    with pytest.raises(world.InputError, match="'elsewhere' meets encoder 'miniature'"):
        world.guide(model, other)
    with pytest.raises(world.InputError, match="is for Flux, and this model samples SD15"):
        world.guide(model, decoder=world.decoders.auto_decoder(models("Flux")))
    for curve in ([], [float("nan")]):
        with pytest.raises(world.InputError, match="curve holds no numbers"):
            world.guide(model, curve=curve)
    with pytest.raises(world.InputError, match="no rule called 'best'"):
        world.guide(model, rule="best")


# Memory


def peak(fn, *args, **kwargs) -> int:
    """The most bytes that fn has allocated at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        fn(*args, **kwargs)
    events = [x for x in profiled.profiler.kineto_results.events() if x.name() == "[memory]"]
    alive = torch.tensor([x.nbytes() for x in sorted(events, key=lambda x: x.start_ns())], dtype=torch.float64)
    return int(alive.cumsum(0).max())


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES[:3])
def test_a_video_of_81_frames_needs_one_chunk_more(world, models, rule):
    model, start = models("Wan 2.1"), latent("Wan 2.1", (1, 16, 21, 16, 16))
    embeds = world.embeds(*["fire"] * 81)
    how = {"start": start, "steps": 1, "cfg": 1.0}
    run(world.guide(model, embeds, rule=rule), "Wan 2.1", **how)  # once, so that nothing is made for the first time
    stock = peak(run, model, "Wan 2.1", **how)
    chunks = {
        size: peak(run, world.guide(model, embeds, rule=rule, chunk=size), "Wan 2.1", **how) - stock for size in (1, 21)
    }

    def one_chunk():
        core = world.pack("soundguide_core.pipelines.model_guidance")
        decoder = world.decoders.auto_decoder(model)
        with torch.inference_mode(False):
            sound = core.Sound(F.normalize(torch.randn(1, embeds.whole.shape[-1]), dim=-1))
            z = torch.randn(1, 16, 1, 16, 16)
            asked = core.wanted(sound, decoder, z.shape)
            core.sound_gradient(z[:, :, 0], z.shape, asked, decoder, world.encoder.network(), 1, lambda: None)

    assert chunks[1] <= peak(one_chunk) and chunks[1] < chunks[21] / 2


# Frames of One Noise


def test_frames_of_one_noise_differ_by_what_they_are_told_alone(world, models):
    node, model = world.pack("nodes.latent_frames").FramesOfOneNoise, models("SD3")
    with torch.inference_mode():
        (frames,) = node.execute({"samples": torch.zeros(1, 16, 8, 8), "kept": 1}, 4).args
        assert frames["samples"].shape == (4, 16, 8, 8) and frames["kept"] == 1
        (kept,) = node.execute(frames, 0).args
        assert kept["samples"] is frames["samples"]
        with pytest.raises(world.InputError, match="4 latents meet 3 frames"):
            node.execute(frames, 3)
    stock = run(model, "SD3", start=frames)
    assert torch.allclose(stock, stock[:1].expand(4, -1, -1, -1), atol=tol.FLOAT32_SUM)
    guided = run(world.guide(model, curve=[0.0, 0.5, 1.0, 0.0]), "SD3", start=frames)
    moved = (guided - stock).square().mean(dim=(1, 2, 3)).sqrt()
    assert moved[0] == moved[3] == 0 and moved[1] < moved[2]
