"""The command line: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import tolerances as tol
from soundguide_core.cli import main
from soundguide_core.common.errors import InputError
from soundguide_core.media.images import load_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def manipulate(tiny, tmp_path):
    """Run manipulate with the tiny models => (picture, report)"""

    def run(*extra: str, name: str = "out"):
        out, report = tmp_path / f"{name}.png", tmp_path / f"{name}.json"
        models = ["--generator", str(tiny.generator), "--joint", str(tiny.joint), "--steps", "3", "--device", "cpu"]
        assert main(["manipulate", *models, "--out", str(out), "--json", str(report), *extra]) == 0
        return load_image(out), json.loads(report.read_text())

    return run


def test_a_class_of_a_class_conditional_generator(manipulate, tiny, tmp_path, capsys):
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.generators.loading import load_generator
    from soundguide_core.generators.stylegan2 import Generator

    config = dataclasses.replace(load_generator(tiny.generator).config, c_dim=3)
    torch.manual_seed(1)
    safetensors_io.save(tmp_path / "g.safetensors", Generator(config).state_dict(), config.to_dict())
    extra = ["--text", "rain", "--generator", str(tmp_path / "g.safetensors"), "--psi", "1", "--steps", "1"]
    drawn, *classes = (manipulate(*extra, *which)[0] for which in ([], *(["--class", str(k)] for k in range(3))))
    assert [torch.equal(drawn, img) for img in classes].count(True) == 1
    assert (
        main(["manipulate", *extra, "--joint", str(tiny.joint), "--class", "3", "--out", str(tmp_path / "x.png")]) == 2
    )
    assert "a whole number from 0 to 2" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_commands_of_the_public_face(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0
    for command in (
        "demo",
        "classify",
        "manipulate",
        "edit",
        "evaluate",
        "train",
        "models",
        "inspect",
        "convert",
        "download",
    ):
        assert command in shown


def test_help_and_import_load_nothing_heavy():
    code = "import sys, soundguide_core as sg, soundguide_core.cli as c; dir(sg); c.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "numpy", "PIL", "librosa", "kornia", "open_clip", "timm", "matplotlib", "av", "scipy", "tqdm"}
    assert not heavy & set(loaded.split())


def test_every_public_name_exists():
    import soundguide_core

    for name in soundguide_core.__all__:
        assert getattr(soundguide_core, name)
    with pytest.raises(AttributeError):
        soundguide_core.nonsense  # noqa: B018


def test_classify_json(tiny, capsys):
    assert main(["classify", str(tiny.sound), str(tiny.sound), "--labels", "rain, wind,sea waves",
                 "--joint", str(tiny.joint), "--json"]) == 0  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert [r["audio"] for r in report["results"]] == [str(tiny.sound)] * 2
    scores = report["results"][0]["scores"]
    assert list(scores) == ["rain", "wind", "sea waves"] and sum(scores.values()) == pytest.approx(
        1, abs=tol.FLOAT32_SUM
    )
    assert report["results"][0]["label"] == max(scores, key=scores.get)
    assert report["settings"]["labels"] == ["rain", "wind", "sea waves"]


def test_classify_for_people(tiny, capsys):
    assert main(["classify", str(tiny.sound), "--labels", "rain,wind", "--joint", str(tiny.joint)]) == 0
    shown = capsys.readouterr().out
    assert "rain" in shown and "%" in shown


def test_classify_json_to_a_file(tiny, tmp_path, capsys):
    target = tmp_path / "r.json"
    command = ["classify", str(tiny.sound), "--labels", "a,b", "--joint", str(tiny.joint)]
    assert main([*command, "--json", str(target)]) == 0
    assert json.loads(target.read_text())["results"] and not capsys.readouterr().out


def test_json_never_overwrites_a_recording(tiny):
    before = tiny.sound.read_bytes()
    with pytest.raises(SystemExit) as end:
        main(["classify", "--labels", "a,b", "--json", str(tiny.sound)])
    assert end.value.code == 2 and tiny.sound.read_bytes() == before


def test_manipulate_report(manipulate, tiny):
    img, report = manipulate("--audio", str(tiny.sound), "--seed", "3")
    assert img.shape == (1, 3, 32, 32)
    assert len(report["history"]) == 3 and {"sound", "source", "total"} <= report["history"][0].keys()
    assert report["settings"]["seed"] == 3 and report["settings"]["config"]["schedule"]["steps"] == 3
    assert {"before", "after"} == report["similarity"].keys() and report["seconds"] >= 0


def test_manipulate_is_repeatable(manipulate, tiny):
    first, _ = manipulate("--audio", str(tiny.sound), "--seed", "3", name="a")
    again, _ = manipulate("--audio", str(tiny.sound), "--seed", "3", name="b")
    other, _ = manipulate("--audio", str(tiny.sound), "--seed", "4", name="c")
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_manipulate_mixes(manipulate, tiny):
    sound, text = ("--audio", str(tiny.sound)), ("--text", "rain")
    only_text, _ = manipulate(*text, name="a")
    weighted, _ = manipulate(*sound, *text, "--weight", "0", "--weight", "1", name="b")
    assert torch.equal(only_text, weighted)
    layered, report = manipulate(*sound, *text, "--mix", "layers", name="c")
    assert not torch.equal(layered, weighted) and report["settings"]["mix"] == "layers"


def test_manipulate_your_own_picture(manipulate, tiny, tmp_path, monkeypatch):
    from soundguide_core.latents import optimisation as optimise
    from soundguide_core.latents import projection

    with pytest.raises(InputError):  # the first call reads the hints, which name the class
        projection.project(None, None)
    monkeypatch.setattr(projection, "Schedule", lambda **_: optimise.Schedule(steps=2))
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "mine.png")
    img, report = manipulate("--audio", str(tiny.sound), "--image", str(tmp_path / "mine.png"))
    assert img.shape == (1, 3, 32, 32) and report["settings"]["image"].endswith("mine.png")


def test_ctrl_c_leaves_nothing(tiny, tmp_path, monkeypatch, capsys):
    def interrupted(*_, on_step, **__):
        on_step(0, 3, {}, None)
        raise KeyboardInterrupt

    monkeypatch.setattr("soundguide_core.pipelines.image_manipulation.manipulate", interrupted)
    assert main(["manipulate", "--audio", str(tiny.sound), "--generator", str(tiny.generator),
                 "--joint", str(tiny.joint), "--out", str(tmp_path / "a.png")]) == 130  # fmt: skip
    assert not list(tmp_path.iterdir()) and "Stopped" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.slow
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_that_meets_a_generator_as_it_is_cleared_away(monkeypatch, capsys):
    def generator():
        try:
            yield
        finally:
            signal.raise_signal(signal.SIGINT)  # Python prints a traceback and goes on

    def run(args):
        made = generator()
        next(made)
        del made
        time.sleep(5)
        return 0

    monkeypatch.setattr("soundguide_core.cli.models.run", run)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    try:
        assert main(["models"]) == 130
    finally:
        signal.signal(signal.SIGINT, usual)
    assert "Traceback" not in capsys.readouterr().err


def test_a_real_ctrl_c(tiny, tmp_path):
    command = [sys.executable, "-m", "soundguide_core", "manipulate", "--audio", tiny.sound, "--joint", tiny.joint,
               "--generator", tiny.generator, "--out", tmp_path / "a.png", "--steps", "1000000"]  # fmt: skip
    # the background job of a shell, as some CI is, ignores Ctrl-C: this one must not
    hear = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
    shown = ""
    while "changing" not in shown and process.poll() is None:
        shown += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in rest and not list(tmp_path.iterdir())


def test_unexpected_errors_are_not_swallowed(monkeypatch):
    monkeypatch.setattr("soundguide_core.checkpoints.registry.rows", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def test_models(capsys):
    assert main(["models"]) == 0
    assert "miniature" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert {"joint", "generator", "unet", "sound", "scene-classifier"} <= {model["kind"] for model in listed}
    assert all(model["here"] != bool(model["how_to_get"]) for model in listed)
    assert main(["models", "--kind", "generator", "--here", "--json"]) == 0
    assert "miniature" in [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]


def test_inspect(tiny, capsys):
    assert main(["inspect", str(tiny.generator), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["config"]["resolution"] == 32 and report["tensors"]["mapping.w_avg"] == [8]
    assert report["kind"] == "generator" and report["resolution"] == 32 and report["widths"] == [8, 8, 8, 8]
    assert main(["inspect", str(tiny.generator), "--tensors"]) == 0
    shown = capsys.readouterr().out
    assert "mapping.w_avg" in shown and "32 x 32" in shown and "Licence: not known" in shown
    for part, kind in (("clip", "clip"), ("sound", "sound")):
        assert main(["inspect", str(tiny.joint / f"{part}.safetensors"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind
    assert main(["inspect", str(ROOT / "soundguide_core/miniature/weights/generator.safetensors")]) == 0
    assert "Licence, if it is the published miniature: MIT" in capsys.readouterr().out
    assert main(["inspect", str(ROOT / "soundguide_core/miniature/weights/unet.safetensors")]) == 0
    assert "64 x 64" in capsys.readouterr().out  # 32 x 32 patches of 2 x 2


FIXTURES = ROOT / "tests" / "fixtures"


@pytest.mark.parametrize("name", ["stylegan2_ada.pkl", "tensorflow.pkl", "stylegan3.pkl"])
def test_a_foreign_file_from_end_to_end(name, tmp_path, capsys, tiny):
    """inspect, convert, and the same picture from the file and from its copy"""
    import soundguide_core as sg

    copy = tmp_path / "copy.safetensors"
    assert main(["inspect", str(FIXTURES / name), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kind"] == "generator" and report["resolution"] == 32 and report["widths"][0] == 8
    assert main(["convert", str(FIXTURES / name), "--out", str(copy)]) == 0
    assert report["format"] in capsys.readouterr().out
    assert main(["inspect", str(copy), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["config"]["source"]["file"] == name and again["tensors"] == report["tensors"]
    pictures = [G.synthesis(G.sample_ws([1])) for G in map(sg.load_generator, (FIXTURES / name, copy))]
    assert torch.equal(*pictures)


def test_convert_reports(tmp_path, capsys):
    command = ["convert", str(FIXTURES / "stylegan2_ada.pkl"), "--out", str(tmp_path / "a.safetensors"), "--half"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["half"] is True and report["config"]["source"]["kind"] == "generator"


def test_download(tmp_path, capsys, monkeypatch):
    """From a server of our own to where the registry looks; a second time nothing is fetched."""
    import http.server
    import threading

    from soundguide_core.checkpoints import registry

    torch.save({"a": torch.zeros(3)}, tmp_path / "small.pt")
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        source = registry.Source("small.pt", f"http://127.0.0.1:{server.server_address[1]}/small.pt")
        offered = {"small": source, "far": registry.Source("far.pt", page="https://example.org")}
        added = [
            registry.Row(name, "generator", {}, "MIT", True, 3, "", "", "Small.", sources={"generator": source})
            for name, source in offered.items()
        ]
        shipped = registry._table()
        monkeypatch.setattr(registry, "_table", lambda: (*added, *shipped))
        assert main(["download", "small"]) == 0
        shown = capsys.readouterr().out
        assert "licence MIT, commercial use allowed" in shown and "is whole" in shown
        assert main(["download", "small", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["files"] == {"generator": str(tmp_path / "models" / "generator" / "small.pt")}
        assert main(["download", "small", "--folder", str(tmp_path / "else")]) == 0
        assert (tmp_path / "else" / "small.pt").read_bytes() == (tmp_path / "small.pt").read_bytes()
        (tmp_path / "small.pt").write_text("<html>Not today.</html>")
        assert main(["download", "small", "--folder", str(tmp_path / "third")]) == 2
        assert "web page" in capsys.readouterr().err and not list((tmp_path / "third").iterdir())
        server.shutdown()
    assert registry.find("generator", "small").files["generator"].is_file()
    for name, why in (("far", "https://example.org"), ("miniature", "nothing to download"), ("no", "no weights")):
        assert main(["download", name]) == 2
        assert why in capsys.readouterr().err


def test_train_writes_what_can_be_loaded_and_resumes(tmp_path, capsys):
    from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier

    recipe = (ROOT / "soundguide_core" / "miniature" / "recipes" / "scene_classifier.toml").read_text()
    small = {"count": 12, "held_out": 40, "steps": 3, "pictures": 4, "size": 32, "channels": [8, 8]}
    for key, value in small.items():
        recipe = re.sub(rf"^{key} = .*", f"{key} = {value}", recipe, flags=re.MULTILINE)
    (tmp_path / "small.toml").write_text(recipe)
    command = ["train", "scene-classifier", "--config", str(tmp_path / "small.toml"), "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    path = Path(capsys.readouterr().out.strip())
    weights = load_scene_classifier(path).state_dict()
    assert main([*command, "--out", str(tmp_path / "a")]) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "a"), "--resume"]) == 0
    again = load_scene_classifier(path).state_dict()
    assert all(torch.equal(weights[key], again[key]) for key in weights)


@pytest.fixture
def esc_folder(tmp_path):
    """Three clips of two classes in the ESC-50 layout, in folds 1 and 4."""
    (tmp_path / "esc" / "audio").mkdir(parents=True)
    (tmp_path / "esc" / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i, (fold, target, category) in enumerate([(1, 10, "rain"), (4, 10, "rain"), (4, 11, "sea_waves")]):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, 8000)
        soundfile.write(tmp_path / "esc" / "audio" / f"{fold}-{i}-A-{target}.wav", wave, 8000)
        lines.append(f"{fold}-{i}-A-{target}.wav,{fold},{target},{category},True,{i},A")
    (tmp_path / "esc" / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "esc"


def test_zero_shot(tiny, esc_folder, capsys):
    command = ["evaluate", "zero-shot", str(esc_folder), "--joint", str(tiny.joint)]
    assert main([*command, "--folds", "4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 2 and len(report["per_class"]) == 2
    assert report["accuracy"] == pytest.approx(sum(report["per_class"].values()) / 2)
    assert report["settings"]["folds"] == [4]
    assert main(command) == 0
    assert "3 clips" in capsys.readouterr().out


def test_words_over_time(tiny, tmp_path, capsys):
    command = ["classify", str(tiny.sound), "--encoder", str(tiny.joint), "--labels", "rain,a brass band", "--hold=0.5"]
    assert main([*command, "--groups", "birds", "--over-time", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (result,) = report["results"]
    assert len(result["words"]) == 23
    assert result["seconds"] == 1 and result["label"] in {each["word"] for each in result["words"]}
    assert report["settings"]["hold"] == 0.5 and report["settings"]["groups"] == ["birds"]
    (tmp_path / "mine.csv").write_text("word,prompt\nrain,a purple rain\nsnow,\n")
    assert main(["classify", str(tiny.sound), "--joint", str(tiny.joint), f"--vocabulary={tmp_path / 'mine.csv'}"]) == 0
    assert "noise.wav" in capsys.readouterr().out
    assert main(["classify", str(tiny.sound)]) == 2 and "no words to choose from" in capsys.readouterr().err
    assert main([*command[:-1], "--groups", "fish"]) == 2 and "no group of words 'fish'" in capsys.readouterr().err


def test_zero_shot_with_other_ears(tiny, esc_folder, capsys):
    assert main(["evaluate", "zero-shot", str(esc_folder), "--encoder", str(tiny.joint), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 3 and report["settings"]["encoder"] == str(tiny.joint)


def test_seeing(tiny, tmp_path, capsys):
    models = ["--generator", str(tiny.generator), "--joint", str(tiny.joint), "--judge", str(tiny.classifier)]
    sizes = ["--sources", "2", "--steps", "2"]
    assert main(["evaluate", "seeing", *sizes, *models, "--out", str(tmp_path / "grid.png"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 14 and len(report["per_class"]) == 7 and len(report["seen"][0]) == 7
    assert report["accuracy"] == pytest.approx(sum(report["per_class"].values()) / 7)
    assert 0 <= report["heard"] <= 1 and (report["heard"] == 0) == (report["accuracy_of_heard"] is None)
    assert {"own", "others"} <= report["layout"].keys()
    assert load_image(tmp_path / "grid.png").shape[3] > 8 * 32
