"""Weights from our own files and from foreign ones through one call; a converted file is the same network."""

from __future__ import annotations

import hashlib
import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from soundguide_core.checkpoints import formats, safetensors_io, weights
from soundguide_core.common.errors import InputError

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def made_up(monkeypatch):
    """A layout of its own, asked before all others: {"made up": {...}, ...} with every key in capitals."""
    layout = types.ModuleType("made_up")
    layout.NAME, layout.KIND = "Made-up", "generator"
    layout.recognises = lambda content: isinstance(content, dict) and ("made up" in content or "MADE" in content)

    def convert(content):
        state = content.get("made up", content)
        if "odd" in state:
            raise InputError("odd is not known.", "Leave it out.")
        return {key.lower(): x for key, x in state.items()}, {"resolution": 8, "size": len(state["MADE"])}

    layout.convert = convert
    monkeypatch.setitem(sys.modules, f"{formats.__name__}.made_up", layout)
    monkeypatch.setattr(formats, "FORMATS", ("made_up", *formats.FORMATS))


def test_our_own_file(tmp_path):
    safetensors_io.save(tmp_path / "a.safetensors", {"a": X}, {"resolution": 8})
    tensors, config = weights.load(tmp_path / "a.safetensors", "generator")
    assert torch.equal(tensors["a"], X) and config == {"resolution": 8}


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a"])
def test_a_foreign_file_by_what_it_is_and_not_by_its_name(tmp_path, made_up, name):
    torch.save({"made up": {"MADE": X.half(), "STEPS": torch.arange(2)}}, tmp_path / name)
    tensors, config = weights.load(tmp_path / name, "generator")
    assert config == {"resolution": 8, "size": 3}
    assert torch.equal(tensors["made"], X.half().float()) and tensors["steps"].dtype == torch.int64


def test_a_foreign_safetensors_file(tmp_path, made_up):
    save_file({"MADE": X}, tmp_path / "a.safetensors")
    assert torch.equal(weights.load(tmp_path / "a.safetensors", "generator")[0]["made"], X)


def test_shared_memory_is_parted_and_the_rest_left_alone():
    big = torch.randn(10, 10)
    owned = weights.own_storage({"a": X, "b": X, "c": X.T, "d": big[:2], "e": X.half(), "n": torch.empty(0)})
    assert owned["a"] is X or owned["a"].data_ptr() == X.data_ptr()
    pointers = {x.data_ptr() for key, x in owned.items() if key != "n"}
    assert len(pointers) == 5 and all(x.is_contiguous() for x in owned.values())
    assert torch.equal(owned["c"], X.T) and owned["d"].untyped_storage().nbytes() == 80
    assert owned["e"].dtype == torch.float32


@pytest.mark.parametrize("half", [False, True])
def test_convert(tmp_path, made_up, half):
    torch.save({"made up": {"MADE": X, "ALSO": X.T}}, tmp_path / "a.pt")
    weights.convert(tmp_path / "a.pt", tmp_path / "b.safetensors", half=half)
    before, _ = weights.load(tmp_path / "a.pt", "generator")
    after, config = weights.load(tmp_path / "b.safetensors", "generator")
    digest = hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert config["source"] == {"kind": "generator", "format": "Made-up", "file": "a.pt", "sha256": digest}
    for key, x in before.items():
        assert torch.equal(after[key], x.half().float() if half else x)
    with pytest.raises(InputError, match="of the kind generator, not sound"):
        weights.load(tmp_path / "b.safetensors", "sound")
    with pytest.raises(InputError, match="of the kind generator, not sound"):
        weights.load(tmp_path / "a.pt", "sound")


def test_convert_again_in_half(tmp_path, made_up):
    torch.save({"made up": {"MADE": X}}, tmp_path / "a.pt")
    first = weights.convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert weights.convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", half=True) == first
    assert (tmp_path / "c.safetensors").stat().st_size < (tmp_path / "b.safetensors").stat().st_size


def test_what_convert_refuses(tmp_path, made_up):
    torch.save({"made up": {"MADE": X * 1e6}}, tmp_path / "a.pt")
    refusals = [("b.pt", False, "does not end"), ("b.safetensors", True, "half precision"), ("no/b", False, "folder")]
    for out, half, why in refusals:
        with pytest.raises(InputError, match=why):
            weights.convert(tmp_path / "a.pt", tmp_path / out, half=half)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_what_a_file_holds_is_said(tmp_path, made_up):
    torch.save({"model": {"a": X}, "epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="entries called 'model', 'epoch', which is no layout"):
        weights.load(tmp_path / "a.pt", "generator")
    torch.save({f"layer{i}.weight": X for i in range(9)}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="tensors called 'layer0.weight'.* and 5 more"):
        weights.load(tmp_path / "b.pt", "generator")
    for value, said in (([1], "one list"), ({}, "nothing"), (X, "one Tensor"), (torch.nn.Linear(1, 1), "one Linear")):
        torch.save(value, tmp_path / "c.pt")
        with pytest.raises(InputError, match=said):
            weights.load(tmp_path / "c.pt", "generator")


def test_a_layout_that_does_not_fit_is_named(tmp_path, made_up):
    torch.save({"made up": {"odd": X}}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="looks like Made-up, but: odd is not known. Leave it out."):
        weights.load(tmp_path / "a.pt", "generator")
    torch.save({"made up": 3}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="looks like Made-up, but what it holds does not fit"):
        weights.load(tmp_path / "b.pt", "generator")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_no_layout_takes_what_is_nothing(name):
    from importlib import import_module

    from soundguide_core.checkpoints.registry import KINDS
    from soundguide_core.checkpoints.safe_pickle import Foreign, Persistent

    layout = import_module(f"{formats.__name__}.{name}")
    odd = [None, 3, "text", b"", [], (), {}, {"g_ema": 3}, {"G_ema": None}, {1: X, "a": X}, {"state_dict": []}, X]
    odd += [Foreign("a", "B", (), None), Persistent("Generator", (), {}, {}), (1, 2, 3), {"a": {"b": {"c": X}}}]
    assert layout.NAME and not [content for content in odd if layout.recognises(content)]
    assert layout.KIND in KINDS or layout.KIND in {part for parts in KINDS.values() for part in parts}


@pytest.mark.parametrize("kind", [3, None, ["generator"], "nonsense", "generator"])
def test_a_config_may_state_any_source(tmp_path, kind):
    safetensors_io.save(tmp_path / "a.safetensors", {"a": X}, {"source": {"kind": kind}})
    assert weights.load(tmp_path / "a.safetensors", "generator")[1]


ROSINALITY = ("input.input", "style.1.weight", "conv1.conv.weight")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_forward_module.module."])
@pytest.mark.parametrize("wrapper", ["g_ema", "g", None])
def test_wrappers_in_keys(prefix, wrapper):
    from soundguide_core.checkpoints.formats import rosinality

    state = {prefix + key: X for key in ROSINALITY}
    assert rosinality.recognises({wrapper: state} if wrapper else state)


def test_averaged_models_count_is_dropped():
    from soundguide_core.checkpoints.formats.keys import flat_tensors

    assert flat_tensors({"n_averaged": torch.tensor(3), "module.a": X, "module.b.module.c": X}).keys() == {"a", "b.c"}
    assert flat_tensors({"modules.a": X, "a": X}).keys() == {"modules.a", "a"}


def test_pictures_that_are_not_square_are_refused_by_name():
    from soundguide_core.checkpoints.formats.stylegan2_sizes import sizes

    with pytest.raises(InputError, match="not square .*4 x 8"):
        sizes({"synthesis.b4.const": torch.zeros(2, 4, 8)})


def test_weights_that_are_not_finite_are_not_converted(tmp_path, made_up):
    torch.save({"made up": {"MADE": X.clone().fill_(float("nan"))}}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="NaN or infinite numbers in made"):
        weights.convert(tmp_path / "a.pt", tmp_path / "b.safetensors")


@pytest.mark.parametrize("odd", [{"unet": {"block_out_channels": 3}}, {"resolution": "\x1b[2J"}])
def test_inspect_of_odd_configs(tmp_path, capsys, odd):
    from soundguide_core.cli import main

    safetensors_io.save(tmp_path / "a.safetensors", {"a": X}, odd)
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0
    assert "\x1b" not in capsys.readouterr().out
