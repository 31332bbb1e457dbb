"""CLIP's networks beside open_clip's: the same keys, starting values and embeddings, gradients too."""

from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.embedding.clip_networks import CLIP, TextConfig, VisionConfig, covers

TEXT = {"context_length": 12, "vocab_size": 300, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 3, "head_width": 16, "mlp_ratio": 2.0}
RESNET = {"image_size": 64, "width": 8, "layers": [2, 1, 1, 2], "head_width": 16}
TOWERS = [(VIT, False), (VIT, True), (RESNET, False), (RESNET, True)]


def both(vision: dict, quick_gelu: bool):
    """(ours, open_clip's), each begun from the same seed."""
    from open_clip.model import CLIP as Theirs

    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = Theirs(24, vision, TEXT, quick_gelu=quick_gelu)
        torch.manual_seed(0)
        ours = CLIP(24, VisionConfig(**vision), TextConfig(**TEXT), quick_gelu=quick_gelu)
    return ours, theirs


@pytest.mark.parametrize(("vision", "quick_gelu"), TOWERS)
def test_keys_and_starting_values_are_open_clips(vision, quick_gelu):
    ours, theirs = (model.state_dict() for model in both(vision, quick_gelu))
    assert list(ours) != [] and ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(("vision", "quick_gelu"), TOWERS)
def test_embeddings_and_gradients_are_open_clips(vision, quick_gelu):
    ours, theirs = both(vision, quick_gelu)
    rng = torch.Generator().manual_seed(1)
    for name, weight in theirs.named_parameters():  # where a block starts as its shortcut, its kernels would be unseen
        weight.data += 0.02 * torch.randn(weight.shape, generator=rng) * (name != "logit_scale")
    for name, buffer in theirs.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=rng)
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    img = torch.randn(2, 3, vision["image_size"], vision["image_size"], generator=rng)
    tokens = torch.randint(1, 290, (3, 12), generator=rng)
    tokens[:, 7] = 299  # the end, highest of all
    found = []
    for model in (ours, theirs):
        leaf = img.clone().requires_grad_(True)
        seen, read = model.encode_image(leaf), model.encode_text(tokens)
        seen.square().sum().backward()
        found.append((seen, read, leaf.grad))
    for mine, wanted in zip(*found):
        assert (mine - wanted).abs().max() < tol.FLOAT32_SUM * wanted.abs().max()


def test_half_precision():
    ours, theirs = both(VIT, True)
    img, tokens = torch.randn(1, 3, 32, 32).half(), torch.randint(1, 299, (1, 12))
    ours.half().eval(), theirs.half().eval()
    assert torch.allclose(ours.encode_image(img), theirs.encode_image(img), atol=5 * tol.HALF)
    assert torch.allclose(ours.encode_text(tokens), theirs.encode_text(tokens), atol=5 * tol.HALF)


def test_models_with_other_parts_are_left_to_open_clip():
    assert covers({"vision_cfg": VIT, "text_cfg": TEXT})
    assert not covers({"vision_cfg": {**VIT, "timm_model_name": "resnet18"}, "text_cfg": TEXT})
    assert not covers({"vision_cfg": {**VIT, "image_size": [32, 64]}, "text_cfg": TEXT})
    assert not covers({"vision_cfg": VIT, "text_cfg": {**TEXT, "no_causal_mask": True}})
    assert not covers({"vision_cfg": VIT}) and not covers({"open_clip": "RN50"})
