"""All of the host in one file: gradients, devices, progress and Stop, model folders, sound and picture types.

ComfyUI runs nodes in inference mode. enable_grad alone does not leave it, and what is made there (tensors, weights)
can never be differentiated; so models are made, moved and optimised through this file and nowhere else.

Over 300 lines, since everything that touches the host stands in this one file.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import math
import numbers
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import comfy.model_management as mm  # pyright: ignore[reportMissingImports] the host
import comfy.utils  # pyright: ignore[reportMissingImports] the host
import folder_paths  # pyright: ignore[reportMissingImports] the host
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher  # pyright: ignore[reportMissingImports] the host
from torch import Tensor, nn

from ..soundguide_core.audio.waveform import check_wave
from ..soundguide_core.checkpoints import registry
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.common.stop import stopped_by
from ..soundguide_core.media import images
from . import host_waiting

if TYPE_CHECKING:  # the host is not there where types are checked: whatever it has, it has
    ComfyExtension: Any
    io: Any
    ui: Any
    CurveInput: Any
else:
    from comfy_api.v0_0_2 import ComfyExtension, io, ui

    try:
        from comfy_api.input import CurveInput
    except ImportError:  # 0.18 and older
        CurveInput = None

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "ComfyExtension",
    "CurveInput",
    "Model",
    "add_model_folders",
    "advanced",
    "as_image",
    "audio_of",
    "check_choice",
    "halving",
    "image_of",
    "img_of",
    "in_chunks",
    "interrupted",
    "io",
    "latent_samples",
    "mask_of",
    "model_stamp",
    "on_device",
    "on_step",
    "output_folder",
    "recording_of",
    "stoppable",
    "tell",
    "ui",
    "wave_of",
    "with_grad",
]

FOLDER = "soundguide"
PREVIEW_EVERY_SEC = 0.5
ASK_EVERY_SEC = 0.05
PREVIEW_PIXELS = 512


# Gradients


def with_grad(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """fn(*args, **kwargs) outside inference mode, with gradients on; tensors go in and come out as plain ones."""
    with torch.inference_mode(False), torch.enable_grad():
        untyped: Callable[..., R] = fn
        made = untyped(*each_tensor(args, plain), **each_tensor(kwargs, plain))
        return each_tensor(made, Tensor.detach)


def plain(x: Tensor) -> Tensor:
    return x.clone() if x.is_inference() else x


def each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(each_tensor(item, change) for item in value)
    if type(value) is dict:
        return {key: each_tensor(item, change) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        now = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
        new = {name: each_tensor(item, change) for name, item in now.items() if isinstance(item, Tensor)}
        return dataclasses.replace(value, **new) if new else value
    return value


# Models and devices


class SoundGuideModel(nn.Module):
    """Keeps apart the attributes that the host writes on a model and those that the network has."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network


class Model:
    """A network that the host moves, counts and frees.

    name: what the person chose. load: device => network, frozen; called outside inference mode. kind: of the weights,
    as in the registry; None where it does not matter.
    """

    def __init__(self, name: str, load: Callable[[torch.device], nn.Module], kind: str | None = None):
        self.name, self.kind = name, kind
        self.patcher = with_grad(
            lambda: ModelPatcher(
                SoundGuideModel(heed_stop(load(mm.unet_offload_device()))),
                mm.get_torch_device(),
                mm.unet_offload_device(),
            )
        )

    @property
    def device(self) -> torch.device:
        return self.patcher.load_device

    def on_device(self) -> Any:
        """The network on the compute device, its weights fit for gradients."""
        return on_device(self)[0]

    def network(self) -> Any:
        """The network where the host has it now, its weights fit for gradients; for use while the host samples."""
        make_plain(self.patcher.model)
        return self.patcher.model.network

    def get_ram_usage(self) -> int:
        """Bytes, for the host's cache."""
        return self.patcher.model_size()


def half_is_better() -> bool:
    """Whether the compute device gains by half precision; a processor only loses."""
    device = mm.get_torch_device()
    return device.type != "cpu" and mm.should_use_fp16(device)


def on_device(*models: Model) -> list[Any]:
    """The networks of several models on the compute device at once, whole, their weights fit for gradients."""
    with torch.inference_mode(False):
        mm.load_models_gpu([model.patcher for model in models], force_full_load=True)
        for model in models:
            make_plain(model.patcher.model)
    return [model.patcher.model.network for model in models]


def make_plain(module: nn.Module) -> None:
    """Weights that another node's unloading has moved in inference mode are copied into normal ones."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            if weight.is_inference():
                part._parameters[name] = nn.Parameter(weight.clone(), requires_grad=False)
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_inference():
                part._buffers[name] = buffer.clone()


def halving(fn: Callable[[int], R], chunk: int, device: torch.device, remedy: str = "") -> R:
    """fn(chunk), with half the chunk where memory runs out, and so on.

    Raises:
        InputError: one at a time does not fit either; it says how much memory there is.
    """
    while True:
        try:
            return fn(chunk)
        except mm.OOM_EXCEPTION as error:
            mm.soft_empty_cache()
            if chunk <= 1:
                free, whole = (x / 2**30 for x in (mm.get_free_memory(device), mm.get_total_memory(device)))
                raise InputError(
                    f"One frame at a time does not fit into the memory of {device}: {free:.1f} GiB of {whole:.1f} are "
                    "free.",
                    remedy or "Close other programs, or start ComfyUI with --cpu.",
                ) from error
            chunk //= 2


def in_chunks(fn: Callable[[Tensor], Tensor], x: Tensor, size: int, device: torch.device) -> Tensor:
    """fn over x [F,...], `size` rows at a time on `device`, gathered on the host's own => [F,...].

    Shows progress, stops between two chunks, and halves the chunk where memory runs out.
    """
    bar = progress_bar(len(x))
    gathered, done = None, 0

    def chunk_of(rows: int) -> Tensor:
        nonlocal size
        size = rows
        return fn(x[done : done + rows].to(device)).to(mm.intermediate_device())

    while done < len(x):
        mm.throw_exception_if_processing_interrupted()
        made = halving(chunk_of, size, device)
        if gathered is None:
            gathered = made.new_empty(len(x), *made.shape[1:])
        gathered[done : done + len(made)] = made
        done += len(made)
        bar.update_absolute(done)
    assert gathered is not None, "x has no rows"
    return gathered


# Progress and Stop


def interrupted(*_: object) -> None:
    """Raises, where Stop was pressed."""
    mm.throw_exception_if_processing_interrupted()


def heed_stop(network: nn.Module) -> nn.Module:
    """The network, each part of which asks for Stop before it runs: one frame may take longer than anybody waits."""
    for part in network.modules():
        if next(part.children(), None) is not None:
            part.register_forward_pre_hook(interrupted)
    return network


def progress_bar(total: int) -> Any:
    """The host's bar, of work that knows how far it is."""
    host_waiting.rest()
    return comfy.utils.ProgressBar(total)


def stoppable(function: Callable[[], R]) -> R:
    """function() in a thread of its own, while this one asks for Stop; that one ends at its next check_stop.

    For work of numpy alone: what torch knows of gradients and devices belongs to a thread.
    """
    given_up = threading.Event()

    def ask() -> None:
        if given_up.is_set():
            raise InterruptedError

    def work() -> R:
        with stopped_by(ask):
            return function()

    pool = ThreadPoolExecutor(1)
    try:
        future = pool.submit(work)
        while not wait([future], timeout=ASK_EVERY_SEC).done:
            host_waiting.ask()
        return future.result()
    finally:
        given_up.set()
        pool.shutdown(wait=False)


def on_step() -> Callable[[int, int, dict[str, float], Callable[[], Tensor | None]], None]:
    """A fresh callback for one long run: progress bar, now and then a preview picture, and Stop, which it raises."""
    bar = progress_bar(1)
    shown = 0.0

    def step(i: int, n: int, terms: dict[str, float], preview: Callable[[], Tensor | None]) -> None:
        nonlocal shown
        picture = None
        if time.monotonic() - shown > PREVIEW_EVERY_SEC or i + 1 == n:
            img = preview()
            picture = None if img is None else ("JPEG", _thumbnail(img), PREVIEW_PIXELS)
            shown = time.monotonic()
        mm.throw_exception_if_processing_interrupted()
        bar.update_absolute(i + 1, n, picture)

    return step


def _thumbnail(img: Tensor):
    """img [B,3,H,W] => one PIL picture of the first four."""
    from PIL import Image

    sheet = images.grid(img[:4].float().cpu(), columns=2)
    return Image.fromarray(images.to_uint8(sheet[None])[0].numpy())


def tell(node_id: str, text: str) -> None:
    """Shows a text on the node that runs, where the host can, and writes it into the log."""
    logging.info("[SoundGuide] %s", text)
    from server import PromptServer  # pyright: ignore[reportMissingImports] the host

    send = getattr(getattr(PromptServer, "instance", None), "send_progress_text", None)
    if send is not None:
        send(text, node_id)


def output_folder() -> str:
    """Where the host keeps what is made."""
    return folder_paths.get_output_directory()


# Model folders


def add_model_folders() -> None:
    """Weights are found in models/soundguide/<kind> and wherever extra_model_paths.yaml says `soundguide:`."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    folders, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (folders, set(registry.SUFFIXES))
    for kind in registry.KINDS:
        for folder in folders:
            registry.add_folder(kind, Path(folder) / kind)


def model_stamp(kind: str, name: str) -> list:
    """Changes when the files behind a name change."""
    files = registry.find(kind, name).files
    return [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in files.values()]


# The host's sounds, pictures and choices


@functools.cache
def advanced() -> dict:
    """What marks an input as one for few, where the host can hide such inputs behind a button."""
    accepted = inspect.signature(io.Int.Input).parameters
    if "advanced" in accepted:
        return {"advanced": True}
    return {"extra_dict": {"advanced": True}} if "extra_dict" in accepted else {}


def search_aliases(words: str) -> dict:
    """For a schema: by which words a node is found besides its name, where the host can (0.11 and newer)."""
    return {"search_aliases": words.split(", ")} if "search_aliases" in inspect.signature(io.Schema).parameters else {}


def check_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Some hosts send any word to a combo: ComfyUI 0.3.64 checks none of a V3 node's."""
    if value not in options:
        raise InputError(f"There is no {name} called {value!r}.", f"Use one of: {', '.join(options)}.")


def wave_of(audio) -> tuple[Tensor, int]:
    """AUDIO => (wave [B,C,N] float32 on the CPU, sample_rate in Hz).

    Any Mapping will do, as some packs send lazy ones, and samples as a tensor or array of floats, or of integers over
    the whole range of their type.

    Raises:
        InputError: nothing is there, it is not a sound, it cannot be read, or it has no samples.
    """
    if audio is None:
        raise InputError("No sound has arrived.", "Check that the file or video it comes from has sound.")
    if not isinstance(audio, Mapping):
        raise InputError(f"A {type(audio).__name__} has arrived in place of a sound.", "Connect an AUDIO output.")
    wave, sample_rate = (_entry(audio, key) for key in ("waveform", "sample_rate"))
    sample_rate = _as_number(sample_rate)
    wave = _as_floats(wave)
    check_wave(wave, sample_rate)
    return wave.reshape((1,) * (3 - wave.ndim) + tuple(wave.shape)), round(sample_rate)


def _entry(audio: Mapping, key: str) -> Any:
    """One entry of an AUDIO; a lazy one decodes here, and whatever its pack raises is told as bad input."""
    try:
        return audio[key]
    except KeyError as error:
        raise InputError(
            f"A {type(audio).__name__} has arrived in place of a sound: it has no {key!r}.",
            "Connect an AUDIO output.",
        ) from error
    except (mm.InterruptProcessingException, InputError):
        raise
    except Exception as error:
        raise InputError(
            f"The sound cannot be read: {type(error).__name__}: {str(error)[:200]}.",
            "Check the file that it comes from, and the node that loads it.",
        ) from error


def _as_number(sample_rate: Any) -> Any:
    """A rate as Python's own number; what is none is left for check_wave to name."""
    is_number = isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool)
    if is_number or (isinstance(sample_rate, Tensor) and sample_rate.numel() == 1):
        try:
            return float(sample_rate)
        except OverflowError:  # a whole number of hundreds of digits
            return math.inf
    return sample_rate


def _as_floats(wave: Any) -> Any:
    """Samples as float32 on the CPU; what is neither tensor nor array is left for check_wave to name."""
    if isinstance(wave, np.ndarray) and wave.dtype.kind in "fiu":
        # torch knows neither big-endian arrays nor all unsigned ones
        if wave.dtype.kind == "u":
            middle = 2.0 ** (8 * wave.dtype.itemsize - 1)
            wave = (wave.astype(np.float64) - middle) / middle
        elif wave.dtype.kind == "i":
            wave = wave / 2.0 ** (8 * wave.dtype.itemsize - 1)
        wave = torch.from_numpy(wave.astype(np.float32))
    if not isinstance(wave, Tensor):
        return wave
    wave = wave.detach().cpu()
    if wave.dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        wave = wave.double() / -float(torch.iinfo(wave.dtype).min)
    elif wave.dtype == torch.uint8:
        wave = wave.float() / 128 - 1
    return wave.float() if torch.is_floating_point(wave) else wave


def recording_of(audio):
    """AUDIO => the one Recording that the core reads it as.

    Raises:
        InputError: as wave_of, and for a batch of several sounds.
    """
    from ..soundguide_core.pipelines.recording import Recording

    wave, sample_rate = wave_of(audio)
    if len(wave) > 1:
        raise InputError(f"A batch of {len(wave)} sounds has arrived where one is wanted.", "Send one sound.")
    return Recording.of_wave(wave[0], sample_rate)


def audio_of(wave: Tensor, sample_rate: int) -> dict:
    """wave [B,C,N] => AUDIO."""
    return {"waveform": wave.detach().float().cpu(), "sample_rate": sample_rate}


def img_of(image) -> Tensor:
    """IMAGE of any float type on any device, or bytes, => img [B,3,H,W] float32 in -1..1 on the CPU."""
    return images.from_host(_pixels(image, "picture", "IMAGE"))


def mask_of(mask) -> Tensor:
    """MASK [B,H,W], [H,W] or [B,1,H,W] => [B,1,H,W] float32 in 0..1 on the CPU, 1 where to edit."""
    mask = _pixels(mask, "mask", "MASK")
    if mask.ndim not in (2, 3, 4) or (mask.ndim == 4 and mask.shape[1] != 1) or not mask.numel():
        raise InputError(f"The mask has shape {list(mask.shape)}.", "Send a MASK [B,H,W] with no empty axis.")
    if not torch.isfinite(mask).all():
        raise InputError("The mask holds values that are not numbers.", "Check the node or file that it comes from.")
    return mask.reshape(-1, 1, *mask.shape[-2:]).clamp(0, 1)


def _pixels(x, what: str, socket: str) -> Tensor:
    """A tensor or array of pixels => float32 on the CPU; bytes are divided by 255."""
    if x is None:
        raise InputError(f"No {what} has arrived.", f"Connect {socket} to an output of that type.")
    if (isinstance(x, np.ndarray) and x.dtype.kind in "fb") or getattr(x, "dtype", None) == np.uint8:
        x = torch.from_numpy(np.ascontiguousarray(x))
    if not isinstance(x, Tensor):
        raise InputError(f"A {type(x).__name__} has arrived in place of a {what}.", f"Connect a {socket} output.")
    x = x.detach().cpu()
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def latent_samples(latent: Any) -> Tensor:
    """LATENT => its samples, [B,C,H,W] of pictures or [B,C,T,H,W] of a video; of a video with sound those of the video.

    Raises:
        InputError: it is none, or holds none of these.
    """
    samples = latent.get("samples") if isinstance(latent, Mapping) else None
    if samples is not None and getattr(samples, "is_nested", False):  # the host's own NestedTensor: video first
        samples = samples.unbind()[0]
    if not isinstance(samples, Tensor) or samples.ndim not in (4, 5):
        raise InputError(
            "No latent of pictures or of a video has arrived.",
            "Connect a LATENT, of an empty latent node or of VAE Encode.",
        )
    return samples


def image_of(img: Tensor) -> Tensor:
    """img [B,3,H,W] about -1..1 => IMAGE in the host's device and type."""
    return as_image(images.to_host(img.detach().float()))


def as_image(pixels: Tensor) -> Tensor:
    """[B,H,W,3] in 0..1 => IMAGE in the host's device and type."""
    dtype = getattr(mm, "intermediate_dtype", lambda: torch.float32)()
    return pixels.to(mm.intermediate_device(), dtype)
