"""The paper's released networks, small and untrained: a video of a recording by the nodes and by the command."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.audio.waveform import load_audio
from soundguide_core.checkpoints import registry, safetensors_io
from soundguide_core.cli import main
from soundguide_core.embedding.style_pyramid import InversionConfig, StylePyramid
from soundguide_core.generators.stylegan3 import Generator, StyleGAN3Config
from soundguide_core.media import video
from soundguide_core.media.images import to_uint8
from soundguide_core.trajectory.released import LatentRNN, LatentRNNConfig

DIM = 16


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four files as DataParallel saves them, in a folder of models; each weight a draw."""
    rng = torch.Generator().manual_seed(0)
    body = {"network": {"widths": [4, 4, 8, 12, DIM], "units": [1, 1, 1, 1], "reduction": 4}, "w_dim": DIM}
    sizes = InversionConfig.from_dict({**body, "groups": [3, 4, 9], "sides": [16, 32, 64]})
    networks: dict[str, torch.nn.Module] = {"inversion": StylePyramid(sizes)}
    for part, layers in (("coarse", 4), ("mid", 4), ("fine", 8)):
        networks[part] = LatentRNN(LatentRNNConfig(layers, DIM, DIM, 2))
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))
    place = tmp_path / "models" / "released-trajectory" / "landscapes"
    place.mkdir(parents=True)
    for part, network in networks.items():
        for x in network.state_dict().values():
            if x.is_floating_point() and x.ndim > 1:
                x.copy_(torch.randn(x.shape, generator=rng) / x[0].numel() ** 0.5)
        prefix = "module.encoder." if part == "inversion" else "module."
        torch.save({prefix + name: x for name, x in network.state_dict().items()}, place / f"{part}.pth")
    return place


@pytest.fixture
def generator(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(StyleGAN3Config(32, DIM, DIM, channel_base=256, channel_max=8))
        network.measure_w(100, keep_avg=False)
    safetensors_io.save(tmp_path / "g.safetensors", network.state_dict(), network.config.to_dict())
    return tmp_path / "g.safetensors"


def test_a_video_of_a_recording(folder, generator, tiny, tmp_path, nodes, execute, model):
    loader = nodes("models").LoadSoundVideo
    assert loader.names()[-1] == "landscapes" and "miniature" in loader.names()
    assert str(folder / "mid.pth") in str(loader.fingerprint_inputs("landscapes"))
    (trajectory,) = loader.execute("landscapes").args
    painter = model("generators.loading.load_generator", generator)
    wave, sample_rate = load_audio(tiny.sound)
    audio = {"waveform": wave[None], "sample_rate": sample_rate}
    (start,) = execute("latents", "SampleLatents", generator=painter, seed=5, batch_size=1, psi=0.7)
    segments, count, *_ = execute(
        "sound_to_video", "SoundInversion", trajectory=trajectory, audio=audio, start=start, fps=6.0, num_frames=0
    )
    assert count == 6 and torch.equal(segments.ws, segments.ws[:1].expand(6, -1, -1))  # it is heard once
    (path,) = execute(
        "sound_to_video", "LatentTrajectoryRNN", trajectory=trajectory, start=start, segments=segments, strength=1.0,
        smoothing=0.0, noise=True, seed=5,
    )  # fmt: skip
    image, *_ = execute("latents", "StyleGANRender", generator=painter, latents=path, chunk=16)
    words = (
        f"generate --audio {tiny.sound} --fps 6 --seed 5 --out {tmp_path}/out --generator {generator}"
        f" --joint {tiny.joint} --trajectory landscapes"
    )
    assert main(words.split()) == 0
    same = to_uint8(video.read_video(tmp_path / "out"))
    assert torch.equal((image * 255).round().to(torch.uint8), same)
    assert not torch.equal(same[0], same[-1])


def test_models_that_are_not_here(nodes):
    loader = nodes("models").LoadSoundVideo
    with pytest.raises(Exception, match="eccv2022-trajectory"):
        loader.check("eccv2022-trajectory")
    with pytest.raises(Exception, match="There is no trajectory|trajectory"):
        loader.check("nothing")
