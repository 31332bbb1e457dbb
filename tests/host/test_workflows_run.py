"""Through the HTTP API of a running ComfyUI: every workflow, every node, the cache, Stop, and a person's mistakes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from every_node import ELSEWHERE, FILM, HEAR, node, tiny_prompt

WORKFLOWS = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "workflows" / "api").glob("*.json"))
STEPS = 12  # of each optimisation; as shipped they would only take longer

pytestmark = pytest.mark.host


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_runs_and_is_cached(server, workflows, name):
    prompt = workflows[name]
    for step in prompt.values():
        for steps in {"steps", "tuning_steps"} & step["inputs"].keys():
            step["inputs"][steps] = STEPS
    first = server.run(prompt)
    assert first.status == "success", first.error
    pictures = [picture for output in first.outputs.values() for picture in output.get("images", [])]
    assert len(pictures) >= (1 if name.startswith("Hear words") else 3)  # its timeline alone
    for picture in pictures:
        place = server.base / picture["type"] / picture["subfolder"] / picture["filename"]
        kind = b"ftyp" if place.suffix == ".mp4" else b"PNG"
        assert kind in place.read_bytes()[:8]
    again = server.run(prompt)
    assert again.status == "success" and again.cached == set(prompt)


def test_a_checkpoint_of_another_program_paints(server):
    prompt = {
        "G": node("LoadStyleGAN", name="foreign.pkl"),
        "draw": node("SampleLatents", generator=["G", 0], seed=1, batch_size=2, psi=0.7),
        "render": node("StyleGANRender", generator=["G", 0], latents=["draw", 0], chunk=2),
        "see_it": {"class_type": "PreviewImage", "inputs": {"images": ["render", 0]}},
    }
    run = server.run(prompt)
    assert run.status == "success", run.error
    assert len(run.outputs["see_it"]["images"]) == 2


def test_every_node_works(server, node_infos):
    prompt = tiny_prompt()
    assert {step["class_type"] for step in prompt.values()} | ELSEWHERE >= set(node_infos)
    run = server.run(prompt)
    assert run.status == "success", run.error
    again = {"kept": node("LoadFoundPicture", name="tiny_001.safetensors")}
    again["show"] = node("StyleGANRender", generator=["kept", 0], latents=["kept", 1], chunk=1)
    again["see"] = {"class_type": "PreviewImage", "inputs": {"images": ["show", 0]}}
    shown = server.run(again)
    assert shown.status == "success" and len(shown.outputs["see"]["images"]) == 1, shown.error
    assert len(run.outputs["see_blend"]["images"]) == 2
    assert len(run.outputs["see_it"]["images"]) == 2
    values = run.outputs["see_curve"]["text"][0].strip("[]").split(",")
    assert len(values) == 7 and all(0 <= float(value) <= 1 for value in values)
    assert "a bay" in run.outputs["see_schedule"]["text"][0] and "nan" not in run.outputs["see_painted"]["text"][0]
    assert "The same space" in run.outputs["see_rows"]["text"][0]
    assert "image_embeds" in run.outputs["see_unclip"]["text"][0] or "unclip" in run.outputs["see_unclip"]["text"][0]
    assert "one pass for 3 prompts" in run.outputs["see_how"]["text"][0]
    assert len(run.outputs["see_listened"]["images"]) == 2
    assert "%" in run.outputs["see_heard"]["text"][0]
    said = json.loads(run.outputs["see_said"]["text"][0])
    assert len(said["words"]) == 23 and {"rain", "a brass band", "Owl"} <= {each["word"] for each in said["words"]}
    assert run.outputs["see_voice"]["text"][0] == "7"
    assert "1 + 4 k of them: 17 frames" in run.outputs["see_length"]["text"][0]
    assert "shuffled sounds" in run.outputs["see_report"]["text"][0]
    told, score, before = (run.outputs[name]["text"][0] for name in ("see_report2", "see_score", "see_before"))
    after_it, before_it = told.split("\n\nbefore\n")
    assert after_it == before_it and score == before and 0 <= float(score) <= 1  # one video twice, one as VIDEO
    assert len(run.outputs["see_plot"]["images"]) == 1
    assert len(run.outputs["see_edit"]["images"]) == 12 and len(run.outputs["see_moves"]["images"]) == 11


def test_stop_ends_the_optimisation_within_a_second(server):
    prompt = tiny_prompt()
    server.run(prompt)  # so that only the long node is left to do
    prompt["change"]["inputs"]["steps"] = 5000
    prompt_id = server.queue(prompt)
    time.sleep(2.0)
    assert server.interrupt() < 1.0 * server.patience
    stopped = server.wait(prompt_id)
    assert stopped.messages["execution_interrupted"]["node_id"] == "change"
    prompt["change"]["inputs"]["steps"] = 4
    after = server.run(prompt)  # nothing is left in a state that gradients cannot pass
    assert after.status == "success", after.error


def test_stop_ends_an_edit_within_a_second_and_the_next_one_runs(server):
    prompt = tiny_prompt()
    server.run(prompt)  # so that only the edit is left to do
    prompt["edit"]["inputs"] |= {"steps": 900, "window": 1}
    prompt_id = server.queue(prompt)
    time.sleep(2.0)
    assert server.interrupt() < 1.0 * server.patience
    assert server.wait(prompt_id).messages["execution_interrupted"]["node_id"] == "edit"
    for variant in ("paper", "score"):
        prompt["edit"]["inputs"] |= {"steps": 2, "variant": variant}
        after = server.run(prompt)
        assert after.status == "success", after.error


def test_outside_the_mask_an_edited_video_is_its_source(server):
    """Half of the picture is masked; in the files that the host has written the other half is the source's."""
    from PIL import Image

    prompt = tiny_prompt()
    prompt["ground"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 32, "height": 32}}
    prompt["part"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 16, "height": 32}}
    prompt["mask"] = {
        "class_type": "MaskComposite",
        "inputs": {"destination": ["ground", 0], "source": ["part", 0], "x": 0, "y": 0, "operation": "add"},
    }
    prompt["edit"]["inputs"] |= {"invert_mask": False, "feather": 0}
    prompt["see_film"] = {"class_type": "PreviewImage", "inputs": {"images": ["film", 0]}}
    run = server.run(prompt)
    assert run.status == "success", run.error
    for one, two in zip(run.outputs["see_film"]["images"], run.outputs["see_edit"]["images"]):
        before, after = (
            np.asarray(Image.open(server.base / "temp" / picture["subfolder"] / picture["filename"]))
            for picture in (one, two)
        )
        assert np.array_equal(before[:, 16:], after[:, 16:]) and not np.array_equal(before[:, :16], after[:, :16])


def test_stop_ends_a_long_video_within_a_second(server):
    prompt = tiny_prompt()
    server.run(prompt)  # so that only the video is left to do
    prompt["invert"]["inputs"]["num_frames"] = 100_000
    prompt_id = server.queue(prompt)
    time.sleep(2.0)
    assert server.interrupt() < 1.0 * server.patience
    assert server.wait(prompt_id).messages["execution_interrupted"]["node_id"] in ("invert", "walk", "frames")


def changed(**steps) -> dict:
    """tiny_prompt with inputs replaced: changed(text={"text": ""}), and nodes added whole."""
    prompt = tiny_prompt()
    for name, change in steps.items():
        if "class_type" in change:
            prompt[name] = change
        else:
            prompt[name]["inputs"].update(change)
    return prompt


def drawn(count: int) -> dict:
    return node("SampleLatents", generator=["G", 0], seed=0, batch_size=count, psi=0.7)


def by_number(first: int, last: int) -> dict:
    return {"layers": "by number", "first_layer": first, "last_layer": last}


def heard(frames: int) -> dict:
    return node(
        "AudioEncode", encoder=["J", 0], audio=["sound", 0], **{**HEAR, "per_frame": True, "num_frames": frames}
    )


def rendered(name: str) -> dict:
    return node("StyleGANRender", generator=["G", 0], latents=[name, 0], chunk=2)


MISTAKES = {
    "a video of two pictures": (changed(start=drawn(2)), "2 start pictures have no one video."),
    "a path from another generator": (
        changed(
            H=node("LoadStyleGAN", name="miniature"),
            start=node("SampleLatents", generator=["H", 0], seed=0, batch_size=1, psi=0.7),
        ),
        "latents are [12, 128], these networks move [8, 16].",
    ),
    "fewer meanings than frames": (changed(hear={"num_frames": 5}), "5 embeddings meet 12 frames."),
    "fewer values than frames": (changed(loud={"num_frames": 5}), "5 values of the curve"),
    "the movement of another video": (
        changed(other=node("ExampleScene", **{**FILM, "num_frames": 3}), moves={"image": ["other", 0]}),
        "The movement of 3 frames meets 12 frames.",
    ),
    "the movement of one picture": (changed(moves={"image": ["scene", 0]}), "One picture does not move."),
    "a mask of nothing": (
        changed(mask={"value": 1.0}),
        "The inverted mask marks nothing to edit.",
    ),
    "a mask of another shape": (changed(mask={"width": 64}), "does not have the shape of pictures of 32 x 32."),
    "more steps skipped than there are": (changed(edit={"skip": 3}), "The number of steps to skip is 3."),
    "an empty text": (changed(text={"text": "  "}), "The text is empty."),
    "weights that cancel": (
        changed(mix={"embeds_2": ["hear", 0], "embeds_4": ["text", 0], "weight_2": -1.0, "weight_4": 0.0}),
        "cancel",
    ),
    "layers the wrong way round": (changed(styles=by_number(3, 1)), "The first layer, 3, comes after the last, 1."),
    "layers that are not there": (changed(styles=by_number(3, 60)), "do not all exist"),
    "three meanings for two pictures": (
        changed(draw3=drawn(3), seen3=rendered("draw3"), see={"image": ["seen3", 0]}, hear={"per_frame": False}),
        "3 meanings meet 2 pictures.",
    ),
    "a batch mixed with frames": (
        changed(draw3=drawn(3), seen3=rendered("draw3"), see={"image": ["seen3", 0]}),
        "A batch of 3 meanings",
    ),
    "two pictures and three donors": (
        changed(draw3=drawn(3), styles={"donor": ["draw3", 0]}),
        "Batches of 2 and 3 pictures",
    ),
    "two encoders": (
        changed(J2=node("LoadJointEncoder", name="other"), text={"encoder": ["J2", 0]}),
        "meets encoder",
    ),
    "frames that differ": (changed(hear2=heard(5), mix={"embeds_4": ["hear2", 0]}), "frames at 12 a second"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_two_sentences(server, mistake):
    prompt, said = MISTAKES[mistake]
    told = refusal(server, prompt)
    assert said in told
    assert told.endswith(".") and told.count(". ") >= 1 and "\n" not in told and len(told) < 300


def refusal(server, prompt: dict) -> str:
    """What the host says of a wrong prompt: before it runs where our node can tell by its widgets, else after."""
    status, answer = server.post("/prompt", {"prompt": prompt})
    for refused in answer["node_errors"].values():
        for error in refused["errors"]:
            return error["details"].split(" - ", 1)[1]
    assert status == 200, answer
    run = server.wait(answer["prompt_id"])
    assert run.status == "error" and run.messages["execution_error"]["exception_type"] == "SoundGuide"
    return run.error


BEFORE_IT_RUNS = {
    "an empty text": changed(text={"text": "  "}),
    "layers the wrong way round": changed(styles=by_number(3, 1)),
    "more steps skipped than there are": changed(edit={"skip": 3}),
    "no word to listen for": changed(say={"words": " ,", "vocabulary": "only the words below"}),
    "guiding that ends before it starts": changed(guided={"start": 0.6, "end": 0.4}),
    "no prompt": changed(words={"texts": "\n"}),
    "two lengths": changed(length={"seconds": 5.0, "beats": 8.0}),
    "weights of nothing": changed(mix=dict.fromkeys(("weight_1", "weight_2", "weight_3", "weight_4"), 0.0)),
    "weights that are not there": changed(J={"name": "nobody"}),
    "weights that have to be fetched": changed(J={"name": "clip-b-32-wav2clip"}),
}


@pytest.mark.parametrize("mistake", BEFORE_IT_RUNS)
def test_what_widgets_alone_tell_is_refused_before_anything_runs(server, mistake):
    _, answer = server.post("/prompt", {"prompt": BEFORE_IT_RUNS[mistake]})
    (node,) = answer["node_errors"].values()
    assert {error["type"] for error in node["errors"]} == {"custom_validation_failed"}
    told = node["errors"][0]["details"].split(" - ", 1)[1]
    assert told.endswith(".") and told.count(". ") >= 1


def test_bounds_hold_for_widgets_that_the_node_checks_itself(server):
    _, answer = server.post("/prompt", {"prompt": changed(edit={"steps": 5000})})
    assert "steps is 5000" in answer["node_errors"]["edit"]["errors"][0]["details"].replace("'", "")


def test_a_file_of_another_kind_is_told_where_it_belongs(server):
    for name, said in (("misplaced.pkl", "with Load StyleGAN."), ("misplaced.safetensors", "Stable Diffusion")):
        prompt = {
            "U": node("LoadPixelDiffusion", name=name),
            "see": {"class_type": "PreviewAny", "inputs": {"source": ["U", 0]}},
        }
        assert said in refusal(server, prompt)


@pytest.mark.parametrize(
    "name, values",
    [
        ("change", {"steps": 0}),
        ("draw", {"psi": 9.0}),
        ("hear", {"fps": 800.0}),
        ("render", {"chunk": 0}),
        ("edit", {"strength": -1.0}),
    ],
)
def test_the_host_refuses_numbers_that_the_widgets_would_not_allow(server, name, values):
    _, answer = server.post("/prompt", {"prompt": changed(**{name: values})})
    assert name in answer["node_errors"], answer


@pytest.mark.parametrize(
    "name, values",
    [
        ("change", {"variant": "best"}),
        ("change", {"space": "outer"}),
        ("sound", {"phenomenon": "silence"}),
        ("sound", {"course": "zigzag"}),
        ("scene", {"phenomenon": "snow"}),
        ("curve", {"curve": "joy"}),
        ("edit", {"variant": "best"}),
        ("edit", {"surroundings": "none"}),
        ("edit", {"sampler": "euler"}),
        ("E", {"name": "raft"}),
        ("U", {"name": "tiny"}),
        ("styles", {"layers": "top"}),
        ("J", {"name": "nobody"}),
        ("G", {"name": "../../../etc/passwd"}),
    ],
)
def test_a_word_that_is_no_choice_is_refused(server, name, values):
    """By the host where it checks V3 nodes' combos, by the pack where it does not (0.3.64)."""
    _, answer = server.post("/prompt", {"prompt": changed(**{name: values})})
    if name not in answer["node_errors"]:
        run = server.wait(answer["prompt_id"])
        assert run.status == "error" and next(iter(values.values())) in run.error and run.error.endswith(".")
