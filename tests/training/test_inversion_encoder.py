"""An inversion encoder trained on a small generator's own renderings: terms by hand, files, resuming to the same."""

from __future__ import annotations

import json

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.style_pyramid import joined
from soundguide_core.generators.loading import load_generator
from soundguide_core.latents.encoder import load_inversion_encoder
from soundguide_core.media.images import save_image
from soundguide_core.training import inversion_encoder as trainer
from soundguide_core.training.inversion_encoder import EncoderSettings, EncoderTraining, Pairs
from soundguide_core.training.recipe import Recipe, read_recipe

NETWORK = {"widths": [4, 4, 4, 8, 8], "units": [1, 1, 1, 1], "reduction": 2}


def recipe(tiny, **training) -> Recipe:
    return Recipe(
        {
            "models": {"generator": str(tiny.generator), "joint": str(tiny.joint)},
            "encoder": {"size": [32, 32], "groups": [2, 3, 3], "sides": [2, 4, 8], "deltas": True, "shared": 8,
                        "network": NETWORK},
            "training": {"steps": 6, "batch": 4, "pairs": 32, "warmup": 1, "progressive_start": 1,
                         "progressive_every": 1, "pictures_from": 2, "save_every": 3, **training},
        }
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(trainer, "HELD_OUT", 8)


def build(tiny, **changes) -> EncoderTraining:
    config, generator = recipe(tiny), load_generator(tiny.generator)
    settings = EncoderSettings(steps=200, batch=8, lr=3e-3, warmup=1, pairs=32, **changes)
    network = trainer.InversionConfig.from_dict(
        {"activated": False, "centred": True, "w_dim": 8, **{k: v for k, v in config["encoder"].items() if k != "size"}}
    )
    encoder = trainer.with_seed(0, lambda: trainer.InversionEncoder(network, (32, 32)))
    pairs = trainer.render_pairs(generator, (32, 32), 32, 0, settings)
    return EncoderTraining(encoder, generator, pairs, settings, perceptual=None, pictures=None, device="cpu", seed=0)


def test_it_finds_its_own_pictures_better_and_better(tiny):
    training = build(tiny, l2=0.0, perceptual=0.0, ema=1.0)
    losses = [training.step(i)["w"] for i in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert set(training.step(60)) == {"w", "delta"}


@torch.no_grad()
def test_the_terms_by_hand(tiny):
    training = build(tiny)
    ws, img = training.pairs.batch(torch.arange(4), torch.device("cpu"))
    training.encoder.eval()
    for head in training.encoder.styles:
        torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(1))
    terms = training.terms(img, ws, 10**6, compared=True)
    heads = training.encoder.heads(img) * training.spread
    found = joined(heads) + training.generator.w_avg
    squares = sum(
        float(((found[b, i, d] - ws[b, i, d]) / training.spread[d]) ** 2)
        for b in range(4) for i in range(8) for d in range(8)
    )  # fmt: skip
    assert float(terms["w"]) == pytest.approx(squares / (4 * 8 * 8), rel=1e-4)
    lengths = sum(heads[b, i].square().sum().sqrt() for b in range(4) for i in range(1, 8)) / 4
    assert float(terms["delta"]) == pytest.approx(float(lengths), rel=1e-4)
    made = training.generator.synthesis(found)
    assert float(terms["l2"]) == pytest.approx(float((made - img).square().mean()), rel=1e-4)


@torch.no_grad()
def test_what_is_written_answers_in_latents(tiny):
    training = build(tiny)
    img = torch.rand(2, 3, 32, 32)
    for head in training.ema.styles:
        torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(1))
    expected = joined(training.ema.heads(img) * training.spread) + training.generator.w_avg
    torch.testing.assert_close(training.finished()(img), expected, rtol=1e-4, atol=1e-5)


def test_deltas_join_one_after_the_other():
    settings = EncoderSettings(steps=9, progressive_start=100, progressive_every=10)
    assert [settings.deltas_at(i, 3) for i in (0, 99, 100, 109, 110, 120, 500)] == [0, 0, 1, 1, 2, 3, 3]
    assert EncoderSettings(steps=9).deltas_at(0, 3) == 3


def test_a_run_resumes_to_the_same(tiny, tmp_path, small):
    for n in range(12):
        save_image(torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(n)) * 2 - 1, tmp_path / f"{n}.png")
    config = recipe(tiny) | {"data": {"folder": str(tmp_path)}}
    whole = trainer.run(config=Recipe(config), out=tmp_path.parent / "whole")

    def stop(i, n, terms):
        if i == 3 and "w" in terms:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(config=Recipe(config), out=tmp_path.parent / "parts", on_step=stop)
    assert json.loads((tmp_path.parent / "parts" / "scores.json").read_text())["steps"] == 3
    again = trainer.run(config=Recipe(config), out=tmp_path.parent / "parts", resume=True)
    one, same = load_inversion_encoder(whole), load_inversion_encoder(again)
    img = torch.rand(1, 3, 32, 32)
    assert torch.equal(one(img), same(img))
    scores = json.loads((tmp_path.parent / "whole" / "scores.json").read_text())
    assert set(scores) == {"steps", "w", "rendered", "pictures"}
    assert (tmp_path.parent / "whole" / "samples-000006.png").is_file()
    one.check(load_generator(tiny.generator))


def test_parts_of_a_batch_are_the_whole(tiny):
    training = build(tiny)
    rows, chosen = torch.arange(8), torch.arange(0)
    whole = training._drawn(rows, chosen, slice(None))
    parts = [training._drawn(rows, chosen, slice(k, None, 2)) for k in range(2)]
    assert torch.equal(torch.stack([p[1] for p in parts], 1).flatten(0, 1), whole[1])


def test_recipes_that_do_not_fit(tiny, tmp_path, small):
    other = recipe(tiny)
    other["encoder"] = {**other["encoder"], "groups": [2, 2, 3]}
    with pytest.raises(InputError, match="7 latents"):
        trainer.run(config=other, out=tmp_path)
    with pytest.raises(InputError, match="at least 2 pictures"):
        EncoderSettings(steps=1, batch=1)
    with pytest.raises(InputError):
        trainer.run(config=recipe(tiny, stepps=3), out=tmp_path)


def test_the_shipped_recipes_say_what_is_known():
    for name in ("inversion_encoder", "folder_inversion_encoder"):
        table = read_recipe(name)
        trainer.from_table(EncoderSettings, table["training"], "training")
        sizes = {key: value for key, value in table["encoder"].items() if key != "size"}
        width = table["encoder"]["network"]["widths"][-1]
        config = trainer.InversionConfig.from_dict({**sizes, "w_dim": width, "activated": False})
        assert [table["encoder"]["size"][0] // side for side in config.sides] == [16, 8, 4]


def test_mixed_pairs_are_of_two_samples(tiny):
    generator = load_generator(tiny.generator)
    pairs = trainer.render_pairs(generator, (32, 32), 16, 0, EncoderSettings(steps=1, mixed=1.0))
    assert isinstance(pairs, Pairs) and all(not torch.equal(ws[0], ws[-1]) for ws in pairs.ws)
    plain = trainer.render_pairs(generator, (32, 32), 16, 0, EncoderSettings(steps=1, mixed=0.0))
    assert all(torch.equal(ws[0], ws[-1]) for ws in plain.ws)
