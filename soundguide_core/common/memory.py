"""Memory: of a long run on a processor, the way from there to another device, and activations that are kept or not."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .errors import InputError, shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARE = 0.25  # of the free memory: what may be kept for the way back instead of computed again


def tune_malloc() -> None:
    """Asks glibc to keep big blocks instead of returning each to the kernel: steps of a CPU training run up to twice
    as fast, and the process stays at its peak size. For a process of its own."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            m_trim_threshold, m_mmap_max = -1, -4
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)


def usable_device(device: str | torch.device) -> torch.device:
    """The torch device of a name, after trying it; "auto" is a GPU where there is one.

    Raises:
        InputError: there is no such device, or not here.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if not isinstance(device, str | torch.device):  # torch takes 3 and 3.5 for a GPU's number
            raise TypeError
        with warnings.catch_warnings():  # torch's, of names that it means to give up
            warnings.simplefilter("ignore")
            found = torch.device(device)
            torch.zeros(1, device=found).item()
    except Exception as error:  # a name that torch knows without its device ends in any of six kinds of error
        raise InputError(f"The device {shown(device)!r} cannot be used here.", "Use cpu.") from error
    return torch.device("cpu") if found.type == "cpu" else found  # torch takes cpu:7 for another device than cpu


def to_device(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """x on a device, without waiting for what that device has still to do."""
    x = x.to(dtype or x.dtype)
    if device.type == "cuda" and x.device.type == "cpu" and not x.requires_grad:
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def wait_for(device: torch.device) -> None:
    """Returns when the device has done all that it was given: before the clock is looked at. A processor has."""
    import torch

    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()


def free_memory(device: torch.device) -> int:
    """Bytes that could be taken now; 0 where that is not known."""
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return 0
    try:
        import psutil  # of the host's requirements, not of ours
    except ImportError:
        known = "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {})
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else 0
    return psutil.virtual_memory().available


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether it says so: PyTorch has a class for it on a GPU, and a RuntimeError elsewhere."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error).lower())


def release_memory(device: torch.device) -> None:
    """Gives back what is kept of a device's memory without being used."""
    import torch

    gc.collect()
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).empty_cache()


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has taken so far: on a GPU torch's own, else all; 0 where that is not known."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def each_part(run: Callable, parts: Sequence[tuple], free: Callable[[torch.device], int] = free_memory) -> list[Any]:
    """run(*part) of each part, a tensor first. With gradients, what the way back needs is kept while that of all parts
    fits into SHARE of the free memory; where it does not, that of the first part alone is, and each other part is
    computed again when its gradient comes. The values are the same."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return [run(*part) for part in parts]
    saved: dict[int, int] = {}  # bytes by where they lie

    def noted(x: Tensor) -> Tensor:
        saved[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with saved_tensors_hooks(noted, lambda x: x):
        done = [run(*parts[0])]
    fits = sum(saved.values()) * len(parts) <= SHARE * free(parts[0][0].device)
    return done + [run(*part) if fits else checkpoint(run, *part, use_reentrant=False) for part in parts[1:]]
