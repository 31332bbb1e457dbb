"""Every field of every config, with everything that it should not be: python tests/robustness/config_sweep.py

One file of each kind of weights, small, is loaded and used again and again, each time with one entry of its config of
another type, NaN, negative, enormous, or absent. Counted against us: an exception other than InputError with a cause
and a remedy, an answer that is not finite, more than 1 s of the processor, more than 500 MB. Prints one JSON object;
exit status 1 where something counts.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import importlib.util
import json
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sandbox
from hostile_files import resident
from sandbox import ROOT

MOST_SEC, MOST_MB = 1.0, 500
ABSENT = object()
NAN, INF = float("nan"), float("inf")
VALUES = {
    "absent": ABSENT, "null": None, "a word": "large", "no word": "", "a digit in a word": "3", "true": True,
    "false": False, "nan": NAN, "inf": INF, "-1": -1, "0": 0, "1": 1, "2.5": 2.5, "-10**30": -(10**30),
    "10**30": 10**30, "10**400": 10**400, "2**31": 2**31, "65535": 65535, "1e308": 1e308, "1e-308": 1e-308,
    "a list": [], "a list of 1": [1], "many": [8] * 5000, "words": ["a", None], "a mapping": {},
    "an odd mapping": {"a": {"b": 1}}, "a path": "/etc/passwd", "long": "x" * 100_000, "escape": "\x1b[2J\n\0",
}  # fmt: skip

INVERSION = {
    "network": {"widths": [4, 4, 4, 4, 8], "units": [1, 1, 1, 1], "reduction": 4, "dim": 512, "side": 112},
    "w_dim": 8, "groups": [2, 3, 3], "sides": [2, 4, 8], "activated": False, "centred": True, "deltas": True,
    "shared": 6,
}  # fmt: skip


def fields(config: object, path: tuple = ()) -> Iterator[tuple]:
    """The path of every entry of a config; of a list its first."""
    entries = config.items() if isinstance(config, dict) else enumerate(config[:1]) if isinstance(config, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from fields(value, (*path, key))


def tables(config: dict, path: tuple = ()) -> Iterator[tuple]:
    """The path of the config and of every mapping in it."""
    yield path
    for key, value in config.items():
        if isinstance(value, dict):
            yield from tables(value, (*path, key))


def changed(config: dict, path: tuple, value: object) -> dict:
    """The config with another value at path."""
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return config


class Weights:
    """A .safetensors file of ours whose config is written anew."""

    def __init__(self, path: Path) -> None:
        self.path, whole = path, path.read_bytes()
        size = int.from_bytes(whole[:8], "little")
        self.header, self.tensors = json.loads(whole[8 : 8 + size]), whole[8 + size :]
        self.config = json.loads(self.header["__metadata__"]["config"])

    def write(self, config: dict) -> None:
        head = json.dumps({**self.header, "__metadata__": {"config": json.dumps(config)}}).encode()
        self.path.write_bytes(struct.pack("<Q", len(head)) + head + self.tensors)


class Json:
    """A .json file beside weights."""

    def __init__(self, path: Path) -> None:
        self.path, self.config = path, json.loads(path.read_text())

    def write(self, config: dict) -> None:
        self.path.write_text(json.dumps(config))


# What loads and uses a file of each kind


def picture_generator(path: Path):
    from soundguide_core.generators.loading import load_generator

    generator = load_generator(path)
    return generator.synthesis(generator.sample_ws([0]))


def video_generator(path: Path):
    import torch

    from soundguide_core.generators.loading import load_video_generator

    generator = load_video_generator(path)
    return generator.video(generator.sample_ws([0]), torch.tensor([[0.0, 1.5]]), generator.motion_noise([0]))


def clip(path: Path):
    import torch

    from soundguide_core.embedding.clip import load_clip

    towers = load_clip(path)
    img, text = towers.encode_image(torch.zeros(1, 3, 20, 24)), towers.encode_text(["rain"])
    return img @ text.T * towers.logit_scale


def sound(path: Path):
    import torch

    from soundguide_core.embedding.sound import load_sound

    encoder, spec = load_sound(path)
    windows, weights = spec.windows(torch.sin(torch.arange(6000) / 9), 8000)
    return weights @ encoder(windows)


def unet(path: Path):
    import torch

    from soundguide_core.diffusion.denoiser import load_denoiser

    denoiser = load_denoiser(path)
    side = 16 * denoiser.multiple // min(denoiser.multiple, 16)
    return denoiser(torch.zeros(1, 3, side, side), 1).x0_hat


def unet_folder(path: Path):
    return unet(path.parent if path.name != "scheduler_config.json" else path.parent.parent)


def trajectory(path: Path):
    import torch

    from soundguide_core.pipelines.recording import Recording
    from soundguide_core.pipelines.sound_to_video import invert, latent_path
    from soundguide_core.systems.configs.sound_to_video import VideoConfig
    from soundguide_core.trajectory.trajectory import load_trajectory

    network, config = load_trajectory(path), VideoConfig(fps=4.0)
    ws = torch.zeros(1, network.config.num_ws, network.config.w_dim)
    recording = Recording.of_wave(torch.sin(torch.arange(8000) / 9), 8000)
    segments, _ = invert(recording, ws, network, config=config)
    return torch.cat(list(latent_path(torch.cat(list(segments)), ws, network, config)))


def released_latents(path: Path):
    import torch

    from soundguide_core.trajectory.released import _latent_rnn

    network = _latent_rnn(path)
    return torch.zeros(1) if network is None else sum(x.float().sum() for x in network.parameters())


def released_inversion(path: Path):
    from soundguide_core.trajectory.released import _inversion

    return sum(x.float().sum() for x in _inversion(path)[0].parameters())


def inversion_encoder(path: Path):
    import torch

    from soundguide_core.latents.encoder import load_inversion_encoder

    return load_inversion_encoder(path)(torch.zeros(1, 3, 40, 70))


def stem_separator(path: Path):
    import torch

    from soundguide_core.audio.stems import load_stem_separator, separate

    separator = load_stem_separator(path)
    return separate(separator, torch.sin(torch.arange(12000) / 9).expand(2, -1), 44100)


def identity(path: Path):
    import torch

    from soundguide_core.losses.identity import load_identity

    return load_identity(path)(torch.zeros(1, 3, 40, 40))


def flow(path: Path):
    import torch

    from soundguide_core.flow.estimators import load_flow

    return load_flow(path)(torch.zeros(1, 3, 24, 24), torch.zeros(1, 3, 24, 24))


def classifier(path: Path):
    import torch

    from soundguide_core.miniature.evaluation.scene_classifier import load_scene_classifier

    return load_scene_classifier(path)(torch.zeros(1, 3, 32, 32))


def make(folder: Path) -> dict[str, tuple[Weights | Json, Callable]]:
    """A small file of every kind => {name: (it, what loads and uses it)}."""
    import torch
    from torchvision.models.optical_flow import raft_small

    from soundguide_core.checkpoints import safetensors_io, weights
    from soundguide_core.generators import stylegan3
    from soundguide_core.latents.encoder import InversionEncoder

    makers = sandbox.conftest()
    tiny = makers.make_tiny(folder)
    made = {
        "generator": (tiny.generator, picture_generator),
        "clip": (tiny.joint / "clip.safetensors", clip),
        "sound": (tiny.joint / "sound.safetensors", sound),
        "unet": (makers.make_tiny_unet(folder / "unet.safetensors"), unet),
        "trajectory": (makers.make_tiny_trajectory(folder / "trajectory.safetensors", tiny), trajectory),
        "video generator": (makers.make_tiny_video_generator(folder / "video.safetensors"), video_generator),
        "classifier": (tiny.classifier, classifier),
    }
    config = stylegan3.StyleGAN3Config(16, 8, 8, channel_base=128, channel_max=8, layers=4, margin=4)
    state = stylegan3.Generator(config).state_dict()
    safetensors_io.save(
        folder / "stylegan3.safetensors", {k: x.contiguous() for k, x in state.items()}, config.to_dict()
    )
    made["stylegan3"] = (folder / "stylegan3.safetensors", picture_generator)
    fixtures = (
        ("ir_se50", "quarter", identity), ("wav2clip", "released", sound), ("swin", "narrow", sound),
        ("latent_rnn", "coarse", released_latents), ("guided_diffusion", "unconditional", unet),
        ("psp", "sound", released_inversion),
    )  # fmt: skip
    theirs = [(name, stored(name, case), use) for name, case, use in fixtures]
    for name, states, use in [("flow", raft_small(weights=None).state_dict(), flow), *theirs]:
        torch.save({"E": states} if name == "psp" else states, folder / f"{name}.pth")
        weights.convert(folder / f"{name}.pth", folder / f"{name}.safetensors")
        made[name] = (folder / f"{name}.safetensors", use)
    config = {"encoder": {"network": INVERSION, "size": [32, 32]}}
    encoder = InversionEncoder.from_config(config)
    safetensors_io.save(folder / "inversion.safetensors", encoder.state_dict(), config)
    made["inversion encoder"] = (folder / "inversion.safetensors", inversion_encoder)
    if importlib.util.find_spec("torchaudio"):
        made["stem separator"] = (stems(folder), stem_separator)
    found = {name: (Weights(path), use) for name, (path, use) in made.items()}
    return found | diffusers_folder(folder / "diffusers")


def stems(folder: Path) -> Path:
    import torch
    from torchaudio.models import HDemucs

    from soundguide_core.checkpoints import weights

    network = HDemucs(["drums", "bass", "other", "vocals"], channels=8, nfft=1024, depth=5)
    torch.save(network.state_dict(), folder / "stems.pt")
    weights.convert(folder / "stems.pt", folder / "stems.safetensors")
    return folder / "stems.safetensors"


def stored(name: str, case: str):
    """The weights of a fixture tests/fixtures/NAME_parity.safetensors, as their authors save them."""
    spec = importlib.util.spec_from_file_location("parity", ROOT / "tests" / "fixtures" / "make_network_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read(name)[1][case]


def diffusers_folder(folder: Path) -> dict[str, tuple[Json, Callable]]:
    from diffusers import DDPMScheduler, UNet2DModel

    sizes = {"sample_size": 16, "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    blocks = {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}
    UNet2DModel(**sizes, **blocks, attention_head_dim=4).save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")
    places = (folder / "unet" / "config.json", folder / "scheduler" / "scheduler_config.json")
    return {f"diffusers: {place.parent.name}": (Json(place), lambda x: unet(x.parent.parent)) for place in places}


# One case, and all of them


def judge(use: Callable, path: Path) -> list[str]:
    """What counts against us when this file is used."""
    import torch

    from soundguide_core.common.errors import InputError

    Path("/proc/self/clear_refs").write_text("5")
    before, began, faults = resident("VmRSS"), time.process_time(), []
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            answer = use(path)
        if not bool(torch.isfinite(torch.as_tensor(answer)).all()):
            faults.append("the answer is not finite")
    except InputError as error:
        said = str(error)
        if not error.cause or not error.remedy or not said.isprintable() or len(said) > 1000:
            faults.append(f"said: {ascii(said)[:300]}")
    except BaseException:
        faults.append(traceback.format_exc()[-900:])
    seconds, memory = time.process_time() - began, resident("VmHWM") - before
    return faults + [f"{seconds:.1f} s"] * (seconds > MOST_SEC) + [f"{memory} MB"] * (memory > MOST_MB)


def cases(file: Weights | Json, share: float, rng: random.Random) -> list[tuple[tuple, str]]:
    listed = [(path, name) for path in fields(file.config) for name in VALUES]
    listed += [((*path, "one more"), "1") for path in tables(file.config)]
    return [case for case in listed if rng.random() < share]


def sweep(name: str, file: Weights | Json, use: Callable, jobs: list[tuple[tuple, str]], report: Path) -> None:
    """In this process, as an ordinary user; one line for each case that counts, and the number of all."""
    sandbox.drop_root()
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: its own /proc files are this user's again
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (3 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with report.open("a") as out:
        for path, value in jobs:
            where = f"{name}: {'.'.join(map(str, path))} = {value}"
            out.write(json.dumps({"at": where}) + "\n")
            out.flush()
            file.write(changed(file.config, path, VALUES[value]))
            faults = judge(use, file.path)
            out.write(json.dumps({"done": where, "faults": faults}) + "\n")
        file.write(file.config)


def run(share: float, seed: int, only: str | None = None) -> dict:
    import torch

    torch.set_num_threads(1)
    rng, found = random.Random(seed), {"cases": 0, "fields": 0, "kinds": [], "failures": {}}
    with tempfile.TemporaryDirectory(prefix="configs") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = make(folder)
        for name, (file, use) in made.items():
            if only not in (None, name):
                continue
            first = judge(use, file.path)  # what is imported late; and it must be right as it is
            first = judge(use, file.path)
            if first:
                found["failures"][f"{name}: as it is"] = first
            jobs, report = cases(file, share, rng), folder / "report"
            found["fields"] += len(list(fields(file.config)))
            found["kinds"].append(name)
            report.write_text("")
            if os.getuid() == 0:
                sandbox.own(folder, sandbox.NOBODY)
            child = os.fork()
            if child == 0:
                try:
                    sweep(name, file, use, jobs, report)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            lines = [json.loads(line) for line in report.read_text().splitlines()]
            if lines and "at" in lines[-1]:
                found["failures"][lines[-1]["at"]] = ["died"]
            for line in lines:
                if "done" in line:
                    found["cases"] += 1
                    if line["faults"]:
                        found["failures"][line["done"]] = line["faults"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of all cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one kind")
    args = parser.parse_args()
    report = run(args.share, args.seed, args.only)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
