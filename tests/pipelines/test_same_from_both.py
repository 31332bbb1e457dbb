"""The same input and settings give the same bytes from a node and from the command."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import soundfile
import torch

from soundguide_core.audio.waveform import load_audio
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.cli import main
from soundguide_core.common.rng import with_seed
from soundguide_core.embedding.ir_se import ArcFace, IRSEConfig
from soundguide_core.media import video, video_writing
from soundguide_core.media.images import from_uint8, load_image, save_image, to_uint8

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
    with video_writing.writing(folder / "frames", FPS) as write:
        write(frames)
    mask = torch.full((3, 20, 24), -1.0)
    mask[:, 4:14, 6:18] = 1
    save_image(mask, folder / "mask.png")
    swell = np.linspace(0.02, 1, 8000)[:, None]
    soundfile.write(folder / "sound.wav", rng.uniform(-0.5, 0.5, (8000, 2)) * swell, 8000)
    return folder


def audio_of(path) -> dict:
    wave, sample_rate = load_audio(path, channels=True)
    return {"waveform": wave[None], "sample_rate": sample_rate}


def pixels_of(image: torch.Tensor) -> torch.Tensor:
    """IMAGE => what a file would hold. Not by way of -1..1 and back, which may round another way."""
    return (image * 255).round().to(torch.uint8)


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
    _, changed, _, before, *_ = execute(
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


@pytest.fixture
def faces(tmp_path):
    """A small ArcFace of random weights, in a file."""
    tiny = IRSEConfig((4, 4, 4, 4, 8), (1, 1, 1, 1), 4, dim=6, side=16)
    network = with_seed(0, lambda: ArcFace(tiny))
    safetensors_io.save(tmp_path / "faces.safetensors", network.state_dict(), {"arcface": tiny.to_dict()})
    return tmp_path / "faces.safetensors"


def test_manipulate_a_face_by_a_preset(tiny, files, tmp_path, execute, model, faces):
    joint, generator = model(JOINT, tiny.joint), model("generators.loading.load_generator", tiny.generator)
    sound, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=audio_of(files / "sound.wav"), per_frame=False, **HEAR
    )
    (latents,) = execute("latents", "SampleLatents", generator=generator, seed=5, batch_size=1, psi=0.7)
    found = {}
    for name in ("ffhq-paper", "lsun-paper"):
        found[name] = execute(
            "image_manipulation", "SoundManipulate", generator=generator, encoder=joint, latents=latents, embeds=sound,
            preset=name, identity=model("losses.identity.load_identity", faces), **CHANGE,
        )  # fmt: skip
    _, changed, _, before, layers, cosine_before, cosine = found["ffhq-paper"]
    assert not torch.equal(changed, found["lsun-paper"][1]), "faces hold on to themselves"
    words = (
        f"manipulate --audio {files}/sound.wav --generator {tiny.generator} --joint {tiny.joint} --seed 5"
        f" --preset ffhq-paper --identity {faces} --out {tmp_path}/out.png --before {tmp_path}/before.png"
        f" --json {tmp_path}/report.json"
    ).split()
    assert main(words) == 0
    assert torch.equal(pixels_of(changed), to_uint8(load_image(tmp_path / "out.png")))
    assert torch.equal(pixels_of(before), to_uint8(load_image(tmp_path / "before.png")))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"]["config"]["identity"] == 0.004 and len(report["history"]) == 300
    assert report["similarity"] == {"before": pytest.approx(cosine_before), "after": pytest.approx(cosine)}
    assert len(report["layer_moves"]) == latents.ws.shape[1] and layers.shape[3] == 3


@pytest.fixture
def lively_trajectory(tiny_trajectory, tmp_path):
    """Untrained modules of which some start at zero, stirred so that the sound moves the picture."""
    from soundguide_core.trajectory.trajectory import load_trajectory, save_trajectory

    trajectory, noise = load_trajectory(tiny_trajectory), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in trajectory.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=noise)
    save_trajectory(tmp_path / "lively.safetensors", trajectory)
    return tmp_path / "lively.safetensors"


@pytest.mark.parametrize("num_frames", [0, 30])
def test_generate(tiny, lively_trajectory, files, tmp_path, execute, model, num_frames):
    generator = model("generators.loading.load_generator", tiny.generator)
    trajectory = model("trajectory.trajectory.load_trajectory", lively_trajectory)
    (start,) = execute("latents", "SampleLatents", generator=generator, seed=5, batch_size=1, psi=0.7)
    segments, count, *_ = execute(
        "sound_to_video", "SoundInversion", trajectory=trajectory, audio=audio_of(files / "sound.wav"), start=start,
        fps=10.0, num_frames=num_frames,
    )  # fmt: skip
    (path,) = execute(
        "sound_to_video", "LatentTrajectoryRNN", trajectory=trajectory, start=start, segments=segments, strength=1.5,
        smoothing=0.3, noise=True, seed=5,
    )  # fmt: skip
    image, *_ = execute("latents", "StyleGANRender", generator=generator, latents=path, chunk=16)
    words = (
        f"generate --audio {files}/sound.wav --fps 10 --seed 5 --strength 1.5 --smoothing 0.3 --out {tmp_path}/out"
        f" --generator {tiny.generator} --joint {tiny.joint} --trajectory {lively_trajectory}"
    ).split()
    assert main([*words, *(["--seconds", str(num_frames / 10)] if num_frames else [])]) == 0
    same = to_uint8(video.read_video(tmp_path / "out"))
    assert len(same) == count == (num_frames or 10)
    assert torch.equal(pixels_of(image), same)
    assert not torch.equal(same[0], same[-1])


CONTINUOUS = dict(
    seed=3, motion_seed=7, fps=6.0, seconds=2.5, psi=0.9, loop=False, drive="auto", strength=1.0, feature="loudness",
    chunk=16,
)  # fmt: skip
CONTINUOUS_WORDS = "--seed 3 --motion-seed 7 --fps 6 --seconds 2.5 --psi 0.9"


@pytest.mark.parametrize(
    ("meaning", "changes", "options"),
    [
        (False, {}, ""),
        (True, {}, ""),
        (True, {"loop": True, "drive": "speed", "feature": "onset", "chunk": 4},
         "--loop --drive speed --feature onset --chunk 4"),
        (False, {"drive": "amplitude", "strength": 0.5}, "--drive amplitude --strength 1"),  # half of its own 2
        (False, {"seconds": 0.0}, "--seconds 1"),  # as long as the sound
    ],
)  # fmt: skip
def test_continuous(tiny, tiny_video_generator, files, tmp_path, execute, model, meaning, changes, options):
    generator = model("generators.loading.load_video_generator", tiny_video_generator)
    encoder = {"encoder": model(JOINT, tiny.joint)} if meaning else {}
    image, _, count = execute(
        "continuous_video", "StyleGANVRender", generator=generator, audio=audio_of(files / "sound.wav"),
        **{**CONTINUOUS, **changes}, **encoder,
    )  # fmt: skip
    words = (
        f"continuous --audio {files}/sound.wav --out {tmp_path}/out --generator {tiny_video_generator}"
        f" --joint {tiny.joint} --content {'sound' if meaning else 'seed'} {CONTINUOUS_WORDS} {options}"
    ).split()
    assert main(words) == 0
    same = to_uint8(video.read_video(tmp_path / "out"))
    assert len(same) == count and torch.equal(pixels_of(image), same)
    assert not torch.equal(same[0], same[len(same) // 2])


def test_the_figures_of_a_video(tiny, files, tmp_path, execute, model):
    joint = model(JOINT, tiny.joint)
    rng = np.random.default_rng(1)
    frames = from_uint8(torch.from_numpy(rng.integers(256, size=(20, 32, 32, 3), dtype=np.uint8)))
    _, text, similarity, reacts, *_ = execute(
        "analysis", "SoundReport", encoder=joint, image=to_uint8(frames).float() / 255,
        audio=audio_of(files / "sound.wav"), fps=8.0,
    )  # fmt: skip
    from soundguide_core.embedding.joint import load_joint
    from soundguide_core.pipelines.hearing import heard_at
    from soundguide_core.pipelines.recording import Recording
    from soundguide_core.pipelines.report import ReportMeter

    joint, recording = load_joint(tiny.joint), Recording.of_file(files / "sound.wav")
    meter = ReportMeter(8.0, joint, heard_at(joint, recording, 8.0))
    meter.add(frames)
    report = meter.finish(recording.loudness(8.0, 20, joint.spec))
    assert text == report.to_text()
    assert similarity == [float(x) for x in report.figures.similarity] and reacts == report.reactivity.correlation


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "released"])
def test_a_preset_of_the_node_is_the_variant_of_the_command(tiny, files, tmp_path, execute, model, preset):
    joint, generator = model(JOINT, tiny.joint), model("generators.loading.load_generator", tiny.generator)
    (text,) = execute("embedding", "TextEncode", encoder=joint, text="a storm")
    (latents,) = execute("latents", "SampleLatents", generator=generator, seed=5, batch_size=1, psi=0.7)
    _, changed, *_ = execute(
        "image_manipulation", "SoundManipulate", generator=generator, encoder=joint, latents=latents, embeds=text,
        preset=preset, **CHANGE,
    )  # fmt: skip
    words = f"manipulate --generator {tiny.generator} --joint {tiny.joint} --seed 5 --out {tmp_path}/out.png".split()
    assert main([*words, "--text", "a storm", "--variant", preset]) == 0
    assert torch.equal(pixels_of(changed), to_uint8(load_image(tmp_path / "out.png")))


def test_a_variant_of_the_node_leaves_its_settings_alone(nodes):
    """A saved workflow with `variant: paper` and settings of its own goes on to mean what it meant."""
    settings = nodes("settings")
    core = settings.__name__.replace("nodes.settings", "soundguide_core.systems.configs")
    editing, pictures = (importlib.import_module(f"{core}.{name}") for name in ("video_editing", "image_manipulation"))
    edit = settings.config_of(editing.EditConfig, {**EDIT, "variant": "paper"})
    assert (edit.variant, edit.scale, edit.interval, edit.steps) == ("paper", 20_000.0, (0.4, 1.0), 4)
    assert edit.weights == {"sound": 1.0, "flow": 0.7, "background": 0.1, "direction": 0.2}
    published = settings.config_of(editing.EditConfig, {**EDIT, "preset": "released"})
    assert published == editing.EditConfig("released", seed=3, window=3, chunk=2)
    change = settings.config_of(pictures.ManipulationConfig, CHANGE)
    assert (change.variant, change.space, change.samples, change.schedule.steps) == ("paper", "w", 256, 4)


@pytest.mark.slow
def test_edit_as_released(tiny, tiny_unet, files, tmp_path, execute, model):
    joint, diffusion = model(JOINT, tiny.joint), model("diffusion.denoiser.load_denoiser", tiny_unet)
    embeds, *_ = execute(
        "embedding", "AudioEncode", encoder=joint, audio=audio_of(files / "sound.wav"), per_frame=True, **HEAR
    )
    frames = torch.cat(list(video.read_frames(files / "frames")))
    edited, _ = execute(
        "video_editing", "SoundiniSampler", diffusion=diffusion, encoder=joint, image=to_uint8(frames).float() / 255,
        embeds=embeds, **{**EDIT, "strength": 1.0, "window": 16, "chunk": 8}, preset="released",
    )  # fmt: skip
    words = f"edit --video {files}/frames --audio {files}/sound.wav --out {tmp_path}/out --unet {tiny_unet}".split()
    words += f"--joint {tiny.joint} --variant released --loudness constant --sound none --seed 3".split()
    assert main(words) == 0
    assert torch.equal(pixels_of(edited), to_uint8(video.read_video(tmp_path / "out")))
