from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.errors import InputError
from soundguide_core.generators.loading import load_generator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

CONFIG = StyleGAN2Config(32, 32, 32, 2, channel_base=2048, channel_max=64)


class Written(TorchDispatchMode):
    """Counts the bytes of new tensors that an operation has filled."""

    UNFILLED = ("aten.empty", "aten.set_", "aten.detach")

    def __init__(self):
        super().__init__()
        self.bytes, self.seen = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            storage = out.untyped_storage()
            if storage.data_ptr() not in self.seen and not str(func).startswith(self.UNFILLED):
                self.bytes += storage.nbytes()
            self.seen.add(storage.data_ptr())
        return out


@pytest.fixture
def file(tmp_path):
    safetensors_io.save(tmp_path / "g.safetensors", Generator(CONFIG).state_dict(), CONFIG.to_dict())
    return tmp_path / "g.safetensors"


def test_weights_are_written_once(file):
    with Written() as written:
        generator = load_generator(file)
    size = sum(x.numel() * x.element_size() for x in generator.state_dict().values())
    assert size <= written.bytes < 1.1 * size
    assert generator.synthesis.b8.conv0.weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_outlive_their_file(file):
    generator = load_generator(file)
    before = {key: x.clone() for key, x in generator.state_dict().items()}
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(x, before[key]) for key, x in generator.state_dict().items())


def test_loading_imports_no_compiler(file):
    code = "import sys, soundguide_core as sg; sg.load_generator(sys.argv[1]); print('sympy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


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
