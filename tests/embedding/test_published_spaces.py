"""Pictures, texts and sounds that belong together: one name, one space, the right size, half precision."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.checkpoints import registry
from soundguide_core.checkpoints.formats.keys import OPENAI_B_32
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import ClipTowers, load_clip
from soundguide_core.embedding.joint import JointEncoder, load_joint
from soundguide_core.embedding.sound import load_sound, save_sound

TEXT = {"context_length": 8, "vocab_size": 60, "width": 64, "heads": 1, "layers": 1}


def towers(patch=32, width=768, quick=True, size=224, dim=512, seed=0, layers=1) -> ClipTowers:
    """A CLIP as the published ones are built, with one layer and random weights."""
    vision = {"image_size": size, "patch_size": patch, "width": width, "layers": layers, "head_width": 64}
    config = {"embed_dim": dim, "vision_cfg": vision, "text_cfg": TEXT, "quick_gelu": quick}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ClipTowers.from_config({**config, "preprocess": {"size": size}, "prompts": ["{}"]}).freeze()


def test_towers_say_which_they_are():
    assert towers().size == OPENAI_B_32 and towers(quick=False).size == "CLIP ViT-B/32"
    assert towers(14, 1024, size=28, dim=768).size == "OpenAI CLIP ViT-L/14"
    assert ClipTowers.from_config(RESNET).size.startswith("CLIP tower")


RESNET = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 32},
    "text_cfg": TEXT,
    "preprocess": {"size": 32},
}


def test_a_space_is_its_weights_whatever_the_file(tmp_path):
    one = towers(width=64)
    one.save(tmp_path / "half.safetensors", half=True)
    one.save(tmp_path / "whole.safetensors", half=False)
    torch.save(one.model.state_dict() | {"input_resolution": torch.tensor(224)}, tmp_path / "other.pt")
    assert {load_clip(tmp_path / f"{name}.safetensors").space for name in ("half", "whole")} == {one.space}
    assert towers(width=64, seed=1).space != one.space


@pytest.fixture(scope="module")
def wav2clip(parity, tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "Wav2CLIP.pt"
    torch.save(parity.read("wav2clip")[1]["released"], path)
    return path


def test_what_hears_elsewhere_is_refused_by_name(wav2clip, tmp_path):
    sound, spec = load_sound(wav2clip)
    assert sound.space == OPENAI_B_32 and JointEncoder(towers(), sound, spec).space.startswith(OPENAI_B_32)
    for other, named in ((towers(quick=False), "CLIP ViT-B/32"), (towers(16), "OpenAI CLIP ViT-B/16")):
        with pytest.raises(InputError, match=f"space of {OPENAI_B_32}, and the picture and text model is {named}"):
            JointEncoder(other, sound, spec)
    with pytest.raises(InputError, match="512 dims and the picture and text model 768"):
        JointEncoder(towers(14, 1024, size=28, dim=768), sound, spec)
    save_sound(tmp_path / "s.safetensors", sound, spec)
    assert load_sound(tmp_path / "s.safetensors")[0].space == OPENAI_B_32  # kept by what is written


@pytest.mark.parametrize("name, sound", [("clip-b-32-wav2clip", "wav2clip"), ("clip-b-32-cvpr2022", "cvpr2022-sound")])
def test_one_name_loads_a_picture_tower_and_what_hears_in_its_space(
    name, sound, wav2clip, parity, tmp_path, monkeypatch
):
    monkeypatch.setattr(registry, "_folders", {kind: [] for kind in registry.KINDS})
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=f"`python -m soundguide_core download {name}`"):
        load_joint(name)
    row = next(row for row in registry.rows() if row.name == name)
    assert list(row.sources)[:2] == ["clip", "sound"] and name not in registry.names("joint")
    row.files["clip"].parent.mkdir(parents=True)
    row.files["sound"].parent.mkdir(parents=True)
    towers().save(row.files["clip"])
    row.files["config"].write_text("{}")
    if sound == "wav2clip":
        row.files["sound"].write_bytes(wav2clip.read_bytes())
    else:
        from soundguide_core.embedding.sound import RELEASED, SoundEncoder

        torch.save(SoundEncoder(RELEASED).state_dict(), row.files["sound"])
    assert name in registry.names("joint")
    joint = load_joint(name)
    assert joint.space == towers().space and joint.dim == 512
    heard = joint.encode_audio(0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0)), 16000)
    assert heard.shape == (1, 512) and torch.isfinite(heard).all()


@pytest.mark.parametrize("size", [224, 336])
def test_a_picture_of_any_size_is_shown_at_the_towers_own(size):
    clip = towers(14, 64, size=size, dim=16)
    img = torch.rand(1, 3, 400, 512, generator=torch.Generator().manual_seed(0)) * 2 - 1
    shown = clip.preprocess(img)
    assert shown.shape == (1, 3, size, size)
    x = img.requires_grad_()
    (g,) = torch.autograd.grad(clip.encode_image(x)[0, 0], x)
    assert g.shape == img.shape and (g[..., 60:-60].abs().amax(dim=(0, 1, 2)) > 0).all()


def test_half_precision_points_where_full_precision_does():
    """Gradients of pixels are too small for half precision, were they not scaled inside the tower."""
    clip = towers(14, 128, size=112, dim=32, layers=4)
    target = F.normalize(torch.randn(1, 32, generator=torch.Generator().manual_seed(1)), dim=-1)
    img = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def pulled():
        x = img.clone().requires_grad_()
        seen = clip.encode_image(x)
        loss = 1e-3 * (1 - (seen * target).sum(-1)).sum()
        return seen.detach(), torch.autograd.grad(loss, x)[0]

    seen, g = pulled()
    joint = JointEncoder(clip, SimpleNetwork(32), SimpleNamespace())
    space = joint.space
    assert joint.halve() is joint and clip.dtype == torch.float16
    seen_half, g_half = pulled()
    assert seen_half.dtype == torch.float32 and g_half.dtype == torch.float32
    assert F.cosine_similarity(seen, seen_half).min() > 0.9999
    assert F.cosine_similarity(g.flatten(1), g_half.flatten(1)).min() > 0.999
    assert torch.allclose(g.norm(), g_half.norm(), rtol=10 * tol.HALF)
    assert ClipTowers.space.func(clip) == space  # pyright: ignore[reportAttributeAccessIssue]


class SimpleNetwork(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
