"""Files of what tuning changed: they come back, belong to one generator, and hostile ones are refused in words."""

from __future__ import annotations

import shutil

import pytest
import torch

from soundguide_core.checkpoints import registry, safetensors_io
from soundguide_core.common.errors import InputError
from soundguide_core.generators.loading import load_found, load_generator
from soundguide_core.generators.tuned import fingerprint, save_tuned
from soundguide_core.latents.schedule import Schedule
from soundguide_core.latents.tuning import tune
from soundguide_core.latents.tuning_config import TuningConfig

CONFIG = TuningConfig(schedule=Schedule(5, 0.01, 0.0, 0.0))


@pytest.fixture(scope="module")
def tuned(tiny):
    generator = load_generator(tiny.generator)
    ws = generator.sample_ws([1])
    return tune(torch.zeros(1, 3, 32, 32), ws, generator, config=CONFIG, name=str(tiny.generator)), ws


@pytest.fixture
def folder(tiny, tmp_path):
    """The tiny generator, and what is saved beside it."""
    shutil.copy(tiny.generator, tmp_path / tiny.generator.name)
    return tmp_path


@pytest.mark.parametrize(("bits", "far"), [(8, 5e-3), (16, 3e-4)])
def test_it_comes_back(tuned, folder, bits, far):
    made, ws = tuned
    save_tuned(folder / "mine.safetensors", made.generator, ws=ws, bits=bits)
    generator, latents = load_found(folder / "mine.safetensors")
    assert torch.equal(latents, ws)
    assert (generator.synthesis(ws) - made.img).abs().max() < far * made.img.abs().max()
    plain = load_generator(folder / "generator.safetensors")
    assert (plain.synthesis(ws) - made.img).abs().max() > 2 * far
    assert torch.equal(load_generator(folder / "mine.safetensors").synthesis(ws), generator.synthesis(ws))
    size = (folder / "mine.safetensors").stat().st_size
    assert bits == 16 or size < 0.6 * (folder / "generator.safetensors").stat().st_size


def test_the_path_of_a_generator_stays_private(tuned, folder):
    save_tuned(folder / "mine.safetensors", tuned[0].generator)
    about = safetensors_io.describe(folder / "mine.safetensors")[1]["tuned"]
    assert about["base"] == "generator.safetensors" and len(about["fingerprint"]) == 64


def test_tuned_twice_belongs_to_the_first(tuned, folder):
    first = tuned[0].generator
    ws = first.sample_ws([2])
    again = tune(torch.ones(1, 3, 32, 32), ws, first, config=CONFIG, name="tuned once")
    save_tuned(folder / "twice.safetensors", again.generator, ws=ws, bits=16)
    generator, _ = load_found(folder / "twice.safetensors")
    assert (generator.synthesis(ws) - again.img).abs().max() < 1e-3


def test_latents_alone(tiny, folder):
    generator = load_generator(tiny.generator)
    ws = generator.sample_ws([3, 4])
    save_tuned(folder / "ws.safetensors", generator, ws=ws, name=str(tiny.generator))
    found, latents = load_found(folder / "ws.safetensors")
    assert torch.equal(latents, ws) and torch.equal(found.synthesis(ws), generator.synthesis(ws))
    with pytest.raises(InputError, match="has not been tuned"):
        save_tuned(folder / "none.safetensors", generator)


def test_another_generator_is_refused(tuned, folder):
    save_tuned(folder / "mine.safetensors", tuned[0].generator)
    tensors, config = safetensors_io.load(folder / "generator.safetensors")
    tensors["synthesis.b4.const"][0, 0, 0] += 1e-4  # nearly the same
    safetensors_io.save(folder / "generator.safetensors", tensors, config)
    with pytest.raises(InputError, match="tuned from another generator.*fingerprint"):
        load_found(folder / "mine.safetensors")
    with pytest.raises(InputError, match="tuned from another generator"):
        load_found(folder / "mine.safetensors", base=folder / "generator.safetensors")
    (folder / "generator.safetensors").unlink()
    with pytest.raises(InputError, match="'generator.safetensors', which is not here. Put that generator beside"):
        load_found(folder / "mine.safetensors")


def test_a_fingerprint_is_of_names_shapes_and_values():
    one = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(1)}
    same = {"b": torch.ones(1), "a": torch.arange(6.0).view(2, 3).t().contiguous().t()}
    assert fingerprint(one) == fingerprint(same)
    others = [{**one, "a": one["a"].view(3, 2)}, {**one, "a": one["a"] + 1e-6}, {"c": one["a"], "b": one["b"]}]
    assert len({fingerprint(one), *map(fingerprint, others)}) == 4


def another_key(tensors, about):
    tensors["b4.conv9.weight"] = torch.zeros(3)


def a_key_of_the_mapping(tensors, about):
    tensors["mapping.fc0.weight"] = torch.zeros(8, 8)


def another_shape(tensors, about):
    tensors["b4.conv1.weight"] = tensors["b4.conv1.weight"][:1]


def a_scale_of_nothing(tensors, about):
    tensors["b4.conv7.weight.scale"] = torch.ones(8)


def scales_of_another_shape(tensors, about):
    tensors["b4.conv1.weight.scale"] = torch.ones(8, 8, 3, 3)


def not_numbers(tensors, about):
    tensors["b4.conv1.weight.scale"][0] = float("nan")


def latents_of_another_size(tensors, about):
    tensors["ws"] = torch.zeros(1, 3, 3)


def no_fingerprint(tensors, about):
    about["fingerprint"] = "x" * 64


def another_type(tensors, about):
    about["base"] = ["generator.safetensors"]


def no_bits(tensors, about):
    about["bits"] = 4


def itself(tensors, about):
    about["base"] = "bad.safetensors"


def nothing(tensors, about):
    about["base"] = ""


def one_that_is_tuned(tensors, about):
    about["base"] = "good.safetensors"


def a_path_elsewhere(tensors, about):
    about["base"] = "../../../etc/passwd"


@pytest.mark.parametrize(
    "change",
    [
        another_key, a_key_of_the_mapping, another_shape, a_scale_of_nothing, scales_of_another_shape, not_numbers,
        latents_of_another_size, no_fingerprint, another_type, no_bits, itself, nothing,
        one_that_is_tuned, a_path_elsewhere,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_hostile_files_are_refused(tuned, folder, change):
    made, ws = tuned
    save_tuned(folder / "good.safetensors", made.generator, ws=ws)
    tensors, config = safetensors_io.load(folder / "good.safetensors")
    change(tensors, config["tuned"])
    safetensors_io.save(folder / "bad.safetensors", tensors, config)
    with pytest.raises(InputError) as caught:
        load_found(folder / "bad.safetensors")
    assert caught.value.remedy


def test_other_files_are_no_found_pictures(tiny):
    with pytest.raises(InputError, match="no picture that was found"):
        load_found(tiny.generator)


def test_the_model_folders_are_looked_into(tuned, tiny, folder, tmp_path, monkeypatch):
    models = tmp_path / "models"
    (models / "generator" / "mine").mkdir(parents=True)
    shutil.copy(tiny.generator, models / "generator" / "mine" / "g.safetensors")
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(models))
    generator = load_generator("mine/g.safetensors")
    ws = generator.sample_ws([1])
    made = tune(torch.zeros(1, 3, 32, 32), ws, generator, config=CONFIG, name="mine/g.safetensors")
    save_tuned(tmp_path / "elsewhere.safetensors", made.generator, ws=ws)
    (folder / "generator.safetensors").unlink()
    assert load_found(tmp_path / "elsewhere.safetensors")[0].tuned_from.name == "mine/g.safetensors"
