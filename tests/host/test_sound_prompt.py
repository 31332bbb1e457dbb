"""One prompt a frame through ComfyUI's own sampling: rows meet their pictures, and what does not fit is refused."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from families import FAMILIES, latent, run
from families import load as load_family

import tolerances as tol

pytestmark = pytest.mark.host

SETTINGS = dict(
    base_prompt="a bay", negative_prompt="blurry", fps=12.0, num_frames=0, strength=1.0, loudness="constant", most=3,
    floor=0.0, scale=False, blend="all that is heard", smoothing=0.0, hold=0.0,
    negative_words="the same in every frame", schedule_format='"0": "prompt"',
)  # fmt: skip
PICTURES = [name for name, family in FAMILIES.items() if not family.video]


EVERYWHERE = ("SD1.5", "SDXL", "Wan 2.1", "Wan 2.2", "LTXV")  # in every version of the host that we support


def load(name: str):
    """The family's model; skips where this host does not have the family as it is today."""
    try:
        return load_family(name)
    except (AttributeError, TypeError) as error:
        if name in EVERYWHERE:
            raise
        pytest.skip(f"this host does not have {name} as it is today: {error}")


def windowed(model, **settings):
    """The host's own context windows, with those settings that this version has."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode as Node

    known = inspect.signature(Node.execute).parameters
    if "freenoise" not in known:
        pytest.skip("the context windows of this host do not cut what models are told")
    settings = {
        "context_overlap": 0, "context_schedule": "standard_static", "context_stride": 1, "closed_loop": False,
        "fuse_method": "flat", "freenoise": False, "cond_retain_index_list": [], "split_conds_to_windows": False,
        "causal_window_fix": False, **settings,
    }  # fmt: skip
    return Node.execute(model, **{key: value for key, value in settings.items() if key in known}).args[0]


class Clip:
    """A text encoder that gives each text an embedding of its own, of `tokens` rows for each eight letters begun."""

    def __init__(self, dims: int = 24, pooled: int = 0, tokens: int = 6, **more):
        self.dims, self.pooled, self.tokens, self.more, self.asked = dims, pooled, tokens, more, []

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list:
        self.asked.append(text)
        rng = torch.Generator().manual_seed(sum(map(ord, text)))
        count = self.tokens * (2 if len(text) > 30 else 1)
        more = {"pooled_output": torch.randn(1, self.pooled, generator=rng) if self.pooled else None}
        return [[torch.randn(1, count, self.dims, generator=rng), {**more, **self.more}]]


class Pack:
    def __init__(self, pack):
        self.pack = pack
        self.node = pack("nodes.sound_prompt").SoundPrompt
        self.words_type = pack("soundguide_core.embedding.hearing.words").HeardWords
        self.InputError = pack("soundguide_core.common.errors").InputError
        self.host_conditioning = pack("nodes.host_conditioning")

    def words(self, frames: int, fps: float = 12.0):
        """Rain that gives way to wind."""
        rise = torch.linspace(0, 1, frames)
        return self.words_type(
            ("rain", "wind"), ("rain, wet", "wind"), torch.stack([1 - rise, rise], 1), hop_sec=1 / fps,
            first_sec=0.5 / fps, seconds=frames / fps,
        )  # fmt: skip

    def prompt(self, frames: int, clip=None, **changes):
        """(positive, negative, prompts, schedule)"""
        with torch.inference_mode():
            made = self.node.execute(self.words(frames), clip=clip or Clip(), **{**SETTINGS, **changes})
        return made.args[:4]


@pytest.fixture(scope="module")
def sound(pack):
    return Pack(pack)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value: random networks give values of any size."""
    return float((one - other).abs().max() / other.abs().max())


def plain(conditioned: list) -> list:
    """Without what counts its rows: as the host would take it."""
    return [[text, {key: value for key, value in more.items() if key != "model_conds"}] for text, more in conditioned]


def frame(conditioned: list, i: int) -> list:
    cut = lambda x: x[i : i + 1] if isinstance(x, torch.Tensor) and len(x) > 1 else x  # noqa: E731
    return [[cut(text), {key: cut(value) for key, value in more.items()}] for text, more in plain(conditioned)]


def frames_of(name: str, count: int) -> dict:
    return latent(name, (count, *FAMILIES[name].latent[1:]))


def one_by_one(model, name: str, positive: list, negative: list, count: int, **settings) -> torch.Tensor:
    """Each picture sampled alone, with the noise that it has in the batch."""
    made = []
    for i in range(count):
        start = {**frames_of(name, 1), "batch_index": [i]}
        made.append(run(model, name, start=start, positive=frame(positive, i), negative=frame(negative, i), **settings))
    return torch.cat(made)


@pytest.mark.parametrize("name", ("SD1.5", "SDXL", "Flux"))
def test_rows_meet_their_pictures(sound, name):
    model, family = load(name), FAMILIES[name]
    positive, negative, _, _ = sound.prompt(4, Clip(family.text, family.pooled, **family.extra))
    assert positive[0][0].shape == (4, 6, family.text) and negative[0][0].shape == (4, 6, family.text)
    if family.pooled:
        assert positive[0][1]["pooled_output"].shape == (4, family.pooled)
    start = {**frames_of(name, 4), "batch_index": [0, 1, 2, 3]}
    together = run(model, name, start=start, positive=positive, negative=negative)
    alone = one_by_one(model, name, positive, negative, 4)
    assert apart(together, alone) < tol.PARITY
    assert apart(alone[0], alone[3]) > 100 * tol.PARITY


@pytest.mark.parametrize("name", PICTURES)
def test_every_family_of_pictures_takes_it(sound, name):
    model, family = load(name), FAMILIES[name]
    positive, negative, _, _ = sound.prompt(2, Clip(family.text, family.pooled, **family.extra))
    try:
        run(model, name, steps=1)
    except KeyError as error:
        if name in EVERYWHERE:
            raise
        pytest.skip(f"this host does not have {name} as it is today: {error}")
    assert run(model, name, start=frames_of(name, 2), positive=positive, negative=negative, steps=1).isfinite().all()
    # beside a negative that is the same in every frame, such as CLIP Text Encode gives
    assert run(model, name, start=frames_of(name, 2), positive=positive, steps=1).isfinite().all()


def test_the_host_repeats_and_cuts_without_a_word(sound):
    """What the refusals are for."""
    model = load("SD1.5")
    three, _, _, _ = sound.prompt(3)
    many = run(model, "SD1.5", start=frames_of("SD1.5", 5), positive=plain(three))
    again = torch.cat([three[0][0], three[0][0][:2]])
    repeated = run(model, "SD1.5", start=frames_of("SD1.5", 5), positive=[[again, {}]])
    assert apart(many, repeated) < tol.FLOAT32_SUM
    few = run(model, "SD1.5", start=frames_of("SD1.5", 2), positive=plain(three))
    cut = run(model, "SD1.5", start=frames_of("SD1.5", 2), positive=[[three[0][0][:2], {}]])
    assert apart(few, cut) < tol.FLOAT32_SUM


@pytest.mark.parametrize("latents, said", ((5, "begin again at the first"), (2, "leave the last ones out")))
def test_too_short_and_too_long_are_refused_in_words(sound, latents, said):
    model = load("SD1.5")
    positive, negative, _, _ = sound.prompt(3)
    with pytest.raises(sound.InputError, match=f"3 frames meets {latents} latents: the host would {said}"):
        run(model, "SD1.5", start=frames_of("SD1.5", latents), positive=positive, negative=negative)
    with pytest.raises(sound.InputError, match=said):  # at once, where the latent is known
        sound.prompt(3, num_frames=3, latent=frames_of("SD1.5", latents))


def test_a_video_model_would_take_row_0_and_is_refused(sound):
    positive, _, _, _ = sound.prompt(4)
    model, name = load("Wan 2.1"), "Wan 2.1"
    first = run(model, name, positive=frame(positive, 0), cfg=1.0)
    assert apart(run(model, name, positive=plain(positive), cfg=1.0), first) < tol.FLOAT32_SUM
    with pytest.raises(sound.InputError, match="Use Prompt over Time"):
        run(model, name, positive=positive, cfg=1.0)
    with pytest.raises(sound.InputError, match="Use Prompt over Time"):
        sound.prompt(4, num_frames=4, latent=latent(name))


def test_a_latent_says_how_many_frames_there_are(sound):
    positive, _, schedule, _ = sound.prompt(9, latent=frames_of("SD1.5", 4))
    assert len(positive[0][0]) == 4 and schedule.num_frames == 4


def test_context_windows_slice_the_right_rows(sound):
    model = load("SD1.5")
    positive, negative, _, _ = sound.prompt(6)
    start = {**frames_of("SD1.5", 6), "batch_index": list(range(6))}
    found = run(windowed(model, context_length=3, dim=0), "SD1.5", start=start, positive=positive, negative=negative)
    alone = one_by_one(model, "SD1.5", positive, negative, 6)
    assert apart(found, alone) < tol.PARITY


def test_texts_of_two_lengths_are_blended(sound):
    clip = Clip()
    positive, _, schedule, _ = sound.prompt(3, clip, base_prompt="a very long base prompt of a bay at night")
    assert positive[0][0].shape[1] == 12 and len(set(clip.asked)) == len(clip.asked)
    base = clip.encode_from_tokens_scheduled(schedule.base)[0][0]
    silent, _, _, _ = sound.prompt(3, clip, base_prompt=schedule.base, strength=0.0)
    assert torch.allclose(silent[0][0], base.expand(3, -1, -1), atol=tol.FLOAT32)


def test_a_padded_text_keeps_its_mask(sound):
    class Padded(Clip):
        def encode_from_tokens_scheduled(self, text):
            made = super().encode_from_tokens_scheduled(text)
            count = 3 + len(text) % 5
            made[0][0] = made[0][0][:, :1].repeat(1, count, 1)
            made[0][1]["attention_mask"] = torch.ones(1, count)
            return made

    positive, _, schedule, _ = sound.prompt(4, Padded())
    longest = max(3 + len(text) % 5 for text in schedule.texts)
    assert positive[0][0].shape[1] == longest and positive[0][1]["attention_mask"].tolist() == [[1.0] * longest]


def test_what_cannot_be_blended_is_refused_by_name(sound):
    class Ids(Clip):
        def encode_from_tokens_scheduled(self, text):
            made = super().encode_from_tokens_scheduled(text)
            made[0][1]["t5xxl_ids"] = torch.arange(len(text))[None]
            return made

    with pytest.raises(sound.InputError, match="t5xxl_ids"):
        sound.prompt(3, Ids())


def test_without_a_text_encoder_there_are_prompts_alone(sound):
    with torch.inference_mode():
        positive, negative, prompts, text, *_ = sound.node.execute(sound.words(3), **SETTINGS).args
    assert "Connect its 'clip'" in positive.message and negative.message == positive.message
    assert prompts.num_frames == 3 and "rain" in text


def test_the_schedule_is_the_same_as_text(sound):
    _, _, prompts, text = sound.prompt(24)
    told = json.loads("{" + text + "}")
    assert told["0"] == "a bay, rain, wet" and list(told.values())[-1] == "a bay, wind"
    assert prompts.texts == ["a bay", "a bay, rain, wet", "a bay, wind"]


def test_the_negative_may_say_what_is_not_heard(sound):
    clip = Clip()
    _, negative, _, _ = sound.prompt(5, clip, negative_words="also what is not heard")
    assert "blurry, wind" in clip.asked
    assert float((negative[0][0][0] - negative[0][0][4]).abs().max()) > 0.1
    _, same, _, _ = sound.prompt(5)
    assert torch.equal(same[0][0][0], same[0][0][4])


def test_loudness_drives_denoising_with_stock_nodes(pack):
    """A noise mask a frame and Differential Diffusion: the louder, the more a frame changes."""
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
    from scipy.stats import spearmanr

    from nodes import SetLatentNoiseMask

    curve = torch.tensor([0.0, 0.9, 0.3, 0.6, 0.15, 0.75, 0.45, 1.0])
    shape = pack("nodes.curves").CurveShape
    settings = dict(
        fps=12.0, frame=0, width=64, height=64, frames_per_latent="1 (pictures, AnimateDiff)", keyframe_format="json"
    )
    rng = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        model = DifferentialDiffusion.execute(load("SD1.5")).args[0]
        start = {"samples": torch.randn(8, 4, 8, 8, generator=rng)}
        mask = shape.execute(curve.tolist(), latent=start, **settings).args[5]
        masked = SetLatentNoiseMask().set_mask(start, mask)[0]
    made = run(model, "SD1.5", start={**masked, "batch_index": [0] * 8}, steps=20)
    change = (made - start["samples"]).square().mean((1, 2, 3)).sqrt()
    assert float(change[0]) < tol.FLOAT32_SUM and spearmanr(change, curve).statistic > 0.95


def test_two_sounds_in_two_places_in_one_run(sound, pack):
    """Each region has its own rows behind its mask, and what is left has the base prompt: D = sum_r m_r D(rows_r)."""
    regions = pack("nodes.sound_regions").SoundRegions
    left = torch.zeros(1, 8, 8)
    left[..., :3] = 1
    right = torch.zeros(1, 8, 8)
    right[..., 5:] = 1
    rain, wind = (sound.words(4).only([i]) for i in (0, 1))
    with torch.inference_mode():
        both = regions.execute(words_1=rain, mask_1=left, words_2=wind, mask_2=right).args[0]
        positive = sound.node.execute(both, clip=Clip(), **SETTINGS).args[0]
        alone = [sound.node.execute(each, clip=Clip(), **SETTINGS).args[0] for each in (rain, wind)]
        base = sound.node.execute(rain, clip=Clip(), **{**SETTINGS, "strength": 0.0}).args[0]
    model = load("SD1.5")
    look = lambda told: run(model, "SD1.5", start=frames_of("SD1.5", 4), positive=told, cfg=1.0, steps=1)  # noqa: E731
    expected = look(alone[0]) * left + look(alone[1]) * right + look(base) * (1 - left - right)
    assert apart(look(positive), expected) < tol.PARITY


def test_prompts_keep_their_places_for_a_video(sound, pack):
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1
    with torch.inference_mode():
        both = pack("nodes.sound_regions").SoundRegions.execute(words_1=sound.words(13), mask_1=left).args[0]
        prompts = sound.node.execute(both, **SETTINGS).args[2]
        over_time = pack("nodes.prompt_over_time").PromptOverTime
        model, positive, _ = over_time.execute(load("Wan 2.1"), Clip(), prompts, "auto").args
    told = run(model, "Wan 2.1", positive=positive, cfg=1.0, steps=1)
    base = run(load("Wan 2.1"), "Wan 2.1", positive=Clip().encode_from_tokens_scheduled("a bay"), cfg=1.0, steps=1)
    assert apart(told[..., 4:], base[..., 4:]) < tol.PARITY and apart(told[..., :4], base[..., :4]) > 20 * tol.PARITY
