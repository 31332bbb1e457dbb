"""What the style-based generators share (Karras et al. 2019, 2020, 2021): the mapping network and the way to use them.

Axes: B batch, C channels, H W, L layers (num_ws), D dims.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..common.errors import InputError, check_number, check_whole
from ..common.precision import multiplies_bfloat16
from .latents import truncate
from .ops import FullyConnected, rms_norm

NOISE_MODES = ("const", "random", "none")


class Mapping(nn.Module):
    """z [B,D] standard normal => w [B,D]; keeps w's mean, tracked in training, and its standard deviation per dim.

    config has z_dim, c_dim, w_dim and mapping_layers. A class-conditional network (c_dim > 0) takes labels c [B,c_dim]
    too, one-hot, which are embedded into w_dim numbers and stand beside z (Karras et al. 2020, "Training Generative
    Adversarial Networks with Limited Data").
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config):
        super().__init__()
        self.num_layers, self.c_dim = config.mapping_layers, config.c_dim
        if config.c_dim:
            self.embed = FullyConnected(config.c_dim, config.w_dim)
        for i in range(config.mapping_layers):
            size_in = config.w_dim if i else config.z_dim + (config.w_dim if config.c_dim else 0)
            setattr(self, f"fc{i}", FullyConnected(size_in, config.w_dim, lr_mul=0.01, act=True))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.zeros(config.w_dim))  # 0: not measured yet

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = rms_norm(z)
        if self.c_dim:
            if c is None:
                raise InputError(
                    f"This generator is class-conditional ({self.c_dim} classes), which does not work here.",
                    "Use one that was trained without labels.",
                )
            x = torch.cat([x, rms_norm(self.embed(c))], dim=1)  # [B,z_dim+w_dim]
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, mean: Tensor, beta: float = 0.998) -> None:
        """w_avg <- lerp(mean w of a batch [D], w_avg, beta)"""
        self.w_avg.copy_(torch.lerp(mean, self.w_avg, beta))


class StyleGenerator(nn.Module):
    """z [B,D] -> mapping -> w [B,D] -> ws [B,L,D] -> synthesis -> img [B,3,H,W]; mapping may take labels too.

    config has resolution, z_dim, c_dim, w_dim and num_ws; synthesis takes ws and a noise mode.
    """

    mapping: Mapping
    tuned_from: Any = None  # generators/tuned.TunedFrom, of one that has been tuned to a picture

    def __init__(self, config, mapping: Mapping, synthesis: nn.Module):
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.num_ws = config.z_dim, config.w_dim, config.num_ws
        self.c_dim = config.c_dim
        self.resolution = config.resolution
        self.mapping = mapping
        self.synthesis = synthesis

    @property
    def w_avg(self) -> Tensor:
        """[D] mean of w"""
        return self.mapping.w_avg

    @property
    def w_std(self) -> Tensor:
        """[D] standard deviation of each dim of w; measured at first use where the checkpoint stores none."""
        if not self.mapping.w_std.any():
            self.measure_w()
        return self.mapping.w_std

    def measure_w(self, samples: int = 10000, seed: int = 123, *, keep_avg: bool = True) -> None:
        """Measures w_std, and w_avg too unless keep_avg, over mapped samples (of all classes)."""
        # outside the inference mode of a caller: the measured tensors outlive it and may meet a gradient
        with torch.inference_mode(False), torch.no_grad():
            rng = np.random.RandomState(seed)
            z = torch.from_numpy(rng.randn(samples, self.z_dim)).to(self.w_avg)
            c = self.labels(rng.randint(self.c_dim, size=samples)) if self.c_dim else None
            w = self.mapping(z, c)
            self.mapping.w_std = w.std(dim=0)
            if not keep_avg:
                self.mapping.w_avg = w.mean(dim=0)

    def broadcast(self, w: Tensor) -> Tensor:
        """w [B,D] => ws [B,L,D]"""
        return w[:, None].expand(-1, self.num_ws, -1)

    def labels(self, classes: Iterable[int]) -> Tensor:
        """c [B,c_dim], one-hot, of classes counted from 0."""
        return torch.eye(self.c_dim)[torch.as_tensor(np.array(list(classes)))].to(self.w_avg)

    @torch.no_grad()
    def sample_ws(
        self, seeds: int | Iterable[int], psi: float = 0.7, cutoff: int | None = None, *, class_index: int | None = None
    ) -> Tensor:
        """ws [B,L,D], one per seed, pulled towards w_avg by 1 - psi; the same latents as NVIDIA's tools give a seed.

        class_index: the class of all of them, from 0, of a class-conditional generator; None: each seed draws its
        class as it draws its z, so that many seeds show all that the generator has learned. w_avg is the mean over
        all classes.
        """
        seeds = [seeds] if isinstance(seeds, int) else list(seeds)
        if not seeds:
            raise InputError("No seed is given.", "Give one seed for each latent.")
        for seed in seeds:
            check_number(seed, "A seed", low=0, high=2**32 - 1)
            if seed != int(seed):
                raise InputError(f"A seed is {seed}.", "Give a whole number.")
        check_number(psi, "psi")
        self._check_class(class_index)
        rngs = [np.random.RandomState(int(seed)) for seed in seeds]
        z = np.concatenate([rng.randn(1, self.z_dim) for rng in rngs])
        classes = [rng.randint(self.c_dim) if class_index is None else class_index for rng in rngs if self.c_dim]
        c = self.labels(classes) if self.c_dim else None
        ws = self.broadcast(self.mapping(torch.from_numpy(z).to(self.w_avg), c))
        return truncate(ws, self.w_avg, psi, cutoff)

    def _check_class(self, class_index: int | None) -> None:
        if class_index is None:
            return
        if not self.c_dim:
            raise InputError(
                "A class is given, and this generator has none.",
                "Leave the class out, or load a class-conditional generator.",
            )
        check_whole(class_index, "The class", low=0, high=self.c_dim - 1)

    def sketch(self, ws: Tensor) -> Tensor:
        """Pictures as synthesis gives them [B,3,H,W], for what only looks at their meaning: in bfloat16 where the
        network takes a dtype and the processor is quicker in it."""
        takes_dtype = "dtype" in inspect.signature(self.synthesis.forward).parameters
        if takes_dtype and multiplies_bfloat16(ws.device):
            return self.synthesis(ws, dtype=torch.bfloat16)
        return self.synthesis(ws)

    def forward(self, z: Tensor, psi: float = 1.0, noise_mode: str = "const", c: Tensor | None = None) -> Tensor:
        """z [B,D], labels c [B,c_dim] where the generator has classes => img [B,3,H,W]"""
        ws = truncate(self.broadcast(self.mapping(z, c)), self.w_avg, psi)
        return self.synthesis(ws, noise_mode)


def check_synthesis(ws: Tensor, noise_mode: str, config) -> None:
    """Refuse a noise mode that does not exist, and latents of another generator."""
    if noise_mode not in NOISE_MODES:
        raise InputError(f"There is no noise mode '{noise_mode}'.", "Use const, random or none.")
    if not isinstance(ws, Tensor) or ws.ndim != 3 or ws.shape[1:] != (config.num_ws, config.w_dim):
        shape = list(ws.shape) if isinstance(ws, Tensor) else type(ws).__name__
        raise InputError(
            f"ws must be [B,{config.num_ws},{config.w_dim}] for this generator, not {shape}.",
            "Take latents from this generator's own sample_ws.",
        )
