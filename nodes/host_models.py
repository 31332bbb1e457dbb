"""The host's MODEL: a wrapper around its predictions, what its levels of noise mean, and a way back through it.

A PREDICT_NOISE wrapper sees a whole step: the batch with all frames, after classifier-free guidance and whatever other
packs have patched, and it may call the model again. Nothing else of the model is touched.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import comfy.model_management as mm  # pyright: ignore[reportMissingImports] the host
import comfy.model_sampling  # pyright: ignore[reportMissingImports] the host
import torch
from comfy.patcher_extension import WrappersMP  # pyright: ignore[reportMissingImports] the host
from torch import Tensor

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.diffusion.frames import Layout
from ..soundguide_core.diffusion.levels import Level, When
from .host import Model, each_tensor, interrupted, make_plain, plain

KEY = "soundguide"
Look = Callable[[Tensor], Tensor]


def wrapped(model: Any, beside: Sequence[Model], predict: Callable[[Prediction], Tensor]) -> Any:
    """A clone of a MODEL whose predictions are those of `predict`; several wrappers add up, the last one outermost.

    beside: networks of ours that it needs, which the host loads and frees together with the model; clones share them.
    """
    clone = model.clone()
    there = {id(each.model): each for each in clone.get_additional_models_with_key(KEY)}
    there |= {id(each.patcher.model): each.patcher for each in beside}
    clone.set_additional_models(KEY, list(there.values()))

    def wrapper(executor, x, timestep, model_options=None, seed=None):
        interrupted()
        return predict(Prediction(executor, x, timestep, model_options or {}, seed))

    clone.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, wrapper)
    return clone


def latents_of(model: Any) -> str:
    """The host's name of what a MODEL samples, such as SD15 or Wan21."""
    return type(model.get_model_object("latent_format")).__name__


class Prediction:
    """One call of a model within a step of any sampler: x, the level of its noise, and the model to be asked again."""

    def __init__(self, executor: Any, x: Tensor, timestep: Tensor, model_options: dict, seed: Any) -> None:
        self.executor, self.x, self.timestep, self.model_options, self.seed = executor, x, timestep, model_options, seed
        self.guider = executor.class_obj
        self.model = self.guider.inner_model

    def stock(self) -> Tensor:
        """What the model says without us."""
        return self.executor(self.x, self.timestep, self.model_options, self.seed)

    def again(self, x: Tensor) -> Tensor:
        """What the model says of another x. Samplers of the kind cfg_pp listen in on its parts by functions of their
        own, and shall keep those of x itself; so only the functions that the model brought are called."""
        own = self.guider.model_options
        options = dict(self.model_options)
        for name in ("sampler_post_cfg_function", "sampler_pre_cfg_function"):
            if name in options:
                options[name] = own.get(name, [])
        timestep = self.timestep.clone() if torch.is_grad_enabled() else self.timestep
        return self.executor(x.to(self.x), timestep, options, self.seed)

    @property
    def level(self) -> Level:
        return level_of(self.model.model_sampling, float(self.timestep.max()))

    def when(self, start: float, end: float, every: int) -> When:
        """The steps from start to end, shares of the sampling as the host counts them (percent_to_sigma)."""
        sampling = self.model.model_sampling

        def share(sigma: float) -> float:
            return level_of(sampling, sigma).share

        low = 0.0 if end >= 1 else share(float(sampling.percent_to_sigma(end)))
        high = math.inf if start <= 0 else share(float(sampling.percent_to_sigma(start)))
        sigmas = self.model_options.get("transformer_options", {}).get("sample_sigmas")
        shares = [] if sigmas is None else [share(sigma) for sigma in sigmas.tolist()]
        return When((low, high), every, shares)

    @property
    def unit(self) -> float:
        """Standard deviation of a clean latent in the model's own scale."""
        return 1.0 if is_flow(self.model.model_sampling) else float(getattr(self.model.model_sampling, "sigma_data", 1))

    @functools.cached_property
    def layout(self) -> Layout:
        """Where the frames are in x: of a latent that packs a video with other things, in its first part."""
        shapes = getattr(self.model, "latent_shapes", None) or self._packed_by_conds()
        return Layout([tuple(shape) for shape in shapes] if shapes and len(shapes) > 1 else ())

    @property
    def shape(self) -> tuple[int, ...]:
        """[B,C,h,w] of pictures or [B,C,T,h,w] of videos, of the part of x that has frames."""
        packed = self.layout.shapes
        return (len(self.x), *packed[self.layout.part][1:]) if packed else tuple(self.x.shape)

    def frames(self, z: Tensor) -> Tensor:
        """A latent like x => its frames [N,C,h,w]."""
        return self.layout.frames_of(z)

    def latent(self, frames: Tensor, like: Tensor) -> Tensor:
        """The latent `like` with these frames in place of its own."""
        return self.layout.latent_of(frames, like)

    def look(self, frames: Tensor) -> Tensor:
        """Noisy frames [N,C,h,w] in place of those of x => the frames that the model then expects."""
        return self.frames(self.again(self.latent(frames, self.x)))

    def _packed_by_conds(self) -> Any:
        """Shapes of a packed latent where the model itself does not say them (ComfyUI 0.8)."""
        for conds in (getattr(self.guider, "conds", None) or {}).values():
            for cond in conds or ():
                shapes = cond.get("model_conds", {}).get("latent_shapes")
                if shapes is not None:
                    return shapes.cond
        return None


def is_flow(sampling: Any) -> bool:
    return isinstance(sampling, comfy.model_sampling.CONST)


def level_of(sampling: Any, sigma: float) -> Level:
    """What a sigma of the host says. Flow models (CONST) count x = (1 - sigma) x0 + sigma eps; all others are sampled
    as x = x0 + sigma eps, whatever they predict (EPS, V_PREDICTION, EDM, X0, Cosmos' flow)."""
    if is_flow(sampling):
        return Level.of_flow(min(sigma, 1.0))
    unit = float(getattr(sampling, "sigma_data", 1.0)) or 1.0
    return Level.of_ve(sigma / unit)._replace(noise=sigma)


# A way back through the model


def check_way_back(model: Any) -> None:
    """InputError where a network's weights are not plain floats, which carry no gradient."""
    network, odd = model.model.diffusion_model, (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    for weight in network.parameters():
        if type(weight) is not torch.nn.Parameter or weight.dtype not in odd:
            raise InputError(
                f"The weights of this model ({type(model.model).__name__}) are quantised: no gradient passes them.",
                "Choose another rule: measured needs no way back.",
            )


def steady(model: Any) -> Any:
    """The MODEL with weights that stay where they are from the way there to the way back; InputError if it cannot."""
    if not getattr(model, "is_dynamic", bool)():
        return model
    try:
        return model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise InputError(
            f"The weights of this model ({type(model.model).__name__}) move while it computes.",
            "Choose the rule measured, or start ComfyUI with --disable-dynamic-vram.",
        ) from error


@contextlib.contextmanager
def differentiable(prediction: Prediction) -> Iterator[None]:
    """Within it the model can be differentiated: plain weights and conditioning, kernels that have a backward, and
    operations in place allowed. Everything is put back, whatever happens."""
    guider, training = prediction.guider, getattr(mm, "in_training", None)
    conds = getattr(guider, "conds", None)
    with torch.inference_mode(False), torch.enable_grad():
        for part in (prediction.model, *(each.model for each in getattr(guider, "loaded_models", None) or ())):
            make_plain(part)
        if conds is not None:
            guider.conds = _plain_conds(conds)
        if training is not None:
            mm.in_training = True
        try:
            with torch.autograd.graph.allow_mutation_on_saved_tensors():
                yield
        except RuntimeError as error:
            if isinstance(error, mm.OOM_EXCEPTION) or not _of_gradients(error):
                raise
            raise InputError(
                f"No way leads back through this model ({type(prediction.model).__name__}): "
                f"{str(error).splitlines()[0][:160]}.",
                "Choose the rule measured, which needs none.",
            ) from error
        finally:
            if conds is not None:
                guider.conds = conds
            if training is not None:
                mm.in_training = training


def _of_gradients(error: RuntimeError) -> bool:
    """Whether torch says of a network that it cannot be differentiated."""
    said = str(error).lower()
    return any(word in said for word in ("autograd", "backward", "grad_fn", "require", "inplace", "derivative"))


def _plain_conds(value: Any) -> Any:
    """Conditioning with plain tensors in place of inference tensors; whatever else is in it is shared."""
    if isinstance(value, dict):
        return {key: _plain_conds(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain_conds(each) for each in value]
    if hasattr(value, "_copy_with"):  # a CONDRegular and its kin
        return value._copy_with(each_tensor(value.cond, plain))
    return each_tensor(value, plain)
