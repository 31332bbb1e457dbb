from __future__ import annotations

import pytest
import torch

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

CONFIG = StyleGAN2Config(32, 32, 32, 2, channel_base=2048, channel_max=64)


@pytest.fixture
def file(tmp_path):
    safetensors_io.save(tmp_path / "g.safetensors", Generator(CONFIG).state_dict(), CONFIG.to_dict())
    return tmp_path / "g.safetensors"


def test_weights_are_written_once(file, monkeypatch):
    """What is copied out of the file is the network's own memory, kernels in their final order."""
    copied, copy = [], safetensors_io._copy
    monkeypatch.setattr(safetensors_io, "_copy", lambda *args: copied.append(copy(*args)) or copied[-1])
    generator = load_generator(file)
    state = generator.state_dict()
    assert sorted(x.data_ptr() for x in state.values()) == sorted(x.data_ptr() for x in copied)
    assert generator.synthesis.b8.conv0.weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_outlive_their_file(file):
    generator = load_generator(file)
    before = {key: x.clone() for key, x in generator.state_dict().items()}
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(x, before[key]) for key, x in generator.state_dict().items())


def test_an_unknown_architecture(file):
    tensors, config = safetensors_io.load(file)
    safetensors_io.save(file, tensors, {**config, "architecture": "stylegan-t"})
    with pytest.raises(InputError, match="'stylegan-t', which this build cannot render"):
        load_generator(file)


def test_w_std_can_be_measured_in_inference_mode_and_used_outside(file):
    tensors, config = safetensors_io.load(file)
    safetensors_io.save(file, {k: x for k, x in tensors.items() if k != "mapping.w_std"}, config)
    with torch.inference_mode():
        generator = load_generator(file)
        assert (generator.w_std > 0).all()
    x = torch.ones(32, requires_grad=True)
    (x * generator.w_std).sum().backward()
    assert torch.equal(x.grad, generator.w_std)
