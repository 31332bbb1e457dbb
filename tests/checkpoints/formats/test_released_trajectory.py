"""The video paper's files: sound inversion encoder and recurrent networks, as saved, against the released code."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from soundguide_core.audio import mel
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.checkpoints.formats import latent_rnn, psp
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.style_pyramid import InversionConfig, StylePyramid
from soundguide_core.trajectory.released import (
    LatentRNN,
    LatentRNNConfig,
    load_sound_video,
)


@pytest.fixture(scope="module")
def styles(parity):
    return parity.read("psp")


@pytest.fixture(scope="module")
def moves(parity):
    return parity.read("latent_rnn")


def network(content):
    tensors, config = psp.convert(content)
    built = StylePyramid(InversionConfig.from_dict(config["inversion"])).eval()
    safetensors_io.fill(built, tensors, "file")
    return built


@torch.no_grad()
def test_sound_inversion(styles, parity):
    tensors, states, _ = styles
    ours = network({"E": {f"module.{name}": x for name, x in states["sound"].items()}, "step": 40})
    assert parity.far(ours(tensors["sound.x"].float()), tensors["sound.out"]) < 1e-5
    assert ours.config.num_ws == 16 and ours.config.sides == (16, 32, 64) and ours.config.network.units == (3, 4, 14, 3)


def test_sizes_of_the_released_files(styles, moves):
    tensors, config = psp.convert(styles[1]["full"])
    with torch.device("meta"):
        inversion = StylePyramid(InversionConfig.from_dict(config["inversion"]))
    assert inversion.config == InversionConfig() and len(tensors) == 593
    assert sum(p.numel() for p in inversion.parameters()) == 238_293_696
    for group, layers, numbers in (("coarse", 4, 55_088_128), ("mid", 4, 55_088_128), ("fine", 8, 63_478_784)):
        tensors, config = latent_rnn.convert(moves[1][f"full_{group}"])
        with torch.device("meta"):
            rnn = LatentRNN(LatentRNNConfig.from_dict(config["latent_rnn"]))
        assert rnn.config == LatentRNNConfig(layers) and sum(p.numel() for p in rnn.parameters()) == numbers
        assert {k: x.shape for k, x in rnn.state_dict().items()} == {k: x.shape for k, x in tensors.items()}


@pytest.mark.parametrize("group", ["coarse", "fine"])
@torch.no_grad()
def test_recurrent_steps(moves, parity, group):
    tensors, states, _ = moves
    state, config = latent_rnn.convert(states[group])
    rnn = LatentRNN(LatentRNNConfig.from_dict(config["latent_rnn"])).eval()
    safetensors_io.fill(rnn, state, group)
    ws, h = tensors[f"{group}.x"], rnn.start(1)
    both, h2 = ws.expand(2, -1, -1), rnn.start(2)
    for i in range(3):
        ws, h = rnn(ws, h)
        assert parity.far(ws, tensors[f"{group}.out{i}"]) < 1e-5
        both, h2 = rnn(both, h2)  # a batch keeps its members apart
        assert parity.far(both[1:], ws) < 1e-5


@pytest.fixture
def folder(styles, moves, tmp_path):
    """The four files as DataParallel saves them, 16 styles of 16 dims in narrow networks."""
    rng = torch.Generator().manual_seed(0)
    tiny = {"network": {"widths": [4, 4, 8, 12, 16], "units": [1, 1, 1, 1], "reduction": 4}, "w_dim": 16}
    inversion = StylePyramid(InversionConfig.from_dict({**tiny, "groups": [3, 4, 9], "sides": [4, 8, 16]}))
    for x in inversion.state_dict().values():
        if x.is_floating_point() and x.ndim > 1:
            x.copy_(0.2 * torch.randn(x.shape, generator=rng))
    files = {"inversion": {f"encoder.{k}": x for k, x in inversion.state_dict().items()}}
    files |= {"coarse": moves[1]["coarse"], "mid": moves[1]["coarse"], "fine": moves[1]["fine"]}
    for part, state in files.items():
        torch.save(OrderedDict((f"module.{name}", x) for name, x in state.items()), tmp_path / f"{part}.pth")
    return tmp_path


@torch.no_grad()
def test_a_folder_of_four_files(folder):
    video = load_sound_video(folder)
    assert video.num_ws == 16 and video.spec == mel.INVERSION and not video.training
    ws = video.inversion(torch.rand(2, 1, 64, 64))
    moved, states = video.step(ws, video.start(2))
    assert moved.shape == ws.shape == (2, 16, 16) and [s.shape for s in states] == [(2, 10, 16)] * 3
    mid, _ = video.groups[1](ws[:, 4:8], video.groups[1].start(2))
    assert torch.equal(moved[:, 4:8], mid) and not torch.allclose(moved, ws)


def test_mixed_up_files_are_refused(folder):
    (folder / "mid.pth").write_bytes((folder / "fine.pth").read_bytes())
    with pytest.raises(InputError, match="16 latents, the recurrent networks move 20"):
        load_sound_video(folder)
    (folder / "mid.pth").write_bytes((folder / "inversion.pth").read_bytes())
    with pytest.raises(InputError, match="latent rnn network"):
        load_sound_video(folder)
    with pytest.raises(InputError, match="encoder.styles.3.extra|styles.3.extra"):
        psp.convert({"encoder.styles.0.convs.0.weight": torch.zeros(1), "encoder.styles.3.extra": torch.zeros(1)})
