"""nodes/host.py beside the host's own modules: what comes in, what goes out, gradients, memory, Stop."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

import tolerances as tol

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def host(importable_host):
    """Loaded as ComfyUI loads it: a package under a name of its own, with the host's modules importable."""
    path = sys.path.copy()
    sys.path.insert(0, str(importable_host))
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location(
        "pack_under_test", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = pack
    spec.loader.exec_module(pack)
    yield importlib.import_module("pack_under_test.nodes.host")
    sys.path[:] = path


class Lazy(Mapping):
    """A sound that is decoded when it is asked for, as some video packs send it."""

    def __init__(self, **values):
        self.values_ = values

    def __getitem__(self, key):
        return self.values_[key]

    def __iter__(self):
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


@pytest.mark.parametrize("shape", [(1, 1, 50), (1, 2, 50), (3, 6, 50), (2, 50), (50,)])
def test_sounds_of_every_layout_arrive(host, shape):
    samples = torch.rand(shape, dtype=torch.float64)
    kept = samples.clone()
    wave, sample_rate = host.wave_of(Lazy(waveform=samples, sample_rate=22050))
    assert wave.shape == (1,) * (3 - len(shape)) + shape and wave.dtype == torch.float32 and sample_rate == 22050
    assert torch.equal(samples, kept)


@pytest.mark.parametrize(
    "audio, said",
    [
        (None, "No sound has arrived."),
        (torch.zeros(1, 1, 5), "A Tensor has arrived"),
        ({"waveform": torch.zeros(1, 1, 5)}, "A dict has arrived"),
        ({"waveform": None, "sample_rate": 8000}, "NoneType"),
        ({"waveform": torch.zeros(1, 2, 0), "sample_rate": 8000}, "no samples"),
        ({"waveform": torch.zeros(0, 1, 5), "sample_rate": 8000}, "no samples"),
        ({"waveform": torch.full((1, 1, 5), float("nan")), "sample_rate": 8000}, "finite"),
        ({"waveform": torch.zeros(1, 1, 5), "sample_rate": 0}, "sample rate is 0"),
        ({"waveform": torch.zeros(1, 1, 5), "sample_rate": True}, "sample rate is True"),
        ({"waveform": torch.zeros(1, 1, 1, 5), "sample_rate": 8000}, "shape"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(host, audio, said):
    with pytest.raises(host.InputError, match=said):
        host.wave_of(audio)


@pytest.mark.parametrize("channels, dtype", [(1, torch.float32), (3, torch.float16), (4, torch.float32)])
def test_pictures_go_in_and_come_back(host, channels, dtype):
    image = torch.rand(2, 8, 6, channels).to(dtype)
    kept = image.clone()
    img = host.img_of(image)
    assert img.shape == (2, 3, 8, 6) and img.dtype == torch.float32 and img.min() >= -1 and img.max() <= 1
    back = host.image_of(img)
    assert back.shape == (2, 8, 6, 3) and torch.equal(image, kept)
    if channels == 3:
        assert torch.allclose(back, image.float(), atol=tol.HALF)


@pytest.mark.parametrize("image", [None, torch.zeros(0, 8, 8, 3), torch.zeros(1, 8, 8, 2), torch.zeros(8, 8, 3)])
def test_what_is_no_picture_is_refused(host, image):
    with pytest.raises(host.InputError):
        host.img_of(image)


def modes() -> tuple[bool, bool]:
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled()


def test_gradients_pass_in_inference_mode_and_nothing_is_left_behind(host):
    with torch.inference_mode():
        before = modes()
        x = torch.ones(3)
        assert x.is_inference()

        def slope(values: list, *, factor: torch.Tensor) -> dict:
            y = values[0].clone().requires_grad_()
            (grad,) = torch.autograd.grad((factor * y**2).sum(), y, create_graph=True)
            return {"grad": grad}

        out = host.with_grad(slope, [x], factor=torch.full((3,), 2.0))["grad"]
        assert torch.equal(out, torch.full((3,), 4.0)) and not out.is_inference() and not out.requires_grad
        assert modes() == before

        def fail():
            raise KeyError("on purpose")

        with pytest.raises(KeyError):
            host.with_grad(fail)
        assert modes() == before


class Line(nn.Module):
    """w x, with a buffer; a read-only property of the name that the host writes to on its models."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("shift", torch.zeros(2))

    @property
    def device(self):
        return self.weight.device

    def forward(self, x):
        return self.weight * x + self.shift


def test_models_made_in_inference_mode_can_be_differentiated(host):
    with torch.inference_mode():
        model = host.Model("line", lambda device: Line().to(device))
        assert not any(weight.is_inference() for weight in model.patcher.model.parameters())
        # as if another node had moved them: everything made here is an inference tensor
        inner = model.patcher.model.network
        inner.weight = nn.Parameter(torch.full((2,), 3.0), requires_grad=False)
        inner.shift = torch.ones(2)
        network = model.on_device()

        def slope(x):
            x = x.requires_grad_()
            return torch.autograd.grad((network(x) ** 2).sum(), x)[0]

        assert torch.allclose(host.with_grad(slope, torch.ones(2)), torch.full((2,), 24.0))
    assert model.get_ram_usage() == 16 and model.device.type == "cpu"


def test_chunks_are_halved_where_memory_runs_out(host):
    sizes = []

    def narrow(part):
        sizes.append(len(part))
        if len(part) > 2:
            raise host.mm.OOM_EXCEPTION("on purpose")
        return part * 2

    x = torch.arange(7.0)[:, None]
    assert torch.equal(host.in_chunks(narrow, x, 6, torch.device("cpu")), x * 2)
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1, 1]

    def never(part):
        raise host.mm.OOM_EXCEPTION("on purpose")

    with pytest.raises(host.InputError, match=r"does not fit .* GiB of .* are free"):
        host.in_chunks(never, x, 4, torch.device("cpu"))


def test_long_work_begins_again_with_half_the_chunk(host):
    tried = []

    def narrow(chunk):
        tried.append(chunk)
        if chunk > 3:
            raise host.mm.OOM_EXCEPTION("on purpose")
        return chunk

    assert host.halving(narrow, 12, torch.device("cpu")) == 3 and tried == [12, 6, 3]


@pytest.mark.parametrize("file", ["video_editing", "continuous_video", "guide_model"])
def test_what_takes_a_chunk_halves_it(file):
    """Or goes through in_chunks, which does."""
    assert "halving(" in (ROOT / "nodes" / f"{file}.py").read_text(encoding="utf-8")


def test_stop_is_raised_from_the_step(host):
    step = host.on_step()
    step(0, 3, {"sound": 1.0}, lambda: torch.zeros(5, 3, 8, 8))
    host.mm.interrupt_current_processing(True)
    with pytest.raises(host.mm.InterruptProcessingException):
        step(1, 3, {"sound": 1.0}, lambda: None)
    step(2, 3, {"sound": 1.0}, lambda: None)


def test_stop_reaches_what_runs_in_a_thread(host):
    """Synthesis tells of no steps: Example Sound of ten minutes ignored Stop for 37 s."""
    check_stop = importlib.import_module("pack_under_test.soundguide_core.common.stop").check_stop
    ended = threading.Event()

    def endless():
        try:
            while True:
                time.sleep(0.005)
                check_stop()
        finally:
            ended.set()

    threading.Timer(0.1, host.mm.interrupt_current_processing, [True]).start()
    with pytest.raises(host.mm.InterruptProcessingException):
        host.stoppable(endless)
    assert ended.wait(5)
    assert host.stoppable(lambda: 3) == 3
    with pytest.raises(KeyError):
        host.stoppable(lambda: {}["a"])


def test_stop_does_not_wait_for_a_forward(host):
    """Within one call of a network, between its parts."""
    seen = []

    class Slow(nn.Module):
        def forward(self, x):
            seen.append(x)
            host.mm.interrupt_current_processing(True)
            return x

    network = host.heed_stop(nn.Sequential(nn.Sequential(Slow()), nn.Sequential(Slow())))
    with pytest.raises(host.mm.InterruptProcessingException):
        network(torch.zeros(1))
    assert len(seen) == 1
    host.mm.interrupt_current_processing(False)


def test_sockets_know_their_size(host):
    sockets = importlib.import_module("pack_under_test.nodes.sockets")
    embeds = sockets.Embeds(torch.zeros(2, 4), "rain", "tiny", torch.zeros(3, 4), 12.0)
    assert embeds.get_ram_usage() == 80 and sockets.Latents(torch.zeros(1, 2, 4), "tiny").get_ram_usage() == 32
    assert "rain" in repr(embeds)


def test_pictures_are_left_where_the_host_wants_them(pack, tiny_models, monkeypatch):
    """Under --gpu-only that is the GPU; here PyTorch's meta device stands for it, in half precision."""
    mm, there = pack("nodes.host").mm, (torch.device("meta"), torch.float16)
    monkeypatch.setattr(mm, "intermediate_device", lambda: there[0])
    monkeypatch.setattr(mm, "intermediate_dtype", lambda: there[1], raising=False)
    registry = pack("soundguide_core.checkpoints.registry")
    registry.add_folder("generator", tiny_models / "generator")
    latents, examples, audio = pack("nodes.latents"), pack("nodes.examples"), pack("nodes.audio")
    sound = {"waveform": torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0)), "sample_rate": 8000}
    with torch.inference_mode():
        scene = examples.ExampleScene.execute(seed=0, phenomenon="calm", intensity=0.0, size=32).args[0]
        loaded = pack("nodes.models").LoadStyleGAN.execute(name="tiny.safetensors").args[0]
        drawn = latents.SampleLatents.execute(generator=loaded, seed=0, batch_size=3, psi=0.7).args[0]
        painted = latents.StyleGANRender.execute(generator=loaded, latents=drawn, chunk=2).args[0]
        said = dict(curve="loudness", fps=12.0, num_frames=0, low=0.0, high=1.0, smoothing=0.1, law="sones")
        plot = audio.SoundSchedule.execute(audio=sound, **said).args[1]
    for picture in (scene, painted, plot):
        assert (picture.device, picture.dtype) == there
    assert painted.shape == (3, 32, 32, 3)
