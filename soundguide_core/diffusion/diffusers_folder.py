"""A UNet2DModel in a folder as diffusers saves it: its config, weights whole or in shards, its scheduler's config."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from ..common.errors import InputError, check_number, check_whole
from ..common.files import read_json

STEM = "diffusion_pytorch_model"
# schedulers that differ in how they sample and share the noise of DDPM's betas
SHARING_BETAS = {
    "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler",
    "DEISMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "RePaintScheduler", "SASolverScheduler", "TCDScheduler",
    "UniPCMultistepScheduler",
}  # fmt: skip
OTHER_NOISE = {  # part of a scheduler's name => its noise
    "Ve": "variance exploding", "Vp": "a continuous variance preserving SDE", "EDM": "EDM", "Flow": "flow matching",
    "CMStochastic": "consistency models",
}  # fmt: skip
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
OF_AVERAGING = {  # what diffusers' EMAModel writes into the config of the averaged UNet
    "decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup",
}  # fmt: skip


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """(tensors in single precision, {"unet": keyword arguments of UNet2DModel, "schedule": of DDPMScheduler}).

    Averaged weights (unet_ema/) before raw ones; of several files the most precise.
    """
    inside = next((folder / name for name in ("unet_ema", "unet") if (folder / name).is_dir()), folder)
    files = _weights(inside)
    if not files or not (inside / "config.json").is_file():
        raise InputError(
            f"{folder} holds no config.json with {STEM}.safetensors or .bin.", "Give a folder that diffusers has saved."
        )
    config = read_json(inside / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise InputError(
            f"{folder} holds a {str(config.get('_class_name'))[:80]}, which does not work on pixels alone.",
            "Use a UNet2DModel here; latent models work in ComfyUI behind its own loaders.",
        )
    places = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    schedule = next((read_json(file) for file in places if file.is_file()), {})
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _tensors(file)
    unet = {key: x for key, x in config.items() if not key.startswith("_") and key not in OF_AVERAGING}
    return {_current_name(key): x.float() for key, x in tensors.items()}, {"unet": unet, "schedule": schedule}


def check_schedule(path: str | os.PathLike, schedule: object) -> None:
    """InputError for noise that is none of DDPM's: variance exploding, EDM, flow matching; and for bad values."""
    if not isinstance(schedule, dict):
        raise InputError(f"{path} states no schedule of noise.", "Convert or export it again.")
    name = schedule.get("_class_name", "DDPMScheduler")
    flow = schedule.get("use_flow_sigmas") is True or schedule.get("prediction_type") == "flow_prediction"
    if not isinstance(name, str) or name not in SHARING_BETAS or flow:
        kind = "flow matching" if flow else next((k for part, k in OTHER_NOISE.items() if part in str(name)), "")
        raise InputError(
            f"{path} was trained with the noise of {str(name)[:80]}{f' ({kind})' if kind else ''}.",
            "Use a model whose noise is that of DDPM (DDPM, DDIM, PNDM, DPM-Solver, ...).",
        )
    for key in ("prediction_type", "variance_type", "beta_schedule"):
        if not isinstance(schedule.get(key, ""), str):
            raise InputError(f"{path} has a {key} that is no text.", "Convert or export it again.")
    betas = schedule.get("trained_betas")
    if betas is not None:
        if not isinstance(betas, list) or not 2 <= len(betas) <= 100_000:
            raise InputError(f"{path} has trained_betas that are no list of numbers.", "Convert or export it again.")
        for beta in betas:
            check_number(beta, f"A beta of {path}", low=0, high=1)
    check_whole(schedule.get("num_train_timesteps", 1000), f"num_train_timesteps of {path}", low=2, high=100_000)
    for end in ("beta_start", "beta_end"):
        check_number(schedule.get(end, 0.01), f"{end} of {path}", low=0, high=1)
    if schedule.get("beta_schedule", "linear") not in BETAS and betas is None:
        raise InputError(
            f"{path} has the beta_schedule {str(schedule['beta_schedule'])[:80]!r}.", f"Known are {', '.join(BETAS)}."
        )


def _weights(folder: Path) -> list[Path]:
    """The files of one set of weights: whole, in shards, then of lower precision or not averaged; [] for none."""
    for suffix in (".safetensors", ".bin"):
        if (folder / f"{STEM}{suffix}").is_file():
            return [folder / f"{STEM}{suffix}"]
        if (folder / f"{STEM}{suffix}.index.json").is_file():
            return _shards(folder / f"{STEM}{suffix}.index.json")
    for suffix in (".safetensors", ".bin"):
        for index in sorted(folder.glob(f"{STEM}{suffix}.index.*.json")):
            return _shards(index)
        variants = [file for file in sorted(folder.glob(f"{STEM}.*{suffix}")) if "-of-" not in file.name]
        if variants:
            return [min(variants, key=lambda file: "non_ema" in file.name)]
    return []


def _shards(index: Path) -> list[Path]:
    listed = read_json(index).get("weight_map")
    names = set(listed.values()) if isinstance(listed, dict) and all(map(_is_name, listed.values())) else set()
    missing = [name for name in sorted(names) if not (index.parent / name).is_file()]
    if missing or not names:
        raise InputError(
            f"{index} names {missing[0] if missing else 'no files'}, which is not beside it.", "Copy the whole folder."
        )
    return [index.parent / name for name in sorted(names)]


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name == Path(name).name and "\\" not in name


def _tensors(file: Path) -> dict[str, Tensor]:
    from ..checkpoints import safe_pickle, safetensors_io

    content = safetensors_io.tensors_of(file) if safetensors_io.is_safetensors(file) else safe_pickle.read(file)
    if not isinstance(content, dict) or not all(isinstance(x, Tensor) for x in content.values()):
        raise InputError(f"{file} is not a state dict.", "Give a folder that diffusers has saved.")
    return content


def _current_name(key: str) -> str:
    """Attention of diffusers before 0.16 under its present names."""
    if "attentions" not in key:
        return key
    for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")):
        key = key.replace(f".{old}.", f".{new}.")
    return key
