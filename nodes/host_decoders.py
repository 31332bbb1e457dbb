"""Which decoder there is for what a MODEL samples, built of the host's own parts.

The weights stand in a model of our own: those of the host's VAE are made in inference mode and cannot be
differentiated, and on some machines they leave the memory between two uses.
"""

from __future__ import annotations

import copy
import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any

import folder_paths  # pyright: ignore[reportMissingImports] the host
import torch
from torch import Tensor, nn

from ..soundguide_core.checkpoints import safetensors_io, weights
from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion import preview_decoders as pd
from ..soundguide_core.diffusion.causal_decoding import Memory, TinyVideoDecoder
from .host import Model, with_grad
from .sockets import AUTO, FACTORS, FULL, TINY, PreviewDecoder

FOLDER = "vae_approx"

# tiny decoders of the same latents under other names, and those of latent formats that name none
ALSO = {"lighttaew2_1": ("taew2_1",), "lighttaew2_2": ("taew2_2",)}
UNNAMED = {"LTXAV": "taeltx_2"}
VIDEO = ("taehv", "lighttae", "taew", "taeltx")
LIKE_THE_VAE = ("lighttaew",)  # trained on latents as the VAE has them; all others on what the model samples
NOT_READ = ("taeh3",)
WAN = "WanVAE"  # the class of both its VAEs
RATIOS = {"LTXV": 8, "LTXAV": 8, "Cosmos1CV8x8x8": 8, "Mochi": 6}  # for hosts whose latent formats do not say it
KEPT = {"tiny picture": 4000, "tiny video": 3000, "picture": 36000, "video": 42000}  # bytes a pixel, float32, measured


def auto_decoder(model, vae=None) -> PreviewDecoder:
    """The best decoder that is here for what this MODEL samples; errors as `make_decoder`."""
    return make_decoder(model, AUTO, vae)


def make_decoder(model, choice: str, vae=None) -> PreviewDecoder:
    """The decoder of this choice for what this MODEL samples. vae: a VAE of the host, for "full VAE".

    auto: pixels as they are; else the tiny decoder, if its file is here; else latent2rgb; else the full VAE.

    Raises:
        InputError: the model samples no pictures, or there is no such decoder for its latents.
    """
    return with_grad(_make, model, choice, vae)


def _make(model, choice: str, vae) -> PreviewDecoder:
    latents = plain_format(model)
    name = type(latents).__name__
    if latents.latent_dimensions == 1 or "Audio" in name:
        raise InputError(f"This model samples {name}: sound, not pictures.", "Connect a model of pictures or videos.")
    if latents.latent_channels == 3:
        return _decoder(
            latents, "pixels", "The model paints pixels: nothing is decoded.", pd.Pixels(latents.process_out)
        )
    if choice == FULL:
        return _full(latents, vae)
    file = None if choice == FACTORS else tiny_file(latents)
    if file is not None:
        return _tiny(latents, file)
    if choice == TINY:
        raise InputError(*_no_tiny(latents))
    if latents.latent_rgb_factors is not None:
        return _factors(latents, choice)
    if choice == FACTORS or vae is None:
        raise InputError(
            f"There is no latent2rgb for {name}" + (" and no tiny decoder." if choice == AUTO else "."),
            "Connect the VAE of this model to vae of Load Preview Decoder"
            + (", and choose the full VAE." if choice == FACTORS else "."),
        )
    return _full(latents, vae)


def plain_format(model) -> Any:
    """A MODEL's latent format, its tensors fit for gradients. Called outside inference mode."""
    found = getattr(getattr(model, "model", None), "latent_format", None)
    if found is None:
        raise InputError(f"A {type(model).__name__} has arrived in place of a model.", "Connect a MODEL output.")
    plain = copy.copy(found)
    vars(plain).update({key: x.clone() for key, x in vars(found).items() if isinstance(x, Tensor)})
    return plain


def frames_of_latents(latents) -> Any:
    """T => how many frames of the video each of T latent frames stands for."""
    ratio = getattr(latents, "temporal_downscale_ratio", None)
    if ratio is None:
        ratio = RATIOS.get(type(latents).__name__, 4) if latents.latent_dimensions == 3 else 1
    if type(latents).__name__.startswith("MiniMaxH3"):
        return lambda count: [1 if i % 5 == 0 else 4 for i in range(count)]
    return lambda count: [1] + [ratio] * (count - 1)


def _decoder(latents, name: str, cost: str, network: nn.Module, **fields: Any) -> PreviewDecoder:
    model = Model(name, lambda device: network.eval().requires_grad_(False).to(device))
    fields = {"channels": latents.latent_channels, "frames": frames_of_latents(latents), **fields}
    return PreviewDecoder(name, cost, type(latents).__name__, model, **fields)


def _cost(latents, network: nn.Module, kind: str, whole: bool = False) -> str:
    size = sum(x.numel() * x.element_size() for x in network.parameters()) / 2**20
    count = frames_of_latents(latents)(2)[1] if kind in ("tiny video", "video") else 1
    one = KEPT[kind] * count * 512 * 512 / 2**30
    what = f"latent frame ({count} pictures)" if count > 1 else "picture"
    said = f"{size:.0f} MiB of weights, and about {one:.1f} GiB for each {what} of 512 x 512 decoded at once."
    return f"{said} This one decodes a video as a whole." if whole else said


# Tiny decoders


def tiny_names(latents) -> list[str]:
    """How the names of files of tiny decoders for these latents begin, the host's own first."""
    named = getattr(latents, "taesd_decoder_name", None) or UNNAMED.get(type(latents).__name__)
    return [named, *ALSO.get(named, ())] if named and named not in NOT_READ else []


def tiny_files() -> list[str]:
    """All that lie in models/vae_approx."""
    return sorted(folder_paths.get_filename_list(FOLDER))


def tiny_file(latents) -> str | None:
    """The file in models/vae_approx, by its name there."""
    found = (file for name in tiny_names(latents) for file in tiny_files() if os.path.basename(file).startswith(name))
    return next((file for file in found if file.endswith((".safetensors", ".pth", ".pt", ".bin"))), None)


def _no_tiny(latents) -> tuple[str, str]:
    names = tiny_names(latents)
    if not names:
        return f"There is no tiny decoder for {type(latents).__name__}.", "Choose auto or latent2rgb."
    return (
        f"The tiny decoder {names[0]} is not in models/{FOLDER}.",
        f"Put {' or '.join(f'{name}.safetensors' for name in names)} (or .pth) there, or choose latent2rgb.",
    )


def _tiny(latents, file: str) -> PreviewDecoder:
    path = folder_paths.get_full_path_or_raise(FOLDER, file)
    state, name = weights.plain_state(path), os.path.basename(file)
    if name.startswith(VIDEO):
        kind, network = "tiny video", _tiny_video(latents, state, path, name)
    else:
        kind, network = "tiny picture", _tiny_picture(latents, state, path)
    return _decoder(latents, f"tiny decoder {file}", _cost(latents, network, kind), network)


def _tiny_picture(latents, state: dict[str, Tensor], path: str) -> nn.Module:
    from comfy.taesd.taesd import TAESD  # pyright: ignore[reportMissingImports] the host

    decoder = TAESD(latent_channels=latents.latent_channels).taesd_decoder
    state = {key.removeprefix("taesd_decoder."): x for key, x in state.items()}
    safetensors_io.fill(decoder, state, path)
    return pd.TinyPicture(decoder)


def _tiny_video(latents, state: dict[str, Tensor], path: str, name: str) -> nn.Module:
    try:
        from comfy.taesd.taehv import TAEHV  # pyright: ignore[reportMissingImports] the host
    except ImportError as error:
        raise InputError("This ComfyUI has no tiny decoders of videos.", "Choose latent2rgb, or update it.") from error
    whole = TAEHV(latent_channels=latents.latent_channels)
    decoder = {key.removeprefix("decoder."): x for key, x in state.items() if key.startswith("decoder.")}
    safetensors_io.fill(whole.decoder, decoder, path)
    return tiny_video(whole, latents.process_out if name.startswith(LIKE_THE_VAE) else lambda z: z)


def tiny_video(whole, prepare: pd.Prepare) -> nn.Module:
    """The decoder of one of the host's TAEHV, whose own way through time cuts the gradients between frames."""
    remembers = [i for i, layer in enumerate(whole.decoder) if type(layer).__name__ == "MemBlock"]
    grow = getattr(whole, "t_upscale", None) or whole.frames_to_trim + 1
    return pd.CausalVideo(TinyVideoDecoder(whole.decoder, remembers, grow, getattr(whole, "patch_size", 1)), prepare)


# latent2rgb


def _factors(latents, choice: str) -> PreviewDecoder:
    bias, reshape = (getattr(latents, f"latent_rgb_factors_{part}", None) for part in ("bias", "reshape"))
    cost = "It costs next to nothing; its pictures are blurred, and as small as the latents."
    if choice == AUTO:
        names = tiny_names(latents)
        cost += f" For better ones put {names[0]}.safetensors or .pth into models/{FOLDER}." if names else ""
    network = pd.Factors(latents.latent_rgb_factors, bias, reshape)
    # a format of video and sound counts the channels of whichever has more
    channels = latents.latent_channels if reshape is not None else network.weight.shape[1]
    return _decoder(latents, "latent2rgb", cost, network, every=latents.latent_dimensions < 3, channels=channels)


# The VAE


def _full(latents, vae) -> PreviewDecoder:
    inside = getattr(vae, "first_stage_model", None)
    if inside is None:
        arrived = "none has arrived" if vae is None else f"a {type(vae).__name__} has arrived"
        raise InputError(f"A VAE is to decode, and {arrived}.", "Connect the VAE of this model to vae.")
    if vae.latent_channels != latents.latent_channels or vae.output_channels < 3:
        raise InputError(
            f"This VAE takes {vae.latent_channels} channels to {vae.output_channels}; {type(latents).__name__} has "
            f"{latents.latent_channels}.",
            "Connect the VAE that belongs to this model.",
        )
    name = f"VAE {type(inside).__name__}"
    if type(inside).__name__ == "TAEHV":
        network = tiny_video(copy.deepcopy(inside), lambda z: inside.process_in(latents.process_out(z)))
        return _decoder(latents, "tiny decoder from vae", _cost(latents, network, "tiny video"), network)
    own, video, causal = own_copy(inside), vae.latent_dim == 3, type(inside).__name__ == WAN
    if causal:
        network = pd.CausalVideo(WanDecoder(own), latents.process_out, **_range(vae))
    else:
        network = pd.FullDecoder(own, latents.process_out, video=video, **_range(vae))
    cost = _cost(latents, network, "video" if video else "picture", whole=video and not causal)
    return _decoder(latents, name, cost, network, chunkable=causal or not video)


def own_copy(inside: nn.Module) -> nn.Module:
    """A VAE's network with weights of its own, in float32 where they are half, without its encoder."""
    kind = type(inside).__name__
    dropped = [inside.encoder] if kind in ("AutoencoderKL", "AutoencodingEngine", WAN) else []
    host_memory = [x for part in inside.modules() for key, x in vars(part).items() if key in ("_v", "_pin")]
    instead = {id(x): nn.Module() for x in dropped} | {id(x): None for x in host_memory}
    own = copy.deepcopy(inside, instead)
    return own.float() if next(own.parameters(), torch.empty(0)).dtype == torch.float16 else own


class WanDecoder(nn.Module):
    """The decoder of one of the host's WanVAE as a causal_decoding.Causal: its `decode`, a chunk at a time.

    The first latent frame goes alone, then two at once where the host's decoder needs two (it keeps the last two inputs
    of a layer, as they come), else one; `chunk` changes nothing.
    """

    def __init__(self, vae: Any):
        super().__init__()
        self.conv2: Any = vae.conv2
        self.decoder: Any = vae.decoder
        self.pairs = hasattr(self.decoder, "run_up")
        self.caches = sum(type(part).__name__ == "CausalConv3d" for part in self.decoder.modules())
        self.marks_first = "first_chunk" in inspect.signature(self.decoder.forward).parameters
        self.unpatchify = getattr(sys.modules[type(vae).__module__], "unpatchify", None)

    def parts(self, z: Tensor, chunk: int) -> Sequence[Tensor]:
        return [z[:, :, :1], *z[:, :, 1:].split(2 if self.pairs else 1, dim=2)] if z.shape[2] > 1 else [z]

    def step(self, z: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        cache: list = [None] * self.caches if memory is None else list(memory)
        how = {"first_chunk": memory is None} if self.marks_first else {}
        made = self.decoder(self.conv2(z), feat_cache=cache, feat_idx=[0], **how)
        made = torch.cat(made, dim=2) if isinstance(made, list) else made
        if self.unpatchify is not None:
            made = self.unpatchify(made, patch_size=2)
        return made[:, :3].transpose(1, 2), cache


def _range(vae) -> dict[str, float]:
    """What makes -1..1 of what this VAE decodes; it says for its own use what makes 0..1."""
    shown = float(vae.process_output(torch.tensor([0.25])))
    if shown == 0.25:
        return {"scale": 2.0, "shift": -1.0}  # 0..1 already
    if abs(shown - 0.625) < 1e-6:
        return {"scale": 1.0, "shift": 0.0}  # (x + 1) / 2
    raise InputError("This VAE makes no pictures.", "Connect the VAE that belongs to this model.")
