"""guided-diffusion's files: the same eps and variance as the released network, and its published key lists."""

from __future__ import annotations

import pytest
import torch

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.checkpoints.formats import guided_diffusion, open_foreign
from soundguide_core.common.errors import InputError


@pytest.fixture(scope="module")
def stored(parity):
    return parity.read("guided_diffusion")


@pytest.mark.parametrize("case", ["unconditional", "conditional"])
@torch.no_grad()
def test_eps_and_variance(stored, parity, diffusers, tmp_path, case):
    from soundguide_core.diffusion.unet import load_unet

    tensors, states, _ = stored
    torch.save(states[case], tmp_path / "unet.pt")
    unet = load_unet(tmp_path / "unet.pt")
    x, t, y = (tensors[f"{case}.{name}"] for name in ("x", "t", "y"))
    out = unet(x, t, y if case == "conditional" else None).sample
    assert out.shape[1] == 6 and unet.learned_variance and unet.schedule["variance_type"] == "learned_range"
    assert parity.far(out, tensors[f"{case}.out"]) < 1e-5
    converted = open_foreign(tmp_path / "unet.pt")
    assert (converted.kind, converted.format) == ("unet", guided_diffusion.NAME)
    safetensors_io.save(tmp_path / "unet.safetensors", converted.tensors, converted.config)
    again = load_unet(tmp_path / "unet.safetensors")
    assert torch.equal(again(x, t, y if case == "conditional" else None).sample, out)


@pytest.mark.parametrize("case, size, numbers", [("full_256", 256, 552_814_086), ("full_512", 512, 558_997_638)])
def test_published_widths(stored, diffusers, case, size, numbers):
    from soundguide_core.diffusion.unet import UNet

    tensors, config = guided_diffusion.convert(stored[1][case])
    with torch.device("meta"):
        unet = UNet(**config["unet"])
    assert unet.config.sample_size == size and sum(p.numel() for p in unet.parameters()) == numbers
    assert {k: x.shape for k, x in unet.state_dict().items()} == {k: x.shape for k, x in tensors.items()}


def test_odd_files_are_refused(stored):
    state = stored[1]["unconditional"]
    with pytest.raises(InputError, match="input_blocks.1.0.op"):
        guided_diffusion.convert({**state, "input_blocks.1.0.op.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="lacks out.2.bias"):
        guided_diffusion.convert({k: x for k, x in state.items() if k != "out.2.bias"})
    with pytest.raises(InputError, match="6 channels"):
        guided_diffusion.convert({**state, "input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)})
    assert not guided_diffusion.recognises({"state_dict": {"conv.weight": torch.zeros(1)}})
    assert not guided_diffusion.recognises([state]) and not guided_diffusion.recognises({**state, 3: None})
