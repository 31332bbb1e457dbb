"""Wrong inputs: each is answered by one sentence of cause and one of remedy, and leaves nothing half written."""

from __future__ import annotations

import math  # noqa: F401 (named in CALLS)
import pickle
import struct

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import soundguide_core as sg
import tolerances as tol
from soundguide_core.checkpoints import safetensors_io
from soundguide_core.cli import main
from soundguide_core.latents.optimisation import optimise
from soundguide_core.media.images import from_host, resize, to_host  # noqa: F401 (named in CALLS)

NAN = float("nan")


def assert_two_sentences(error: sg.InputError) -> None:
    for sentence in (error.cause, error.remedy):
        assert sentence.strip() == sentence and "\n" not in sentence
        assert sentence.endswith(".")
        assert len(sentence) < 400


# ---------------------------------------------------------------------------------------------------------------------
# files that are not what they should be


@pytest.fixture
def files(tiny, tmp_path):
    """name -> path of a file or folder that is wrong in one way, or right."""
    folder = tmp_path / "in"
    folder.mkdir()
    whole = tiny.generator.read_bytes()
    soundfile.write(folder / "good.wav", np.zeros(8000), 8000)
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "good.png")
    header = struct.pack("<Q", 2**60) + b"{}"
    contents = {
        "text.wav": b"this is not a sound",
        "empty.wav": b"",
        "no-samples.wav": (folder / "good.wav").read_bytes()[:44],
        "header-only.wav": (folder / "good.wav").read_bytes()[:20],
        "picture.wav": (folder / "good.png").read_bytes(),
        "text.png": b"this is not a picture",
        "empty.png": b"",
        "cut.png": (folder / "good.png").read_bytes()[:2000],
        "cut.safetensors": whole[: len(whole) // 2],
        "hostile.safetensors": header,
        "pickle.safetensors": pickle.dumps({"w": [1, 2]}),
        "program.pkl": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R.",
        "text.safetensors": b"hello",
        "broken.toml": b"a = = 1",
        "a-file": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name in ("empty-folder", "half-joint", "swapped-joint", "esc-no-csv", "esc-bad-csv", "esc-lost-clip"):
        (folder / name).mkdir()
    (folder / "half-joint" / "clip.safetensors").write_bytes((tiny.joint / "clip.safetensors").read_bytes())
    for name, source in {"clip": "sound", "sound": "clip"}.items():
        swapped = folder / "swapped-joint" / f"{name}.safetensors"
        swapped.write_bytes((tiny.joint / f"{source}.safetensors").read_bytes())
    for name, table in {
        "esc-bad-csv": "name,what\na.wav,rain\n",
        "esc-lost-clip": "filename,fold,target,category\n1-1-A-1.wav,1,1,rain\n",
    }.items():
        (folder / name / "meta").mkdir()
        (folder / name / "meta" / "esc50.csv").write_text(table)
    return folder


SEE = "evaluate seeing --joint {tiny.joint} --generator {tiny.generator}"
CHANGE = "manipulate --generator {tiny.generator} --joint {tiny.joint} --steps 2 --out {out}/a.png"
HEAR = "classify --joint {tiny.joint} --labels a,b"
COMMANDS = {
    # sounds
    "no such sound": f"{CHANGE} --audio {{f}}/none.wav",
    "text named wav": f"{CHANGE} --audio {{f}}/text.wav",
    "empty sound file": f"{HEAR} {{f}}/empty.wav",
    "no samples": f"{HEAR} {{f}}/no-samples.wav",
    "truncated header": f"{HEAR} {{f}}/header-only.wav",
    "picture as sound": f"{HEAR} {{f}}/picture.wav",
    "folder as sound": f"{HEAR} {{f}}",
    "one bad among good": f"{HEAR} {{f}}/good.wav {{f}}/text.wav",
    "no sound at all": CHANGE,
    # pictures
    "no such picture": f"{CHANGE} --text rain --image {{f}}/none.png",
    "text named png": f"{CHANGE} --text rain --image {{f}}/text.png",
    "empty picture": f"{CHANGE} --text rain --image {{f}}/empty.png",
    "truncated picture": f"{CHANGE} --text rain --image {{f}}/cut.png",
    "sound as picture": f"{CHANGE} --text rain --image {{f}}/good.wav",
    # places to write
    "no such folder": f"{CHANGE} --text rain --out {{f}}/none/a.png",
    "a folder as output": f"{CHANGE} --text rain --out {{f}}/empty-folder",
    "unknown ending": f"{CHANGE} --text rain --out {{out}}/a.tiff2",
    "no folder for the report": f"{CHANGE} --text rain --json {{f}}/none/a.json",
    "demo into a file": "demo --out {f}/a-file",
    # words and numbers
    "empty label": f"{HEAR} --labels a,,b {{f}}/good.wav",
    "repeated label": f"{HEAR} --labels a,a {{f}}/good.wav",
    "empty text": CHANGE + " --text=",
    "zero steps": f"{CHANGE} --text rain --steps 0",
    "negative steps": f"{CHANGE} --text rain --steps -3",
    "similarity not a number": f"{CHANGE} --text rain --similarity nan",
    "negative similarity": f"{CHANGE} --text rain --similarity -1",
    "psi not a number": f"{CHANGE} --text rain --psi nan",
    "one weight for two": f"{CHANGE} --text rain --text wind --weight 1",
    "infinite weight": f"{CHANGE} --text rain --weight inf",
    "weights of zero": f"{CHANGE} --text rain --weight 0",
    "layers of a text alone": f"{CHANGE} --text rain --mix layers",
    "a face recogniser that weighs nothing": f"{CHANGE} --audio rain.wav --identity ir-se50",
    "a preset for faces without a recogniser": f"{CHANGE} --audio rain.wav --preset ffhq-paper",
    "no numbers of layers": f"{CHANGE} --audio rain.wav --text rain --mix layers --sound-layers 3-",
    "layers that there are not": f"{CHANGE} --audio rain.wav --text rain --mix layers --sound-layers 40",
    "unknown device": f"{CHANGE} --text rain --device banana",
    "one source": "evaluate seeing --sources 1",
    # weights
    "unknown generator": f"{CHANGE} --text rain --generator nothing",
    "truncated weights": f"{CHANGE} --text rain --generator {{f}}/cut.safetensors",
    "hostile header": f"{CHANGE} --text rain --generator {{f}}/hostile.safetensors",
    "pickle in disguise": f"{CHANGE} --text rain --generator {{f}}/pickle.safetensors",
    "text as weights": f"{CHANGE} --text rain --generator {{f}}/text.safetensors",
    "wrong kind of weights": f"{CHANGE} --text rain --generator {{tiny.joint}}/clip.safetensors",
    "folder as generator": f"{CHANGE} --text rain --generator {{f}}/empty-folder",
    "unknown joint": "classify {f}/good.wav --labels a,b --joint nothing",
    "empty joint": "classify {f}/good.wav --labels a,b --joint {f}/empty-folder",
    "half a joint": "classify {f}/good.wav --labels a,b --joint {f}/half-joint",
    "swapped joint": "classify {f}/good.wav --labels a,b --joint {f}/swapped-joint",
    "unknown judge": f"{SEE} --sources 2 --steps 1 --judge nobody",
    "inspect a sound": "inspect {f}/good.wav",
    "inspect a program": "inspect {f}/program.pkl",
    "a program as generator": f"{CHANGE} --text rain --generator {{f}}/program.pkl",
    "convert a sound": "convert {f}/good.wav --out {out}/a.safetensors",
    "convert a program": "convert {f}/program.pkl --out {out}/a.safetensors",
    "convert to another ending": "convert {tiny.generator} --out {out}/a.pt",
    "convert into no folder": "convert {tiny.generator} --out {out}/no/a.safetensors",
    "download nothing": "download nothing",
    "download what is here": "download miniature",
    "download of another kind": "download wav2clip --kind generator",
    "models of no kind": "models --kind harps",
    # data sets and recipes
    "no data set": "evaluate zero-shot {f}/none --joint {tiny.joint}",
    "no table": "evaluate zero-shot {f}/esc-no-csv --joint {tiny.joint}",
    "bad table": "evaluate zero-shot {f}/esc-bad-csv --joint {tiny.joint}",
    "lost clip": "evaluate zero-shot {f}/esc-lost-clip --joint {tiny.joint}",
    "unknown fold": "evaluate zero-shot {f}/esc-lost-clip --folds 9 --joint {tiny.joint}",
    "fold in words": "evaluate zero-shot {f}/esc-lost-clip --folds four --joint {tiny.joint}",
    "no sounds for seeing": f"{SEE} --sounds {{f}}/empty-folder",
    "unknown recipe": "train joint --config nothing --out {out}/run",
    "broken recipe": "train joint --config {f}/broken.toml --out {out}/run",
    "recipe without a word in it": "train joint --config {f}/a-file --out {out}/run",
}


@pytest.mark.parametrize("what", COMMANDS)
def test_commands(what, files, tiny, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    before = sorted(tmp_path.rglob("*"))
    command = COMMANDS[what].format(f=files, out=out, tiny=tiny)
    assert main(command.split(" ")) == 2
    captured = capsys.readouterr()
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("error: ") and last.endswith(".") and last.count(". ") >= 1
    left = {path for path in tmp_path.rglob("*") if not (path.is_dir() and path.name == "run")} - set(before)
    assert not left


@pytest.mark.parametrize(
    "command",
    [
        "classify --labels a,b",
        "manipulate --text rain",
        "manipulate --text rain --out a.png --steps many",
        "manipulate --text rain --out a.png --seed -1",
        "manipulate --text rain --out a.png --seed 99999999999",
        "manipulate --text rain --out a.png --mix shaken",
        "train everything",
        "evaluate",
        "dance",
        "",
    ],
)
def test_the_parser_refuses(command, capsys):
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert end.value.code == 2 and "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "part, change",
    [
        ("sound", {"encoder": {"dim": 16, "backbone": "test_resnet", "kwargs": {"pretrained": True}}}),
        ("sound", {"encoder": {"dim": 16, "backbone": "test_resnet", "kwargs": {"checkpoint_path": "x.pt"}}}),
        ("sound", {"encoder": {"dim": 16, "backbone": "hf-hub:someone/something", "kwargs": {}}}),
        ("sound", {"encoder": {"dim": 16, "backbone": "test_resnet", "kwargs": {"nonsense": 1}}}),
        ("clip", {"text_cfg": {"hf_model_name": "someone/something"}}),
        ("clip", {"vision_cfg": {"timm_model_name": "test_resnet", "timm_model_pretrained": True}}),
        ("clip", {"open_clip": "hf-hub:someone/something"}),
        ("clip", {"preprocess": {"size": 32, "view": "sideways"}}),
        ("clip", {"embed_dim": 32}),
    ],
)
def test_configs_that_ask_for_something_else(part, change, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it went to the network"))
    for name in ("clip", "sound"):
        tensors, config = safetensors_io.load(tiny.joint / f"{name}.safetensors")
        safetensors_io.save(tmp_path / f"{name}.safetensors", tensors, config | change if name == part else config)
    with pytest.raises(sg.InputError) as error:
        sg.load_joint(tmp_path)
    assert_two_sentences(error.value)


# ---------------------------------------------------------------------------------------------------------------------
# tensors and numbers that are not what they should be


@pytest.fixture(scope="module")
def joint(tiny):
    return sg.load_joint(tiny.joint)


@pytest.fixture(scope="module")
def generator(tiny):
    return sg.load_generator(tiny.generator)


@pytest.fixture
def call(joint, generator):
    """What the expressions below may name."""
    ws, embeds = generator.sample_ws([0, 1]), joint.encode_text(["rain", "wind"])

    def manipulate(ws=ws, embeds=embeds, **config):
        config = sg.ManipulationConfig(crops=0, schedule=sg.Schedule(steps=2), **config)
        return sg.manipulate(ws, embeds, generator=generator, joint=joint, config=config)

    def weigh(weights):
        return optimise(torch.zeros(1, 2), lambda x: {"sound": x.sum(1)}, weights, sg.Schedule(steps=1))

    local = {"joint": joint, "G": generator, "ws": ws, "embeds": embeds, "manipulate": manipulate, "weigh": weigh}
    return {**globals(), **local}


CALLS = [
    # sounds
    "joint.encode_audio(torch.zeros(0), 8000)",
    "joint.encode_audio(torch.zeros(2, 0), 8000)",
    "joint.encode_audio(torch.zeros(0, 100), 8000)",
    "joint.encode_audio(torch.full((100,), NAN), 8000)",
    "joint.encode_audio(torch.full((100,), math.inf), 8000)",
    "joint.encode_audio(torch.zeros(100, dtype=torch.int16), 8000)",
    "joint.encode_audio(torch.zeros(1, 2, 100), 8000)",
    "joint.encode_audio([0.0, 0.1], 8000)",
    "joint.encode_audio(torch.zeros(100), 0)",
    "joint.encode_audio(torch.zeros(100), -8000)",
    "joint.encode_audio(torch.zeros(100), NAN)",
    "joint.encode_audio_frames(torch.zeros(100), 8000, fps=0, num_frames=3)",
    "joint.encode_audio_frames(torch.zeros(100), 8000, fps=NAN, num_frames=3)",
    "joint.encode_audio_frames(torch.zeros(100), 8000, fps=12, num_frames=0)",
    # words
    "joint.encode_text([])",
    "joint.encode_text(['rain', ''])",
    "joint.classify(embeds, [])",
    "joint.classify(embeds, ['rain', ' '])",
    "joint.classify(embeds, ['rain', 'rain'])",
    "joint.classify(embeds[:, :3], ['rain', 'wind'])",
    # pictures
    "joint.encode_image(torch.zeros(1, 4, 32, 32))",
    "joint.encode_image(torch.zeros(3, 32, 32))",
    "joint.encode_image(torch.zeros(0, 3, 32, 32))",
    "sg.save_image(torch.zeros(2, 3, 8, 8), 'a.png')",
    "sg.load_image('.')",
    "from_host(torch.zeros(1, 8, 8, 2))",
    "from_host(torch.full((1, 8, 8, 3), NAN))",
    "to_host(torch.zeros(3, 8, 8))",
    "resize(torch.zeros(1, 3, 8, 8), (4, 4), 'fold')",
    "sg.project(torch.zeros(1, 1, 32, 32), G)",
    "sg.project(torch.full((1, 3, 32, 32), NAN), G, candidates=1)",
    "sg.project(torch.zeros(1, 3, 32, 32), G, candidates=0)",
    "sg.project(torch.zeros(1, 3, 32, 32), G, prior=-1)",
    # latents
    "G.sample_ws([])",
    "G.sample_ws([-1])",
    "G.sample_ws([0], psi=NAN)",
    "G.synthesis(ws[:, :3])",
    "G.synthesis(ws, noise_mode='loud')",
    "manipulate(ws=ws[:, 0])",
    "manipulate(ws=ws[:0])",
    "manipulate(ws=ws * NAN)",
    "manipulate(embeds=embeds[:, :5])",
    "manipulate(embeds=torch.zeros(3, 16))",
    "manipulate(embeds=embeds * NAN)",
    # numbers
    "manipulate(identity=0.1)",
    "sg.ManipulationConfig(variant='mine')",
    "sg.ManipulationConfig(similarity=NAN)",
    "sg.ManipulationConfig(crops=-1)",
    "sg.ManipulationConfig(mask_lr='fast')",
    "sg.Schedule(steps=0)",
    "sg.Schedule(steps=1.5)",
    "sg.Schedule(lr=-0.1)",
    "sg.Schedule(lr=NAN)",
    "sg.Schedule(rampdown=2)",
    "weigh({'sound': 1, 'colour': 1})",
    "weigh({})",
    "sg.mix_embeds([])",
    "sg.mix_embeds([embeds], [1, 2])",
    "sg.mix_embeds([embeds], [NAN])",
    "sg.mix_embeds([embeds, embeds], [1, -1])",
    "sg.mix_embeds([embeds, embeds[:, :3]])",
    "sg.mix_styles(ws, ws[:, :2])",
    # names
    "sg.load_joint('nothing')",
    "sg.load_generator('nothing')",
    "sg.load_generator('')",
    "sg.load_audio('nothing.wav')",
    "sg.load_audio(None)",
    "sg.load_image(3)",
    "joint.encode_text(None)",
    "joint.encode_text([3])",
    "joint.encode_audio(torch.zeros(8000), '8000')",
    "joint.encode_audio(torch.zeros(8000), True)",
    "joint.encode_audio_frames(torch.zeros(8000), 8000, fps='12', num_frames=3)",
    "joint.encode_audio_frames(torch.zeros(8000), 8000, fps=12, num_frames='3')",
    "G.sample_ws([1.5])",
    "G.synthesis(None)",
]


@pytest.mark.parametrize("expression", CALLS)
def test_calls(expression, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sg.InputError) as error:
        eval(expression, call)  # noqa: S307
    assert_two_sentences(error.value)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# odd, but not wrong


ODD = [(8000, 8, 0.5), (8000, 12, 0.1), (44101, 1, 0.2), (8000, 1, 1 / 8000), (96000, 2, 0.1)]


@pytest.mark.parametrize("sample_rate, channels, seconds", ODD)
def test_odd_recordings_are_heard(joint, tmp_path, sample_rate, channels, seconds):
    n = max(1, round(sample_rate * seconds))
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, (n, channels)), sample_rate)
    wave, rate = sg.load_audio(tmp_path / "a.wav")
    embeds = joint.encode_audio(wave.mean(0), rate)
    assert rate == sample_rate and torch.isfinite(embeds).all()
    assert embeds.norm().item() == pytest.approx(1, abs=tol.PARITY)


def test_one_text_and_one_seed_need_no_list(joint, generator):
    assert torch.equal(joint.encode_text("rain"), joint.encode_text(["rain"]))
    assert torch.equal(joint.encode_labels("rain"), joint.encode_labels(["rain"]))
    assert torch.equal(generator.sample_ws(3), generator.sample_ws([3]))


def test_stereo_is_one_sound(joint, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, (8000, 2)), 8000)
    assert joint.encode_audio(*sg.load_audio(tmp_path / "a.wav")).shape[0] == 1
    assert joint.encode_audio(*sg.load_audio(tmp_path / "a.wav", channels=True)).shape[0] == 2


def test_silence_is_heard(joint):
    embeds = joint.encode_audio(torch.zeros(8000), 8000)
    assert torch.isfinite(embeds).all() and embeds.norm().item() == pytest.approx(1, abs=tol.PARITY)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 3000)])
def test_odd_pictures_are_seen(joint, tmp_path, size):
    Image.fromarray(np.full((*size, 3), 99, np.uint8)).save(tmp_path / "a.png")
    assert torch.isfinite(joint.encode_image(sg.load_image(tmp_path / "a.png"))).all()
