"""The pack in a running ComfyUI: loads fast and silently, describes itself, keeps its promises."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_nodes.json")
PACK = "sound-guide.pack"

pytestmark = pytest.mark.host


def test_loads_in_time_and_without_a_word(server):
    log = re.sub(r"\x1b\[[0-9;]*m", "", server.log()).split("To see the GUI")[0]
    lines = [line for line in log.splitlines() if PACK in line or "soundguide" in line.lower()]
    table = [line for line in lines if re.search(r"\d seconds", line)]
    assert len(table) == 1 and "FAILED" not in table[0]
    assert float(re.search(r"([\d.]+) seconds", table[0])[1]) <= 0.3 * server.patience
    # the host says which extra model folder it was told of; nothing else may be said about the pack
    assert [line for line in lines if line not in table and "Adding extra search path" not in line] == []


def test_nodes_are_as_promised(node_infos):
    """Ids, inputs and outputs are what saved workflows hold on to. SOUNDGUIDE_UPDATE_GOLDEN=1 writes them anew."""
    now = {name: promise(info) for name, info in sorted(node_infos.items())}
    if os.environ.get("SOUNDGUIDE_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    assert now == json.loads(GOLDEN.read_text(encoding="utf-8"))


def promise(info: dict) -> dict:
    """The parts of a node's description that a saved workflow depends on, in the order it depends on."""
    inputs = {
        group: {name: described(name, spec) for name, spec in info["input"].get(group, {}).items()}
        for group in ("required", "optional")
    }
    outputs = [list(pair) for pair in zip(info["output_name"], info["output"])]
    return {"inputs": inputs, "outputs": outputs, "output_node": info["output_node"]}


def described(name: str, spec: list) -> list:
    kind, options = spec[0], dict(spec[1]) if len(spec) > 1 else {}
    if isinstance(kind, list):
        kind, options["options"] = "COMBO", kind
    if name in ("name", "separator"):  # model files differ from machine to machine
        options.pop("options", None)
    kept = ("default", "min", "max", "step", "options", "control_after_generate", "multiline")
    return [kind, {key: options[key] for key in kept if key in options}]


# where people look for what takes and gives the host's own types
PLACES_OF_THE_HOST = {"audio", "model/patch", "model/conditioning", "model/loaders", "model/latent/batch"}


def test_every_node_explains_itself(node_infos):
    assert len(node_infos) >= 14
    for name, info in node_infos.items():
        assert name.startswith("SoundGuide"), name
        assert info["category"].split("/")[0] == "SoundGuide" or info["category"] in PLACES_OF_THE_HOST, name
        assert len(info["category"].split("/")) <= 3 and len(info["description"]) > 30, name
        assert info["display_name"] and not info["display_name"].startswith("SoundGuide"), name
        for group in ("required", "optional"):
            for input_name, spec in info["input"].get(group, {}).items():
                assert len(spec) > 1 and spec[1].get("tooltip"), f"{name}.{input_name} has no tooltip"
        assert len(info["output_tooltips"]) == len(info["output"]) and all(info["output_tooltips"]), name


def test_no_other_node_has_a_name_of_ours(server, node_infos):
    others = {name for name, info in server.get("/object_info").items() if PACK not in info["python_module"]}
    assert len(others) > 100 and not [name for name in others if name.startswith("SoundGuide")]
    shown = {info["display_name"] for info in node_infos.values()}
    assert len(shown) == len(node_infos), "two nodes of ours are called the same"


SEARCHED = "audio reactive, amplitude, fft, bpm, beat, fire, music, loudness, onset, stem, audio, optical flow, clap"


def test_nodes_are_found_by_what_people_search_for(node_infos):
    if not all("search_aliases" in info for info in node_infos.values()):
        pytest.skip("this host does not search by other words than a node's name")
    words = {name: [word.lower() for word in info["search_aliases"] or []] for name, info in node_infos.items()}
    for wanted in SEARCHED.split(", "):
        assert [name for name, known in words.items() if wanted in known], wanted
    for name, known in words.items():
        assert known, f"{name} is found by its name alone"
        assert len(set(known)) == len(known) and all(word.strip() == word for word in known), name


def test_every_node_has_a_help_page(server, node_infos):
    pages = {path.stem for path in (ROOT / "web" / "docs").glob("*.md")}
    assert pages == set(node_infos)
    for name, info in node_infos.items():
        page = server.get(f"/extensions/{PACK}/docs/{name}.md").decode()
        assert page.startswith(f"# {info['display_name']}\n"), name
        wanted = [*info["input"].get("required", {}), *info["input"].get("optional", {}), *info["output_name"]]
        assert [word for word in wanted if f"`{word}`" not in page and word != "audioUI"] == [], name


@pytest.mark.parametrize("language", ["de", "zh"])
def test_every_node_speaks_another_language_too(server, node_infos, language):
    """locales/*/nodeDefs.json name every node, input and output; tests/host/translate.py writes them."""
    served = server.get("/i18n").get(language, {}).get("nodeDefs", {})
    assert set(served) >= set(node_infos)
    missing, texts = [], 0
    for id, info in node_infos.items():
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        assert set(inputs) <= set(served[id]["inputs"]), id
        assert len(served[id]["outputs"]) == len(info["output"]), id
        assert served[id]["display_name"] != info["display_name"], id
        for each in (*(served[id]["inputs"][name] for name in inputs), *served[id]["outputs"].values()):
            assert each["name"], id
            texts += 1
            missing += [id] if not each.get("tooltip") else []
    assert len(missing) <= texts // 20, f"in English still: {missing}"  # texts that changed since


def test_workflows_are_offered_with_a_picture_each(server):
    flat = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert flat == {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")}
    assert flat == {path.stem for path in (ROOT / "workflows").glob("*.jpg")}
    assert set(server.get("/api/workflow_templates")[PACK]) == flat


def test_files_in_the_folders_of_extra_model_paths_are_offered(node_infos):
    def names(node: str) -> list[str]:
        spec = node_infos[node]["input"]["required"]["name"]
        return spec[0] if isinstance(spec[0], list) else spec[1]["options"]

    assert names("SoundGuideLoadStyleGAN") == ["miniature", "foreign.pkl", "tiny.safetensors"]
    assert names("SoundGuideLoadJointEncoder") == ["miniature", "other", "tiny"]
    assert names("SoundGuideLoadFlow") == ["tv-l1"] and "tiny.safetensors" in names("SoundGuideLoadPixelDiffusion")
