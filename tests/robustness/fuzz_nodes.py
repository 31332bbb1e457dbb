"""Random node calls inside the host's own modules: python tests/robustness/fuzz_nodes.py --count 500 --seed 0

Every node's execute is called as ComfyUI calls it, in inference mode, with inputs that are right but for one to three:
values beside their bounds, NaN and infinity, other types, integer and numpy sounds, empty batches, lazy sounds that
raise, videos of one frame, masks of other sizes. Counted against us: an exception other than InputError, an answer that
is not finite, a call that takes more than --most seconds. Prints one JSON object; exit status 1 where something counts.
Needs COMFYUI_PATH or ~/comfy/ComfyUI, and a Python that runs it.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import types
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sandbox
from sandbox import ROOT

NAN, INF = float("nan"), float("inf")
NUMBERS = [NAN, INF, -INF, -1, 0, 0.5, 1e30, 1e309, 10**30, 10**400, -(10**19), 2**31, True, "3", "", None, [1], 1 + 2j]
WORDS = ["", " ", "\n", ",", "a,,a", "雨", "\0", "\udcff", "x" * 5000, "a," * 3000, None, 3, ["rain"], b"rain"]
CHOICES = ["", "banana", None, 3, "\udcff", ["paper"], "x" * 5000]
SIZE, FRAMES = 24, 3
UNFIT = {"LoadMiniatureModel": ["encoder"]}  # what is right elsewhere, and not here: an encoder of other texts


class Hang(BaseException):
    pass


class Lazy(Mapping):
    """A sound that is decoded when it is asked for, and cannot be."""

    def __getitem__(self, key):
        raise RuntimeError("VHS failed to extract audio")

    def __iter__(self):
        return iter(("waveform", "sample_rate"))

    def __len__(self):
        return 2


def host_and_pack(host: Path, models: Path):
    """The pack's node classes, loaded as ComfyUI loads them."""
    os.environ["SOUNDGUIDE_MODELS"] = str(models)
    sys.path.insert(0, str(host))
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location(
        "fuzzed_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = pack
    spec.loader.exec_module(pack)
    return importlib.import_module("fuzzed_pack.nodes"), importlib.import_module("fuzzed_pack.soundguide_core")


def tiny_models(folder: Path) -> None:
    """Weights as people lay them out: a folder for each kind."""
    makers = sandbox.conftest()
    for kind in ("generator", "unet", "trajectory", "video-generator", "joint"):
        (folder / kind).mkdir(parents=True)
    (folder / "made").mkdir()
    tiny = makers.make_tiny(folder / "made")
    shutil.copytree(tiny.joint, folder / "joint" / "tiny")
    shutil.copytree(tiny.joint, folder / "joint" / "other")
    shutil.copy(tiny.generator, folder / "generator" / "tiny.safetensors")
    makers.make_tiny_unet(folder / "unet" / "tiny.safetensors")
    makers.make_tiny_trajectory(folder / "trajectory" / "tiny.safetensors", tiny)
    makers.make_tiny_video_generator(folder / "video-generator" / "tiny.safetensors")


class Values:
    """Right and strange values for each kind of socket."""

    def __init__(self, nodes):
        import torch

        self.torch = torch
        self.by_id = {node.GET_SCHEMA().node_id.removeprefix("SoundGuide"): node for node in nodes.NODES}
        g = torch.Generator().manual_seed(0)
        self.audio = {"waveform": torch.rand(1, 2, 4000, generator=g) - 0.5, "sample_rate": 8000}
        self.image = torch.rand(FRAMES, SIZE, SIZE, 3, generator=g)
        self.mask = torch.zeros(1, SIZE, SIZE)
        self.mask[:, 8:16] = 1
        self.models = {}
        for node, kind in (
            ("LoadJointEncoder", "SOUNDGUIDE_JOINT"),
            ("LoadStyleGAN", "SOUNDGUIDE_GENERATOR"),
            ("LoadSoundVideo", "SOUNDGUIDE_TRAJECTORY"),
            ("LoadStyleGANV", "SOUNDGUIDE_VIDEO_GENERATOR"),
            ("LoadPixelDiffusion", "SOUNDGUIDE_PIXEL_DIFFUSION"),
        ):
            names = self.by_id[node].names()
            self.models[kind] = self.by_id[node].execute(next(name for name in names if "tiny" in name))[0]
        joint = self.models["SOUNDGUIDE_JOINT"]
        self.embeds = self.by_id["TextEncode"].execute(joint, "rain")[0]
        generator = self.models["SOUNDGUIDE_GENERATOR"]
        self.latents = self._call("SampleLatents", {"generator": generator})[0]
        self._call("SaveFoundPicture", {"generator": generator, "latents": self.latents})  # for what loads it
        self.flow = self._call("FlowGuidance", {"image": self.image, "longest_side": 32})[0]
        self.curve = [0.0, 0.5, 1.0][:FRAMES]
        model, clip, vae = self._call("LoadMiniatureModel", {"name": "miniature"})
        words = self._call("WordsOnACurve", {"texts": "calm sea\nstorm", "curve": self.curve, "fps": 1.0})[0]
        ears = next(name for name in self.by_id["LoadSoundClassifier"].names() if "tiny" in name)
        self.models |= {
            "MODEL": model, "CLIP": clip, "VAE": vae, "SOUNDGUIDE_WORDS": words,
            "SOUNDGUIDE_EARS": self.by_id["LoadSoundClassifier"].execute(ears)[0],
            "SOUNDGUIDE_PROMPTS": self._call("SoundPrompt", {"words": words, "fps": 1.0})[2],
            "SOUNDGUIDE_PREVIEW_DECODER": self._call("LoadPreviewDecoder", {"model": model})[0],
        }  # fmt: skip
        for curve in ("onset", "beat"):  # librosa compiles what these need, once
            self._call("SoundSchedule", {"audio": self.audio, "curve": curve})

    def _call(self, node: str, given: dict) -> tuple:
        """The outputs of execute with defaults for what is not given."""
        schema = self.by_id[node].GET_SCHEMA()
        values = {x.id: self.default(x) for x in schema.inputs if not x.optional}
        return self.by_id[node].execute(**{**values, **given}).result

    def default(self, socket):
        """What a new node has in its widget."""
        value = getattr(socket, "default", None)
        options = getattr(socket, "options", None)
        return options[0] if value is None and options else value

    def right(self, socket):
        kind = socket.get_io_type()
        if kind in self.models:
            return self.models[kind]
        fixed = {
            "AUDIO": self.audio, "IMAGE": self.image, "MASK": self.mask, "SOUNDGUIDE_EMBEDS": self.embeds,
            "SOUNDGUIDE_WS": self.latents, "SOUNDGUIDE_FLOW": self.flow,
            "LATENT": {"samples": self.torch.zeros(FRAMES, 4, 8, 8)}, "SIGMAS": self.torch.linspace(1, 0, 5),
        }  # fmt: skip
        if kind in fixed:
            return fixed[kind]
        if socket.id in ("curve", "values") and kind == "FLOAT":
            return self.curve
        small = {
            "steps": 2, "candidates": 16, "samples": 4, "seconds": 0.5, "size": 32, "num_frames": FRAMES, "crops": 1,
            "longest_side": 32, "skip": 0, "count": 2, "fps": 1.0,
        }  # fmt: skip
        return small.get(socket.id, self.default(socket))

    def strange(self, socket, rng: random.Random):
        kind = socket.get_io_type()
        if kind == "AUDIO":
            return rng.choice(self._sounds())
        if kind in ("IMAGE", "MASK"):
            return rng.choice(self._pictures(kind))
        if kind in ("INT", "FLOAT"):
            ends = [getattr(socket, end, None) for end in ("min", "max")]
            beside = [x + step for x, step in zip(ends, (-1, 1)) if x is not None]
            return rng.choice(NUMBERS + beside * 3)
        if kind == "BOOLEAN":
            return rng.choice([None, "no", 2, [], NAN])
        if kind == "COMBO":
            return rng.choice(CHOICES)
        if kind == "STRING":
            return rng.choice(WORDS)
        others = [*self.models.values(), self.embeds, self.latents, self.flow, self.image, None, "x"]
        return rng.choice(others)

    def _sounds(self) -> list:
        import numpy as np

        torch, wave = self.torch, self.audio["waveform"]
        waves = [
            wave[..., :0], wave[:0], wave[..., :1], wave[0], wave[0, 0], wave * NAN, wave / 0, wave * 1e35, wave * 0,
            (wave * 32767).to(torch.int16), (wave * 100).to(torch.uint8), wave.half(), wave.double(), wave.numpy(),
            np.zeros((1, 1, 0)), (wave.numpy() * 32767).astype(np.int16), wave.transpose(1, 2), wave[None],
            wave.expand(3, 2, -1), wave.to(torch.complex64), wave.tolist(), None, "rain.wav", torch.tensor(1.0),
        ]  # fmt: skip
        rates = [0, -1, NAN, INF, 10**400, "8000", None, 8000.0, True, torch.tensor(8000), 1, 10**9, 1e-300]
        sounds = [{"waveform": x, "sample_rate": 8000} for x in waves]
        sounds += [{"waveform": wave, "sample_rate": x} for x in rates]
        return [*sounds, Lazy(), {}, None, wave, [], "x", {"waveform": wave}, {"samples": wave, "sample_rate": 8000}]

    def _pictures(self, kind: str) -> list:
        torch, x = self.torch, self.image if kind == "IMAGE" else self.mask
        return [
            x[:0], x[:1], x[0], x * NAN, x / 0, x * 1e38, -x, x * 0, x * 0 + 1, x.half(), x.double(), (x * 255).byte(),
            x > 0.5, x.numpy(), x[:, :1, :1], x[:, :0], x[:, :7, :5],
            x.expand(7, *x.shape[1:]) if len(x) == 1 else x[:2],
            torch.rand(2, 16, 16, 4), torch.rand(2, 16, 16, 1), torch.rand(2, 16, 16, 2), torch.rand(1, 3, 16, 16),
            torch.rand(16, 16), torch.rand(16), torch.tensor(1.0), x.to(torch.complex64), x.tolist(), None, "x.png", [],
        ]  # fmt: skip


def run(count: int, seed: int, host: Path, most_sec: float) -> dict:
    import torch

    torch.set_num_threads(1)
    report = {
        "count": count,
        "seed": seed,
        "calls": collections.Counter(),
        "nodes": collections.Counter(),
        "failures": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        tiny_models(Path(folder) / "models")
        nodes, _ = host_and_pack(host, Path(folder) / "models")
        importlib.import_module("folder_paths").set_temp_directory(folder)
        saver = importlib.import_module("comfy_api.latest._ui")
        saver.AudioSaveHelper.save_audio = staticmethod(lambda *args, **kwargs: [])  # it needs a running prompt
        errors = importlib.import_module("fuzzed_pack.soundguide_core.common.errors")
        with torch.inference_mode():
            values = Values(nodes)
        for node in values.by_id.values():
            node.hidden = types.SimpleNamespace(unique_id="1")  # which the host sets
        importlib.import_module("fuzzed_pack.nodes.live").OPENED_WITHIN_SEC = 0.2  # nobody opens the page
        signal.signal(signal.SIGPROF, _alarm)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30),) * 2)
        names = sorted(values.by_id)
        for i in range(count):
            rng = random.Random(f"{seed} {i}")
            name = names[i % len(names)]
            sockets = values.by_id[name].GET_SCHEMA().inputs
            given = {x.id: values.right(x) for x in sockets if not x.optional or rng.random() < 0.3}
            for missing in UNFIT.get(name, ()):
                given.pop(missing, None)
            if given.get("embeds") is not None and any(x.id == "encoder" for x in sockets):
                given["encoder"] = values.models["SOUNDGUIDE_JOINT"]
            if name == "SoundReport":  # a video of two seconds or more, and of eight frames
                given |= {"image": values.image.repeat(3, 1, 1, 1), "audio": values.audio}
            if given.get("also_mask") is not None:  # the second place is of a second sound
                given["also"] = values.embeds
            if name == "LivePage":  # one of the two
                given["generator"] = values.models["SOUNDGUIDE_GENERATOR"]
                given.pop("video_generator", None)
            changed = rng.sample(sockets, min(len(sockets), rng.choice((0, 1, 1, 1, 2, 3)))) if sockets else []
            given |= {x.id: values.strange(x, rng) for x in changed}
            signal.setitimer(signal.ITIMER_PROF, most_sec)
            try:
                with torch.inference_mode():
                    answer = values.by_id[name].execute(**given)
                outcome = "answered" if _finite(answer.result or ()) else "not finite"
                fault = "" if outcome == "answered" else outcome
            except errors.InputError as error:
                outcome, refusal = "refused", str(error)
                fault = "" if error.cause and error.remedy and len(str(error)) < 900 else str(error)
            except Hang:
                outcome, fault = "slow", f"more than {most_sec} s\n{traceback.format_exc()[-700:]}"
            except BaseException:
                outcome, fault = "raised", traceback.format_exc()[-900:]
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            report["calls"][outcome] += 1
            report["nodes"][name] += 1
            complete = all(
                given.get(x.id) is not None for x in sockets if not x.optional
            )  # a MODEL, say, is not at hand
            absent = ("soundguide_core download", "Nobody has opened")  # weights, and a person
            expected = outcome == "refused" and any(said in refusal for said in absent)
            complete = complete and not expected
            if not changed and complete and outcome == "refused":
                fault = "what is right is refused: " + refusal
            if fault:
                inputs = {x.id: _short(given[x.id]) for x in changed}
                report["failures"].append({"i": i, "node": name, "changed": inputs, "fault": fault})
    return report


def _alarm(*_) -> None:
    raise Hang


def _finite(value) -> bool:
    import torch

    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    if isinstance(value, float):
        return value - value == 0
    return all(map(_finite, value)) if isinstance(value, (list, tuple)) else True


def _short(value) -> str:
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {list(value.shape)} {value.dtype}"
    if isinstance(value, dict):
        return str({key: _short(x) for key, x in value.items()})
    try:
        return repr(value)[:80]
    except ValueError:
        return "a long number"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=10, help="seconds of the processor for one call")
    args, sys.argv[1:] = parser.parse_args(), []
    host = Path(os.environ.get("COMFYUI_PATH", "~/comfy/ComfyUI")).expanduser()
    if not (host / "main.py").is_file():
        parser.error("no ComfyUI here: set COMFYUI_PATH to a checkout")
    report = run(args.count, args.seed, host, args.most)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
