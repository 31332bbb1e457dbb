"""Axis legend of the whole package, and the one check that names who, expected and got.

B batch, F frames, C channels, H W picture, L layers, D dims, M mels, T mel time, N samples, K classes.
"""

from __future__ import annotations

from torch import Tensor

from .errors import InputError


def check_shape(x: Tensor, spec: str, *, name: str = "tensor") -> dict[str, int]:
    """Hold x [...] against a spec such as "B 3 H W".

    A number must be met exactly, a letter takes any size above zero, and the same letter twice the same size.

    Returns:
        The size of every letter, {"B": 2, "H": 128, "W": 128}.

    Raises:
        InputError: naming the tensor, the expected and the given shape.
    """
    named = name[:1].upper() + name[1:]
    if not isinstance(x, Tensor):
        raise InputError(f"{named} is a {type(x).__name__}, not a tensor.", f"Pass a torch tensor of shape [{spec}].")
    axes = spec.split()
    sizes: dict[str, int] = {}
    fits = x.ndim == len(axes)
    for axis, size in zip(axes, x.shape):
        expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
        fits = fits and size == expected and size > 0
    if not fits:
        raise InputError(f"{named} has shape {list(x.shape)}.", f"Its shape must be [{spec}], with no empty axis.")
    return sizes
