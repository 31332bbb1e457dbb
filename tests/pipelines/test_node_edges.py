"""What wrong neighbours send to nodes: one sentence of cause, one of remedy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

NAN, INF = float("nan"), float("inf")
SOUND = {"waveform": 0.5 * torch.sin(torch.linspace(0, 500, 8000))[None, None], "sample_rate": 8000}


@pytest.fixture
def refused(nodes):
    """The InputError of the nodes' own copy of the core, as pytest.raises."""
    return lambda said: pytest.raises(nodes("host").InputError, match=said)


class Lazy(Mapping):
    """A sound that cannot be decoded when it is asked for."""

    def __init__(self, error):
        self.error = error

    def __getitem__(self, key):
        raise self.error

    def __iter__(self):
        return iter(("waveform", "sample_rate"))

    def __len__(self):
        return 2


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError("moov atom not found"), "RuntimeError: moov"), (OSError(5, "gone"), "gone"),
     (KeyError("waveform"), "no 'waveform'"), (ValueError("x" * 5000), "cannot be read")],
)  # fmt: skip
def test_a_lazy_sound_that_raises(nodes, refused, error, said):
    with refused(said) as caught:
        nodes("host").wave_of(Lazy(error))
    assert len(str(caught.value)) < 400


def test_stop_passes_through_a_lazy_sound(nodes):
    with pytest.raises(KeyboardInterrupt):
        nodes("host").wave_of(Lazy(KeyboardInterrupt()))


@pytest.mark.parametrize(
    "samples",
    [
        torch.tensor([[[-32768, 0, 16384]]], dtype=torch.int16),
        np.array([[[-32768, 0, 16384]]], np.int16),
        np.array([[[-32768, 0, 16384]]], ">i2"),
        torch.tensor([[[0, 128, 192]]], dtype=torch.uint8),
        np.array([[[0, 128, 192]]], np.uint8),
        np.array([[[-1, 0, 0.5]]], np.float64),
        torch.tensor([[[-(2**31), 0, 2**30]]], dtype=torch.int32),
        torch.tensor([[[-1, 0, 0.5]]], dtype=torch.bfloat16),
    ],
    ids=lambda x: str(x.dtype),
)
def test_samples_of_every_type_mean_the_same(nodes, samples):
    wave, rate = nodes("host").wave_of({"waveform": samples, "sample_rate": np.int64(8000)})
    assert wave.tolist() == [[[-1.0, 0.0, 0.5]]] and wave.dtype == torch.float32 and rate == 8000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"waveform": torch.full((1, 1, 4000), 1e31)}, "as large as"),
        ({"waveform": torch.full((1, 1, 4000), INF)}, "finite"),
        ({"waveform": [[[0.0] * 50]]}, "list"),
        ({"waveform": torch.zeros(1, 1, 50, dtype=torch.complex64)}, "finite floats"),
        ({"waveform": torch.zeros(2, 1, 50)}, "batch of 2"),
        ({"waveform": torch.zeros(1, 50, 2)}, "50 channels"),
        ({"sample_rate": NAN}, "sample rate is nan"),
        ({"sample_rate": "44100"}, "sample rate is '44100'"),
    ],
)
def test_no_sound(execute, refused, change, said):
    with refused(said):
        execute(
            "audio", "SoundSchedule", audio={**SOUND, **change}, curve="loudness", fps=12.0, num_frames=0, low=0.0,
            high=1.0, smoothing=0.0,
        )  # fmt: skip


@pytest.mark.parametrize("fps", [NAN, INF, -INF, 0.0, -12.0])
def test_impossible_frame_rates(execute, model, refused, tiny, tiny_trajectory, tiny_video_generator, fps):
    joint = model("embedding.joint.load_joint", tiny.joint)
    trajectory = model("trajectory.trajectory.load_trajectory", tiny_trajectory)
    video_generator = model("generators.loading.load_video_generator", tiny_video_generator)
    start = execute(
        "latents", "SampleLatents", generator=model("generators.loading.load_generator", tiny.generator), seed=0,
        batch_size=1, psi=0.7,
    )[0]  # fmt: skip
    calls = {
        ("audio", "SoundSchedule"): dict(
            audio=SOUND, curve="beat", num_frames=0, low=0.0, high=1.0, smoothing=0.0
        ),
        ("embedding", "AudioEncode"): dict(encoder=joint, audio=SOUND, num_frames=0, per_frame=True, words=""),
        ("analysis", "SoundReport"): dict(encoder=joint, image=torch.zeros(20, 8, 8, 3), audio=SOUND),
        ("sound_to_video", "SoundInversion"): dict(trajectory=trajectory, audio=SOUND, start=start, num_frames=5),
        ("continuous_video", "StyleGANVRender"): dict(
            generator=video_generator, seed=0, motion_seed=0, seconds=1.0, psi=0.8, loop=False, drive="auto",
            strength=1.0, feature="loudness", chunk=4,
        ),
        ("examples", "ExampleScene"): dict(seed=0, phenomenon="rain", intensity=1.0, size=32, num_frames=2),
    }  # fmt: skip
    for (file, name), inputs in calls.items():
        with refused("frame rate"):
            execute(file, name, fps=fps, **inputs)


@pytest.mark.parametrize("seconds", [NAN, INF, -1.0])
def test_impossible_lengths(execute, model, refused, tiny_video_generator, seconds):
    generator = model("generators.loading.load_video_generator", tiny_video_generator)
    with refused("length"):
        execute(
            "continuous_video", "StyleGANVRender", generator=generator, seed=0, motion_seed=0, fps=12.0,
            seconds=seconds, psi=0.8, loop=False, drive="auto", strength=1.0, feature="loudness", chunk=4,
        )  # fmt: skip
    with refused("length"):
        execute(
            "examples", "ExampleSound", phenomenon="rain", seconds=seconds, intensity=0.5, course="steady", seed=0
        )  # fmt: skip


def test_a_video_without_sound_and_without_length(execute, model, refused, tiny_video_generator):
    generator = model("generators.loading.load_video_generator", tiny_video_generator)
    with refused("no length"):
        execute(
            "continuous_video", "StyleGANVRender", generator=generator, seed=0, motion_seed=0, fps=12.0, seconds=0.0,
            psi=0.8, loop=False, drive="auto", strength=1.0, feature="loudness", chunk=4,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("image", "said"),
    [(None, "No picture"), ("a.png", "A str"), (torch.full((1, 4, 4, 3), NAN), "not numbers"),
     (torch.zeros(4, 4, 3), "shape"), (torch.zeros(1, 4, 4, 2), "channels")],
)  # fmt: skip
def test_no_picture(nodes, refused, image, said):
    with refused(said):
        nodes("host").img_of(image)


@pytest.mark.parametrize(
    ("mask", "said"),
    [(None, "No mask"), ([1.0], "A list"), (torch.full((1, 4, 4), NAN), "not numbers"), (torch.zeros(4), "shape"),
     (torch.zeros(1, 3, 4, 4), "shape"), (torch.zeros(0, 4, 4), "shape")],
)  # fmt: skip
def test_no_mask(nodes, refused, mask, said):
    with refused(said):
        nodes("host").mask_of(mask)


def test_bytes_are_pixels_too(nodes):
    pixels = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 1, 2).contiguous()
    img = nodes("host").img_of(pixels[..., None])
    assert img[0, :, 0].tolist() == [[-1, 1]] * 3
    assert torch.equal(nodes("host").img_of(pixels[..., None].numpy()), img)
    assert nodes("host").mask_of(pixels).flatten().tolist() == [0, 1]


EDIT = dict(
    strength=2.0, steps=3, skip=1, seed=3, also_weight=0.5, follow_movement=0.0, keep_background=0.0,
    follow_changes=0.0, variant="clean", sampler="ddpm", surroundings="source", crops=0, feather=0, window=3, chunk=2,
    size=0,
)  # fmt: skip


@pytest.mark.parametrize(("value", "invert"), [(0.0, True), (1.0, False), (0.0, False), (1.0, True)])
def test_an_empty_mask_inverted_edits_everything(execute, model, refused, tiny, tiny_unet, value, invert):
    joint = model("embedding.joint.load_joint", tiny.joint)
    embeds, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=SOUND, fps=12.0, num_frames=0, per_frame=False, words=""
    )
    image = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    inputs = dict(
        diffusion=model("diffusion.denoiser.load_denoiser", tiny_unet), encoder=joint, image=image, embeds=embeds,
        mask=torch.full((1, 16, 16), value), invert_mask=invert, **EDIT,
    )  # fmt: skip
    if (value == 1.0) == invert:
        with refused("marks nothing to edit"):
            execute("video_editing", "SoundiniSampler", **inputs)
        return
    edited, _ = execute("video_editing", "SoundiniSampler", **inputs)
    assert ((edited - image).abs().amax(dim=-1) > 0).float().mean() > 0.9


def test_the_class_of_sampled_pictures(execute, model, refused, tiny, tmp_path):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.generators.loading import load_generator
    from soundguide_core.generators.stylegan2 import Generator

    config = dataclasses.replace(load_generator(tiny.generator).config, c_dim=3)
    safetensors_io.save(tmp_path / "g.safetensors", Generator(config).state_dict(), config.to_dict())
    generator = model("generators.loading.load_generator", tmp_path / "g.safetensors")

    def sample(**inputs):
        return execute(
            "latents", "SampleLatents", **{"generator": generator, "seed": 4, "batch_size": 1, "psi": 1.0, **inputs}
        )[0].ws

    assert [torch.equal(sample(class_index=-1), sample(class_index=k)) for k in range(3)].count(True) == 1
    assert torch.equal(sample(), sample(class_index=-1))
    with refused("a whole number from 0 to 2"):
        sample(class_index=3)
    with refused("this generator has none"):
        sample(generator=model("generators.loading.load_generator", tiny.generator), class_index=0)


def test_encoders_of_one_space_meet_and_others_are_refused_by_name(nodes, refused):
    Embeds = nodes("sockets").Embeds
    one, two = torch.eye(2)[:1], torch.eye(2)[1:]
    heard = Embeds(one, "rain", "wav2clip", space="OpenAI CLIP ViT-B/32 aa")
    read = Embeds(two, "fire", "clap", space="OpenAI CLIP ViT-B/32 aa")
    mixed = nodes("embedding").mix([heard, read], [1.0, 1.0])
    assert mixed.label == "rain + fire" and mixed.space == heard.space
    elsewhere = dataclasses.replace(read, space="CLIP ViT-B/32 bb")
    with refused("made with encoder 'clap' meets encoder 'wav2clip'.*CLIP ViT-B/32 bb and OpenAI CLIP ViT-B/32 aa"):
        nodes("embedding").mix([heard, elsewhere], [1.0, 1.0])
    with refused("another space"):
        nodes("embedding").mix([heard, dataclasses.replace(read, space="")], [1.0, 1.0])
    network = torch.nn.Module()
    network.space = heard.space  # pyright: ignore[reportAttributeAccessIssue]
    encoder = nodes("host").Model("clip-b-32-cvpr2022", lambda device: network)
    nodes("embedding").check_encoder([heard, read], encoder)
    with refused("meets encoder 'clip-b-32-cvpr2022', which has another space"):
        nodes("embedding").check_encoder([elsewhere], encoder)


def test_a_clip_is_found_though_the_host_calls_in_inference_mode(execute, model, tiny_video_generator):
    generator = model("generators.loading.load_video_generator", tiny_video_generator)
    clip = torch.rand(3, 24, 24, 3)
    made = {"psi": 1.0, "motion_seed": 0, "seed": 0, "fps": 4.0}
    frames, fps, count = execute(
        "continuous_video", "StyleGANVRender", generator=generator, seconds=1.0, clip=clip, clip_fps=24.0, **made
    )
    assert len(frames) == count == 4 and fps == 4 and torch.isfinite(frames).all()


@pytest.mark.parametrize("image", [torch.tensor(1.0), torch.zeros(8, 8), "a.png", [[0.0]]])
def test_what_frames_are_not(nodes, refused, image):
    with refused("No frames have arrived"):
        nodes("analysis").frames_and_sound(image, SOUND, 8.0, None)


def test_a_sample_rate_of_hundreds_of_digits(nodes, refused):
    with refused("sample rate is"):
        nodes("host").wave_of({**SOUND, "sample_rate": 10**400})


def test_what_a_picture_before_is_not(nodes, refused):
    with refused("A str has arrived at input 'before'"):
        nodes("analysis").before_frames("frames", 3)


def test_models_at_another_input(model, nodes, refused, tiny):
    generator = model("generators.loading.load_generator", tiny.generator)
    for kind in nodes("checks").KINDS:
        socket = SimpleNamespace(id="it", optional=True, get_io_type=lambda kind=kind: kind)
        with refused("A str has arrived at input 'it'"):
            nodes("checks").checked_value(socket, "a text")
        assert nodes("checks").checked_value(socket, None) is None
        assert nodes("checks").checked_value(socket, generator) is generator  # it says no kind


def test_every_socket_of_ours_is_checked(nodes):
    checks = nodes("checks")
    source = Path(nodes("sockets").__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'io\.Custom\("(SOUNDGUIDE_\w+)"\)', source)) == {*checks.KINDS, *checks.SENT}


@pytest.mark.parametrize("text", ["half \udcff", "$\\frac$", "100 $", "a\nb\x1b[2J", "雨"])
def test_any_text_stands_over_a_plot(nodes, text):
    assert nodes("plots").layer_picture([0.1, 0.5], text).shape[-1] == 3
