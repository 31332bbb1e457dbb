"""The towers: preprocessing as open_clip's and as the release's, gradients, round trip through a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.checkpoints import registry
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.clip import OPENAI_MEAN, OPENAI_STD, ClipTowers, Preprocess, augmented_crops, load_clip
from soundguide_core.media.images import from_uint8
from soundguide_core.miniature.data.scenes import HELD_OUT
from soundguide_core.miniature.world import captions, scenes

CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 32},
    "text_cfg": {"context_length": 12, "width": 8, "heads": 2, "layers": 1},
    "preprocess": {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
    "prompts": ["{}", "the sound of {}"],
}


@pytest.fixture(scope="module")
def towers():
    return ClipTowers.from_config(CONFIG).freeze()


def pictures(n, h, w, seed=0):
    smooth = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(smooth, (h, w), mode="bilinear") * 2 - 1


def test_preprocess_equals_open_clips_transform():
    from open_clip.transform import image_transform
    from PIL import Image

    pixels = ((pictures(1, 90, 120)[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    want = image_transform(32, is_train=False, mean=OPENAI_MEAN, std=OPENAI_STD)(Image.fromarray(pixels.numpy()))
    got = Preprocess(32)(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    assert (got - want).abs().max() < 0.03  # PIL rounds to 256 levels after each pass


def test_released_view_equals_a_loop():
    img = torch.randn(1, 3, 64, 64)
    got = Preprocess(224, view="released")(img)
    big = img[0].numpy().repeat(7, 1).repeat(7, 2)  # 448
    want = big.reshape(3, 224, 2, 224, 2).mean((2, 4))
    assert got.shape == (1, 3, 224, 224) and np.abs(got[0].numpy() - want).max() < 1e-5
    with pytest.raises(InputError, match="multiple of 32"):
        Preprocess(224, view="released")(torch.zeros(1, 3, 60, 60))
    with pytest.raises(InputError, match="view"):
        Preprocess(224, view="nearest")


def test_embeddings_have_unit_norm_and_gradients_reach_the_picture(towers):
    img = pictures(2, 40, 48).requires_grad_(True)
    embeds = towers.encode_image(img)
    assert embeds.shape == (2, towers.dim) == (2, 8)
    assert torch.allclose(embeds.norm(dim=1), torch.ones(2), atol=tol.FLOAT32_SUM)
    embeds[:, 0].sum().backward()
    assert img.grad.abs().sum() > 0 and towers.model.visual.conv1.weight.grad is None
    text = towers.encode_text(["rain", "a very long sentence " * 20])
    assert torch.allclose(text.norm(dim=1), torch.ones(2), atol=tol.FLOAT32_SUM)


def test_crops_are_seeded_and_differentiable(towers):
    img = pictures(2, 32, 32)
    views = augmented_crops(img, 3, torch.Generator().manual_seed(1))
    assert views.shape == (6, 3, 32, 32) and views.abs().max() <= 1 + 1e-5
    assert torch.equal(views, augmented_crops(img, 3, torch.Generator().manual_seed(1)))
    assert not torch.equal(views, augmented_crops(img, 3, torch.Generator().manual_seed(2)))
    whole = augmented_crops(img, 4, torch.Generator().manual_seed(0), scale=(1.0, 1.0), skew=0.0)
    for view, source in zip(whole, img.repeat(4, 1, 1, 1), strict=True):  # the whole picture, mirrored or not
        assert min((view - source).abs().max(), (view - source.flip(2)).abs().max()) < 1e-4
    img.requires_grad_(True)
    embeds = towers.encode_image(img, crops=3, generator=torch.Generator().manual_seed(1))
    embeds[:, 0].sum().backward()
    assert embeds.shape == (2, 8) and img.grad.abs().sum() > 0


def test_a_saved_file_gives_the_same_embeddings(towers, tmp_path):
    towers.save(tmp_path / "clip.safetensors", half=False)
    again = load_clip(tmp_path / "clip.safetensors")
    img = pictures(1, 32, 32)
    assert torch.equal(again.encode_image(img), towers.encode_image(img))
    assert torch.equal(again.encode_text(["wind"]), towers.encode_text(["wind"]))
    assert again.prompts == ("{}", "the sound of {}") and not again.training


def test_bad_input_is_refused(towers):
    for text, said in (([], "no text"), (["rain", " "], "empty"), (" ", "empty"), ([3], "is 3"), (None, "is None")):
        with pytest.raises(InputError, match=said):
            towers.encode_text(text)
    assert torch.equal(towers.encode_text("rain"), towers.encode_text(["rain"]))
    with pytest.raises(InputError, match="shape"):
        towers.encode_image(torch.zeros(3, 32, 32))
    with pytest.raises(InputError, match="no model"):
        ClipTowers.from_open_clip("ViT-B-31", "openai")
    with pytest.raises(InputError, match="neither a file"):
        ClipTowers.from_open_clip("ViT-B-32", "no-such-tag")


@pytest.mark.slow
def test_an_open_clip_architecture_loads_from_a_local_file(tmp_path):
    import open_clip

    model = open_clip.create_model("RN50", load_weights=False)
    torch.save(model.state_dict(), tmp_path / "rn50.pt")
    towers = ClipTowers.from_open_clip("RN50", tmp_path / "rn50.pt")
    assert towers.dim == 1024 and towers.preprocess.size == 224 and towers.preprocess.mean == OPENAI_MEAN
    assert torch.equal(towers.model.visual.conv1.weight, model.visual.conv1.weight)
    assert not towers.config["quick_gelu"]


def test_the_shipped_towers_know_their_world():
    row = next(row for row in registry.rows() if row.kind == "joint")
    if not row.files["clip"].is_file():
        pytest.skip("the shipped picture and text towers are not there")
    assert row.files["clip"].stat().st_size < 9e6
    shipped = load_clip(row.files["clip"])
    words = [*scenes.PHENOMENA, captions.CALM]
    names = shipped.encode_text(words)
    assert (names @ names.T - torch.eye(8)).max() < 0.5

    # paraphrases and words among strangers
    said = [
        "sea waves",
        "a crackling campfire",
        "thunderstorm",
        "drizzle behind the blue house",
        "silence",
        "chirping birds",
    ]
    nearest = (shipped.encode_text(said) @ names.T).argmax(1)
    assert [words[k] for k in nearest] == ["waves", "fire", "thunder", "rain", "calm", "birds"]

    # new scenes, and nearer to their word the stronger they are
    first = HELD_OUT + 20_000
    for k, phenomenon in enumerate(scenes.PHENOMENA):
        frames = [scenes.render(first + i, phenomenon, (0.0, 0.5, 1.0), fps=1e6, start_sec=i) for i in range(3)]
        embeds = shipped.encode_image(from_uint8(torch.from_numpy(np.concatenate(frames)))).view(3, 3, -1)
        assert ((embeds[:, 2] @ names.T).argmax(1) == k).all()
        nearness = (embeds @ names[k]).mean(0)
        assert nearness[0] < nearness[1] < nearness[2]
