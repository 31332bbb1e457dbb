"""pSp's and e4e's encoders, as their trainings save them, against the makers' code at the same random weights."""

from __future__ import annotations

import argparse

import pytest
import torch

from soundguide_core.checkpoints import weights
from soundguide_core.checkpoints.formats import inversion_encoder, open_foreign
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.style_pyramid import InversionConfig, StylePyramid
from soundguide_core.latents.encoder import InversionEncoder, load_inversion_encoder

FAR = 1e-6
OPTS = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True, "dataset_type": "ffhq_encode", "lr": 1e-4}
DECODER = {"decoder.style.1.weight": torch.zeros(4, 4), "decoder.noises.noise_0": torch.zeros(1, 1, 4, 4)}


@pytest.fixture(scope="module")
def styles(parity):
    return parity.read("e4e")


def checkpoint(state, mean=None, **changes):
    content = {"state_dict": state | DECODER, "opts": {**OPTS, **changes}}
    return content if mean is None else {**content, "latent_avg": mean}


def saved(path, content, size):
    """As it comes from disk; size: of the fixture's pictures, narrower than the published 256."""
    torch.save(content, path)
    encoder = load_inversion_encoder(path)
    assert isinstance(encoder, InversionEncoder) and not encoder.training
    encoder.size = size
    return encoder


@torch.no_grad()
def test_e4e(styles, parity, tmp_path):
    tensors, states, commit = styles
    mean = torch.randn(14, 128, generator=torch.Generator().manual_seed(0))
    ours = saved(tmp_path / "e4e.pt", checkpoint(states["deltas"], mean), (128, 128))
    img = tensors["deltas.x"].float()
    assert parity.far(ours(img) - mean, tensors["deltas.out"]) < FAR
    assert parity.far(ours(img, 0) - mean, tensors["deltas.w"]) < FAR
    assert not torch.allclose(tensors["deltas.out"], tensors["deltas.w"], atol=1e-3)
    assert ours.config.deltas and ours.config.groups == (3, 4, 7) and "encoder4editing" in commit
    assert "e4e" in open_foreign(tmp_path / "e4e.pt").format


@torch.no_grad()
def test_the_psp_of_e4e(styles, parity, tmp_path):
    tensors, states, _ = styles
    ours = saved(
        tmp_path / "psp.pt",
        checkpoint(states["apart"], encoder_type="GradualStyleEncoder", start_from_latent_avg=False), (128, 128),
    )  # fmt: skip
    assert parity.far(ours(tensors["apart.x"].float()), tensors["apart.out"]) < FAR and not ours.config.centred


@torch.no_grad()
def test_the_original_psp(parity, tmp_path):
    tensors, states, _ = parity.read("psp")
    mean = torch.linspace(-1, 1, 128)
    content = checkpoint(states["original"], mean, encoder_type="GradualStyleEncoder")
    ours = saved(tmp_path / "psp.pt", {**content, "opts": argparse.Namespace(**content["opts"])}, (128, 128))
    assert parity.far(ours(tensors["original.x"].float()) - mean, tensors["original.out"]) < FAR


def test_deltas_against_a_loop(styles):
    _, states, _ = styles
    tensors, config = inversion_encoder.convert(checkpoint(states["deltas"], torch.zeros(14, 128)))
    encoder = StylePyramid(InversionConfig.from_dict(config["encoder"]["network"])).eval()
    encoder.load_state_dict(tensors)
    img = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        heads = encoder.heads(img)[0]
        for deltas in (0, 1, 5, 13):
            ws = encoder(img, deltas)[0]
            for layer in range(14):
                expected = heads[0] + heads[layer] if 0 < layer <= deltas else heads[0]
                assert torch.allclose(ws[layer], expected, atol=1e-6)


def test_sizes_of_the_published_files(styles):
    tensors, config = inversion_encoder.convert(checkpoint(styles[1]["full"], torch.zeros(18, 512)))
    found = config["encoder"]
    assert found["size"] == [256, 256]
    with torch.device("meta"):
        encoder = StylePyramid(InversionConfig.from_dict(found["network"]))
    assert encoder.config.groups == (3, 4, 11) and encoder.config.network.units == (3, 4, 14, 3)
    assert {k: x.shape for k, x in encoder.state_dict().items()} == {k: x.shape for k, x in tensors.items()}


def test_cars_are_wide_and_have_sixteen_styles(styles):
    state = dict(styles[1]["full"])
    tensors, config = inversion_encoder.convert(checkpoint(state, torch.zeros(18, 512), dataset_type="cars_encode"))
    assert config["encoder"]["size"] == [192, 256] and sum(config["encoder"]["network"]["groups"]) == 16
    assert tensors["w_avg"].shape == (16, 512) and "styles.16.linear.weight" not in tensors


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder_type": "SingleStyleCodeEncoder"}, "is a SingleStyleCodeEncoder"),
        ({"encoder_type": None}, "does not say which kind"),
        ({"encoder_type": ["Encoder4Editing"]}, "does not say which kind"),
    ],
)
def test_other_encoders_are_refused(styles, tmp_path, changes, said):
    torch.save(checkpoint(styles[1]["deltas"], torch.zeros(14, 128), **changes), tmp_path / "a.pt")
    with pytest.raises(InputError, match=said):
        load_inversion_encoder(tmp_path / "a.pt")


def test_files_that_are_not_quite_it(styles, tmp_path):
    state = styles[1]["deltas"]
    torch.save(checkpoint(state), tmp_path / "a.pt")
    with pytest.raises(InputError, match="lacks the mean latent"):
        load_inversion_encoder(tmp_path / "a.pt")
    torch.save(checkpoint(state, torch.zeros(3, 3)), tmp_path / "b.pt")
    with pytest.raises(InputError):
        load_inversion_encoder(tmp_path / "b.pt")
    torch.save(checkpoint(state | {"encoder.extra.weight": torch.zeros(1)}, torch.zeros(14, 128)), tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"extra\.weight"):
        load_inversion_encoder(tmp_path / "c.pt")
    fewer = {key: x for key, x in state.items() if "styles.3." not in key}
    torch.save(checkpoint(fewer, torch.zeros(14, 128)), tmp_path / "d.pt")
    with pytest.raises(InputError):
        load_inversion_encoder(tmp_path / "d.pt")


@torch.no_grad()
def test_a_converted_file_is_the_same(styles, tmp_path):
    torch.save(checkpoint(styles[1]["deltas"], torch.zeros(14, 128)), tmp_path / "e4e.pt")
    weights.convert(tmp_path / "e4e.pt", tmp_path / "e4e.safetensors")
    one, same = (load_inversion_encoder(tmp_path / f"e4e{ending}") for ending in (".pt", ".safetensors"))
    img = torch.rand(1, 3, 300, 200) * 2 - 1
    assert torch.equal(one(img), same(img)) and one(img).shape == (1, 14, 128)
