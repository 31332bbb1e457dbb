"""A photograph found, tuned, kept, changed and blended back: by the nodes and by the command the same."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from soundguide_core.cli import main
from soundguide_core.common.rng import with_seed
from soundguide_core.embedding.ir_se import IRSEConfig
from soundguide_core.embedding.style_pyramid import InversionConfig
from soundguide_core.latents.encoder import InversionEncoder, save_inversion_encoder
from soundguide_core.media.images import load_image, save_image, to_uint8

FIND = dict(steps=200, step_size=0.1, stay_editable=0.1, candidates=256, seed=3, tuning_steps=3, refine_steps=2)
CHANGE = dict(steps=2, step_size=0.0015, keep_source=0.002, adaptive_layers=True, variant="paper", crops=1, space="w")
CHANGE |= dict(samples=16, seed=3, also_weight=1.0)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    save_image(torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0)) * 2 - 1, path)
    return path


@pytest.fixture
def encoder(tmp_path):
    """An untrained encoder for the tiny generator."""
    sizes = {"w_dim": 8, "groups": (2, 3, 3), "sides": (2, 4, 8), "activated": False, "centred": True, "shared": 6}
    network = IRSEConfig((4, 4, 4, 4, 8), (1, 1, 1, 1), 4)
    made = with_seed(0, lambda: InversionEncoder(InversionConfig(network, **sizes, deltas=True), (32, 32))).eval()
    save_inversion_encoder(tmp_path / "encoder.safetensors", made, half=False)
    return tmp_path / "encoder.safetensors"


@pytest.fixture
def models(tmp_path, monkeypatch, nodes):
    """The model folders of the nodes' own copy of the core."""
    monkeypatch.setenv("SOUNDGUIDE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def sockets(tiny, model):
    return dict(
        joint=model("embedding.joint.load_joint", tiny.joint),
        generator=model("generators.loading.load_generator", tiny.generator),
    )


def shown(path: Path) -> torch.Tensor:
    return to_uint8(load_image(path)).float() / 255


def pixels_of(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round().to(torch.uint8)


def test_found_tuned_changed_and_blended_back(tiny, sockets, photo, models, tmp_path, execute):
    latents, image, _, tuned, error = execute(
        "image_manipulation", "InvertImage", generator=sockets["generator"], image=shown(photo),
        encoder=sockets["joint"], method="optimise+tuning", fit="whole", **FIND,
    )  # fmt: skip
    (text,) = execute("embedding", "TextEncode", encoder=sockets["joint"], text="a storm")
    _, changed, _, before, *_ = execute(
        "image_manipulation", "SoundManipulate", generator=tuned, encoder=sockets["joint"], latents=latents,
        embeds=text, **CHANGE,
    )  # fmt: skip
    assert torch.allclose(before, image, atol=1e-5) and tuned is not sockets["generator"]
    (blended,) = execute(
        "found_pictures", "BlendBack", photograph=shown(photo), before=before, image=changed, fit="whole", keep=1.0
    )
    words = (
        f"manipulate --image {photo} --generator {tiny.generator} --joint {tiny.joint} --seed 3 --fit whole"
        f" --method optimise+tuning --tuning-steps 3 --steps 2 --samples 16 --save-found {tmp_path}/f.safetensors"
        f" --blend-back --out {tmp_path}/out.png --json {tmp_path}/report.json --text"
    ).split()
    assert main([*words, "a storm"]) == 0
    out = to_uint8(load_image(tmp_path / "out.png"))
    assert out.shape == (1, 40, 60, 3) and (out.int() - pixels_of(blended).int()).abs().max() <= 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["found"]["config"]["method"] == "optimise+tuning"
    assert report["found"]["error"] == pytest.approx(error, abs=1e-5)

    (name,) = execute("found_pictures", "SaveFoundPicture", generator=tuned, latents=latents, filename="mine")
    (again,) = execute("found_pictures", "SaveFoundPicture", generator=tuned, latents=latents, filename="mine")
    assert (name, again) == ("mine_001.safetensors", "mine_002.safetensors")
    folder = models / "found-picture"
    assert (folder / name).is_file()
    (folder / tiny.generator.name).write_bytes(tiny.generator.read_bytes())  # as the nodes' generator lies elsewhere
    generator, loaded = execute("found_pictures", "LoadFoundPicture", name=name)
    assert torch.equal(loaded.ws, latents.ws)
    (painted,) = execute("latents", "StyleGANRender", generator=generator, latents=loaded, chunk=1)
    assert (painted - image).abs().max() < 0.01

    (tmp_path / tiny.generator.name).write_bytes(tiny.generator.read_bytes())
    same = f"manipulate --found {tmp_path}/f.safetensors --joint {tiny.joint} --seed 3 --steps 2 --samples 16"
    assert main([*same.split(), "--out", str(tmp_path / "again.png"), "--text", "a storm"]) == 0
    far = to_uint8(load_image(tmp_path / "again.png")).int() - pixels_of(changed).int()
    assert far.abs().float().mean() < 3


@pytest.mark.parametrize("method", ["encoder", "encoder+refine", "encoder+tuning"])
def test_by_an_encoder(tiny, sockets, photo, tmp_path, execute, model, encoder, method):
    latents, image, *_ = execute(
        "image_manipulation", "InvertImage", generator=sockets["generator"], image=shown(photo), method=method,
        inversion_encoder=model("latents.encoder.load_inversion_encoder", encoder), encoder=sockets["joint"], **FIND,
    )  # fmt: skip
    assert latents.ws.shape == (1, 8, 8) and image.shape == (1, 32, 32, 3)
    words = (
        f"manipulate --image {photo} --generator {tiny.generator} --joint {tiny.joint} --seed 3 --method {method}"
        f" --inversion-encoder {encoder} --tuning-steps 3 --refine-steps 2 --steps 2 --samples 16"
        f" --out {tmp_path}/out.png --before {tmp_path}/before.png --text"
    ).split()
    assert main([*words, "a storm"]) == 0
    before = to_uint8(load_image(tmp_path / "before.png")).int()
    assert (before - pixels_of(image).int()).abs().max() <= 1


def test_a_generator_without_its_encoder(tiny, sockets, photo, execute, nodes):
    with pytest.raises(nodes("host").InputError, match=r"no inversion encoder for this generator.*optimise\+tuning"):
        execute(
            "image_manipulation", "InvertImage", generator=sockets["generator"], image=shown(photo), method="encoder",
            **FIND,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a:b", ".hidden", "x" * 200])
def test_names_that_are_none(sockets, execute, nodes, name):
    (latents,) = execute("latents", "SampleLatents", generator=sockets["generator"], seed=5, batch_size=1, psi=0.7)
    with pytest.raises(nodes("host").InputError, match="no name of a file"):
        execute(
            "found_pictures", "SaveFoundPicture", generator=sockets["generator"], latents=latents, filename=name
        )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--blend-back"], "no photograph to blend back into"),
        (["--save-found", "a.safetensors"], "No picture is looked for"),
        (["--image", "{photo}", "--save-found", "a.png"], "does not end in .safetensors"),
        (["--found", "none.safetensors"], "no picture that was found none.safetensors"),
        (["--found", "{generator}"], "holds no picture that was found"),
        (["--image", "{photo}", "--found", "{generator}"], "Give one, or --blend-back too"),
        (["--image", "{photo}", "--method", "encoder"], "no inversion encoder for this generator"),
    ],
)
def test_command_lines_that_make_no_sense(tiny, photo, tmp_path, capsys, words, said):
    words = [word.format(photo=photo, generator=tiny.generator) for word in words]
    command = ["manipulate", "--text", "rain", "--generator", str(tiny.generator), "--joint", str(tiny.joint)]
    assert main([*command, *words, "--out", str(tmp_path / "out.png")]) == 2
    assert said in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "out.png").exists()


def test_the_shipped_encoder_belongs_to_the_shipped_generator():
    module = importlib.import_module("soundguide_core.pipelines.inversion")
    from soundguide_core.generators.loading import load_generator

    generator = load_generator()
    encoder, ws = module.default_encoder(generator), generator.sample_ws([40, 41], psi=0.8)
    with torch.no_grad():
        img = generator.synthesis(ws)
        found = generator.synthesis(encoder(img))
        usual = generator.synthesis(generator.sample_ws([50, 51], psi=0.8))
    assert (found - img).square().mean() < 0.35 * (usual - img).square().mean()


def test_what_the_encoder_does_not_know_begins_at_the_mean(tiny):
    from soundguide_core.generators.loading import load_generator
    from soundguide_core.pipelines.inversion import known_or_mean

    generator = load_generator(tiny.generator)
    ws = generator.sample_ws([0, 1], psi=1.0)
    mean = generator.w_avg.expand(1, generator.num_ws, -1)
    with torch.no_grad():
        known, unknown = generator.synthesis(ws[:1]), generator.synthesis(mean)
    found = known_or_mean(ws, torch.cat([known, unknown]), generator)
    assert torch.equal(found[:1], ws[:1]) and torch.equal(found[1:], mean)
