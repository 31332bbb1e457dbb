"""The same input and settings give the same bytes from a node and from the command."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.waveform import load_audio
from soundguide_core.cli import main
from soundguide_core.media import video
from soundguide_core.media.images import from_host, from_uint8, load_image, save_image, to_uint8

COUNT, FPS = 5, 12.0
JOINT = "embedding.joint.load_joint"
HEAR = dict(fps=FPS, num_frames=COUNT, words="rain, wind")
EDIT = dict(
    strength=2.0, steps=4, skip=1, seed=3, also_weight=0.5, follow_movement=0.7, keep_background=0.1,
    follow_changes=0.2, variant="score", sampler="ddpm", surroundings="source", crops=0, feather=2, invert_mask=False,
    window=3, chunk=2, size=0,
)  # fmt: skip
CHANGE = dict(
    steps=4, step_size=0.0015, keep_source=0.004, adaptive_layers=True, variant="paper", crops=1, space="w",
    samples=256, seed=5, also_weight=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """frames/ and mask.png, a recording that swells, and its AUDIO."""
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(0)
    frames = from_uint8(torch.from_numpy(rng.integers(256, size=(COUNT, 20, 24, 3), dtype=np.uint8)))
    with video.writing(folder / "frames", FPS) as write:
        write(frames)
    mask = torch.full((3, 20, 24), -1.0)
    mask[:, 4:14, 6:18] = 1
    save_image(mask, folder / "mask.png")
    swell = np.linspace(0.02, 1, 8000)[:, None]
    soundfile.write(folder / "sound.wav", rng.uniform(-0.5, 0.5, (8000, 2)) * swell, 8000)
    return folder


def audio_of(path) -> dict:
    wave, sample_rate = load_audio(path)
    return {"waveform": wave[None], "sample_rate": sample_rate}


def pixels_of(image: torch.Tensor) -> torch.Tensor:
    """IMAGE => what a file would hold."""
    return to_uint8(from_host(image.clone()))


@pytest.mark.parametrize(
    ("node_law", "options"), [("sones", []), ("decibels", ["--loudness", "decibels"]), (None, ["--steady"])]
)
def test_edit(tiny, tiny_unet, files, tmp_path, execute, model, node_law, options):
    joint, diffusion = model(JOINT, tiny.joint), model("diffusion.denoiser.load_denoiser", tiny_unet)
    embeds, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=audio_of(files / "sound.wav"), per_frame=True, **HEAR
    )
    (text,) = execute("embedding", "TextEncode", encoder=joint, text="a storm")
    frames = torch.cat(list(video.read_frames(files / "frames")))
    edited, _ = execute(
        "video_editing", "SoundiniSampler", diffusion=diffusion, encoder=joint, image=to_uint8(frames).float() / 255,
        embeds=embeds, also=text, mask=load_image(files / "mask.png")[:, 0] / 2 + 0.5, **EDIT,
        **({} if node_law is None else {"loudness": node_law}),
    )  # fmt: skip
    words = (
        f"edit --video {files}/frames --audio {files}/sound.wav --mask {files}/mask.png --out {tmp_path}/out"
        f" --unet {tiny_unet} --joint {tiny.joint} --text storm --text-weight 0.5 --sound none"
        " --strength 2 --steps 4 --skip 1 --seed 3"
        " --weight flow=0.7 --weight background=0.1 --weight direction=0.2 --feather 2 --window 3 --chunk 2"
    ).split()
    words[words.index("storm")] = "a storm"
    assert main([*words, *options]) == 0
    same = to_uint8(video.read_video(tmp_path / "out"))
    assert torch.equal(pixels_of(edited), same)
    assert not torch.equal(same, to_uint8(frames))


def test_the_loudness_makes_a_difference(tiny, tiny_unet, files, execute, model):
    joint, diffusion = model(JOINT, tiny.joint), model("diffusion.denoiser.load_denoiser", tiny_unet)
    embeds, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=audio_of(files / "sound.wav"), per_frame=True, **HEAR
    )
    frames = to_uint8(torch.cat(list(video.read_frames(files / "frames")))).float() / 255
    found = [
        execute(
            "video_editing", "SoundiniSampler", diffusion=diffusion, encoder=joint, image=frames, embeds=embeds,
            loudness=law, **EDIT,
        )[0]
        for law in ("constant", "decibels", "sones")
    ]  # fmt: skip
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])


@pytest.mark.parametrize("image", [False, True])
def test_manipulate(tiny, files, tmp_path, execute, model, image):
    joint, generator = model(JOINT, tiny.joint), model("generators.loading.load_generator", tiny.generator)
    sound, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=audio_of(files / "sound.wav"), per_frame=False, **HEAR
    )
    (text,) = execute("embedding", "TextEncode", encoder=joint, text="a storm")
    if image:
        picture = next(iter(sorted((files / "frames").glob("*.png"))))
        find = dict(steps=200, step_size=0.1, stay_editable=0.1, candidates=256, seed=5)
        shown = to_uint8(load_image(picture)).float() / 255
        latents, *_ = execute(
            "image_manipulation", "InvertImage", generator=generator, image=shown, encoder=joint, **find
        )
    else:
        (latents,) = execute("latents", "SampleLatents", generator=generator, seed=5, batch_size=1, psi=0.7)
    _, changed, _, before = execute(
        "image_manipulation", "SoundManipulate", generator=generator, encoder=joint, latents=latents, embeds=sound,
        also=text, **CHANGE,
    )  # fmt: skip
    words = (
        f"manipulate --audio {files}/sound.wav --weight 1 --weight 0.5 --generator {tiny.generator}"
        f" --joint {tiny.joint} --seed 5 --steps 4 --similarity 0.004 --out {tmp_path}/out.png"
    ).split()
    assert main([*words, "--text", "a storm", *(["--image", str(picture)] if image else [])]) == 0
    assert torch.equal(pixels_of(changed), to_uint8(load_image(tmp_path / "out.png")))
    assert not torch.equal(changed, before)
