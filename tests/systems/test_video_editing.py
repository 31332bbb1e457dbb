from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.flow.optical_flow import Flow
from soundguide_core.losses.editing import direction_distance, flow_distance
from soundguide_core.media.images import from_uint8, to_uint8
from soundguide_core.metrics.detail import gradient_correlation

pytest.importorskip("diffusers")

from soundguide_core.diffusion.placed_sounds import placed_sounds
from soundguide_core.diffusion.windows import PreviousFrame, Window, continued
from soundguide_core.losses.views import Views, encode_views
from soundguide_core.systems import video_editing as edit

COSINE = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


def small_unet(seed: int = 0):
    from soundguide_core.diffusion.unet import UNet

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet(
            sample_size=16, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, schedule=COSINE,
            down_block_types=["DownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "UpBlock2D"],
        )  # fmt: skip
    return unet.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def models(tiny, diffusers):
    from soundguide_core.diffusion.denoiser import Denoiser

    return {"denoiser": Denoiser(small_unet()), "joint": load_joint(tiny.joint).requires_grad_(False)}


def video(frames: int = 5, h: int = 16, w: int = 16, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return from_uint8(torch.randint(0, 256, (frames, h, w, 3), generator=rng, dtype=torch.uint8))


def sound(frames: int = 5, seed: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(frames, 16, generator=rng), dim=1)


def square(h: int = 16, w: int = 16) -> torch.Tensor:
    mask = torch.zeros(1, 1, h, w)
    mask[..., h // 4 : h // 2, w // 4 : w // 2] = 1
    return mask


def settings(**kwargs) -> edit.EditConfig:
    given = {
        "variant": "clean",
        "scale": 1.0,
        "smooth_sec": 0,
        "precision": "float32",
        "steps": 4,
        "skip": 1,
        "sampler": "ddim",
        "interval": (0.0, 1.0),
        "crops": 0,
        "weights": {"sound": 1.0},
        "window": 3,
        "chunk": 2,
        **kwargs,
    }
    return edit.EditConfig(**given)


def still(img, target):
    """An estimator of flow for which nothing moves."""
    return img.new_zeros(len(img), 2, *img.shape[2:])


def test_outside_the_mask_nothing_changes_to_the_bit(models):
    frames, masks = video(), torch.cat([square().roll(i, dims=3) for i in range(5)])
    out = edit.edit_video(frames, sound(), mask=masks, config=settings(feather=2), **models)
    outside = (out.mask == 0).expand_as(frames)
    assert torch.equal(out.frames[outside], frames[outside])
    kept = (out.mask == 0).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    assert torch.equal(to_uint8(out.frames)[kept], to_uint8(frames)[kept])
    for i in range(5):  # each frame has its own mask, and is changed inside it
        assert torch.equal(out.mask[i : i + 1] > 0, masks[i : i + 1] > 0)
        inside = (masks[i] == 1).expand(3, -1, -1)
        assert (out.frames[i] - frames[i])[inside].abs().mean() > 0.02


def test_inverted_masks_and_none(models):
    frames, mask = video(2), square()
    there = edit.edit_video(frames, sound(2), mask=mask, config=settings(invert=True), **models)
    assert torch.equal(there.mask, 1 - mask.expand(2, -1, -1, -1))
    assert torch.equal(there.frames[..., 4:8, 4:8], frames[..., 4:8, 4:8])
    whole = edit.edit_video(frames, sound(2), config=settings(), **models)
    assert whole.mask.min() == 1 and (whole.frames != frames).float().mean() > 0.9


@pytest.mark.parametrize("h, w", [(37, 53), (16, 48), (9, 7)])
def test_frames_of_any_shape_and_masks_of_another_size(models, h, w):
    frames = video(2, h, w)
    out = edit.edit_video(frames, sound(1), mask=square(2 * h, 2 * w), config=settings(), **models)
    assert out.frames.shape == frames.shape and out.mask.shape == (2, 1, h, w)
    outside = (out.mask == 0).expand_as(frames)
    assert torch.equal(out.frames[outside], frames[outside]) and not torch.equal(out.frames, frames)
    assert out.frames.abs().max() <= 1


def test_a_large_video_keeps_its_texture_and_one_of_the_size_of_the_model_is_what_it_painted(models):
    frames = 0.7 * video(1, 64, 64)
    kept, painted = (
        edit.edit_video(frames, sound(1), config=settings(keep_detail=keep), **models).frames for keep in (1.0, 0.0)
    )
    assert gradient_correlation(kept, frames)[-1] > 0.7 > gradient_correlation(painted, frames)[-1]
    small = video(1)
    same = [edit.edit_video(small, sound(1), config=settings(keep_detail=keep), **models).frames for keep in (1.0, 0.0)]
    assert torch.equal(*same)


def test_one_frame(models):
    weights = {"sound": 1.0, "direction": 1.0, "flow": 1.0}
    out = edit.edit_video(video(1), sound(1), flow=still, config=settings(weights=weights), **models)
    assert out.frames.shape == (1, 3, 16, 16) and torch.isfinite(out.frames).all()


def test_the_same_seed_gives_the_same_bytes(models):
    config = settings(crops=1, weights={"sound": 1.0, "flow": 1.0, "range": 1.0})
    first, second = (edit.edit_video(video(), sound(), flow=still, config=config, **models).frames for _ in range(2))
    assert torch.equal(first, second)
    other = edit.edit_video(video(), sound(), flow=still, config=settings(seed=1), **models).frames
    assert not torch.allclose(first, other, atol=0.1)


def test_a_stream_is_the_video_in_order_and_reads_one_window_ahead(models):
    frames, read = video(7), []

    def one_by_one():
        for i, frame in enumerate(frames.split(1)):
            read.append(i)
            yield frame

    parts = []
    for part in edit.stream_edit(one_by_one(), sound(7), masks=square(), config=settings(), **models):
        parts.append(part.frames)
        assert len(read) == min(3 * len(parts), 7)
    whole = edit.edit_video(frames, sound(7), mask=square(), config=settings(), **models)
    assert [len(part) for part in parts] == [3, 3, 1] and torch.equal(torch.cat(parts), whole.frames)


def test_windows_and_chunks_change_nothing_where_no_loss_couples_frames(models):
    results = [
        edit.edit_video(
            video(), sound(), config=settings(window=window, chunk=chunk, crops=2, walk_sec=0.1), **models
        ).frames
        for window, chunk in ((5, 5), (2, 1), (3, 2))
    ]
    for other in results[1:]:
        assert torch.allclose(results[0], other, atol=tol.HALF)


@pytest.mark.parametrize("variant", ["paper", "score", "clean"])
def test_chunks_change_nothing_where_losses_couple_frames(models, variant):
    config = dict(variant=variant, window=5, weights={"sound": 1.0, "direction": 0.3, "flow": 1.0}, step=0.3, crops=1)
    whole, parts = (
        edit.edit_video(video(), sound(), flow=still, config=settings(chunk=chunk, **config), **models)
        for chunk in (5, 2)
    )
    assert torch.allclose(whole.frames, parts.frames, atol=tol.HALF)
    assert {*whole.history[0]} == {"sound", "direction", "flow"} and len(whole.history) == 3


def test_the_sound_is_approached(models):
    embeds = sound(1)
    nearness = {}
    for step in (0.0, 0.5):
        out = edit.edit_video(video(2), embeds, config=settings(steps=8, step=step), **models)
        nearness[step] = (models["joint"].encode_image(out.frames) @ embeds[0]).mean().item()
    assert nearness[0.5] > nearness[0.0] + 0.1


def test_a_curve_drives_each_frame(models):
    frames = video(1).repeat(4, 1, 1, 1)
    curves = {"sound": torch.tensor([0.0, 1.0, 0.3, 0.6])}
    unguided = edit.edit_video(frames, sound(1), config=settings(weights={}, window=2), **models).frames
    out = edit.edit_video(frames, sound(1), config=settings(step=0.3, window=2), curves=curves, **models).frames
    moved = (out - unguided).abs().mean(dim=(1, 2, 3))
    assert moved[0] < 1e-5 and moved[0] < moved[2] < moved[3] < moved[1]


def test_what_is_heard_is_averaged_over_seconds_not_frames(models, monkeypatch):
    reaches = []
    monkeypatch.setattr(edit, "smooth_embeds", lambda embeds, reach: reaches.append(reach) or embeds)
    for how in ({"fps": 4.0}, {"fps": 30.0}, {}):
        edit.edit_video(video(1), sound(1), config=settings(smooth_sec=0.5, steps=2, skip=0), **how, **models)
    assert reaches == [2, 15, 12]  # half a second on each side; of 24 frames a second where nothing is said


def test_where_an_edit_is_not_present_the_frame_is_the_source_to_the_bit(models):
    frames, presence = video(7), torch.tensor([1.0, 0.5, 0, 0, 0, 0, 1])  # the second window of three has none
    whole, out = (edit.edit_video(frames, sound(7), presence=p, config=settings(), **models) for p in (None, presence))
    assert torch.equal(out.frames[2:6], frames[2:6]) and out.mask[2:6].max() == 0
    assert torch.equal(out.frames[0], whole.frames[0])
    half = (whole.frames[1] + frames[1]) / 2
    assert torch.allclose(out.frames[1], half, atol=tol.FLOAT32) and len(out.history) == len(whole.history) * 2 // 3
    assert not torch.equal(out.frames[6], frames[6])


def test_a_window_goes_over_from_the_edit_of_the_frame_before():
    """A bright column moves one pixel to the right each frame; the new window has none, and is darker by 0.5."""
    bright = torch.full((1, 3, 8, 8), 0.1)
    bright[..., 2] = 0.4
    x_src, x0 = torch.zeros(4, 3, 8, 8), torch.full((4, 3, 8, 8), -0.4)
    right = torch.zeros(4, 2, 8, 8)
    right[:, 0] = 1.0
    visible = torch.ones(4, 1, 8, 8)
    visible[:, :, :, 0] = 0  # enters
    mask = torch.ones(4, 1, 8, 8)
    mask[:, :, 7] = 0
    window = Window(
        3, x_src, mask, PreviousFrame(x_src[:1], bright, sound(1)), sound(5), Flow(right, -right, visible, visible), {}
    )
    found = continued(x0, window, 3)
    for i, share in enumerate((3 / 4, 2 / 4, 1 / 4, 0)):
        moved = bright.roll(i + 1, dims=3)[0]
        expected = share * moved + (1 - share) * x0[i]
        assert torch.allclose(found[i, :, :7, i + 1 :], expected[:, :7, i + 1 :], atol=tol.FLOAT32)
        assert torch.equal(found[i, :, :, : i + 1], x0[i, :, :, : i + 1])
        assert torch.equal(found[i, :, 7], x0[i, :, 7])
    assert torch.equal(continued(x0, window, 0), x0)


def test_losses_see_the_last_finished_frame(models):
    rng = torch.Generator().manual_seed(5)
    x_src, x0_hat, done = (torch.rand(n, 3, 16, 16, generator=rng) * 2 - 1 for n in (2, 2, 1))
    before = PreviousFrame(done, done * 0.5, models["joint"].encode_image(done))
    fields = torch.rand(2, 2, 16, 16, generator=rng) * 3
    flow = Flow(fields, -fields, torch.ones(2, 1, 16, 16), torch.ones(2, 1, 16, 16))
    window = Window(4, x_src, torch.ones(2, 1, 16, 16), before, sound(3), flow, {})
    weights = {"sound": 1.0, "direction": 1.0, "flow": 1.0}
    heard, _ = placed_sounds(window, models["joint"], weights, Views(), [window.mask], [])
    losses = edit.window_losses(window, heard, None, weights, settings(), 100)
    with torch.no_grad():
        terms = losses(x0_hat, 30)
        seen = models["joint"].encode_image(x0_hat)
    expected = 0.7 * flow_distance(torch.cat([done * 0.5, x0_hat]), flow)  # (T - t) / T
    assert torch.allclose(terms["flow"], expected, atol=tol.FLOAT32)
    assert torch.allclose(terms["sound"], 1 - (seen * sound(3)[1:]).sum(dim=1), atol=tol.FLOAT32_SUM)
    embeds = torch.cat([before.image_embeds, seen])
    assert torch.allclose(terms["direction"], direction_distance(embeds, sound(3)), atol=tol.PARITY)


def test_what_the_encoder_sees(models):
    seen = []

    class Looking:
        dim = 16

        def encode_image(self, img):
            seen.append(img.detach())
            return models["joint"].encode_image(img)

    x, x_src, m = video(2, seed=1), video(2, seed=2), square()
    with torch.no_grad():
        encode_views(Looking(), x, x_src, m, Views(around="grey", chunk=2))
        encode_views(Looking(), x, x_src, m.expand(2, -1, -1, -1), Views(chunk=8))
    assert torch.equal(torch.cat(seen[:-1]), x * m) and torch.equal(seen[-1], m * x + (1 - m) * x_src)
    wide = video(1, 16, 32)
    with torch.no_grad():
        embeds = encode_views(Looking(), wide, wide, square(16, 32), Views(2, chunk=2), 7)
    assert seen[-1].shape == (3, 3, 16, 16) and embeds.shape == (3, 1, 16)


def test_a_given_flow_is_cut_and_scaled(models):
    frames, moved = video(5, 32, 32), torch.zeros(4, 2, 32, 32)
    seen = torch.ones(4, 1, 32, 32)
    weights = {"sound": 1.0, "flow": 30.0}
    given = edit.edit_video(
        frames, sound(), flow=Flow(moved, moved, seen, seen), config=settings(weights=weights, size=16), **models
    )
    estimated = edit.edit_video(frames, sound(), flow=still, config=settings(weights=weights, size=16), **models)
    assert torch.allclose(given.frames, estimated.frames, atol=tol.FLOAT32_SUM)
    each = edit.edit_video(
        frames, sound(), flow=still, config=settings(weights=weights, size=16, flow_on="estimate"), **models
    )
    first = slice(0, 3)  # a window that is laid on from the one before needs a flow that is known
    assert torch.allclose(each.frames[first], estimated.frames[first], atol=tol.FLOAT32_SUM)  # nothing moves in either


def test_flow_holds_frames_together(models):
    frames = video(1).repeat(4, 1, 1, 1)
    apart = {}
    for weight in (0.0, 3e4):
        config = settings(weights={"sound": 1.0, "flow": weight}, window=2, step=0.4, steps=8)
        out = edit.edit_video(frames, sound(4), flow=still, config=config, **models).frames
        apart[weight] = (out[1:] - out[:-1]).square().mean().item()
    assert apart[3e4] < 0.5 * apart[0.0]


def test_steps_are_told_and_an_exception_ends_the_work(models):
    told = []
    edit.edit_video(
        video(), sound(), config=settings(), on_step=lambda i, n, terms, preview: told.append((i, n, terms)), **models
    )
    assert [(i, n) for i, n, _ in told] == [(i, 6) for i in range(6)] and "sound" in told[0][2]

    def stop(i, n, terms, preview):
        assert preview().shape == (3, 3, 16, 16)
        told.append(i)
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        edit.edit_video(video(), sound(), config=settings(), on_step=stop, **models)
    assert told == [0]


def test_what_does_not_fit_is_refused(models):
    frames = video(3)
    for given, message in (
        ({"embeds": sound(2)}, "2 embeddings meet 3 frames"),
        ({"mask": torch.ones(2, 1, 16, 16)}, "2 masks meet 3 frames"),
        ({"mask": torch.ones(1, 1, 16, 32)}, "does not have the shape"),
        ({"curves": {"sound": torch.ones(2)}}, "2 values of the curve of sound meet 3 frames"),
        ({"curves": {"loud": torch.ones(3)}}, "no term 'loud'"),
        ({"config": settings(weights={"perceptual": 1.0})}, "no network"),
    ):
        with pytest.raises(InputError, match=message):
            edit.edit_video(frames, **{"embeds": sound(3), "config": settings(), **given}, **models)
    longer = edit.stream_edit(frames.split(1), sound(3), masks=[square()] * 2, config=settings(), **models)
    with pytest.raises(InputError, match="longer than its masks"):
        next(longer)
    with pytest.raises(InputError, match="longer than its 2 embeddings"):
        next(edit.stream_edit(frames.split(1), sound(2), config=settings(), **models))
    with pytest.raises(InputError, match="differ in size"):
        next(edit.stream_edit([frames, video(1, 8, 8)], sound(1), config=settings(window=9), **models))
    for wrong in ({"variant": "papers"}, {"weights": {"sounds": 1.0}}, {"skip": 4}, {"interval": (0.0, 2.0)}):
        with pytest.raises(InputError):
            settings(**wrong)


def test_perceptual_and_background_hold_what_is_outside(models):
    def apart(a, b):
        return (a - b).square().mean(dim=(1, 2, 3))

    config = settings(weights={"background": 1.0, "perceptual": 2.0, "range": 1.0}, variant="score")
    out = edit.edit_video(video(), sound(), mask=square(), perceptual=apart, config=config, **models)
    assert {*out.history[0]} == {"background", "perceptual", "range"}
    assert all(math.isfinite(value) for terms in out.history for value in terms.values())


def test_the_published_256_layout_runs_at_a_smaller_size(models, parity, diffusers, tmp_path):
    """Its keys at an eighth of its width, through the loader that a downloaded file goes through."""
    from soundguide_core.diffusion.denoiser import load_denoiser

    torch.save(narrow_256(parity), tmp_path / "256x256_diffusion_uncond.pt")
    denoiser = load_denoiser(tmp_path / "256x256_diffusion_uncond.pt")
    assert denoiser.resolution == 256 and denoiser.multiple == 32 and denoiser.unet.learned_variance
    config = settings(variant="paper", sampler="ddpm", steps=2, skip=0, size=32, weights={"sound": 10.0})
    frames = video(1, 36, 64)
    out = edit.edit_video(
        frames, sound(1), mask=square(36, 64), config=config, denoiser=denoiser, joint=models["joint"]
    )
    assert out.frames.shape == (1, 3, 36, 64) and torch.isfinite(out.frames).all()
    outside = (out.mask == 0).expand_as(frames)
    assert torch.equal(out.frames[outside], frames[outside]) and not torch.equal(out.frames, frames)


@pytest.mark.slow
@pytest.mark.long
def test_the_published_configuration_from_end_to_end(models, parity, diffusers, tmp_path):
    """`paper` as it is, at a reduced size with random weights: OpenAI's 256 layout an eighth as wide, RAFT on the
    estimate, LPIPS, the sound of every frame, 75 ancestral steps whose means are shifted."""
    lpips = pytest.importorskip("lpips")
    optical_flow = pytest.importorskip("torchvision.models.optical_flow")
    from soundguide_core.diffusion.denoiser import load_denoiser
    from soundguide_core.flow.estimators import RAFT, load_flow
    from soundguide_core.losses.perceptual import LPIPS

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(narrow_256(parity), tmp_path / "256x256_diffusion_uncond.pt")
        torch.save(optical_flow.raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
        perceptual = LPIPS(lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)).requires_grad_(False)
    config = edit.EditConfig(variant="paper", steps=75, size=32)
    published = {"sound", "direction", "flow", "background", "perceptual"}
    assert config.weights.keys() == published and (config.sampler, config.flow_on) == ("ddpm", "estimate")
    assert (config.crops, config.scale, config.skip, config.interval) == (7, 1.0, 0, (0.0, 1.0))
    flow = load_flow(tmp_path / "raft.pth")
    assert isinstance(flow, RAFT)
    frames, seen = video(2, 32, 32), []
    out = edit.edit_video(
        frames, sound(2), mask=square(32, 32), denoiser=load_denoiser(tmp_path / "256x256_diffusion_uncond.pt"),
        joint=models["joint"], flow=flow, perceptual=perceptual, config=config,
        on_step=lambda i, n, terms, preview: seen.append((i, n)),
    )  # fmt: skip
    assert seen == [(i, 75) for i in range(75)] and len(out.history) == 75
    assert all(terms.keys() == published for terms in out.history)
    assert all(math.isfinite(value) for terms in out.history for value in terms.values())
    assert all(terms["direction"] > 0 and terms["perceptual"] > 0 for terms in out.history[1:])
    outside = (out.mask == 0).expand_as(frames)
    assert torch.equal(out.frames[outside], frames[outside]) and not torch.equal(out.frames, frames)


def narrow_256(parity) -> dict[str, torch.Tensor]:
    """256x256_diffusion_uncond.pt's keys at an eighth of its width, at random."""
    rng = torch.Generator().manual_seed(0)
    return {
        key: 0.05 * torch.randn([side // 8 if side >= 192 else side for side in x.shape], generator=rng)
        for key, x in parity.read("guided_diffusion")[1]["full_256"].items()
    }


def test_two_sounds_in_two_places_in_one_pass(models):
    frames, (left, right) = video(4), (torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    left[..., :6], right[..., 10:] = 1, 1
    both = dict(mask=left, places=[edit.Place(sound(4).flip(0), right)])
    out = edit.edit_video(frames, sound(4), config=settings(window=2), **both, **models)
    assert torch.equal(out.frames[..., 6:10], frames[..., 6:10])  # between them the source, to the bit
    assert torch.equal(out.mask, (left + right).expand(4, -1, -1, -1))
    alone = edit.edit_video(frames, sound(4), mask=left, config=settings(window=2), **models).frames
    assert (alone[..., 10:] - frames[..., 10:]).abs().max() == 0 < (out.frames[..., 10:] - frames[..., 10:]).abs().max()


def test_each_sound_sees_its_own_place_and_leads_by_its_own_curve(models):
    rng = torch.Generator().manual_seed(5)
    x_src, x0_hat = (torch.rand(2, 3, 16, 16, generator=rng) * 2 - 1 for _ in range(2))
    masks = [square().expand(2, -1, -1, -1), 1 - square().expand(2, -1, -1, -1)]
    leads = torch.tensor([[1.0, 0.2], [0.5, 0.8]])
    window = Window(0, x_src, torch.ones(2, 1, 16, 16), None, sound(2), None, {"sound": leads[0]})
    place = edit.Place(sound(2).flip(0), masks[1], leads[1])
    weights = {"sound": 1.0, "direction": 1.0}
    heard, led = placed_sounds(window, models["joint"], weights, Views(), masks, [place])
    assert torch.equal(led.curves["sound"], torch.tensor([1.0, 0.8]))
    terms = heard(x0_hat)
    with torch.no_grad():
        seen = [models["joint"].encode_image(m * x0_hat + (1 - m) * x_src) for m in masks]
    apart = [1 - (each * audio).sum(1) for each, audio in zip(seen, (sound(2), sound(2).flip(0)))]
    wanted = leads[0] * apart[0] + leads[1] * apart[1]  # the curve times the shares
    assert torch.allclose(led.curves["sound"] * terms["sound"], wanted, atol=tol.FLOAT32_SUM)
    assert terms["direction"].shape == (1,)


def test_bfloat16_is_near_float32_and_where_the_processor_has_it(models, monkeypatch):
    frames = video(2)
    made = {
        name: edit.edit_video(frames, sound(2), config=settings(precision=name, window=2), **models).frames
        for name in ("float32", "bfloat16")
    }
    apart = (made["float32"] - made["bfloat16"]).abs()
    assert 0 < apart.mean() < 0.02  # of -1..1
    for there, same in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(edit, "multiplies_bfloat16", lambda device, there=there: there)
        auto = edit.edit_video(frames, sound(2), config=settings(precision="auto", window=2), **models).frames
        assert torch.equal(auto, made[same])
