"""Alias-Free Generative Adversarial Networks (Karras et al. 2021): the generator, configurations T and R, in torch.

Equal to the published network at any width and any power-of-two resolution; state keys are those of NVIDIA's release.
Axes: B batch, C channels, H W, I channels in, O channels out, L layers (num_ws), D dims.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import check_number, check_whole
from ..common.settings import from_mapping
from . import compiled, winograd
from .generator import Mapping, StyleGenerator, check_synthesis
from .kept import Kept, aligned
from .lowpass import Filter, downsample, filtered_lrelu, lowpass_filter, upsample
from .ops import FullyConnected, demodulation, demodulation_of, energy
from .stylegan2 import check_sizes

SQRT2 = math.sqrt(2.0)


@dataclass(frozen=True)
class StyleGAN3Config:
    """Sizes of a generator; the defaults are configuration T's. R is conv_kernel 1, radial and twice the channels.

    Frequencies are in cycles per image width. The layers' cutoffs run from first_cutoff to resolution / 2, their
    stopbands from first_stopband to last_stopband_rel times that, both reached critical layers before the last.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    channel_base: int = 32768
    channel_max: int = 512
    layers: int = 14  # beside the Fourier input and the projection to RGB
    critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin: int = 10  # samples around the image, on every side
    output_scale: float = 0.25
    conv_kernel: int = 3
    radial: bool = False
    filter_size: int = 6  # taps per sample of the lower rate
    lrelu_upsampling: int = 2
    conv_clamp: float | None = 256.0
    c_dim: int = 0  # classes, 0 for none

    def __post_init__(self):
        check_sizes(self, "StyleGAN3", smallest=16)
        check_whole(self.layers, "A StyleGAN3's number of layers", low=2, high=100)
        check_whole(self.critical, "A StyleGAN3's number of critical layers", low=0, high=self.layers - 1)
        check_whole(self.margin, "A StyleGAN3's margin", low=0, high=256)
        for name, most in (("conv_kernel", 15), ("filter_size", 64), ("lrelu_upsampling", 16)):
            check_whole(getattr(self, name), f"A StyleGAN3's {name}", low=1, high=most)
        for name in ("first_cutoff", "first_stopband", "last_stopband_rel", "output_scale"):
            check_number(getattr(self, name), f"A StyleGAN3's {name}", low=1e-3, high=self.resolution)

    @property
    def num_ws(self) -> int:
        return self.layers + 2

    @property
    def bands(self) -> list[Band]:
        """What each layer puts out, the projection to RGB last (appendix B.1)."""
        last_cutoff = self.resolution / 2
        bands = []
        for i in range(self.layers + 1):
            share = min(i / (self.layers - self.critical), 1)
            cutoff = self.first_cutoff * (last_cutoff / self.first_cutoff) ** share
            stopband = self.first_stopband * (last_cutoff * self.last_stopband_rel / self.first_stopband) ** share
            rate = 2 ** math.ceil(math.log2(min(2 * stopband, self.resolution)))
            bands.append(
                Band(
                    channels=round(min(self.channel_base / 2 / cutoff, self.channel_max)) if i < self.layers else 3,
                    size=rate + 2 * self.margin if i < self.layers - 1 else self.resolution,
                    rate=rate,
                    cutoff=cutoff,
                    half_width=max(stopband, rate / 2) - cutoff,
                )
            )
        return bands

    def to_dict(self) -> dict:
        return {"architecture": "stylegan3", **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict) -> StyleGAN3Config:
        """values may hold more than the fields."""
        remedy = "Export the checkpoint again."
        return from_mapping(cls, values, "The generator's config", remedy=remedy, skip_unknown=True)


@dataclass(frozen=True)
class Band:
    """Features between two layers: size samples across, rate of them per image width, frequencies up to cutoff."""

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float  # of the transition band


class FourierInput(nn.Module):
    """w [B,D] => [B,C,H,W]: a fixed set of plane waves, turned and moved by w and by the user (appendix F).

    transform [3,3] is the inverse of the turn and move wanted of the image, in image widths.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, band: Band):
        super().__init__()
        self.band = band
        freqs = torch.randn(band.channels, 2)
        radii = freqs.norm(dim=1, keepdim=True)
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = FullyConnected(w_dim, 4)
        assert self.affine.bias is not None
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs / (radii * radii.square().exp() ** 0.25) * band.cutoff)
        self.register_buffer("phases", torch.rand(band.channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        band = self.band
        moves = self._turn_and_move(w) @ self.transform  # [B,3,3]
        phases = self.phases + (self.freqs @ moves[:, :2, 2:]).squeeze(2)  # [B,C]
        freqs = self.freqs @ moves[:, :2, :2]  # [B,C,2]
        # waves that the move has taken out of band fade
        amplitudes = 1 - (freqs.norm(dim=2) - band.cutoff) / (band.rate / 2 - band.cutoff)
        centres = (torch.arange(band.size, device=w.device) + 0.5) / band.rate - band.size / band.rate / 2
        along_x = freqs[:, :, None, None, 0] * centres
        along_y = freqs[:, :, None, None, 1] * centres[:, None]
        waves = torch.sin(2 * math.pi * (along_x + along_y + phases[:, :, None, None]))  # [B,C,H,W]
        waves = waves * amplitudes.clamp(0, 1)[:, :, None, None]
        return F.conv2d(waves, self.weight[:, :, None, None] / math.sqrt(band.channels))

    def _turn_and_move(self, w: Tensor) -> Tensor:
        t = self.affine(w)
        c, s, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        turn = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
        move = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).reshape(-1, 3, 3)
        return turn @ move


class SynthesisLayer(nn.Module):
    """Style, modulated convolution, bias, and a leaky ReLU at a higher sampling rate between two low-pass filters."""

    magnitude_ema: Tensor
    up_filter: Tensor
    down_filter: Tensor

    def __init__(self, before: Band, after: Band, config: StyleGAN3Config, *, radial: bool):
        super().__init__()
        kernel, rate = config.conv_kernel, max(before.rate, after.rate) * config.lrelu_upsampling
        self.up, self.down = rate // before.rate, rate // after.rate
        up_taps, down_taps = config.filter_size * self.up, config.filter_size * self.down
        self.clamp = config.conv_clamp

        self.affine = FullyConnected(config.w_dim, before.channels, bias=1)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))  # mean square of the input, tracked in training
        up_filter = lowpass_filter(up_taps, before.cutoff, 2 * before.half_width, rate)
        down_filter = lowpass_filter(down_taps, after.cutoff, 2 * after.half_width, rate, radial=radial)
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        self.energy, self.kernels, self.columns = Kept(energy), Kept(winograd.kernels_of), Kept(columns_of)

        # appendix C.3: sample positions are symmetric about the image's centre
        total = (after.size - 1) * self.down + 1 - (before.size + kernel - 1) * self.up + up_taps + down_taps - 2
        self.before = (total + self.up) // 2  # zeros before the first sample at the higher rate
        self.size = after.size * self.down + down_taps - self.down  # samples there

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w)
        style = style * style.square().mean(dim=1, keepdim=True).rsqrt()  # the demodulation takes any scale back
        if winograd.only_renders(x, style, self.weight, self.bias):
            return self._rendered(x, style)
        x = x * (style * self.magnitude_ema.rsqrt())[:, :, None, None]
        x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] - 1)
        x = x * demodulation(self.weight, style)[:, :, None, None] + self.bias[:, None, None]
        x = F.leaky_relu(upsample(x, self.up_filter, self.up, self.before, self.size), 0.2) * SQRT2
        if self.clamp is not None:
            x = x.clamp(-self.clamp, self.clamp)
        return downsample(x, self.down_filter, self.down)

    def _rendered(self, x: Tensor, style: Tensor) -> Tensor:
        """The same where nothing is differentiated: in place, and by Winograd's algorithm where that pays.

        The gain sqrt(2) of the leaky ReLU goes into the filter before it, which runs along both axes: 2^(1/4).
        """
        padding, gain = self.weight.shape[-1] - 1, 2**0.25
        scale = demodulation_of(self.energy(self.weight), style)
        style = style * self.magnitude_ema.rsqrt()
        around = winograd.Around(style, scale, self.bias, slope=1)
        loops = compiled.loops_for(x, self.weight)
        if winograd.pays(x, self.weight):
            kernels = self.kernels(self.weight, winograd.tile_of(x))
            x = winograd.conv3x3(x, kernels, around, padding=padding, loops=loops)
        elif padding == 0:
            x = conv1x1(x, self.columns(self.weight), around)
        else:
            x = F.conv2d(x * style[:, :, None, None], self.weight, padding=padding)
            around.finish_maps(x)
        up, down = Filter(self.up_filter * gain, self.up), Filter(self.down_filter, self.down)
        if loops is not None and up.suits(loops.TAPS) and down.suits(loops.TAPS):
            return filtered_lrelu(x, up, down, self.before, self.size, self.clamp, loops)
        x = F.leaky_relu_(upsample(x, up.taps, self.up, self.before, self.size), 0.2)
        if self.clamp is not None:
            x = x.clamp_(-self.clamp, self.clamp)
        return downsample(x, self.down_filter, self.down)


def columns_of(weight: Tensor) -> Tensor:
    """weight [O,I,1,1] as [I',O'], with zeros up to sizes that multiply fast."""
    columns = weight[:, :, 0, 0].t()
    return F.pad(columns, [0, aligned(len(weight)) - len(weight), 0, aligned(len(columns)) - len(columns)])


def conv1x1(x: Tensor, columns: Tensor, around: winograd.Around) -> Tensor:
    """x [B,I,H,W] => [B,O,H,W], channels last, as one matrix product: PyTorch's convolution is slower."""
    batch, size_in, height, width = x.shape
    pixels, out = x.new_zeros(height, width, len(columns)), x.new_empty(batch, height, width, around.scale.shape[1])
    for b in range(batch):
        torch.mul(x[b].permute(1, 2, 0), around.style[b], out=pixels[..., :size_in])
        around.finish((pixels @ columns)[..., : out.shape[3]], b, around.bias, out[b])
    return out.permute(0, 3, 1, 2)


class ToRGB(nn.Module):
    """1x1 modulated convolution to 3 channels, not demodulated, linear."""

    magnitude_ema: Tensor

    def __init__(self, size_in: int, config: StyleGAN3Config):
        super().__init__()
        self.affine = FullyConnected(config.w_dim, size_in, bias=1)
        self.weight = nn.Parameter(torch.randn(3, size_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * (self.magnitude_ema.rsqrt() / math.sqrt(self.weight.shape[1]))
        x = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Synthesis(nn.Module):
    """ws [B,L,D] => img [B,3,H,W], about -1..1."""

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.config = config
        bands = config.bands
        self.input = FourierInput(config.w_dim, bands[0])
        self.names = [f"L{i}_{band.size}_{band.channels}" for i, band in enumerate(bands)]
        for i, name in enumerate(self.names[:-1]):
            radial = config.radial and i < config.layers - config.critical
            setattr(self, name, SynthesisLayer(bands[max(i - 1, 0)], bands[i], config, radial=radial))
        setattr(self, self.names[-1], ToRGB(bands[-2].channels, config))

    def forward(self, ws: Tensor, noise_mode: str = "const") -> Tensor:
        """noise_mode is there for StyleGAN2's sake: this network adds no noise."""
        check_synthesis(ws, noise_mode, self.config)
        x = self.input(ws[:, 0])
        for i, name in enumerate(self.names):
            x = getattr(self, name)(x, ws[:, i + 1])
        return x * self.config.output_scale


class Generator(StyleGenerator):
    """StyleGAN3 as a whole."""

    config_type = StyleGAN3Config

    def __init__(self, config: StyleGAN3Config):
        super().__init__(config, Mapping(config), Synthesis(config))
