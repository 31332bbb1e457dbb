"""YAMNet: against LiteRT on real recordings with the published weights, and from the file of its authors."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

import tolerances as tol
from soundguide_core.checkpoints import weights
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.hearing import yamnet
from soundguide_core.embedding.hearing.loading import load_ears
from soundguide_core.embedding.hearing.vocabulary import read_vocabulary
from soundguide_core.embedding.hearing.yamnet import YAMNet, YAMNetConfig

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def maker():
    """tests/fixtures/make_yamnet_parity.py, which says how the fixture was made."""
    if str(FIXTURES) not in sys.path:
        sys.path.append(str(FIXTURES))
    spec = importlib.util.spec_from_file_location("make_yamnet_parity", FIXTURES / "make_yamnet_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published(maker, recordings):
    """YAMNet with its published weights."""
    path = recordings / "yamnet" / "yamnet.tflite"
    if not path.is_file():
        pytest.skip("the weights of YAMNet are not here")
    network = YAMNet(YAMNetConfig())
    network.load_state_dict(maker.weights(path))
    return network.eval()


@pytest.mark.slow
@torch.no_grad()
def test_twenty_recordings_score_as_with_litert(maker, recordings, published):
    with safe_open(FIXTURES / "yamnet_parity.safetensors", framework="pt") as file:
        names, known = json.loads(file.metadata()["recordings"]), {k: file.get_tensor(k) for k in ("float", "first")}
    assert len(names) == 20
    for i, name in enumerate(names):
        scores = published(torch.from_numpy(maker.windows(maker.samples(recordings / name))))
        if i == 0:
            assert torch.allclose(scores, known["first"], atol=tol.FLOAT32_SUM)
        assert torch.allclose(scores.mean(0), known["float"][i], atol=tol.FLOAT32_SUM), name
        assert scores.mean(0).argmax() == known["float"][i].argmax(), name


def test_what_rounding_costs_litert():
    """The published file as it is: how far the mean scores of the 20 are from those of the same weights in float."""
    with safe_open(FIXTURES / "yamnet_parity.safetensors", framework="pt") as file:
        exact, rounded = file.get_tensor("float"), file.get_tensor("int8")
    far = (exact - rounded).abs().amax(dim=1)
    same = exact.argmax(dim=1) == rounded.argmax(dim=1)
    assert int((far < 0.02).sum()) == 9 and 0.15 < far.max() < 0.16 and int(same.sum()) == 18


def test_its_classes_are_the_published_ones(recordings):
    with (recordings / "yamnet" / "yamnet_class_map.csv").open(newline="") as file:
        assert [row["display_name"] for row in csv.DictReader(file)] == list(yamnet.published_classes())


def test_mels_are_triangles_on_the_scale():
    bank = yamnet.mel_bank()
    mel = [1127 * float(torch.log(torch.tensor(1 + hz / 700))) for hz in yamnet.MEL_HZ]
    for band in (0, 17, 63):
        low, top, high = (mel[0] + (mel[1] - mel[0]) * (band + i) / 65 for i in range(3))
        for k in range(0, 257, 3):
            at = 1127 * float(torch.log(torch.tensor(1 + k * 16000 / 512 / 700)))
            expected = max(0.0, min((at - low) / (top - low), (high - at) / (high - top))) if k else 0.0
            assert abs(float(bank[band, k]) - expected) < tol.PARITY


def keras_file(path: Path, width: int = 2, classes: int = 521, **also) -> dict[str, torch.Tensor]:
    """A file as Keras 2 saves YAMNet's weights, and the numbers in it."""
    h5py = pytest.importorskip("h5py")
    channels, sizes = width, {"layer1/conv": (3, 3, 1, width)}
    for i, (outputs, _) in enumerate(yamnet.LAYERS, start=2):
        sizes[f"layer{i}/depthwise_conv"] = (3, 3, channels, 1)
        channels_out = outputs * width // 32
        sizes[f"layer{i}/pointwise_conv"] = (1, 1, channels, channels_out)
        channels = channels_out
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in sizes.items():
        deep = name.endswith("depthwise_conv")
        found[f"{name}/{'depthwise_kernel' if deep else 'kernel'}"] = torch.randn(shape, generator=draw) / 3
        count = shape[2] if deep else shape[3]
        for part in ("beta", "moving_mean"):
            found[f"{name}/bn/{part}"] = torch.randn(count, generator=draw) / 10
        found[f"{name}/bn/moving_variance"] = torch.rand(count, generator=draw) + 0.5
    found["dense_3/kernel"] = torch.randn(channels, classes, generator=draw) / 8
    found["dense_3/bias"] = torch.randn(classes, generator=draw)
    with h5py.File(path, "w") as file:
        for name, x in {**found, **also}.items():
            layer = name.rpartition("/")[0]
            file.create_dataset(f"{layer}/{name}:0", data=x.numpy())
    return found


@torch.no_grad()
def test_the_file_of_its_authors(tmp_path):
    theirs = keras_file(tmp_path / "yamnet.h5")
    ears = load_ears(tmp_path / "yamnet.h5")
    windows = torch.randn(2, yamnet.WINDOW, generator=torch.Generator().manual_seed(1)) / 5
    x = ears.log_mel(windows)[:, None]

    def normalised(x, name, kernel, stride, groups=1):
        size = kernel.shape[-1]
        low, high = ((size - stride) // 2, size - stride - (size - stride) // 2)  # "same", on even sizes
        x = F.conv2d(F.pad(x, (low, high, low, high)), kernel, stride=stride, groups=groups)
        mean, var = theirs[f"{name}/bn/moving_mean"], theirs[f"{name}/bn/moving_variance"]
        return F.relu(F.batch_norm(x, mean, var, bias=theirs[f"{name}/bn/beta"], eps=1e-4))

    x = normalised(x, "layer1/conv", theirs["layer1/conv/kernel"].permute(3, 2, 0, 1), 2)
    for i, (_, stride) in enumerate(yamnet.LAYERS, start=2):
        deep = theirs[f"layer{i}/depthwise_conv/depthwise_kernel"].permute(2, 3, 0, 1)
        x = normalised(x, f"layer{i}/depthwise_conv", deep, stride, groups=len(deep))
        point = theirs[f"layer{i}/pointwise_conv/kernel"].permute(3, 2, 0, 1)
        x = normalised(x, f"layer{i}/pointwise_conv", point, 1)
    expected = (x.mean(dim=(2, 3)) @ theirs["dense_3/kernel"] + theirs["dense_3/bias"]).sigmoid()
    assert torch.allclose(ears(windows), expected, atol=tol.PARITY)

    config = weights.convert(tmp_path / "yamnet.h5", tmp_path / "ours.safetensors")
    assert config["source"]["kind"] == "sound-classifier"
    again = load_ears(tmp_path / "ours.safetensors")
    assert torch.equal(again(windows), ears(windows)) and again.classes == ears.classes


def test_a_file_that_is_not_quite_it(tmp_path):
    keras_file(tmp_path / "few.h5", classes=10)
    with pytest.raises(InputError, match="10 classes rather than 521"):
        load_ears(tmp_path / "few.h5")
    keras_file(tmp_path / "more.h5", **{"odd/gamma": torch.ones(2)})
    with pytest.raises(InputError, match="odd/gamma"):
        load_ears(tmp_path / "more.h5")


def test_a_word_is_the_loudest_of_its_classes():
    network = YAMNet(YAMNetConfig(width=2)).eval()
    listener = network.listen_for(["dog", "sea_waves"], read_vocabulary())
    windows = torch.randn(3, network.window) / 5
    with torch.no_grad():
        found, every = listener.scores(windows), network(windows)
    dog = [network.classes.index(name) for name in ("Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling")]
    dog.append(network.classes.index("Whimper (dog)"))
    assert torch.equal(found[:, 0], every[:, dog].amax(dim=1))
    with pytest.raises(InputError, match="no word 'guitarr'"):
        network.listen_for(["guitarr"], read_vocabulary())
