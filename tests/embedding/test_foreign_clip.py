"""CLIP models from files as open_clip and OpenAI save them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP

from soundguide_core.checkpoints.formats import open_clip
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import ClipTowers, load_clip
from soundguide_core.embedding.open_clip_files import pretrained_file

TEXT = {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
VIT = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2}
RESNET = {"image_size": 64, "width": 8, "layers": [1, 1, 1, 1]}


def model(vision: dict, quick_gelu: bool) -> CLIP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLIP(32, vision, TEXT, quick_gelu=quick_gelu).eval()


def seen(towers, theirs) -> float:
    """The largest difference of two models' embeddings."""
    img = torch.rand(1, 3, *[towers.preprocess.size] * 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        pictures = theirs.encode_image(towers.preprocess(img), normalize=True) - towers.encode_image(img)
        texts = theirs.encode_text(towers.tokenizer(["rain"]), normalize=True) - towers.encode_text(["rain"])
    return max(pictures.abs().max().item(), texts.abs().max().item())


@pytest.mark.parametrize("vision", [VIT, RESNET], ids=["vit", "resnet"])
def test_openai(tmp_path, vision):
    theirs = model(vision, quick_gelu=True)
    sizes = {name: torch.tensor(7) for name in open_clip.SIZES}
    torch.save({**theirs.state_dict(), **sizes}, tmp_path / "clip.pt")
    towers = load_clip(tmp_path / "clip.pt")
    assert seen(towers, theirs) < 1e-6
    towers.save(tmp_path / "again.safetensors", half=False)
    assert seen(load_clip(tmp_path / "again.safetensors"), theirs) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_openai_as_it_is_published(tmp_path, monkeypatch):
    """ViT-B-32.pt is a TorchScript program in half precision: its tensors are read, its code is not."""
    theirs = model(VIT, quick_gelu=True).half().float()
    for name in open_clip.SIZES:
        vars(theirs).pop(name, None)
        theirs.register_buffer(name, torch.tensor(7))
    theirs.requires_grad_(False)
    inputs = {"encode_text": torch.zeros(1, 12, dtype=torch.long), "encode_image": torch.zeros(1, 3, 32, 32)}
    torch.jit.save(torch.jit.trace_module(theirs, inputs, check_trace=False), tmp_path / "ViT-B-32.pt")
    monkeypatch.setattr(torch.jit, "load", None)
    monkeypatch.setattr(torch._C, "import_ir_module", None)
    towers = load_clip(tmp_path / "ViT-B-32.pt")
    assert seen(towers, theirs) < 1e-6
    wanted = set(theirs.state_dict()) - set(open_clip.SIZES)
    assert set(towers.model.state_dict()) == wanted


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_of_the_hub(tmp_path, quick_gelu):
    from safetensors.torch import save_file

    theirs = model({**VIT, "head_width": 32}, quick_gelu)
    save_file(theirs.state_dict(), tmp_path / "clip.safetensors")
    with pytest.raises(InputError, match="which activation"):
        load_clip(tmp_path / "clip.safetensors")
    shapes = {"embed_dim": 32, "vision_cfg": {**VIT, "head_width": 32}, "text_cfg": TEXT, "quick_gelu": quick_gelu}
    stated = {"model_cfg": shapes, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.4] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(stated))
    towers = load_clip(tmp_path / "clip.safetensors")
    assert seen(towers, theirs) < 1e-6 and towers.preprocess.std == (0.4, 0.4, 0.4)
    assert seen(towers, model({**VIT, "head_width": 32}, not quick_gelu)) > 1e-4


def test_by_name_nothing_is_fetched(tmp_path, monkeypatch):
    """A tag's weights are those on this disk, or there are none."""
    import socket

    import huggingface_hub
    import open_clip as library

    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    there = {}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *wanted: there.get(wanted))
    with pytest.raises(InputError, match=r"not on this disk. Fetch them from https://huggingface.co/"):
        ClipTowers.from_open_clip("ViT-B-32", "laion2b_s34b_b79k")
    with pytest.raises(InputError, match="not on this disk"):
        pretrained_file("RN50", "openai")

    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    url = library.get_pretrained_cfg("RN50", "openai")["url"]
    path = tmp_path / ".cache" / "clip" / url.rsplit("/", 1)[-1]
    path.write_bytes(b"anything")
    found, about = pretrained_file("RN50", "openai")
    assert found == path and about["quick_gelu"]
    hub = str(tmp_path / "hub.safetensors")
    Path(hub).write_bytes(b"anything")
    there["laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors"] = hub
    assert pretrained_file("ViT-B-32", "laion2b_s34b_b79k")[0] == Path(hub)


def test_by_name_nothing_in_a_file_is_executed(tmp_path):
    theirs = model({**VIT, "head_width": 32}, True)
    path = tmp_path / "model.pt"

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "canary"), "w")

    torch.save({"state_dict": theirs.state_dict(), "epoch": Evil()}, path)
    with pytest.raises(InputError):
        ClipTowers.from_open_clip("RN50", path)
    assert not (tmp_path / "canary").exists()
    torch.save([1], path)
    with pytest.raises(InputError, match="no state dict"):
        ClipTowers.from_open_clip("RN50", path)


def test_refusals(tmp_path):
    state = model(VIT, True).state_dict()
    with pytest.raises(InputError, match="odd.weight"):
        open_clip.convert({**state, "odd.weight": torch.zeros(1)})
    assert not open_clip.recognises({k: x for k, x in state.items() if k != "logit_scale"})
    stated = {"model_cfg": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": {"hf_model_name": "x/y"}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(stated))
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(InputError, match="download"):
        load_clip(tmp_path / "clip.pt")
