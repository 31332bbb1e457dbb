"""Each output of Curve Shape through the host's own node that takes it, and what that node made of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.host

COUNT = 17
SHAPE = dict(
    fps=12.0, gate="off", threshold=0.5, division="every beat", attack=0.0, hold=0.0, release=0.0, easing="linear",
    invert=False, low=0.0, high=1.0, frame=3, width=64, height=32, frames_per_latent="4 (Wan, Hunyuan)",
    keyframe_format="comma separated", normalise=True,
)  # fmt: skip


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def graph(**more) -> dict:
    """A sound, its curve, the curve shaped, its values as text under "text", and further nodes."""
    return {
        "sound": node("SoundGuideExampleSound", phenomenon="rain", seconds=2.0, intensity=0.9, course="natural",
                      seed=0),
        "curve": node("SoundGuideSoundSchedule", audio=["sound", 0], curve="loudness", fps=12.0, num_frames=COUNT,
                      low=0.0, high=1.0, smoothing=0.0, law="sones"),
        "shape": node("SoundGuideCurveShape", values=["curve", 0], audio=["sound", 0],
                      **{**SHAPE, "fps": ["curve", 3]}),
        "text": node("PreviewAny", source=["shape", 0]),
        **more,
    }  # fmt: skip


def ran(server, **more):
    """(the finished run, the values [F] that left Curve Shape)"""
    run = server.run(graph(**more))
    assert run.status == "success", run.error
    values = np.array(json.loads(run.outputs["text"]["text"][0]))
    assert len(values) == COUNT and values.min() == 0 and values.max() == 1
    return run, values


def pictures(server, run, name: str) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(server.base / each["type"] / each["subfolder"] / each["filename"]))
        for each in run.outputs[name]["images"]
    ]


def greys(server, run, name: str) -> np.ndarray:
    return np.array([picture[..., 0].mean() / 255 for picture in pictures(server, run, name)])


def texts(run, name: str) -> list[str]:
    return run.outputs[name]["text"]


def test_a_true_list_runs_solid_mask_once_a_frame(server):
    run, values = ran(
        server,
        solid=node("SolidMask", value=["shape", 1], width=8, height=8),
        image=node("MaskToImage", mask=["solid", 0]),
        see=node("PreviewImage", images=["image", 0]),
    )
    assert np.abs(greys(server, run, "see") - values).max() < 1 / 200


def test_a_true_list_scales_pictures(server):
    run, values = ran(
        server,
        shape=node("SoundGuideCurveShape", values=["curve", 0], **{**SHAPE, "low": 1.0, "high": 3.0}),
        text=node("PreviewAny", source=["plain", 0]),
        plain=node("SoundGuideCurveShape", values=["curve", 0], **SHAPE),
        solid=node("SolidMask", value=1.0, width=16, height=16),
        image=node("MaskToImage", mask=["solid", 0]),
        scale=node("ImageScaleBy", image=["image", 0], upscale_method="bilinear", scale_by=["shape", 1]),
        see=node("PreviewImage", images=["scale", 0]),
    )
    assert [len(picture) for picture in pictures(server, run, "see")] == [round(16 * (1 + 2 * v)) for v in values]


def needs_manual_sigmas(server) -> None:
    if "ManualSigmas" not in server.get("/object_info"):
        pytest.skip("this ComfyUI has no ManualSigmas, which the test feeds the schedule with")


def test_a_true_list_splits_a_schedule(server):
    needs_manual_sigmas(server)
    run, values = ran(
        server,
        manual=node("ManualSigmas", sigmas=", ".join(str(10 - i) for i in range(11))),
        split=node("SplitSigmasDenoise", sigmas=["manual", 0], denoise=["shape", 1]),
        see=node("PreviewAny", source=["split", 1]),
    )
    steps = [len(re.findall(r"\d+\.", text)) - 1 for text in texts(run, "see")]
    expected = [round(10 * v) for v in values]
    assert [s for s, e in zip(steps, expected) if e] == [e for e in expected if e]  # of 0 steps the host keeps all


def test_floats_become_hook_keyframes(server):
    _, values = ran(
        server,
        hooks=node("CreateHookKeyframesFromFloats", floats_strength=["shape", 2], start_percent=0.0, end_percent=1.0,
                   print_keyframes=True),
        see=node("PreviewAny", source=["hooks", 0]),
    )  # fmt: skip
    said = re.findall(r"Hook Keyframe - start_percent:([\d.e-]+) = ([\d.e-]+)", server.log())[-COUNT:]
    assert np.allclose([float(v) for _, v in said], values) and np.allclose(
        [float(p) for p, _ in said], np.linspace(0, 1, COUNT)
    )


def test_sound_curve_itself_gives_floats(server):
    run, _ = ran(
        server,
        hooks=node("CreateHookKeyframesFromFloats", floats_strength=["curve", 4], start_percent=0.0, end_percent=1.0,
                   print_keyframes=False),
        see=node("PreviewAny", source=["hooks", 0]),
    )  # fmt: skip
    assert "HookKeyframeGroup" in texts(run, "see")[0]


def test_one_value_fills_one_mask(server):
    run, values = ran(
        server,
        solid=node("SolidMask", value=["shape", 3], width=8, height=8),
        image=node("MaskToImage", mask=["solid", 0]),
        see=node("PreviewImage", images=["image", 0]),
    )
    assert abs(float(greys(server, run, "see")[0]) - values[3]) < 1 / 200


def test_masks_are_one_a_frame_and_one_a_latent_frame(server):
    run, values = ran(
        server,
        turned=node("InvertMask", mask=["shape", 4]),
        image=node("MaskToImage", mask=["turned", 0]),
        see=node("PreviewImage", images=["image", 0]),
        grown=node("GrowMask", mask=["shape", 5], expand=0, tapered_corners=True),
        latent_image=node("MaskToImage", mask=["grown", 0]),
        see_latent=node("PreviewImage", images=["latent_image", 0]),
    )
    assert np.abs(1 - greys(server, run, "see") - values).max() < 1 / 200
    assert pictures(server, run, "see")[0].shape[:2] == (32, 64)
    expected = [values[0], *values[1:].reshape(4, 4).mean(1)]
    assert np.abs(greys(server, run, "see_latent") - expected).max() < 1 / 200
    assert pictures(server, run, "see_latent")[0].shape[:2] == (4, 8)


def test_a_latent_gives_its_masks_their_size_and_a_wrong_length_is_told(server):
    more = dict(latent=node("EmptyHunyuanLatentVideo", width=64, height=32, length=17, batch_size=1))
    shape = node("SoundGuideCurveShape", values=["curve", 0], latent=["latent", 0], **SHAPE)
    masked = node("SetLatentNoiseMask", samples=["latent", 0], mask=["shape", 5])
    run, _ = ran(server, **more, shape=shape, masked=masked, see=node("PreviewAny", source=["masked", 0]))
    assert "noise_mask" in texts(run, "see")[0]
    shape["inputs"]["frames_per_latent"] = "8 (LTX, Cosmos)"
    failed = server.run(graph(**more, shape=shape))
    assert failed.status == "error" and "makes 3 latent frames, the latent has 5" in failed.error
    assert "Choose 4" in failed.error


def test_sigmas_follow_the_curve_through_the_hosts_own_nodes(server):
    needs_manual_sigmas(server)
    run, values = ran(
        server,
        manual=node("ManualSigmas", sigmas="8, 7, 6, 5, 4, 3, 2, 1, 0"),
        shape=node("SoundGuideCurveShape", values=["curve", 0], sigmas_in=["manual", 0], **SHAPE),
        flip=node("FlipSigmas", sigmas=["shape", 7]),
        see=node("PreviewAny", source=["flip", 0]),
    )
    numbers = re.findall(r"\d[\d.]*(?:e[-+]\d+)?", texts(run, "see")[0].split("[")[1])
    sigmas = np.array([float(x) for x in numbers])[::-1]
    share = np.maximum(np.interp(np.linspace(0, 16, 8), np.arange(17), values), 0) + 1e-3
    assert len(sigmas) == 9 and np.allclose(-np.diff(sigmas), 8 * share / share.sum(), atol=2e-3)


def test_keyframes_are_read_back(server):
    run, values = ran(server, see=node("PreviewAny", source=["shape", 8]))
    assert np.allclose([float(x) for x in texts(run, "see")[0].split(",")], values, atol=6e-4)
    needs_manual_sigmas(server)
    run, values = ran(
        server,
        manual=node("ManualSigmas", sigmas=["shape", 8]),  # a node that reads numbers out of a text
        see=node("PreviewAny", source=["manual", 0]),
    )
    assert len(re.findall(r"\d\.\d+", texts(run, "see")[0])) == COUNT


def test_a_curve_of_the_host_holds_the_same_values(server):
    if "CurveEditor" not in server.get("/object_info"):
        pytest.skip("this ComfyUI has no CURVE")
    run, values = ran(
        server, edit=node("CurveEditor", curve=["shape", 6]), see=node("PreviewAny", source=["edit", 0])
    )  # fmt: skip
    points = [(float(x), float(y)) for x, y in re.findall(r"\(([\d.e-]+), ([\d.e-]+)\)", texts(run, "see")[0])]
    assert "LinearCurve" in texts(run, "see")[0]
    assert np.allclose(points, np.stack([np.linspace(0, 1, COUNT), values], 1))


def test_fps_and_frames_typed_once_travel(server):
    run, _ = ran(
        server,
        fps=node("PreviewAny", source=["shape", 10]),
        frames=node("PreviewAny", source=["shape", 11]),
        pictures=node("MaskToImage", mask=["shape", 4]),
        video=node("CreateVideo", images=["pictures", 0], fps=["shape", 10], audio=["sound", 0]),
        see=node("SaveVideo", video=["video", 0], filename_prefix="curve", format="auto", codec="auto"),
    )
    assert texts(run, "fps") == ["12.0"] and texts(run, "frames") == [str(COUNT)]


def test_values_of_a_list_in_one_float_drive_this_packs_curve_inputs(server):
    """The plot is drawn, and what arrives as no curve is told in two sentences."""
    run, _ = ran(server, see=node("PreviewImage", images=["shape", 9]))
    assert pictures(server, run, "see")[0].std() > 10


def test_what_is_drawn_is_what_goes_out(pack, monkeypatch):
    """The plots of Audio Curve and Curve Shape are of the very lists that the outputs hold."""
    import torch

    audio, curves, plots = pack("nodes.audio"), pack("nodes.curves"), pack("nodes.plots")
    sound = {"waveform": torch.randn(1, 1, 22050, generator=torch.Generator().manual_seed(0)), "sample_rate": 22050}
    drawn = []
    monkeypatch.setattr(plots, "curve_picture", lambda values, *_: drawn.append(values))
    monkeypatch.setattr(plots, "shape_picture", lambda before, after, *_: drawn.append(after))
    with torch.inference_mode():
        said = dict(curve="loudness", fps=12.0, num_frames=0, low=0.0, high=1.0, smoothing=0.1, law="sones")
        curve = audio.SoundSchedule.execute(audio=sound, **said).args
        shaped = curves.CurveShape.execute(values=curve[0], **{**SHAPE, "threshold": 0.5}).args
    assert drawn[0] is curve[0] and curve[4] == drawn[0]
    assert drawn[1] == shaped[0] and shaped[0] != curve[0]
